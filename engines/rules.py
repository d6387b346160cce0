"""Rules of chess over batches of packed positions: in C where the extension was built, else by python-chess.

Both say the same of every position (tests/engines/test_rules.py); C takes about a hundredth of the time.
"""

from collections.abc import Sequence
from enum import IntEnum

import chess
import numpy as np
import numpy.typing as npt

from engines import moves, planes
from engines.ragged import MoveLists

_rules = planes._rules
if _rules is not None:
    _rules.set_vocabulary((moves.FROM | moves.TO << 6 | moves.PROMOTION << 12).astype(np.uint16))

MOST_MOVES = 256
"""Room for the legal moves of a position, on average; no game comes to one with more than 218."""


class Ending(IntEnum):
    """How a game ends in a position, as far as the position alone tells."""

    NONE = 0
    CHECKMATE = 1
    STALEMATE = 2
    INSUFFICIENT_MATERIAL = 3
    FIFTY_MOVES = 4


def in_c() -> bool:
    """Whether the extension is there."""
    return _rules is not None


def legal_moves(packed: planes.Packed) -> tuple[MoveLists, npt.NDArray[np.int8]]:
    """Numbers of the legal moves of positions `[B, 10]`, in rising order, and the `Ending` of each, `[B]`."""
    starts, endings = np.zeros(len(packed) + 1, np.int64), np.empty(len(packed), np.int8)
    if _rules is not None:
        numbers = np.empty(len(packed) * MOST_MOVES, np.int16)
        total = _rules.legal(np.ascontiguousarray(packed), numbers, starts, endings)
        return MoveLists(numbers[:total].copy(), starts), endings
    found: list[int] = []
    for row, words in enumerate(packed):
        board = planes.unpack(words)
        legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        endings[row] = _ending(board, legal)
        found += legal
        starts[row + 1] = len(found)
    return MoveLists(np.array(found, np.int16), starts), endings


def _ending(board: chess.Board, legal: Sequence[int]) -> Ending:
    if not legal:
        return Ending.CHECKMATE if board.is_check() else Ending.STALEMATE
    if board.is_insufficient_material():
        return Ending.INSUFFICIENT_MATERIAL
    return Ending.FIFTY_MOVES if board.halfmove_clock >= 100 else Ending.NONE


def after(packed: planes.Packed, chosen: npt.ArrayLike) -> tuple[planes.Packed, npt.NDArray[np.bool_]]:
    """Positions `[B, 10]` after one legal move each, and whether it was a capture or a pawn's move, `[B]`."""
    numbers = np.asarray(chosen, np.int64)
    if numbers.shape != (len(packed),):
        raise ValueError(f"expected {len(packed)} moves, got {numbers.shape}")
    out, zeroing = np.empty((len(packed), planes.WORDS), np.uint64), np.empty(len(packed), np.bool_)
    if _rules is None:
        for row, number in enumerate(numbers.tolist()):
            board = planes.unpack(packed[row])
            move = moves.decode(number, board)
            zeroing[row] = board.is_zeroing(move)
            board.push(move)
            out[row] = planes.pack(board)
    else:
        _rules.apply(np.ascontiguousarray(packed), numbers, out, zeroing)
    return out, zeroing


def identities(packed: planes.Packed) -> planes.Packed:
    """What a repetition compares of positions `[B, 10]`: all but the clock, and but an en-passant square of no use."""
    out = np.empty_like(packed)
    if _rules is None:
        for row, words in enumerate(packed):
            board = planes.unpack(words)
            board.halfmove_clock = 0
            if not board.has_legal_en_passant():
                board.ep_square = None
            out[row] = planes.pack(board)
    else:
        _rules.identities(np.ascontiguousarray(packed), out)
    return out


def fens(packed: planes.Packed, numbers: npt.ArrayLike) -> list[str]:
    """FEN of positions `[B, 10]` (`planes.fen`) at the moves with these numbers, `[B]`."""
    counted = np.asarray(numbers, np.int64)
    if counted.shape != (len(packed),):
        raise ValueError(f"expected {len(packed)} numbers of moves, got {counted.shape}")
    if _rules is not None:
        return list(_rules.fens(np.ascontiguousarray(packed), counted))
    out = []
    for words, number in zip(packed, counted.tolist(), strict=True):
        board = planes.unpack(words)
        board.fullmove_number = number
        out.append(planes.fen(board))
    return out
