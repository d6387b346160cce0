"""Who sits at a board: a way to choose moves in many games at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agents.advice import Channel, Query
from agents.assistant import Assistant
from agents.sampling import draw
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
        return [
            turn.legal[draw(policy, self._temperature, rng)]
            for turn, policy, rng in zip(turns, evaluation.policy, rngs, strict=True)
        ]


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
