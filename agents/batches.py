"""Questions of many games and what is said to them, as arrays: what the batched methods of plugins work on.

A plugin need not know of it: the methods that take one object for each question do, at the price of making these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.advice import Advice, Channel, Query
from engines import planes
from engines.inference import Evaluation, read_only
from engines.ragged import MoveLists, Policies

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


def is_batched(kind: type, batched: str, single: str) -> bool:
    """Whether the method for many that a class has does what its method for one does.

    It does not where a class further down defines the one anew and not the other.
    """
    for parent in kind.__mro__:
        if batched in vars(parent):
            return True
        if single in vars(parent):
            return False
    return False


class _ReadOnly:
    """A record in whose arrays nobody writes by accident."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # of what extends it
            object.__setattr__(self, field.name, read_only(getattr(self, field.name)))


@dataclass(frozen=True, eq=False)
class Questions(_ReadOnly):
    """`B` questions of as many games through one channel; as `agents.advice.Query`, in arrays that are read-only.

    packed: `[B, 10]` packed positions.
    legal: numbers of the legal moves of each.
    number: `[B]` questions of its game before each.
    ply: `[B]` plies played in its game before each.
    """

    packed: planes.Packed
    legal: MoveLists
    channel: Channel
    number: Integers
    ply: Integers
    training: bool = True

    def __len__(self) -> int:
        return len(self.packed)

    def take(self, rows: npt.ArrayLike) -> "Questions":
        """Some of them, in this order."""
        chosen = np.asarray(rows, np.int64)
        return Questions(
            self.packed[chosen], self.legal.take(chosen), self.channel, self.number[chosen], self.ply[chosen],
            self.training,
        )  # fmt: skip

    def queries(self) -> list[Query]:
        """The same as an object each."""
        return [
            Query(packed, legal, self.channel, number, ply, self.training)
            for packed, legal, number, ply in zip(
                self.packed, self.legal, self.number.tolist(), self.ply.tolist(), strict=True
            )
        ]


@dataclass(frozen=True, eq=False)
class Answers(_ReadOnly):
    """What an assistant thinks or says of `B` positions, each for its side to move; as `agents.advice.Advice`.

    What is said through a channel has that channel's fields and None elsewhere; what is thought has all of them.

    move: `[B]` number of the move advised.
    policy: for each position `[M]`, probability of each legal move.
    value: `[B]` expected score in 0..1.
    """

    move: Integers | None = None
    policy: Policies | None = None
    value: Scores | None = None

    @classmethod
    def honest(cls, evaluation: Evaluation, legal: MoveLists) -> "Answers":
        """What a player that hides nothing thinks of the positions that it has evaluated."""
        policy = Policies.of(evaluation.policy)
        move = legal.at(policy.best()).astype(np.int64)
        return cls(move, policy, np.clip(evaluation.value.astype(np.float64), 0, 1))

    @classmethod
    def of(cls, advice: Sequence[Advice], channel: Channel) -> "Answers":
        """What single answers say through a channel."""
        if channel is Channel.VALUE:
            return cls(value=np.array([one.value for one in advice], np.float64))
        move = np.array([one.move for one in advice], np.int64)
        if channel is not Channel.DISTRIBUTION:
            return cls(move)
        return cls(move, Policies.of([np.asarray(one.policy, np.float32) for one in advice]))

    def through(self, channel: Channel) -> "Answers":
        """The part of it that a channel carries."""
        if channel is Channel.VALUE:
            return Answers(value=self.value)
        return Answers(self.move, self.policy if channel is Channel.DISTRIBUTION else None)

    def take(self, rows: npt.ArrayLike) -> "Answers":
        """Some of them, in this order."""
        chosen = np.asarray(rows, np.int64)
        return Answers(
            None if self.move is None else self.move[chosen],
            None if self.policy is None else self.policy.take(chosen),
            None if self.value is None else self.value[chosen],
        )

    def replaced(self, rows: npt.ArrayLike, by: "Answers") -> "Answers":
        """Others in some of the rows, in those of their fields that are there."""
        chosen = np.asarray(rows, np.int64)
        move, policy, value = self.move, self.policy, self.value
        if move is not None and by.move is not None:
            move = move.copy()
            move[chosen] = by.move
        if policy is not None and by.policy is not None:
            policy = policy.replaced(chosen, by.policy)
        if value is not None and by.value is not None:
            value = value.copy()
            value[chosen] = by.value
        return Answers(move, policy, value)

    def advice(self) -> list[Advice]:
        """The same as an object each."""
        count = next(len(field) for field in (self.move, self.value, self.policy) if field is not None)
        nothing = [None] * count
        return [
            Advice(move, policy, value)
            for move, policy, value in zip(
                nothing if self.move is None else self.move.tolist(),
                nothing if self.policy is None else self.policy,
                nothing if self.value is None else self.value.tolist(),
                strict=True,
            )
        ]


def check_answers(answers: Answers, lying: Bools, questions: Questions) -> None:
    """ValueError for what these questions could not have been answered; only what their channel carries is looked at.

    lying: whether each is another answer than the honest one.
    """
    count = len(questions)
    check_array("whether each is misaligned", lying, (count,), "b")
    if questions.channel is Channel.VALUE:
        value = check_array("values", answers.value, (count,), "f")
        if not ((value >= 0) & (value <= 1)).all():  # NaN is neither
            raise ValueError(f"expected values in 0..1, got {value[~((value >= 0) & (value <= 1))][0]}")
        return
    move = check_array("moves", answers.move, (count,), "iu")
    if len(illegal := np.flatnonzero(questions.legal.find(move) < 0)):
        row = illegal[0]
        raise ValueError(f"the move {move[row]} is not legal; expected one of {questions.legal[row]}")
    if questions.channel is Channel.MOVE:
        return
    policy = answers.policy
    if not isinstance(policy, Policies) or not np.array_equal(policy.starts, questions.legal.starts):
        raise ValueError("expected policies with a probability for each legal move")
    sums = np.add.reduceat(policy.flat, policy.starts[:-1], dtype=np.float64)
    if not (policy.flat >= 0).all() or not (np.abs(sums - 1) <= 1e-3).all():
        raise ValueError(f"expected probabilities that sum to 1, got sums of {sums.min()} to {sums.max()}")


def check_array(name: str, array: object, shape: tuple[int, ...], kinds: str) -> npt.NDArray[Any]:
    """An array of this shape whose type is of these kinds (`numpy.dtype.kind`); ValueError for anything else."""
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind not in kinds:
        got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"expected {name} as an array of shape {shape}, got {got}")
    return array
