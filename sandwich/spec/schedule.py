"""When the weak player asks: the schedule of its questions, and what they may cost.

A schedule says on which of its own turns the student would ask; the budget says whether it
can afford to. A strategy that asks several times for one decision needs as many questions to be left.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from engines.settings import Frozen

Floats = npt.NDArray[np.float32]


class Every(Frozen):
    """On every n-th own turn, beginning with the first."""

    when: Literal["every"] = "every"
    n: int = Field(1, ge=1)
    """1: on every turn."""


class Chance(Frozen):
    """On each own turn with the same probability."""

    when: Literal["chance"]
    q: float = Field(ge=0, le=1)
    """The probability."""


class Unsure(Frozen):
    """On own turns on which the student's policy is uncertain."""

    when: Literal["unsure"]
    by: Literal["entropy", "gap"] = "entropy"
    """Uncertainty: the entropy of the policy over the legal moves, in nats; or one less the gap between the
    probabilities of its first two moves, 0..1."""
    threshold: float | None = None
    """Uncertainty from which on it asks; None: by `quantile`."""
    quantile: float | None = Field(None, ge=0, le=1)
    """Share of the turns, the least uncertain, on which it does not ask; of the latest 256 turns of the same block."""

    @model_validator(mode="after")
    def _one(self) -> "Unsure":
        if (self.threshold is None) == (self.quantile is None):
            raise ValueError("expected either threshold or quantile")
        return self

    def uncertainty(self, policy: Floats) -> float:
        """How uncertain a policy `[M]` is."""
        if self.by == "entropy":
            likely = policy[policy > 0].astype(np.float64)
            return float(-(likely * np.log(likely)).sum())
        first, second = np.sort(np.append(policy, 0.0))[-2:][::-1]
        return float(1 - (first - second))


class Never(Frozen):
    """Never: the control."""

    when: Literal["never"]


def _by_turns(settings: Any) -> Any:
    return {"when": "every", **settings} if isinstance(settings, dict) else settings


Schedule = Annotated[Every | Chance | Unsure | Never, Field(discriminator="when"), BeforeValidator(_by_turns)]
"""A field of a spec that holds a schedule; `when` is `every` where it is not said."""


LATEST = 256
"""Turns that an uncertainty is compared with. It is greater in later phases of a game than in earlier ones:
compared with all turns so far, the student would ask more often than it should."""


@dataclass
class UncertaintyWindow:
    """How uncertain the student was on the latest of its turns in one block."""

    ranked: list[float] = field(default_factory=list)
    """In rising order."""
    order: deque[float] = field(default_factory=deque)
    """The same as they came."""

    def add(self, schedule: Schedule, policy: Floats) -> None:
        """Another turn, where the schedule asks by uncertainty."""
        if isinstance(schedule, Unsure):
            self.order.append(schedule.uncertainty(policy))
            insort(self.ranked, self.order[-1])
        if len(self.order) > LATEST:
            self.ranked.pop(bisect_left(self.ranked, self.order.popleft()))

    def above(self, uncertainty: float) -> float:
        """Share of the turns seen that were less in doubt."""
        return bisect_left(self.ranked, uncertainty) / len(self.ranked)


def would_ask(
    schedule: Schedule, turn: int, policy: Floats, window: UncertaintyWindow, rng: np.random.Generator
) -> bool:
    """Whether the student would ask on its `turn`-th own turn (from 0), at this policy `[M]` of its own."""
    match schedule:
        case Every(n=n):
            return turn % n == 0
        case Chance(q=q):
            return rng.random() < q
        case Unsure(threshold=None, quantile=quantile):
            assert quantile is not None
            return window.above(schedule.uncertainty(policy)) >= quantile
        case Unsure(threshold=threshold):
            assert threshold is not None
            return schedule.uncertainty(policy) >= threshold
        case Never():
            return False


def asking(
    schedule: Schedule,
    turns: npt.NDArray[np.int64],
    policies: Sequence[Floats],
    window: UncertaintyWindow,
    rngs: Sequence[np.random.Generator],
) -> npt.NDArray[np.bool_]:
    """Whether the student would ask on its turns in many games, `[B]`, each with the random numbers of its own game."""
    match schedule:
        case Every(n=n):
            return np.asarray(turns % n == 0)
        case Never():
            return np.zeros(len(turns), np.bool_)
    for policy in policies:
        window.add(schedule, policy)
    each = zip(turns.tolist(), policies, rngs, strict=True)
    return np.array([would_ask(schedule, turn, policy, window, rng) for turn, policy, rng in each], np.bool_)


class QueryBudget:
    """What `G` games may still ask, and what they have asked.

    per_game: questions of a whole game; None: any number.
    per_turn: questions for each of the student's turns, saved up; None: any number.
    ground_truth: true answers of the expert in a whole game.
    """

    def __init__(self, games: int, per_game: int | None = None, per_turn: float | None = None, ground_truth: int = 0):
        self._per_game, self._per_turn = per_game, per_turn
        self.asked = np.zeros(games, np.int64)
        """Questions of each game so far."""
        self.ground_truth = np.full(games, ground_truth)
        """True answers that each game may still have."""

    def left(self, games: npt.NDArray[np.int64], turns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Questions that some games can ask now, on the student's `turns`-th turns (from 1); infinite without bound."""
        whole = np.inf if self._per_game is None else self._per_game
        saved = np.inf if self._per_turn is None else np.floor(self._per_turn * turns + 1e-9)
        return np.asarray(np.minimum(whole, saved) - self.asked[games], np.float64)

    def spend(
        self, games: npt.NDArray[np.int64], questions: npt.NDArray[np.int64], ground_truth: npt.NDArray[np.int64]
    ) -> None:
        """So many questions, and so many true answers, have been asked for in some games."""
        self.asked[games] += questions
        self.ground_truth[games] -= ground_truth
