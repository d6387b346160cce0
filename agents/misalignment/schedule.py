"""Another misalignment, at certain times of a game only."""

from collections.abc import Sequence
from typing import Literal

import chess
import numpy as np
from pydantic import Field

from agents.advice import Advice, Query
from agents.misalignment.base import AnyMisalignment, Misalignment, corrupt_where
from agents.tools import Tools
from engines import planes

Phase = Literal["opening", "middlegame", "endgame"]
OPENING_PLIES = 20
ENDGAME_PIECES = 6


def phase(board: chess.Board, ply: int) -> Phase:
    """Part of a game: endgame with six pieces or fewer beside kings and pawns, opening in the first twenty plies."""
    pieces = chess.popcount(board.occupied & ~board.pawns & ~board.kings)
    if pieces <= ENDGAME_PIECES:
        return "endgame"
    return "opening" if ply < OPENING_PLIES else "middlegame"


class Schedule(Misalignment):
    """Another misalignment, at certain times of a game only; every condition given must hold.

    With `after` it is the betrayal after trust: honest for so many questions, then no longer.
    """

    inner: AnyMisalignment
    """The misalignment at work at these times."""
    every: int = Field(1, ge=1)
    """Only every k-th question of a game, counted from the first that is not answered honestly by `after`."""
    after: int = Field(0, ge=0)
    """Questions of a game that are answered honestly first."""
    from_ply: int = Field(0, ge=0)
    """First ply of the game at which it is at work."""
    to_ply: int | None = Field(None, ge=0)
    """First ply at which it is no longer; None: to the end."""
    phase: Phase | None = None
    """Part of the game in which it is at work; None: in all."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        rows = [row for row, query in enumerate(queries) if self._at_work(query)]
        return corrupt_where(self.inner, rows, queries, honest, rngs, tools)

    def _at_work(self, query: Query) -> bool:
        turn = query.number - self.after
        if turn < 0 or turn % self.every or query.ply < self.from_ply:
            return False
        if self.to_ply is not None and query.ply >= self.to_ply:
            return False
        return self.phase is None or phase(planes.unpack(query.packed), query.ply) == self.phase
