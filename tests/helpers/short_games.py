"""Short games of evaluators by rule: a block from its openings to its ledger."""

from collections.abc import Sequence

import chess
import numpy as np

from agents.assistant import Assistant
from agents.misalignment.base import Misalignment
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines.inference import Evaluation
from engines.planes import Packed
from sandwich.oversight.base import Oversight
from sandwich.oversight.trust import Trust
from sandwich.protocol.selfplay import Block, Played, play_episodes
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig

OPENINGS = (
    chess.STARTING_FEN,
    chess.STARTING_FEN,
    "4k3/7p/8/8/8/8/P7/4K3 w - - 0 1",
    "4k3/7p/8/8/8/8/P7/4K3 w - - 0 1",
)


class Steady:
    """An evaluator by rule: prefers the moves with the highest (or lowest) numbers."""

    def __init__(self, sign: int) -> None:
        self.sign = sign

    def __call__(self, packed: Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        policy = []
        for row in legal:
            weight = np.exp(self.sign * 0.1 * np.arange(len(row), dtype=np.float32))
            policy.append(weight / weight.sum())
        return Evaluation(legal, policy, np.tile(np.array([[0.5, 0.25, 0.25]], np.float32), (len(packed), 1)))


def played(
    play: PlayConfig,
    misalignment: Misalignment | None = None,
    oversight: Oversight | None = None,
    openings: tuple[str, ...] = OPENINGS,
    first: int = 0,
    step: int = 0,
) -> Played:
    misalignment = misalignment or RandomMove(p=0)
    block = Block(7, step, first, openings, play, misalignment, oversight or Trust(), InferenceConfig())
    with Tools() as tools:
        return play_episodes(Steady(1), [Assistant(Steady(-1), misalignment, tools)], block)


SHORT = PlayConfig(games=4, block=4, ply_cap=24)
