"""Positions as chess programs send them: what is put right, and what is refused."""

import chess
import pytest

from agents.uci_position import read_moves, read_position
from engines.settings import SpecError

PLAYED = "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPPKPPP/RNBQ1BNR b"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        # White's king has moved, her rights still stand
        (f"{PLAYED} KQkq - 1 2", f"{PLAYED} kq - 1 2"),
        ("r3k2r/8/8/8/8/8/8/R3K3 w KQkq - 0 1", "r3k2r/8/8/8/8/8/8/R3K3 w Qkq - 0 1"),  # a rook is away
        ("4k3/8/8/8/8/8/8/R2K3R w KQkq - 0 1", "4k3/8/8/8/8/8/8/R2K3R w - - 0 1"),
        ("r3k2r/8/8/8/8/8/8/R3K2R w HAha - 0 1", "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"),  # by the rooks' files
        ("r3k2r/8/8/8/8/8/8/R3K2R w qkQK - 0 1", "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"),
        # an en-passant square of no pawn, of the wrong side, of no board
        ("4k3/8/8/8/8/8/4P3/4K3 w - e6 0 1", "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1"),
        ("4k3/8/8/8/4P3/8/8/4K3 w - e3 0 1", "4k3/8/8/8/4P3/8/8/4K3 w - - 0 1"),
        ("4k3/8/8/8/4P3/8/8/4K3 b - e9 0 1", "4k3/8/8/8/4P3/8/8/4K3 b - - 0 1"),
        ("4k3/8/8/8/3pP3/8/8/4K3 b - e3 0 1", "4k3/8/8/8/3pP3/8/8/4K3 b - e3 0 1"),  # this one is good
        # counters that are missing or are none
        (f"{PLAYED} kq - - -", f"{PLAYED} kq - 0 1"),
        (f"{PLAYED} kq -", f"{PLAYED} kq - 0 1"),
        (f"{PLAYED} kq - 7", f"{PLAYED} kq - 7 1"),
        (f"{PLAYED} kq - -3 0", f"{PLAYED} kq - 0 1"),
        (f"{PLAYED} kq - 5 0", f"{PLAYED} kq - 5 1"),
        (f"{PLAYED} kq", f"{PLAYED} kq - 0 1"),
        (PLAYED, f"{PLAYED} - - 0 1"),
    ],
)
def test_what_a_program_leaves_out_or_standing_is_put_right(sent: str, read: str) -> None:
    assert read_position(["fen", *sent.split()]).fen() == read


@pytest.mark.parametrize("letter", "qrbn")
def test_promotions_in_capitals_are_read(letter: str) -> None:
    fen = ["fen", "8/P6k/8/8/8/8/8/K7", "w", "-", "-", "0", "1", "moves"]
    one, other = read_position([*fen, f"a7a8{letter.upper()}"]), read_position([*fen, f"A7A8{letter}"])
    assert one.fen() == other.fen()
    assert one.piece_at(chess.A8) == chess.Piece.from_symbol(letter.upper())
    board = read_position(fen)
    assert [move.uci() for move in read_moves([f"a7a8{letter.upper()}"], board)] == [f"a7a8{letter}"]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "here",
        "fen",
        "fen 8/8/8/8/8/8/8/8",
        "fen 8/8/8/8/8/8/8/8 w - - 0 1",
        f"fen {PLAYED}x kq - 0 1",
        f"fen {PLAYED} xyz - 0 1",
        "fen bqnb1rkr/pp3ppp/3ppn2/2p5/5P2/P2P4/NPP1P1PP/BQ1BNRKR w HFhf - 2 9",
        "startpos moves e2e5",
        "startpos moves e2",
        "startpos moves 0000",
        "startpos moves e2e4 --",
    ],
)
def test_what_is_no_position_is_refused_in_one_line(words: str) -> None:
    with pytest.raises((SpecError, ValueError)) as caught:
        read_position(words.split())
    assert "\n" not in str(caught.value)
