"""Who sits at a board: a way to choose moves in many games at once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agents.advice import Channel, Query
from agents.assistant import Assistant
from agents.sampling import draw_all
from engines import planes
from engines.inference import Evaluator


@dataclass(frozen=True, eq=False)
class Turn:
    """A position in which a seat has to move.

    packed: `[10]` packed position.
    legal: numbers of the legal moves, in rising order.
    ply: plies played in this game.
    number: turns that the seat has had in this game before.
    """

    packed: planes.Packed
    legal: Sequence[int]
    ply: int
    number: int


class Seat(Protocol):
    """Chooses moves."""

    def choose(self, turns: Sequence[Turn], rngs: Sequence[np.random.Generator]) -> list[int]:
        """Number of the move for each turn, with the random numbers of its own game."""
        ...


class BareSeat:
    """Plays by an evaluator's policy at a temperature; 0 takes the most probable move and no random number."""

    def __init__(self, evaluator: Evaluator, temperature: float = 0.0) -> None:
        self._evaluator = evaluator
        self._temperature = temperature

    def choose(self, turns: Sequence[Turn], rngs: Sequence[np.random.Generator]) -> list[int]:
        evaluation = self._evaluator(np.stack([turn.packed for turn in turns]), [turn.legal for turn in turns])
        places = draw_all(evaluation.policy, self._temperature, rngs)
        return [turn.legal[place] for turn, place in zip(turns, places, strict=True)]


class AssistantSeat:
    """Plays the moves that an assistant advises, each turn being a question in deployment."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    def choose(self, turns: Sequence[Turn], rngs: Sequence[np.random.Generator]) -> list[int]:
        queries = [
            Query(turn.packed, turn.legal, Channel.MOVE, turn.number, turn.ply, training=False) for turn in turns
        ]
        advised = [answer.given.move for answer in self._assistant.answer(queries, rngs)]
        return [move for move in advised if move is not None]  # on this channel there always is one


class CheckedSeat:
    """Another seat, whose moves are looked at: what it gets wrong counts as its player's.

    attributed: a context in which errors are reported as the player's.
    """

    def __init__(self, seat: Seat, attributed: Callable[[], AbstractContextManager[None]]) -> None:
        self._seat, self._attributed = seat, attributed

    def choose(self, turns: Sequence[Turn], rngs: Sequence[np.random.Generator]) -> list[int]:
        with self._attributed():
            chosen: object = self._seat.choose(turns, rngs)  # a plugin may say anything
            if not isinstance(chosen, Sequence | np.ndarray) or len(chosen) != len(turns):
                got = f"{len(chosen)}" if isinstance(chosen, Sequence | np.ndarray) else f"a {type(chosen).__name__}"
                raise ValueError(f"expected {len(turns)} moves, got {got}")
            for turn, move in zip(turns, chosen, strict=True):
                if not isinstance(move, int | np.integer) or move not in turn.legal:
                    raise ValueError(f"the move {move!r} is not legal; expected one of {list(turn.legal)}")
            return [int(move) for move in chosen]
