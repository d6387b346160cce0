"""Phases of a game."""

from enum import StrEnum

import chess


class Phase(StrEnum):
    """Of a game, by the queens, rooks, bishops and knights of both sides.

    The two bounds are those of scalachess (`Divider.scala`): ten and six; its other two signs of a
    middle game, an emptied back rank and mixed-up sides, are left out.
    """

    OPENING = "opening"
    MIDDLEGAME = "middlegame"
    ENDGAME = "endgame"


def phase_of(board: chess.Board) -> Phase:
    """Phase that a position belongs to."""
    pieces = (board.occupied & ~board.pawns & ~board.kings).bit_count()
    return Phase.OPENING if pieces > 10 else Phase.MIDDLEGAME if pieces > 6 else Phase.ENDGAME
