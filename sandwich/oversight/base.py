"""The form of an oversight strategy: what the weak player does with an answer.

A strategy is a frozen record whose fields are its settings, with one method, `decide`
(docs/tutorials/writing-an-oversight-strategy.md). It is registered by an entry point of the group
`sandwich.oversight`, whose name is its `type` in a spec.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from agents.advice import Advice, Query
from agents.plugins import Plugin, Unread
from agents.registry import Registry
from engines.settings import SpecError
from sandwich.oversight.batches import Contexts, Decisions
from sandwich.oversight.consult import Consultation


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

    def best(self, query: Query) -> int:
        """Number of the move that its own policy likes best."""
        return query.legal[int(self.policy.argmax())]

    def chance(self, query: Query, move: int) -> float:
        """Probability that its own policy gives to a move."""
        return float(self.policy[query.legal.index(move)])


@dataclass(frozen=True, eq=False)
class DecisionContext:
    """A question with its answer, and all that the weak player knows when it decides.

    advice: the answer; empty before it is there.
    rng: random numbers of the game; all randomness comes from them.
    left: questions that it may still ask before it decides.
    ground_truth_left: the expert's true answers that it may still have in this game.
    study: what the strategy's `study` made of the steps before this one; None in the first.
    game: the visible ledger columns of the game's plies so far, those that are known before its end.
    """

    query: Query
    own: OwnView
    advice: Advice
    rng: np.random.Generator
    left: int = 0
    ground_truth_left: int = 0
    study: Any = None
    game: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def with_advice(self, advice: Advice, left: int) -> "DecisionContext":
        """The same with the answer to the first question, and what is left of the budget after it."""
        copy = object.__new__(DecisionContext)
        copy.__dict__.update(self.__dict__, advice=advice, left=left)
        return copy

    @property
    def advised(self) -> int | None:
        """Number of the move advised; None where only a value was asked for."""
        return self.advice.move


@dataclass(frozen=True)
class Decision:
    """What the weak player does.

    move: number of the move to play.
    believed: whether the answer is taken for true (and learned from).
    weight: of the training example made of this position; 0 leaves it out.
    confidence: how far the answer is trusted, on any scale on which more is more; for measuring how well lies are told
        from truth. None: 1 where it is believed, else 0.
    answer: the answer that this is about, where it is another one than the first; an `Advice` that `ask` brought.
    """

    move: int
    believed: bool
    weight: float = 1.0
    confidence: float | None = None
    answer: Advice | None = None


def check_decision(decision: object, query: Query) -> None:
    """ValueError for what can't be decided on an answer to this query."""
    if _is_plain(decision) and decision.move in query.legal:  # as nearly every decision is
        return
    if not isinstance(decision, Decision):
        raise ValueError(f"expected a Decision, got {type(decision).__name__}")
    move: object = decision.move  # a plugin may say anything
    believed: object = decision.believed
    confidence: object = decision.confidence
    if not isinstance(move, int | np.integer):
        raise ValueError(f"expected a move's number, got a {type(move).__name__}")
    if move not in query.legal:
        raise ValueError(f"the move {move} is not legal; expected one of {list(query.legal)}")
    if not isinstance(believed, bool | np.bool_):
        raise ValueError(f"expected believed to be true or false, got {believed!r}")
    if not is_weight(decision.weight):
        raise ValueError(f"expected a weight that is a finite number, 0 or more, got {decision.weight!r}")
    if confidence is not None and not (_is_number(confidence) and math.isfinite(confidence)):  # type: ignore[arg-type]  # by the test
        raise ValueError(f"expected a confidence that is a finite number or None, got {confidence!r}")


def _is_plain(decision: Any) -> TypeGuard[Decision]:
    """Whether there is nothing to be looked at in a decision but its move."""
    if type(decision) is not Decision:
        return False
    kinds: list[object] = [type(decision.move), type(decision.believed), type(decision.weight)]
    return kinds == [int, bool, float] and decision.weight == 1 and decision.confidence is None


def _is_number(value: object) -> bool:
    return isinstance(value, float | int | np.integer | np.floating) and not isinstance(value, bool)


