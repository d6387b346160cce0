"""The form of an oversight strategy: what the weak player does with an answer."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.base import Advice, Query
from agents.plugins import Plugin, Registry


@dataclass(frozen=True, eq=False)
class OwnView:
    """What the weak player itself thinks of the position it asked about, for the side to move.

    move: number of the move that it would play.
    policy: `[M]` probability of each legal move, in the order of the query's.
    value: expected score in 0..1.
    """

    move: int
    policy: npt.NDArray[np.float32]
    value: float


@dataclass(frozen=True)
class Decision:
    """What the weak player does.

    move: number of the move to play.
    believed: whether the answer is taken for true (and learned from).
    weight: of the training example made of this position; 0 leaves it out.
    """

    move: int
    believed: bool
    weight: float = 1.0


def check_decision(decision: object, query: Query) -> None:
    """ValueError for what can't be decided on an answer to this query."""
    if not isinstance(decision, Decision):
        raise ValueError(f"expected a Decision, got {type(decision).__name__}")
    move: object = decision.move  # a plugin may say anything
    believed: object = decision.believed
    weight: object = decision.weight
    if not isinstance(move, int | np.integer):
        raise ValueError(f"expected a move's number, got a {type(move).__name__}")
    if move not in query.legal:
        raise ValueError(f"the move {move} is not legal; expected one of {list(query.legal)}")
    if not isinstance(believed, bool | np.bool_):
        raise ValueError(f"expected believed to be true or false, got {believed!r}")
    if (
        isinstance(weight, bool)
        or not isinstance(weight, float | int | np.integer | np.floating)
        or not 0 <= weight < math.inf
    ):  # NaN is not
        raise ValueError(f"expected a weight that is a finite number, 0 or more, got {weight!r}")


class Oversight(Plugin, ABC):
    """A rule for believing. It never learns whether the assistant was misaligned."""

    @abstractmethod
    def decide(self, query: Query, own: OwnView, advice: Advice, rng: np.random.Generator) -> Decision:
        """Decide on one answer. `rng` belongs to the game of the query: all randomness comes from it."""


REGISTRY: Registry[Oversight] = Registry("oversight strategy", "sandwich.oversight", Oversight)  # type: ignore[type-abstract]
