"""The move vocabulary is a bijection with the legal moves of python-chess."""

from pathlib import Path

import chess
import numpy as np
import pytest

from engines import moves
from engines.positions import parse_fen
from tests.helpers.perft_suites import SUITES, castles_as_in_chess960, perft
from tests.helpers.project import random_games

HAND_MADE = [
    (chess.STARTING_FEN, 20),
    ("r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1", 48),  # castling to both sides
    ("r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 0 1", 43),
    ("rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3", 31),  # en passant
    ("8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3", 8),
    ("n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 w - - 0 1", 23),  # promotions straight ahead and to both sides
    ("n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 b - - 0 1", 23),
    ("1n2k1n1/P6P/8/8/8/8/p6p/1N2K1N1 w - - 0 1", 27),  # … from the corner files
    ("1n2k1n1/P6P/8/8/8/8/p6p/1N2K1N1 b - - 0 1", 27),
    ("R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1", 218),  # the most legal moves known
    ("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", 0),  # stalemate
]


def assert_bijection(board: chess.Board) -> None:
    """Each legal move has a number of its own, and the number leads back to the move."""
    legal = list(board.legal_moves)
    numbers = [moves.encode(move, board.turn) for move in legal]
    assert len(set(numbers)) == len(legal), board.fen()
    assert all(0 <= number < moves.SIZE for number in numbers), board.fen()
    assert [moves.decode(number, board) for number in numbers] == legal, board.fen()
    assert moves.encode_all(legal, board.turn) == numbers, board.fen()


@pytest.mark.parametrize(("fen", "count"), HAND_MADE)
def test_bijection_on_hand_made_positions(fen: str, count: int) -> None:
    board = chess.Board(fen)
    assert board.legal_moves.count() == count
    assert_bijection(board)


@pytest.mark.parametrize("fen", [fen for fen, _ in HAND_MADE])
def test_no_other_number_is_a_legal_move(fen: str) -> None:
    board = chess.Board(fen)
    expected = set(board.legal_moves)
    legal = {number for number in range(moves.SIZE) if moves.decode(number, board) in expected}
    assert legal == {moves.encode(move, board.turn) for move in expected}


def test_bijection_on_random_games() -> None:
    for boards in random_games(25, seed=1):
        for board in boards:
            assert_bijection(board)


@pytest.mark.parametrize("fen", [fen for fen, _ in HAND_MADE])
def test_a_move_has_the_same_number_for_both_colours(fen: str) -> None:
    board = chess.Board(fen)
    turned = board.mirror()
    for move in board.legal_moves:
        same = chess.Move(move.from_square ^ 56, move.to_square ^ 56, move.promotion)
        assert moves.encode(move, board.turn) == moves.encode(same, turned.turn)


def test_mirror_swaps_the_files() -> None:
    e4, d4 = chess.Move.from_uci("e2e4"), chess.Move.from_uci("d2d4")
    assert moves.MIRROR[moves.encode(e4, chess.WHITE)] == moves.encode(d4, chess.WHITE)
    assert np.array_equal(moves.MIRROR[moves.MIRROR], np.arange(moves.SIZE))


def test_vocabulary_has_the_size_of_lc0s() -> None:
    assert moves.SIZE == 1858
    assert len(set(zip(moves.FROM.tolist(), moves.TO.tolist(), moves.PROMOTION.tolist(), strict=True))) == 1858


def test_the_numbering_never_changes() -> None:
    """Checkpoints and corpora hold these numbers; a change of them needs a new format."""
    assert moves.DIGEST == "c217780de45ccbef"


@pytest.mark.parametrize("uci", ["0000", "a1b4", "a7a8k", "a6a7n", "h7a8n", "N@e4"])
def test_what_no_piece_can_do_is_refused(uci: str) -> None:
    with pytest.raises(ValueError, match="is not a move of standard chess"):
        moves.encode(chess.Move.from_uci(uci), chess.WHITE)


@pytest.mark.parametrize(("name", "positions", "chess960"), SUITES)
def test_bijection_on_a_perft_suite(shared_data: Path, name: str, positions: int, chess960: int) -> None:
    seen = refused = 0
    for fen, count in perft(shared_data / "suites" / "perft" / name):
        seen += 1
        if castles_as_in_chess960(fen):
            refused += 1
            with pytest.raises(ValueError, match=r"^a Chess960 position: .*; only standard chess is played here$"):
                parse_fen(fen)
            continue
        board = parse_fen(fen)
        assert count is None or board.legal_moves.count() == count, fen
        assert_bijection(board)
    assert (seen, refused) == (positions, chess960)
