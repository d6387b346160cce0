"""Positions and moves as chess programs send them, read as other engines read them.

What a program may leave out or leave standing is put right: missing counters, castling rights whose king or
rook is away, an en-passant square of no pawn, capitals in moves. What is no position of standard chess is refused.
"""

from collections.abc import Sequence

import chess

from engines.positions import parse_fen
from engines.settings import SpecError

STANDARD = {"A": "Q", "a": "q", "H": "K", "h": "k"}
"""Files of the rooks in standard chess, by which some programs write castling rights, and the usual letters."""


def read_position(words: Sequence[str]) -> chess.Board:
    """The board behind the words after `position`, with its moves. Raises SpecError and ValueError in one line."""
    place = words.index("moves") if "moves" in words else len(words)
    if words[:1] == ["startpos"]:
        board = chess.Board()
    elif words[:1] == ["fen"]:
        board = _board(words[1:place])
    else:
        raise SpecError("expected position startpos or position fen FEN")
    for text in words[place + 1 :]:
        move = board.parse_uci(text.lower())
        if not move:
            raise SpecError(f"expected a move, got {text!r} in {board.fen()}")
        board.push(move)
    return board


def read_moves(words: Sequence[str], board: chess.Board) -> list[chess.Move]:
    """The legal moves of a position that some words name; all of them where none does."""
    legal, named = list(board.legal_moves), {word.lower() for word in words}
    return [move for move in legal if move.uci() in named] or legal


def _board(fields: Sequence[str]) -> chess.Board:
    """Board of the fields of a FEN, of which the first two must be there."""
    if len(fields) < 2:
        raise SpecError(f"not a position: {' '.join(fields)!r} (expected at least the pieces and the side to move)")
    pieces, turn, castling, en_passant, *counters = [*fields[:6], *"----"][:6]
    halfmoves, number = map(_counter, counters)
    rights = "".join(STANDARD.get(letter, letter) for letter in castling)
    usual = set(rights) <= set("KQkq")
    board = parse_fen(f"{pieces} {turn} {'-' if usual else castling} - {halfmoves} {max(1, number)}")
    if usual:
        board.set_castling_fen("".join(sorted(set(rights))))
        board.castling_rights = board.clean_castling_rights()
    if en_passant in chess.SQUARE_NAMES:
        board.ep_square = chess.parse_square(en_passant)
        if board.status() & chess.STATUS_INVALID_EP_SQUARE:
            board.ep_square = None
    return board


def _counter(text: str) -> int:
    """A counter at the end of a FEN; 0 for what is no number of moves."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
