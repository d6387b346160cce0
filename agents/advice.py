"""What passes between a player that asks and an assistant that answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from engines import planes
from engines.inference import Evaluation, all_locked, locked, read_only


class Channel(StrEnum):
    """What a player asks for."""

    MOVE = "move"
    """The best move."""
    DISTRIBUTION = "distribution"
    """A probability for each legal move."""
    VALUE = "value"
    """The expected score of the position."""
    CANDIDATES = "candidates"
    """The expected score behind each of the player's own likeliest moves: a question for the value of each."""


@dataclass(frozen=True, eq=False)
class Query:
    """One question about one position.

    packed: `[10]` packed position (`engines.planes`; `planes.unpack` makes a board of it), read-only.
    legal: `M` numbers of the legal moves (`engines.moves`), in rising order.
    channel: what is asked for.
    number: questions of this game before this one.
    ply: plies played in this game before the question.
    training: whether the student learns from the game; False in deployment (a match, a single question).
    """

    packed: planes.Packed
    legal: Sequence[int]
    channel: Channel
    number: int
    ply: int
    training: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", read_only(self.packed))
        object.__setattr__(self, "legal", tuple(self.legal))


@dataclass(frozen=True, eq=False)
class Advice:
    """What an assistant thinks or says of a position, for the side to move.

    What is said through a channel carries that channel's fields and has None elsewhere; what is
    thought carries all of them.

    move: number of the move advised; it is one of the query's legal moves.
    policy: `[M]` probability of each legal move, in the order of the query's, read-only.
    value: expected score in 0..1.
    """

    move: int | None = None
    policy: npt.NDArray[np.float32] | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        if self.policy is not None:
            object.__setattr__(self, "policy", read_only(self.policy))

    def through(self, channel: Channel) -> "Advice":
        """A copy of the part of it that a channel carries."""
        if channel is Channel.VALUE:
            return _advice(None, None, self.value)
        return _advice(self.move, locked(self.policy) if channel is Channel.DISTRIBUTION else None, None)


def _advice(move: int | None, policy: npt.NDArray[np.float32] | None, value: float | None) -> Advice:
    """Advice in whose arrays nothing has to be made read-only any more."""
    advice = object.__new__(Advice)
    advice.__dict__.update(move=move, policy=policy, value=value)
    return advice


def locked_queries(queries: Sequence[Query]) -> list[Query]:
    """Copies for somebody who is not trusted with the originals."""
    copies = []
    for query, packed in zip(queries, locked(np.stack([query.packed for query in queries])), strict=True):
        copy = object.__new__(Query)  # nothing in it has to be made read-only again
        copy.__dict__.update(query.__dict__, packed=packed)
        copies.append(copy)
    return copies


def locked_advice(advice: Sequence[Advice]) -> list[Advice]:
    """Copies for somebody who is not trusted with the originals."""
    policies = iter(all_locked([one.policy for one in advice if one.policy is not None]))
    return [_advice(one.move, None if one.policy is None else next(policies), one.value) for one in advice]


def honest_advice(evaluation: Evaluation, row: int) -> Advice:
    """What a player that hides nothing thinks of one of the positions that it has evaluated."""
    value = min(max(float(evaluation.value[row]), 0.0), 1.0)
    return _advice(evaluation.best(row), read_only(evaluation.policy[row]), value)


def with_first(policy: npt.NDArray[np.float32], place: int) -> npt.NDArray[np.float32]:
    """A policy `[M]` in which the most probable move and the one at `place` have exchanged their probabilities.

    Where yet another is as probable, the one at `place` is raised by the least there is: it comes first.
    """
    out = policy.copy()
    best = int(out.argmax())
    out[[best, place]] = out[[place, best]]
    if int(out.argmax()) != place:
        out[place] = np.nextafter(out[place], np.float32(2))
    return out


def preferring(query: Query, honest: Advice, move: int, value: float | None = None) -> Advice:
    """A lie that looks like the truth: another move in the best one's place.

    The two moves exchange their probabilities, so that a distribution keeps its shape. `value` takes
    the place of the honest value; without one a question for the value is answered honestly (with
    `honest` itself).
    """
    if value is None and query.channel is Channel.VALUE:
        return honest
    policy = None if honest.policy is None else with_first(honest.policy, query.legal.index(move))
    return replace(honest, move=move, policy=policy, value=honest.value if value is None else value)


def check_advice(advice: Advice, query: Query) -> None:
    """ValueError for advice that its query could not have; only what the query's channel carries is looked at."""
    if query.channel is Channel.VALUE:
        if not isinstance(advice.value, float | int | np.floating) or not 0 <= advice.value <= 1:  # NaN is not
            raise ValueError(f"expected a value in 0..1, got {advice.value!r}")
        return
    if advice.move is None:
        raise ValueError("expected a move, got None")
    if not isinstance(advice.move, int | np.integer):
        raise ValueError(f"expected a move's number, got a {type(advice.move).__name__}")
    if advice.move not in query.legal:
        raise ValueError(f"the move {advice.move} is not legal; expected one of {list(query.legal)}")
    if query.channel is Channel.MOVE:
        return
    policy = advice.policy
    if policy is not None and not isinstance(policy, np.ndarray):
        raise ValueError(f"expected a policy that is an array, got a {type(policy).__name__}")
    if policy is None or policy.shape != (len(query.legal),):
        shape = None if policy is None else policy.shape
        raise ValueError(f"expected a policy of shape ({len(query.legal)},), got {shape}")
    if policy.dtype.kind not in "fiu":
        raise ValueError(f"expected a policy that is an array of numbers, got one of {policy.dtype}")
    if not (policy.min() >= 0 and abs(float(policy.sum()) - 1) <= 1e-3):  # NaN is neither
        raise ValueError(f"expected probabilities that sum to 1, got a sum of {float(policy.sum())}")
