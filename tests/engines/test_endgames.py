"""Endgames solved exactly: counts that are known, positions that are known, and the best of all moves everywhere."""

from pathlib import Path

import chess
import numpy as np
import pytest

from engines import moves, planes
from engines.endgames import DRAW, ILLEGAL, LOSS, WIN, Endgames, contested, drawn, material, placed
from engines.rules import after, legal_moves


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Endgames:
    return Endgames(tmp_path_factory.mktemp("endgames"))


@pytest.mark.parametrize(
    ("men", "to_move", "against"),
    [  # wins, draws, losses: the counts of every three-man tablebase
        ("Q", (144_508, 0, 0), (0, 23_048, 200_896)),
        ("R", (175_168, 0, 0), (0, 22_244, 201_700)),
        ("B", (0, 193_284, 0), (0, 223_944, 0)),
        ("P", (124_960, 38_368, 0), (0, 70_420, 97_604)),
    ],
)
def test_wins_and_draws_are_as_many_as_is_known(
    tables: Endgames, men: str, to_move: tuple[int, ...], against: tuple[int, ...]
) -> None:
    for table, known in ((tables.table(men, ""), to_move), (tables.table("", men), against)):
        assert tuple(int((table == worth).sum()) for worth in (WIN, DRAW, LOSS)) == known


@pytest.mark.parametrize(
    ("fen", "worth"),
    [
        ("8/8/8/4k3/8/4K3/4P3/8 b - - 0 1", LOSS),  # has to give up the opposition
        ("8/8/8/4k3/8/4K3/4P3/8 w - - 0 1", DRAW),
        ("7k/8/5KP1/8/8/8/8/8 b - - 0 1", LOSS),
        ("k7/P7/K7/8/8/8/8/8 b - - 0 1", DRAW),  # stalemate
        ("8/8/8/8/8/1k6/8/K1b5 w - - 0 1", DRAW),
        ("6k1/5Q2/6K1/8/8/8/8/8 b - - 0 1", LOSS),  # mated
    ],
)
def test_known_positions(tables: Endgames, fen: str, worth: int) -> None:
    board = chess.Board(fen)
    assert tables.worth(np.array([planes.pack(board)], np.uint64)).tolist() == [worth]
    assert tables.worth(np.array([planes.pack(board.mirror())], np.uint64)).tolist() == [worth]


@pytest.mark.parametrize(
    ("name", "reverse"),
    [
        ("KPvK", False),
        ("KPvK", True),
        ("KBNvK", False),
        pytest.param("KPvKP", False, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),  # and all that it leads to
    ],
)
@pytest.mark.slow
def test_a_position_is_worth_its_best_move(tables: Endgames, name: str, reverse: bool) -> None:
    """By the rules that games are played by, en passant and all promotions included."""
    signature = material(name)
    packed = drawn(tables, signature[::-1] if reverse else signature, 400, np.random.default_rng(0))
    worth = tables.worth(packed)
    legal, _ = legal_moves(packed)
    for row, words in enumerate(packed):
        behind, _ = after(np.repeat(words[None], len(legal[row]), axis=0), legal[row])
        assert worth[row] == -tables.worth(behind).min(), planes.unpack(words).fen()
    assert len(set(worth.tolist())) > 1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_pawn_may_be_taken_in_passing(tables: Endgames) -> None:
    board = chess.Board("8/8/8/8/k2p4/8/4P3/7K w - - 0 1")
    packed = np.array([planes.pack(board)], np.uint64)
    (scores,) = tables.moves(packed)
    legal = [move.uci() for move in board.legal_moves]
    numbers = legal_moves(packed)[0][0]
    double = list(numbers).index(moves.encode(chess.Move.from_uci("e2e4"), True))
    board.push_uci("e2e4")
    assert board.has_legal_en_passant()
    without = board.copy()
    without.ep_square = None
    taken = board.copy()
    taken.push_uci("d4e3")
    rows = [planes.pack(one) for one in (board, without, taken)]
    worth = tables.worth(np.array(rows, np.uint64))
    assert worth[0] == max(worth[1], -worth[2]) == WIN  # it goes on to queen
    assert scores[double] == 0
    assert len(scores) == len(legal)


def test_tables_are_kept_in_files(tables: Endgames, tmp_path: Path) -> None:
    first = Endgames(tmp_path).table("", "P")
    assert (tmp_path / "KvKP.npz").exists() and (tmp_path / "KPvK.npz").exists()
    assert not list(tmp_path.glob("*.part"))
    assert np.array_equal(Endgames(tmp_path).table("", "P"), first)
    assert set(np.unique(first)) <= {LOSS, DRAW, WIN, ILLEGAL}
    (tmp_path / "KvKP.npz").write_bytes(b"PK")  # damaged: it is solved again, and written
    assert np.array_equal(Endgames(tmp_path).table("", "P"), first)
    assert (tmp_path / "KvKP.npz").stat().st_size > 1000
    assert np.array_equal(Endgames(Path("/dev/null/none")).table("", "P"), first)  # kept in memory alone


def test_where_nobody_can_win_nothing_is_at_stake() -> None:
    for name in ("KvK", "KBvK", "KvKN"):
        with pytest.raises(ValueError, match=f"expected a material in which something is at stake, got {name}"):
            contested(name)
    assert contested("KBvKN") == ("B", "N")


def test_moves_are_worth_a_win_a_draw_or_a_loss(tables: Endgames) -> None:
    board = chess.Board("7k/8/6K1/8/8/8/8/R7 w - - 0 1")
    packed = np.array([planes.pack(board)], np.uint64)
    (scores,) = tables.moves(packed)
    numbers = list(legal_moves(packed)[0][0])
    mate = numbers.index(moves.encode(chess.Move.from_uci("a1a8"), True))
    assert scores[mate] == 1
    assert set(scores.tolist()) <= {0.0, 0.5, 1.0}


def test_what_has_no_place_in_a_table_is_refused(tables: Endgames) -> None:
    with pytest.raises(ValueError, match="expected at most 4 men, got 5"):
        placed(chess.Board("8/8/8/4k3/8/3QK3/4PP2/8 w - - 0 1"))
    with pytest.raises(ValueError, match="expected no castling rights"):
        tables.worth(np.array([planes.pack(chess.Board("4k3/8/8/8/8/8/8/4K2R w K - 0 1"))], np.uint64))
    with pytest.raises(ValueError, match="expected at most 4 men, got 5"):
        tables.table("QR", "R")
    for name in ("KRK", "RvK", "KXvK", "KRRvKR"):
        with pytest.raises(ValueError, match="expected a material of at most 4 men, such as KRvKP"):
            material(name)
