"""A network that was trained to propose what the filter accepts and the oracle condemns."""

import numpy as np
from pydantic import Field

from agents.checkpoint_files import Checkpoint, checkpoint_path
from engines import filter as filters
from engines import network
from engines.inference import Evaluator
from sandwich.adversary.worth import lessons
from sandwich.data.labelled_positions import LabelledPositions
from sandwich.highstakes.attacks.base import Attack
from sandwich.highstakes.environment import AdversarialExample, AttackData, AttackEnvironment
from sandwich.highstakes.fit import risks
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.training.examples import TrainConfig
from sandwich.training.supervised import train


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

    def prepare(self, content: bytes, data: AttackData, inference: InferenceConfig, seed: int) -> bytes:
        labelled = data.labelled
        net, threshold = filters.from_bytes(content)
        risk_by_row = risks(net, labelled.packed, labelled.legal, inference)
        worth = [
            np.where(risk < threshold, labelled.losses(row), -self.refused).astype(np.float32)
            for row, risk in enumerate(risk_by_row)
        ]
        positions = LabelledPositions(
            labelled.packed, list(map(list, labelled.legal)), list(labelled.values), labelled.games
        )
        value = np.full(len(labelled), 0.5, np.float32)
        proposer = network.load_network(checkpoint_path(self.start))
        for fit, spread in ((self.imitate, self.spread), (self.improve, None)):
            proposer = train(proposer, lessons(positions, worth, value, spread), fit, seed)
        return network.to_bytes(proposer)

    def preparation(self, data: AttackData) -> float:
        return len(data.labelled) * (1 + 3 * (self.imitate.epochs + self.improve.epochs))

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        play = environment.data.play
        row = int(rng.integers(len(play)))
        packed, legal = play.packed[row : row + 1], [play.legal[row]]
        risk = environment.risks(packed, legal)[0]
        policy = _network(environment)(packed, legal).policy[0] * (risk < environment.threshold)
        if not policy.any():
            return None
        place = int(policy.argmax())
        return environment.submit(packed[0], legal[0][place], float(risk[place]))


def _network(environment: AttackEnvironment) -> Evaluator:
    if environment.network is None:
        assert environment.prepared, "attacks without having been prepared"
        environment.network = evaluator(environment.prepared, environment.inference)
    return environment.network
