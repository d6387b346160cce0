"""Many decisions at once, in arrays, for strategies that need no object for each question."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.batches import Answers, Bools, Integers, Questions, check_array
from engines.ragged import Policies


@dataclass(frozen=True, eq=False)
class OwnViews:
    """What the weak player itself thinks of `B` positions, each for its side to move; as `OwnView`.

    move: `[B]` number of the move that it would play.
    policy: for each position `[M]`, probability of each legal move.
    value: `[B]` expected score in 0..1.
    """

    move: Integers
    policy: Policies
    value: npt.NDArray[np.float32]

    def best(self, questions: Questions) -> Integers:
        """`[B]` number of the move that its own policy likes best."""
        return questions.legal.at(self.policy.best()).astype(np.int64)

    def take(self, rows: npt.NDArray[np.int64]) -> "OwnViews":
        """Some of them, in this order."""
        return OwnViews(self.move[rows], self.policy.take(rows), self.value[rows])


@dataclass(frozen=True, eq=False)
class Contexts:
    """`B` questions with their answers, and what the weak player thinks when it decides; as `DecisionContext`.

    advice: what was said through the questions' channel.
    rngs: random numbers of each one's game.
    """

    questions: Questions
    own: OwnViews
    advice: Answers
    rngs: Sequence[np.random.Generator]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What the weak player does with `B` answers; as `Decision`.

    move: `[B]` number of the move to play.
    believed: `[B]` whether each answer is taken for true.
    confidence: `[B]` how far each is trusted; None: 1 where it is believed, else 0.
    """

    move: Integers
    believed: Bools
    confidence: npt.NDArray[np.floating] | None = None


def check_decisions(decisions: object, questions: Questions) -> None:
    """ValueError for what can't be decided on the answers to these questions."""
    if not isinstance(decisions, Decisions):
        raise ValueError(f"expected Decisions, got {type(decisions).__name__}")
    shape = (len(questions),)
    confidence = np.zeros(shape) if decisions.confidence is None else decisions.confidence
    move = check_array("moves", decisions.move, shape, "iu")
    check_array("whether each is believed", decisions.believed, shape, "b")
    if not np.isfinite(check_array("confidences", confidence, shape, "f")).all():
        raise ValueError("expected confidences that are finite numbers")
    if len(illegal := np.flatnonzero(questions.legal.find(move) < 0)):
        raise ValueError(f"the move {move[illegal[0]]} is not legal; expected one of {questions.legal[illegal[0]]}")
