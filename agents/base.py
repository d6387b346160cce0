"""What passes between a player that asks and an assistant that answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from engines import planes


class Channel(StrEnum):
    """What a player asks for."""

    MOVE = "move"
    """The best move."""
    DISTRIBUTION = "distribution"
    """A probability for each legal move."""
    VALUE = "value"
    """The expected score of the position."""


@dataclass(frozen=True, eq=False)
class Query:
    """One question about one position.

    words: `[10]` packed position (`engines.planes`; `planes.unpack` makes a board of it).
    legal: `M` numbers of the legal moves (`engines.moves`).
    channel: what is asked for.
    number: questions of this game before this one.
    ply: plies played in this game before the question.
    """

    words: planes.Words
    legal: Sequence[int]
    channel: Channel
    number: int
    ply: int


@dataclass(frozen=True, eq=False)
class Advice:
    """An answer, for the side to move. What the channel does not carry is None.

    move: number of the move advised; it is one of the query's legal moves.
    policy: `[M]` probability of each legal move, in the order of the query's.
    value: expected score in 0..1.
    """

    move: int | None = None
    policy: npt.NDArray[np.float32] | None = None
    value: float | None = None


def check_advice(advice: Advice, query: Query, source: str) -> None:
    """ValueError, naming `source`, for advice that its query could not have."""
    if (advice.move is None) != (query.channel is Channel.VALUE):
        raise ValueError(f"{source}: advice on channel {query.channel} has move {advice.move}")
    if advice.move is not None and advice.move not in query.legal:
        raise ValueError(f"{source}: advised move {advice.move} is not legal")
    if (advice.policy is None) == (query.channel is Channel.DISTRIBUTION):
        raise ValueError(
            f"{source}: expected a policy on channel distribution and there alone, asked on {query.channel}"
        )
    if advice.policy is not None:
        if advice.policy.shape != (len(query.legal),):
            raise ValueError(f"{source}: expected policy of shape ({len(query.legal)},), got {advice.policy.shape}")
        if not (advice.policy.min() >= 0 and abs(float(advice.policy.sum()) - 1) <= 1e-3):  # NaN is neither
            raise ValueError(
                f"{source}: expected probabilities that sum to 1, got a sum of {float(advice.policy.sum())}"
            )
    if (advice.value is None) == (query.channel is Channel.VALUE):
        raise ValueError(f"{source}: expected a value on channel value and there alone, asked on {query.channel}")
    if advice.value is not None and not 0 <= advice.value <= 1:
        raise ValueError(f"{source}: expected a value in 0..1, got {advice.value}")
