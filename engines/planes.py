"""Positions as numbers: a packed form of ten 64-bit words, and the planes that a network reads.

Everything here is vectorised over a batch with plain 64-bit arithmetic; no chess library is asked.
Planes are seen from the side to move (the board turned upside down for Black). Beside the pieces
they show what each side attacks, pins and could give check from: a small convolutional network
would otherwise spend its first layers on following lines across the board.
"""

from types import ModuleType

import chess
import numpy as np
import numpy.typing as npt

_rules: ModuleType | None
try:
    from engines import _rules
except ImportError:  # no compiler where the project was installed
    _rules = None

Packed = npt.NDArray[np.uint64]

WORDS = 10
"""Words of a packed position: pawns, knights, bishops, rooks, queens, kings, white, black,
rooks that may castle, and state (bit 0: White to move; bits 1–7: en-passant square + 1;
bits 8–23: half-move clock)."""

EN_PASSANT = 127 << 1
"""The bits of the last word that hold the en-passant square."""

PLANES = 40
"""Number of planes, `P` in array shapes.

0–5 own pawn … king · 6–11 the opponent's · 12 rooks that may castle · 13 en-passant square ·
14 half-move clock / 100 · 15 ones · 16–21 squares attacked by own pawn … king · 22–27 by the
opponent's · 28, 29 squares attacked at least twice by own, by the opponent's · 30, 31 own and the
opponent's pinned pieces · 32–35 squares from which an own pawn, knight, bishop, rook would attack
the opponent's king · 36–39 the same against the own king.
"""

PLANES_ID = "planes-1"
"""Names this set of planes; stored in every checkpoint."""


def pack(board: chess.Board) -> tuple[int, ...]:
    """The ten words of one position."""
    ep = 0 if board.ep_square is None else board.ep_square + 1
    white, black = board.occupied_co[chess.WHITE], board.occupied_co[chess.BLACK]
    state = int(board.turn) | ep << 1 | min(board.halfmove_clock, 65535) << 8
    return (board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings,
            white, black, board.castling_rights, state)  # fmt: skip


def unpack(packed: Packed) -> chess.Board:
    """The position of ten words (its move number is lost and becomes 1)."""
    w = [int(x) for x in packed]
    board = chess.Board(None)
    board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings = w[:6]
    board.occupied_co[chess.WHITE], board.occupied_co[chess.BLACK] = w[6], w[7]
    board.occupied = w[6] | w[7]
    board.castling_rights = w[8]
    board.turn = bool(w[9] & 1)
    ep = w[9] >> 1 & 127
    board.ep_square = ep - 1 if ep else None
    board.halfmove_clock = w[9] >> 8 & 65535
    return board


def fen(board: chess.Board) -> str:
    """FEN of a position as the planes show it: its en-passant square even where no capture is possible."""
    return board.fen(en_passant="fen")


def _u64(value: int) -> np.uint64:
    return np.uint64(value & 0xFFFF_FFFF_FFFF_FFFF)


_NOT_A, _NOT_H = _u64(~chess.BB_FILE_A), _u64(~chess.BB_FILE_H)
_NOT_AB = _u64(~(chess.BB_FILE_A | chess.BB_FILE_B))
_NOT_GH = _u64(~(chess.BB_FILE_G | chess.BB_FILE_H))
_ALL = _u64(-1)
# (shift towards h8 if positive, squares a piece can arrive on without having wrapped round the edge)
_ORTHOGONAL = ((8, _ALL), (-8, _ALL), (1, _NOT_A), (-1, _NOT_H))
_DIAGONAL = ((9, _NOT_A), (7, _NOT_H), (-7, _NOT_A), (-9, _NOT_H))
_KNIGHT = ((17, _NOT_A), (15, _NOT_H), (10, _NOT_AB), (6, _NOT_GH),
           (-17, _NOT_H), (-15, _NOT_A), (-10, _NOT_GH), (-6, _NOT_AB))  # fmt: skip


def _shift(x: Packed, by: int) -> Packed:
    return x << np.uint64(by) if by > 0 else x >> np.uint64(-by)


def _step(x: Packed, by: int, arrive: np.uint64) -> Packed:
    return _shift(x, by) & arrive


def _ray(sliders: Packed, empty: Packed, by: int, arrive: np.uint64) -> Packed:
    """Squares that sliders attack in one direction, the first blocker included (Kogge–Stone fill)."""
    fill, free = sliders, empty & arrive
    fill = fill | free & _shift(fill, by)
    free = free & _shift(free, by)
    fill = fill | free & _shift(fill, 2 * by)
    free = free & _shift(free, 2 * by)
    fill = fill | free & _shift(fill, 4 * by)
    return _step(fill, by, arrive)


