"""A network that was trained to propose what the filter accepts and the oracle condemns."""

import numpy as np
from pydantic import Field

from agents.checkpoint_files import Checkpoint, checkpoint_path
from engines import filter as filters
from engines import network
from engines.inference import Evaluator
from sandwich.data.labelled_positions import LabelledPositions
from sandwich.highstakes.arena import Arena, Break, Material
from sandwich.highstakes.attacks.base import Attack
from sandwich.highstakes.fit import risks
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.training.adversary import lessons
from sandwich.training.supervised import TrainConfig, train


class Policy(Attack):
    """A proposer trained against the filter: what a move is worth to it is its loss if accepted, a penalty if not.

    It begins as the subtle adversary, learns from the labelled positions of the training split, and
    then proposes in play; of its moves the most probable one that the filter accepts is put forward.
    """

    start: Checkpoint = "adversary"
    """The network that it begins as."""
    refused: float = Field(0.3, ge=0)
    """Worth lost by a move that the filter refuses, in expected score."""
    spread: float = Field(0.04, gt=0)
    """Temperature, in worth, of the softmax that is imitated first."""
    imitate: TrainConfig = TrainConfig(epochs=2, batch=512, learning_rate=1e-3, precision="auto", value_weight=0.0)
    """First fit."""
    improve: TrainConfig = TrainConfig(
        epochs=2, batch=512, learning_rate=5e-4, precision="auto", objective="worth", value_weight=0.0
    )
    """Second fit: the gradient of the expected worth."""

    def prepare(self, content: bytes, material: Material, inference: InferenceConfig, seed: int) -> bytes:
        examples = material.examples
        judge, threshold = filters.from_bytes(content)
        seen = risks(judge, examples.packed, examples.legal, inference)
        worth = [
            np.where(risk < threshold, examples.losses(row), -self.refused).astype(np.float32)
            for row, risk in enumerate(seen)
        ]
        positions = LabelledPositions(examples.packed, examples.legal, examples.values, examples.games)
        value = np.full(len(examples), 0.5, np.float32)
        net = network.load_network(checkpoint_path(self.start))
        for fit, spread in ((self.imitate, self.spread), (self.improve, None)):
            net = train(net, lessons(positions, worth, value, spread), fit, seed)
        return network.to_bytes(net)

    def attempt(self, arena: Arena, rng: np.random.Generator) -> Break | None:
        play = arena.material.play
        row = int(rng.integers(len(play)))
        packed, legal = play.packed[row : row + 1], [play.legal[row]]
        risk = arena.risks(packed, legal)[0]
        policy = _evaluator(arena)(packed, legal).policy[0] * (risk < arena.threshold)
        if not policy.any():
            return None
        place = int(policy.argmax())
        return arena.submit(packed[0], legal[0][place], float(risk[place]))


def _evaluator(arena: Arena) -> Evaluator:
    if arena.opened is None:
        assert arena.prepared, "hunted without having been prepared"
        arena.opened = evaluator(arena.prepared, arena.inference)
    return arena.opened