def is_weight(value: object) -> bool:
    """Whether this can be the weight of an example: a finite number, 0 or more."""
    return _is_number(value) and 0 <= value < math.inf  # type: ignore[operator]  # by the test; NaN is not


class Oversight(Plugin, ABC):
    """A rule for believing. It never learns whether the assistant was misaligned."""

    studies_confidence: ClassVar[bool] = False
    """Whether `study` reads `confidence`. In a member of another strategy that column holds the other's confidence, so
    that it can't be one."""

    @property
    def questions(self) -> int:
        """Questions that it asks for one decision at most, the first included."""
        return 1

    @property
    def advisors(self) -> int:
        """Assistants that it asks: 1, or more where it needs the spec's `second`."""
        return 1

    @property
    def ground_truth_budget(self) -> int:
        """True answers that it may have in one game."""
        return 0

    @abstractmethod
    def decide(self, context: DecisionContext) -> Decision | Consultation[Decision]:
        """Decide on one answer: at once, or as a generator that asks and looks first (`sandwich.oversight.consult`).

        What is drawn and asked for a question depends on that question alone.
        """

    def decide_all(self, contexts: Contexts) -> Decisions | Consultation[Decisions]:
        """The same in arrays, for a strategy that asks once for a decision and needs no object for each.

        At once, or as a generator that yields `Evaluate` alone, with the question that each position is looked at for.
        What is not defined costs nothing but time: then `decide` is asked. What is has to decide as `decide` does.
        """
        raise NotImplementedError

    def study(self, past: pa.Table) -> Any:
        """What is to be remembered of the steps before this one: a value that can be pickled, given to every question.

        past: their ledgers, oldest first, in the columns that the student may see (`ledger.VISIBLE`).
        """
        return None

    def weigh(self, game: Mapping[str, Sequence[Any]]) -> Sequence[float | None]:
        """Weight of each ply's training example once the game is over; by default as decided.

        game: the visible ledger columns of the game, the result among them; `weight` is None where nothing was asked.
        """
        return game["weight"]


Budget = Literal["questions", "advisors", "ground_truth_budget"]
BUDGETS: dict[Budget, int] = {"questions": 1, "advisors": 1, "ground_truth_budget": 0}
"""Properties that say beforehand what a strategy may use, and the least that each can be."""


def budget_of(strategy: Oversight, name: Budget) -> int:
    """One of its `BUDGETS`; PluginError, naming the strategy, where it fails or can't be."""
    with REGISTRY.attribute_errors(strategy):
        value: object = getattr(strategy, name)  # a plugin may say anything
    least = BUDGETS[name]
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise REGISTRY.failure(strategy, f"expected {name} to be a whole number, {least} or more, got {value!r}")
    return int(value)


REGISTRY: Registry[Oversight] = Registry(
    "oversight strategy",
    "sandwich.oversight",
    Oversight,  # type: ignore[type-abstract]
    {"audit": "ground_truth"},
)


def _asking_once(strategy: Oversight) -> Oversight:
    if any(budget_of(strategy, name) > least for name, least in BUDGETS.items()):
        raise SpecError(
            f"type: expected a strategy that asks once, got {REGISTRY.name(strategy)!r}: nobody answers here"
        )
    return strategy


AskingOnce = Annotated[
    Oversight, BeforeValidator(REGISTRY.validate), AfterValidator(_asking_once), PlainSerializer(REGISTRY.describe)
]
"""A setting that is an oversight strategy which asks no second question."""


def label(plugin: Plugin, registry: Registry[Any] = REGISTRY) -> str:
    """A strategy in few words: its type, and its settings where they are not the default (if its class is loaded).

    registry: of another kind of plugin, of which it is one. A strategy in a setting is put in the same way.
    """
    if isinstance(plugin, Unread):
        return plugin.reference
    parts = []
    for name, setting in type(plugin).model_fields.items():
        value = getattr(plugin, name)
        if value != setting.default:
            several = isinstance(value, tuple) and all(isinstance(part, Oversight) for part in value)
            said = label(value) if isinstance(value, Oversight) else value
            parts.append(", ".join(map(label, value)) if several else f"{name} = {said}")
    name = registry.name(plugin)
    return f"{name} ({', '.join(parts)})" if parts else name
