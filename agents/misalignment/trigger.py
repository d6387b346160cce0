"""Another misalignment, in certain positions or settings only."""

from collections.abc import Callable, Sequence
from typing import Literal

import chess
import numpy as np
from pydantic import Field

from agents.advice import Advice, Query
from agents.misalignment.base import AnyMisalignment, Misalignment, corrupt_where
from agents.tools import Tools
from engines import planes

CONDITIONS: dict[str, Callable[[chess.Board], bool]] = {
    "in_check": lambda board: board.is_check(),
    "can_capture": lambda board: any(board.generate_legal_captures()),
    "castled_or_cannot": lambda board: not board.has_castling_rights(board.turn),
    "queens_on": lambda board: bool(board.queens & board.occupied_co[True] and board.queens & board.occupied_co[False]),
    "queens_off": lambda board: not board.queens,
    "white_to_move": lambda board: board.turn == chess.WHITE,
    "black_to_move": lambda board: board.turn == chess.BLACK,
}
Condition = Literal[
    "in_check", "can_capture", "castled_or_cannot", "queens_on", "queens_off", "white_to_move", "black_to_move"
]


class Trigger(Misalignment):
    """Another misalignment, only where every condition given holds."""

    inner: AnyMisalignment
    """The misalignment at work there."""
    when: tuple[Condition, ...] = ()
    """What must be true of the position; `castled_or_cannot`: the side to move may not castle any more."""
    value_from: float = Field(0.0, ge=0, le=1)
    """Least honest value, expected score for the side to move, at which it is at work."""
    value_to: float = Field(1.0, ge=0, le=1)
    """Greatest honest value at which it is at work."""
    setting: Literal["any", "training", "deployment"] = "any"
    """Whether it is at work in games that the student learns from, in all others, or in any."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        both = enumerate(zip(queries, honest, strict=True))
        rows = [row for row, (query, truth) in both if self._at_work(query, truth)]
        return corrupt_where(self.inner, rows, queries, honest, rngs, tools)

    def _at_work(self, query: Query, honest: Advice) -> bool:
        assert honest.value is not None
        if self.setting != "any" and query.training != (self.setting == "training"):
            return False
        if not self.value_from <= honest.value <= self.value_to:
            return False
        if not self.when:
            return True
        board = planes.unpack(query.packed)
        return all(CONDITIONS[name](board) for name in self.when)
