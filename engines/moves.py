"""The move vocabulary: every move of standard chess as one of 1858 numbers.

A move is seen from the side to move: for Black the board is turned upside down (ranks mirrored),
so that one's own pawns always walk up. The first 1792 numbers are the from–to pairs that a queen
or a knight can cover, which includes king moves, castling (as the king's two-square step), pawn
moves and promotion to a queen. The last 66 are promotions to knight, bishop and rook.
This is the size and content of Leela Chess Zero's vocabulary; the order is our own.

Chess960 castling has no place in it; `engines.positions.parse_fen` refuses such positions.
"""

import hashlib
from collections.abc import Iterable, Sequence

import chess
import numpy as np
import numpy.typing as npt

UNDER_PROMOTIONS = (chess.KNIGHT, chess.BISHOP, chess.ROOK)


def _vocabulary() -> list[tuple[int, int, int]]:
    """All (from, to, promotion) in vocabulary order; promotion 0 stands for none or a queen."""
    empty = chess.Board(None)
    plain = []
    for start in chess.SQUARES:
        reach = 0
        for piece in (chess.QUEEN, chess.KNIGHT):
            empty.clear_board()
            empty.set_piece_at(start, chess.Piece(piece, chess.WHITE))
            reach |= empty.attacks_mask(start)
        plain += [(start, end, 0) for end in chess.scan_forward(reach)]
    under = [
        (chess.square(file, 6), chess.square(to_file, 7), piece)
        for file in range(8)
        for to_file in (file - 1, file, file + 1)
        if 0 <= to_file < 8
        for piece in UNDER_PROMOTIONS
    ]
    return plain + under


_MOVES = _vocabulary()
SIZE = len(_MOVES)
"""Number of moves in the vocabulary, `A` in array shapes."""
FROM: npt.NDArray[np.int64] = np.array([m[0] for m in _MOVES])
"""Start square of each move, from the side to move's view, `[A]`."""
TO: npt.NDArray[np.int64] = np.array([m[1] for m in _MOVES])
"""End square of each move, from the side to move's view, `[A]`."""
PROMOTION: npt.NDArray[np.int64] = np.array([m[2] for m in _MOVES])
"""Piece of an under-promotion (`chess.KNIGHT`, `BISHOP`, `ROOK`), else 0, `[A]`."""
DIGEST = hashlib.sha256(repr(_MOVES).encode()).hexdigest()[:16]
"""Names this vocabulary; stored in every checkpoint."""


def _key(start: int, end: int, promotion: int) -> int:
    return promotion << 12 | start << 6 | end


_INDEX = [-1] * (chess.QUEEN << 12)
for _i, _m in enumerate(_MOVES):
    _INDEX[_key(*_m)] = _i
# A second table for Black, and none of the mirroring left to do for each move.
_INDEX_BLACK = [-1] * len(_INDEX)
for _i, (_start, _end, _promotion) in enumerate(_MOVES):
    _INDEX_BLACK[_key(_start ^ 56, _end ^ 56, _promotion)] = _i

MIRROR: npt.NDArray[np.int64] = np.array([_INDEX[_key(a ^ 7, b ^ 7, p)] for a, b, p in _MOVES])
"""Number of the same move on the board mirrored left to right (files a–h swapped), `[A]`."""


def encode(move: chess.Move, turn: chess.Color) -> int:
    """Number of a move made by `turn`; ValueError for one that no piece of standard chess makes."""
    table = _INDEX if turn else _INDEX_BLACK
    promotion = move.promotion or 0
    if promotion == chess.QUEEN:
        promotion = 0
    index = table[_key(move.from_square, move.to_square, promotion)] if promotion < chess.QUEEN else -1
    if index < 0 or not move:
        raise ValueError(f"{move.uci()!r} is not a move of standard chess")
    return index


def decode(index: int, board: chess.Board) -> chess.Move:
    """Move with that number for the side to move on `board` (which says what a pawn is)."""
    start, end, promotion = _MOVES[index]
    if not board.turn:
        start, end = start ^ 56, end ^ 56
    if promotion:
        return chess.Move(start, end, promotion)
    last_rank = chess.BB_RANK_8 if board.turn else chess.BB_RANK_1
    queens = board.pawns & chess.BB_SQUARES[start] and chess.BB_SQUARES[end] & last_rank
    return chess.Move(start, end, chess.QUEEN if queens else None)


_UCI = [chess.Move(a, b, p or None).uci() for a, b, p in _MOVES]
_UCI_BLACK = [chess.Move(a ^ 56, b ^ 56, p or None).uci() for a, b, p in _MOVES]
_LAST_STEP = [bool(a >> 3 == 6 and b >> 3 == 7 and abs((a & 7) - (b & 7)) <= 1 and not p) for a, b, p in _MOVES]


def uci(index: int, board: chess.Board) -> str:
    """The move with that number for the side to move on `board`, in UCI notation."""
    if _LAST_STEP[index]:
        return decode(index, board).uci()
    return _UCI[index] if board.turn else _UCI_BLACK[index]


def spell(index: int, words: Sequence[int]) -> str:
    """The same of a packed position (`engines.planes`)."""
    white = words[9] & 1
    if _LAST_STEP[index]:
        start, end, _ = _MOVES[index]
        if not white:
            start, end = start ^ 56, end ^ 56
        return chess.Move(start, end, chess.QUEEN if words[0] >> start & 1 else None).uci()
    return _UCI[index] if white else _UCI_BLACK[index]


_LAST_STEPS: npt.NDArray[np.bool_] = np.array(_LAST_STEP)
SPELLED = [*_UCI, *_UCI_BLACK, *(name + "q" for name in _UCI), *(name + "q" for name in _UCI_BLACK)]
"""UCI notation by `spellings`: White's moves, Black's, and the same again as promotions to a queen, `[4 · A]`."""


def spellings(numbers: npt.NDArray[np.int64], packed: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Place in `SPELLED` of one move of each packed position `[B, 10]`; −1 for a number below 0, which is no move."""
    white = packed[:, 9] & np.uint64(1)
    start = np.where(white, FROM[numbers], FROM[numbers] ^ 56).astype(np.uint64)
    queens = _LAST_STEPS[numbers] & (packed[:, 0] >> start & np.uint64(1)).astype(bool)
    return np.where(numbers < 0, -1, numbers + SIZE * (white == 0) + 2 * SIZE * queens)


def encode_all(moves: Iterable[chess.Move], turn: chess.Color) -> list[int]:
    """Numbers of many moves known to be legal for `turn`, in their order (fast: nothing is checked)."""
    table = _INDEX if turn else _INDEX_BLACK
    return [
        table[m.from_square << 6 | m.to_square]
        if m.promotion is None or m.promotion == chess.QUEEN
        else table[m.promotion << 12 | m.from_square << 6 | m.to_square]
        for m in moves
    ]