def _bitplanes(packed: Packed) -> Packed:
    """Every plane that is a set of squares, as one word each, `[P, B]` (planes 14 and 15 left 0)."""
    white_to_move = (packed[:, 9] & np.uint64(1)).astype(bool)
    squares = np.where(white_to_move, packed[:, :9].T, packed[:, :9].T.byteswap())  # [9, B]
    own = np.where(white_to_move, squares[6], squares[7])
    other = np.where(white_to_move, squares[7], squares[6])
    sides = np.stack([own, other])  # [2, B]
    pieces = squares[None, :6] & sides[:, None]  # [2, 6, B]
    empty = ~(own | other)

    out = np.zeros((PLANES, len(packed)), np.uint64)
    out[0:6], out[6:12], out[12] = pieces[0], pieces[1], squares[8]
    ep = packed[:, 9] >> np.uint64(1) & np.uint64(127)
    ep_bit = np.where(ep > 0, np.uint64(1) << ((ep - np.uint64(1)) & np.uint64(63)), np.uint64(0))
    out[13] = np.where(white_to_move, ep_bit, ep_bit.byteswap())

    attacks = np.zeros((2, 6, len(packed)), np.uint64)
    once, twice = np.zeros_like(sides), np.zeros_like(sides)

    def attack(piece: int, reached: Packed) -> None:
        attacks[:, piece] |= reached
        twice[:] |= once & reached
        once[:] |= reached

    pawns = pieces[:, 0]
    for up, down, arrive in ((9, -7, _NOT_A), (7, -9, _NOT_H)):
        attack(0, np.stack([_step(pawns[0], up, arrive), _step(pawns[1], down, arrive)]))
    for by, arrive in _KNIGHT:
        attack(1, _step(pieces[:, 1], by, arrive))
    for by, arrive in _ORTHOGONAL + _DIAGONAL:
        attack(5, _step(pieces[:, 5], by, arrive))

    kings = pieces[:, 5]
    pinned = np.zeros_like(sides)
    king_lines = np.zeros((2, 2, len(packed)), np.uint64)  # [side of the king, diagonal/orthogonal, B]
    for line, directions in enumerate((_DIAGONAL, _ORTHOGONAL)):
        piece = 2 + line  # bishop, rook
        sliders = np.stack([pieces[:, piece], pieces[:, 4]])  # [piece/queen, side, B]
        for by, arrive in directions:
            reached = _ray(sliders, empty, by, arrive)
            attack(piece, reached[0])
            attack(4, reached[1])
            line_squares = _ray(kings, empty, by, arrive)
            king_lines[:, line] |= line_squares
            shield = line_squares & sides
            behind = _ray(shield, empty, by, arrive)
            attackers = (pieces[:, piece] | pieces[:, 4])[::-1]
            pinned |= np.where(behind & attackers != 0, shield, np.uint64(0))
    out[16:22], out[22:28] = attacks[0], attacks[1]
    out[28], out[29] = twice[0], twice[1]
    out[30], out[31] = pinned[0], pinned[1]
    # From where an own pawn attacks the opponent's king: one step back from it, and the reverse.
    enemy_king, own_king = kings[1], kings[0]
    out[32] = _step(enemy_king, -7, _NOT_A) | _step(enemy_king, -9, _NOT_H)
    out[36] = _step(own_king, 9, _NOT_A) | _step(own_king, 7, _NOT_H)
    for by, arrive in _KNIGHT:
        out[33] |= _step(enemy_king, by, arrive)
        out[37] |= _step(own_king, by, arrive)
    out[34], out[35] = king_lines[1, 0], king_lines[1, 1]
    out[38], out[39] = king_lines[0, 0], king_lines[0, 1]
    return out


def planes(packed: Packed) -> npt.NDArray[np.float32]:
    """Input of the network for packed positions `[B, 10]`: `[B, P, 8, 8]`, rank 1 of the side to move first."""
    if packed.ndim != 2 or packed.shape[1] != WORDS:
        raise ValueError(f"expected packed positions of shape (B, {WORDS}), got {packed.shape}")
    if _rules is not None:
        filled = np.empty((len(packed), PLANES, 8, 8), np.float32)
        _rules.planes(np.ascontiguousarray(packed), filled)
        return filled
    return _planes(packed)


def _planes(packed: Packed) -> npt.NDArray[np.float32]:
    """The same in numpy."""
    bits = np.ascontiguousarray(_bitplanes(packed).T.astype("<u8", copy=False))
    out = np.unpackbits(bits.view(np.uint8), bitorder="little").reshape(len(packed), PLANES, 8, 8).astype(np.float32)
    out[:, 14] = ((packed[:, 9] >> np.uint64(8)) & np.uint64(65535)).astype(np.float32)[:, None, None] / 100
    out[:, 15] = 1
    return out
