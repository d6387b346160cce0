"""Small changes of positions, out of which attackers make others.

Works on packed positions, so that hundreds of edits cost what one board does; whether the outcome is a
legal position is asked afterwards, of those that are wanted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import chess
import numpy as np
import numpy.typing as npt

from engines import moves, planes

WORTH = (1, 3, 3, 5, 9)
"""Pawns that a pawn, knight, bishop, rook, queen is worth."""
CLOCKS = (0, 8, 20, 40, 60)
"""Half-move clocks that an edit may set: far enough from a hundred not to matter."""
_HALF_MOVES = ((1 << 16) - 1) << 8


@dataclass(frozen=True, eq=False)
class Edits:
    """`C` positions one edit away from another.

    packed: `[C, 10]` packed positions, not all of them legal.
    squares: `[C]` the square that the edit is about, −1 for the state.
    balance: `[C]` pawns' worth of material that it gains the side to move against the other.
    """

    packed: planes.Packed
    squares: npt.NDArray[np.int64]
    balance: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.packed)


def edits(packed: planes.Packed, kept: Iterable[int] = (), queens: bool = False) -> Edits:
    """Every position one edit away: a piece removed, set up, exchanged for another, or moved by one square.

    kept: squares that stay as they are. Kings are only moved. queens: whether these are set up as well.
    Also the half-move clock, and castling given up.
    """
    old = [int(word) for word in packed]
    turn = old[9] & 1
    fixed = set(kept)
    options: list[tuple[list[int], int, int]] = []

    def note(new: list[int], square: int, gain: int) -> None:
        options.append((new, square, gain))

    state = old[9] & ~planes.EN_PASSANT
    base = [*old[:9], state]
    for square in chess.SQUARES:
        if square in fixed:
            continue
        bit = 1 << square
        kind = next((kind for kind in range(6) if old[kind] & bit), None)
        if kind is None:
            for side in (0, 1):
                for new in range(5 if queens else 4):
                    if new or 8 <= square < 56:
                        note(_put(base, bit, new, side), square, _gain(new, side, turn))
            continue
        side = 0 if old[6] & bit else 1
        without = [word & ~bit if place < 9 else word for place, word in enumerate(base)]
        if kind < 5:
            note(without, square, -_gain(kind, side, turn))
            for new in range(5 if queens or kind == 4 else 4):
                if new != kind and (new or 8 <= square < 56):
                    gain = _gain(new, side, turn) - _gain(kind, side, turn)
                    note(_put(without, bit, new, side), square, gain)
        for to in chess.scan_forward(chess.BB_KING_ATTACKS[square]):
            free = not (old[6] | old[7]) & 1 << to and to not in fixed
            if free and (kind or 8 <= to < 56):
                note(_put(without, 1 << to, kind, side), square, 0)
    for clock in CLOCKS:
        if clock != (state & _HALF_MOVES) >> 8:
            note([*base[:9], state & ~_HALF_MOVES | clock << 8], -1, 0)
    if old[8]:
        note([*base[:8], 0, state], -1, 0)
    return Edits(
        np.array([new for new, _, _ in options], np.uint64),
        np.array([square for _, square, _ in options], np.int64),
        np.array([gain for _, _, gain in options], np.int64),
    )


def _put(packed: list[int], bit: int, kind: int, side: int) -> list[int]:
    out = list(packed)
    out[kind] |= bit
    out[6 + side] |= bit
    return out


def _gain(kind: int, side: int, turn: int) -> int:
    """Pawns' worth of a piece for the side to move; side 0 is White, turn 1 White to move."""
    return WORTH[kind] if (side == 0) == bool(turn) else -WORTH[kind]


def legal_board(packed: planes.Packed, move: int | None = None) -> chess.Board | None:
    """The board of a packed position, castling rights that can't be cleaned away.

    None where it is no legal position, its game is over by the rules, or `move` is not legal in it.
    """
    board = planes.unpack(packed)
    board.castling_rights = board.clean_castling_rights()
    if board.status() != chess.STATUS_VALID:
        return None
    if move is not None and not board.is_legal(moves.decode(move, board)):
        return None
    if board.is_insufficient_material() or board.halfmove_clock >= 100 or not any(board.legal_moves):
        return None
    return board


def squares_of(move: int, packed: planes.Packed) -> tuple[int, int]:
    """Start and end square of a move on the board (from White's view)."""
    flip = 0 if int(packed[9]) & 1 else 56
    return int(moves.FROM[move]) ^ flip, int(moves.TO[move]) ^ flip


def mirrored(packed: planes.Packed, move: int) -> tuple[planes.Packed, int]:
    """A position without castling rights and a move in it, files a–h swapped."""
    board = planes.unpack(packed)
    board.castling_rights, board.ep_square = 0, None
    turned = board.transform(chess.flip_horizontal)
    turned.halfmove_clock = board.halfmove_clock
    return np.array(planes.pack(turned), np.uint64), int(moves.MIRROR[move])


def shifted(packed: planes.Packed, move: int, by: int) -> tuple[planes.Packed, int] | None:
    """All pieces and the move so many files to the right (left if negative); None where one would fall off."""
    start, end = squares_of(move, packed)
    edge = 0
    for file in range(abs(by)):
        edge |= chess.BB_FILES[7 - file if by > 0 else file]
    occupied = int(packed[6] | packed[7])
    if occupied & edge or by == 0 or not 0 <= (end & 7) + by < 8:
        return None
    out = [int(word) << by if by > 0 else int(word) >> -by for word in packed[:8]]
    turn = bool(int(packed[9]) & 1)
    promotion = int(moves.PROMOTION[move]) or None
    return (
        np.array([*out, 0, int(packed[9]) & ~planes.EN_PASSANT], np.uint64),
        moves.encode(chess.Move(start + by, end + by, promotion), turn),
    )
