"""The form of a label model: what the weak player makes of all answers together, before it learns from them.

A label model is a frozen record whose fields are its settings, with one method, `label`
(docs/tutorials/writing-a-label-model.md). It is registered by an entry point of the group `sandwich.label_models`,
whose name is its `type` in a spec. It runs between playing and fitting, and judges every earlier answer anew.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BeforeValidator, Field, PlainSerializer

from agents.plugins import Plugin
from agents.registry import Registry
from engines import planes
from engines.ragged import MoveLists, Policies
from sandwich.oversight.base import Oversight
from sandwich.training.examples import Examples, TrainConfig

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class AnswerSet:
    """The `N` answers of all steps so far, oldest first, as the student saw them; each advises a move.

    rows: the ledger columns that the student may see (`ledger.VISIBLE`) of the turns on which it asked, and `step`.
    packed: `[N, 10]` packed positions. legal: numbers of the legal moves of each.
    advised: `[N]` number of the move advised. own: `[N]` of the student's own move at the time.
    believed: `[N]` whether it was believed in play.
    game: `[N]` number of the game, over all steps. opening: `[N]` a number, from 0 on, of the opening that the game
        began from; the same in every step, and drawn like a hash.
    said: numbers of all moves that were said of each position, by whatever seat: as many as it was asked about it.
    seats: `[N, K]` number of the move that each of `K` seats named first, −1 where it was not asked; who sits where
        stays the same where the spec says `seats: run`.
    """

    rows: pa.Table
    packed: planes.Packed
    legal: MoveLists
    advised: Integers
    own: Integers
    believed: Bools
    game: Integers
    opening: Integers
    said: MoveLists
    seats: Integers

    def __len__(self) -> int:
        return len(self.packed)

    def folds(self, count: int) -> Integers:
        """`[N]` the fold of each answer, 0 to `count` − 1: for all games from one opening the same, in every step."""
        return self.opening % count

    def take(self, rows: Integers) -> "AnswerSet":
        """Some of them, in this order."""
        return AnswerSet(
            self.rows.take(pa.array(rows)), self.packed[rows], self.legal.take(rows), self.advised[rows],
            self.own[rows], self.believed[rows], self.game[rows], self.opening[rows], self.said.take(rows),
            self.seats[rows],
        )  # fmt: skip

    def spread(self) -> "Spread":
        """Every move that was said of a position by itself, in the order of the answers."""
        owners, places = self.said.owners, np.empty(len(self), np.int64)
        keys, first, count = np.unique(
            np.stack([owners, self.said.flat], 1), axis=0, return_index=True, return_counts=True
        )
        order = np.argsort(first)
        rows, moves = keys[order].T
        for place, (row, move) in enumerate(zip(rows.tolist(), moves.tolist(), strict=True)):
            if move == self.advised[row]:
                places[row] = place
        believed = np.where(moves == self.advised[rows], self.believed[rows], ~self.believed[rows])
        answers = replace(self.take(rows), advised=moves, believed=believed)
        return Spread(answers, rows, count[order], places)

    def examples(self, rows: Integers, weight: Floats) -> Examples:
        """The moves advised in these rows `[K]` as what a policy learns, with a weight each `[K]`; no value."""
        count = len(rows)
        return Examples(
            self.packed[rows],
            self.advised[rows, None].astype(np.int16),
            np.ones((count, 1), np.float32),
            np.zeros((count, 3), np.float32),
            weight.astype(np.float32),
        )


@dataclass(frozen=True, eq=False)
class Spread:
    """All `U` different moves that were said of `N` positions, each as an answer of its own.

    answers: with what was said in place of the move advised; of what was said beside that, believed is the contrary.
    owner: `[U]` the answer that each comes from. count: `[U]` how often it was said.
    advised: `[N]` place among them of the move advised.
    """

    answers: AnswerSet
    owner: Integers
    count: Integers
    advised: Integers

    def likeliest(self, honest: Floats) -> tuple[Integers, Floats]:
        """`[N]` of what was said of each position the number of the move that is likeliest honest, and how likely.

        honest: `[U]` how likely each is. Of those as likely the one advised, else the first.
        """
        there = np.zeros(len(honest), np.bool_)
        there[self.advised] = True
        order = np.lexsort((~there, -honest, self.owner))
        best = order[np.flatnonzero(np.diff(self.owner[order], prepend=-1))]
        return self.answers.advised[best], honest[best]

    @property
    def pairs(self) -> Integers:
        """Places of the first of two, of those answers of which exactly two moves were said."""
        first = np.flatnonzero(np.diff(self.owner, prepend=-1))
        of_two = np.bincount(self.owner)[self.owner[first]] == 2
        return np.asarray(first[of_two])


@dataclass(frozen=True, eq=False)
class Labels:
    """What is made of `N` answers.

    honest: `[N]` probability that each is honest, 0 to 1.
    believed: `[N]` whether a move is learned as the assistant's; of any other answer `finetune.refused` says what is.
    weight: `[N]` weight of the example made of it, 0 or more; 0 leaves it out.
    move: `[N]` number of that move, a legal one, such as another that was said of the position; None: those advised.
    """

    honest: Floats
    believed: Bools
    weight: Floats
    move: Integers | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """A network to be fitted to examples, from a checkpoint on, as its config says.

    key: numbers that tell it from the model's other fits of the step; what is drawn at random follows from them.
    """

    start: bytes
    examples: Examples
    config: TrainConfig
    key: tuple[int, ...]


class Workshop(ABC):
    """What a label model works with; everything that it does here is counted.

    student: checkpoint of the student as it is now, before it learns from the newest step.
    config: how the run fits its student; a label model's own fits are on the same device, in the same precision.
    memory: checkpoints by name that the model leaves for its next step; empty in the first.
    """

    student: bytes
    config: TrainConfig
    memory: MutableMapping[str, bytes]

    @abstractmethod
    def rng(self, *key: int) -> np.random.Generator:
        """Random numbers for a purpose, another for each key and step; all randomness comes from here."""

    @abstractmethod
    def fitted(self, fits: Sequence[Fit]) -> list[bytes]:
        """The fitted network of each, by one thread each, side by side on the run's workers.

        Raises ValueError where there are no examples.
        """

    @abstractmethod
    def policies(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Policies:
        """What a network thinks of the positions of these rows `[K]`: for each `[M]`, probability of each legal move.

        One evaluation each.
        """

    @abstractmethod
    def verdicts(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Floats:
        """`[K]` log odds of a yes to the moves advised in these rows `[K]`, by a network of the objective `judge`.

        One evaluation each.
        """

    @abstractmethod
    def decisions(self, oversight: Oversight, answers: AnswerSet) -> tuple[Bools, Floats]:
        """Whether a strategy believes each answer `[N]`, with the student of now, and its confidence `[N]`.

        Raises PluginError for a strategy that would ask again, which it can't here.
        """

    def chances(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Floats:
        """`[K]` probability that a network gives to the moves advised in these rows `[K]`."""
        legal = answers.legal.take(rows)
        at = legal.find(answers.advised[rows])
        return self.policies(checkpoint, answers, rows).at(at).astype(np.float64)


class LabelModel(Plugin, ABC):
    """What is made of all answers before the student learns. It never learns which of them were lies."""

    @property
    def judges(self) -> bool:
        """Whether it judges anything: where not, the student learns from what it decided in play."""
        return True

    def work(self, first: bool) -> tuple[float, float]:
        """Roughly, of each answer: examples passed over in fits, and positions evaluated; in the first step or a later.

        For estimates of the time that a run takes.
        """
        return 0.0, 0.0

    @abstractmethod
    def label(self, answers: AnswerSet, workshop: Workshop) -> Labels:
        """What is made of every answer of all steps so far, with the student of now."""


class Probabilistic(LabelModel):
    """A label model that says for each answer how likely it is honest."""

    least: float = Field(0.5, ge=0, le=1)
    """Probability of being honest from which on an answer is believed."""
    weigh: bool = False
    """Whether what is believed weighs as much as it is likely to be honest; else 1."""

    def label(self, answers: AnswerSet, workshop: Workshop) -> Labels:
        honest = self.judge(answers, workshop)
        return self.labels(honest, honest)

    def labels(self, honest: Floats, learned: Floats, move: Integers | None = None) -> Labels:
        """Labels `[N]` from how likely each answer is honest, and how likely the move is that would be learned."""
        believed = learned >= self.least
        return Labels(honest, believed, np.where(believed & self.weigh, learned, 1.0), move)

    @abstractmethod
    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        """`[N]` probability that each answer is honest."""


def cross_fitted(
    folds: Integers, judge: Callable[[Integers, Integers, int], Sequence[float] | npt.NDArray[np.floating]]
) -> Floats:
    """`[N]` what a judge says of each row that was not fitted to it, or to another of its fold.

    folds: `[N]` the fold of each row. judge: given the rows to fit to, the rows to judge and the fold's number.
    """
    out = np.full(len(folds), np.nan)
    for fold in np.unique(folds).tolist():
        judged = np.flatnonzero(folds == fold)
        out[judged] = judge(np.flatnonzero(folds != fold), judged, fold)
    return out


def check_labels(labels: object, answers: AnswerSet) -> None:
    """ValueError for what can't be made of these answers."""
    if not isinstance(labels, Labels):
        raise ValueError(f"expected Labels, got {type(labels).__name__}")
    count, kinds = len(answers), {"honest": "f", "believed": "b", "weight": "f", "move": "i"}
    if labels.move is None:
        del kinds["move"]
    for name, kind in kinds.items():
        array: Any = getattr(labels, name)
        if not isinstance(array, np.ndarray) or array.shape != (count,) or array.dtype.kind != kind:
            got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"expected {name} as an array of shape ({count},), got {got}")
    if not ((labels.honest >= 0) & (labels.honest <= 1)).all():  # NaN is neither
        raise ValueError("expected probabilities in 0..1")
    if not (np.isfinite(labels.weight) & (labels.weight >= 0)).all():
        raise ValueError("expected weights that are finite numbers, 0 or more")
    if labels.move is not None and (answers.legal.find(labels.move) < 0).any():
        raise ValueError("expected the numbers of legal moves")


REGISTRY: Registry[LabelModel] = Registry("label model", "sandwich.label_models", LabelModel)  # type: ignore[type-abstract]

AnyLabelModel = Annotated[LabelModel, BeforeValidator(REGISTRY.validate), PlainSerializer(REGISTRY.describe)]
"""A field of a spec that holds a label model."""
