"""The real oracle on moves good and bad, and its memory."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import chess
import numpy as np
import pytest

from engines import moves
from engines.stockfish import EngineError, Stockfish
from sandwich.evaluation import oracle as oracles
from sandwich.evaluation.oracle import (
    Analysis,
    Block,
    Cache,
    CacheError,
    Oracle,
    analyse_block,
    game_over,
    position_key,
    position_of,
)
from sandwich.runtime.cluster import Cluster
from tests.helpers.progress import RecordingProgress
from tests.helpers.project import ROOT, needs_stockfish
from tests.helpers.small_players import INLINE, MATES, Inline, openings


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """A real one, at few nodes."""
    return Oracle(2_000, tmp_path_factory.mktemp("memory") / "oracle.sqlite")


def number(fen: str, move: str) -> int:
    return moves.encode(chess.Move.from_uci(move), chess.Board(fen).turn)


def loss(oracle: Oracle, fen: str, move: str) -> float:
    """Expected score that a move in UCI notation gives away."""
    found = oracle.losses(INLINE, [chess.Board(fen)], [[number(fen, move)]])
    assert found is not None
    assert [row.shape for row in found] == [(1,)]
    return float(found[0][0])


def first_moves(fens: list[str]) -> list[list[int]]:
    """Three moves of each position."""
    return [[number(fen, move.uci()) for move in list(chess.Board(fen).legal_moves)[:3]] for fen in fens]


@needs_stockfish
@pytest.mark.parametrize(
    ("fen", "move", "low", "high"),
    [
        ("r1bqkbnr/pppp1ppp/2n5/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R w KQkq - 2 3", "f1b5", 0, 0.06),  # a known good move
        ("rnbqkbnr/pppp1ppp/8/4p2Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 2 3", "h5e5", 0, 0.05),  # takes a pawn
        ("rnbqkbnr/pppp1ppp/8/4p2Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 2 3", "h5f7", 0.3, 1),  # gives the queen away
        ("rnbqkbnr/pppp1ppp/8/4p3/6P1/5P2/PPPPP2P/RNBQKBNR b KQkq - 0 2", "d8h4", 0, 0),  # for Black, too
        ("rnb1kbnr/pppp1ppp/8/4p3/4P2q/2N5/PPPP1PPP/R1BQKBNR b KQkq - 3 3", "h4h2", 0.3, 1),
        ("6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1", "d1d8", 0, 0),  # mate: nothing can be better
        ("3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1", "d8d1", 0, 0),
        ("3r2k1/5ppp/8/8/8/8/1R3PPP/6K1 w - - 0 1", "b2a2", 0.3, 1),  # and lets Black mate
        ("7k/5Q2/8/6K1/8/8/8/8 w - - 0 1", "g5g6", 0.47, 0.48),  # stalemate, where White was winning
        ("8/8/8/8/8/1k6/7q/K7 b - - 0 1", "h2c2", 0.47, 0.48),
        ("k7/P7/2K5/8/8/8/8/8 w - - 0 1", "c6b6", 0, 0.02),  # stalemate, where no more was to be had
        ("7k/8/8/8/8/8/R6P/K7 w - - 99 80", "a2b2", 0.4, 0.48),  # fifty moves without a pawn's or a capture
    ],
)
def test_a_loss_is_what_the_move_gives_away(oracle: Oracle, fen: str, move: str, low: float, high: float) -> None:
    assert low <= loss(oracle, fen, move) <= high


@needs_stockfish
def test_losses_are_the_same_in_any_order_and_from_memory(oracle: Oracle, tmp_path: Path) -> None:
    boards = [chess.Board(fen) for fen in openings(6)]
    chosen = first_moves(list(openings(6)))
    one = oracle.losses(INLINE, boards, chosen)
    other = Oracle(2_000, tmp_path / "oracle.sqlite").losses(INLINE, boards[::-1], chosen[::-1])
    assert one is not None and other is not None
    assert [row.tolist() for row in one] == [row.tolist() for row in other[::-1]]
    before = oracle.analysed
    again = oracle.losses(INLINE, boards, chosen)
    assert again is not None
    assert [row.tolist() for row in one] == [row.tolist() for row in again]
    assert oracle.analysed == before
    assert all(((row >= 0) & (row <= 1)).all() for row in one)


@needs_stockfish
def test_the_engine_s_own_move_loses_nothing(oracle: Oracle) -> None:
    for fen, look in zip(openings(8), oracle.analyse(INLINE, [chess.Board(fen) for fen in openings(8)]), strict=True):
        assert look.move is not None
        assert loss(oracle, fen, look.move) == 0


@needs_stockfish
def test_two_oracles_share_a_memory_and_keep_nodes_apart(tmp_path: Path) -> None:
    path = tmp_path / "oracle.sqlite"
    boards, chosen = [chess.Board(fen) for fen in openings(4)], first_moves(list(openings(4)))
    first, second, other = Oracle(500, path), Oracle(500, path), Oracle(400, path)
    for each in (first, second, other):
        each.losses(INLINE, boards, chosen)
    assert first.analysed > 0
    assert second.analysed == 0
    assert other.analysed == first.analysed


@needs_stockfish
def test_what_was_seen_before_a_kill_is_not_looked_at_again(tmp_path: Path) -> None:
    code = (
        "import sys, chess; from pathlib import Path; from tests.helpers.small_players import INLINE, openings;"
        "from sandwich.evaluation import oracle; oracle.LARGEST = 2; o = oracle.Oracle(100_000, Path(sys.argv[1]));"
        "o.analyse(INLINE, [chess.Board(fen) for fen in openings(60)])"
    )
    path = tmp_path / "oracle.sqlite"
    root = ROOT
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root, start_new_session=True)
    deadline = time.monotonic() + 120

    def remembered() -> int:
        if not path.exists():
            return 0
        with sqlite3.connect(path, timeout=60) as file:
            tables = file.execute("SELECT name FROM sqlite_master WHERE name = 'looks'").fetchall()
            return int(file.execute("SELECT COUNT(*) FROM looks").fetchone()[0]) if tables else 0

    while remembered() < 4 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    kept = remembered()
    assert 4 <= kept < 60
    after = Oracle(100_000, path)
    after.analyse(INLINE, [chess.Board(fen) for fen in openings(kept + 2)])
    assert after.analysed <= 2 + 2


@needs_stockfish
def test_progress_counts_what_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "LARGEST", 3)
    oracle = Oracle(100, tmp_path / "oracle.sqlite")
    boards = [chess.Board(fen) for fen in [*openings(8), *openings(8)]]
    progress = RecordingProgress()
    oracle.analyse(INLINE, boards, progress)
    assert progress.totals == progress.done == {"positions": 8}


class Wide(Inline):
    """Stands for a cluster of so many workers, and keeps how many positions each job has."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.sizes: list[int] = []

    def stream(self, function: Callable[[Any, Any], Any], shared: Any, jobs: Sequence[Any]) -> Iterator[Any]:
        self.sizes += [len(job.positions) for job in jobs]
        return super().stream(function, shared, jobs)


@needs_stockfish
@pytest.mark.parametrize(("workers", "sizes"), [(1, [67, 67, 66]), (2, [34] * 5 + [30]), (16, [25] * 8)])
def test_every_worker_has_positions_to_look_at(workers: int, sizes: list[int], tmp_path: Path) -> None:
    cluster, boards = Wide(workers), [chess.Board(fen) for fen in openings(200)]
    assert len(boards) == 200
    looks = Oracle(1, tmp_path / "oracle.sqlite").analyse(cast(Cluster, cluster), boards)
    assert cluster.sizes == sizes
    assert looks == Oracle(1, tmp_path / "oracle.sqlite").analyse(INLINE, boards)


@needs_stockfish
def test_another_engine_on_a_worker_is_refused() -> None:
    with pytest.raises(EngineError, match="expected Stockfish 99 on every machine, found Stockfish"):
        analyse_block(None, Block("Stockfish 99", "", 10, (position_key(chess.Board()),)))
    with Stockfish() as engine:
        name = engine.identity
    with pytest.raises(EngineError, match=f"expected one program of {name} on every machine, found two .SHA-256 0123 "):
        analyse_block(None, Block(name, "0123", 10, (position_key(chess.Board()),)))


ENGINE = """#!/bin/sh
while read -r line; do
    case "$line" in
    uci) echo 'id name Twin 1'; echo uciok ;;
    isready) echo readyok ;;
    go*) {go} ;;
    esac
done
"""


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, score: int, move: str) -> None:
    """Let the engine be one that answers any question alike."""
    path = folder / f"engine{score}{move}"
    path.write_text(ENGINE.format(go=f"echo 'info score cp {score} pv {move}'; echo 'bestmove {move}'"))
    path.chmod(0o755)
    monkeypatch.setenv("STOCKFISH_PATH", str(path))


def test_what_one_engine_said_is_not_told_for_another_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen() -> Analysis:
        (answer,) = Oracle(100, tmp_path / "oracle.sqlite").analyse(INLINE, [chess.Board()])
        return answer

    use(monkeypatch, tmp_path, -300, "a2a3")
    assert seen() == Analysis("a2a3", -300)
    use(monkeypatch, tmp_path, 20, "e2e4")
    assert seen() == Analysis("e2e4", 20)
    use(monkeypatch, tmp_path, -300, "a2a3")
    assert seen() == Analysis("a2a3", -300)


def test_an_illegal_move_is_no_answer_and_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "oracle.sqlite"
    use(monkeypatch, tmp_path, 900, "e2e5")
    with pytest.raises(EngineError, match=r"engine900e2e5: illegal move e2e5 in rnbqkbnr/"):
        Oracle(100, memory).analyse(INLINE, [chess.Board()])
    with sqlite3.connect(memory) as file:
        assert file.execute("SELECT COUNT(*) FROM looks").fetchone() == (0,)


def test_a_memory_that_is_damaged_later_is_named_in_one_line(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "oracle.sqlite", "engine", 1)
    cache.path.write_bytes(b"no longer a database, but long enough to be looked at" * 100)
    for use_it in (lambda: cache.known([b"x"]), lambda: cache.add({b"x": Analysis("e2e4", 1)})):
        with pytest.raises(CacheError, match="oracle.sqlite can't be used .*SANDWICH_CACHE"):
            use_it()


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "oracle.sqlite", "engine", 1)
    with sqlite3.connect(cache.path) as file:
        pages = file.execute("PRAGMA page_count").fetchone()[0]
    connect = sqlite3.connect

    def small(*args: Any, **settings: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = connect(*args, **settings)
        opened.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own word for a disk that is full
        return opened

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(CacheError, match="full") as caught:
        cache.add({b"%064d" % n: Analysis("e2e4", 1) for n in range(5000)})
    assert "\n" not in str(caught.value)
    assert cache.known([b"%064d" % 1]) == {}


@needs_stockfish
def test_an_oracle_says_who_it_is(oracle: Oracle) -> None:
    assert oracle.missing == ""
    assert oracle.identity and "Stockfish" in oracle.identity
    assert oracle.nodes == 2_000


def test_without_an_engine_nothing_is_measured_and_the_reason_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STOCKFISH_PATH", str(tmp_path / "nothing"))
    oracle = Oracle(2_000)
    assert oracle.losses(INLINE, [chess.Board(MATES[0])], [[0]]) is None
    assert str(tmp_path / "nothing") in oracle.missing
    assert "\n" not in oracle.missing
    assert oracle.identity is None


def test_an_oracle_that_is_not_wanted_says_so() -> None:
    oracle = Oracle(None)
    assert oracle.losses(INLINE, [chess.Board(MATES[0])], [[0]]) is None
    assert oracle.missing == "no nodes are given to the oracle"


# Positions


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("4k3/8/8/8/4P3/8/8/4K3 b - e3 0 1", "4k3/8/8/8/4P3/8/8/4K3 b - - 0 9", True),  # nobody can take
        ("4k3/8/8/8/3pP3/8/8/4K3 b - e3 0 1", "4k3/8/8/8/3pP3/8/8/4K3 b - - 0 1", False),
        ("4k3/8/8/8/8/8/4R3/4K3 b - - 0 1", "4k3/8/8/8/8/8/4R3/4K3 b - - 90 1", False),  # fifty moves are near
        ("4k2r/8/8/8/8/8/8/4K3 b k - 0 1", "4k2r/8/8/8/8/8/8/4K3 b - - 0 1", False),
    ],
)
def test_a_position_is_remembered_by_what_its_answer_depends_on(one: str, other: str, same: bool) -> None:
    assert (position_key(chess.Board(one)) == position_key(chess.Board(other))) == same


@pytest.mark.parametrize(
    ("fen", "score"),
    [
        ("3R2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 1 1", 0),  # mated
        ("7k/5Q2/6K1/8/8/8/8/8 b - - 1 1", 0.5),  # stalemate
        ("7k/8/6K1/8/8/8/8/6B1 b - - 1 1", 0.5),  # too little material
        ("7k/8/6K1/8/8/8/8/6R1 b - - 100 90", 0.5),
        ("7k/8/6K1/8/8/8/8/6R1 b - - 99 90", None),
    ],
)
def test_a_finished_game_needs_no_engine(fen: str, score: float | None) -> None:
    seen = game_over(chess.Board(fen))
    assert (seen.score if seen else None) == score


def test_a_key_is_the_position_that_the_engine_sees() -> None:
    for fen in ("r3k2r/8/8/3pP3/8/8/8/R3K2R w KQkq d6 7 30", *openings(20)):
        board = chess.Board(fen)
        again = position_of(position_key(board))
        assert (again.epd(), again.halfmove_clock) == (board.epd(), board.halfmove_clock)


# Memory


def test_a_memory_gives_back_what_it_was_given(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "a" / "oracle.sqlite", "engine 1", 100)
    looks = {b"position %d" % n: Analysis(None if n % 7 == 0 else "e2e4", n - 600) for n in range(1201)}
    cache.add(looks)
    cache.add({b"position 0": Analysis("a2a3", 5)})  # what is known stays
    assert cache.known([*looks, b"another"]) == looks
    assert Cache(cache.path, "engine 1", 100).known([b"position 3"]) == {b"position 3": looks[b"position 3"]}
    assert Cache(cache.path, "engine 2", 100).known(looks) == {}
    assert Cache(cache.path, "engine 1", 101).known(looks) == {}


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at" * 40, b""])
def test_a_damaged_memory_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "oracle.sqlite"
    path.write_bytes(content)
    if not content:  # an empty file is an empty database
        assert Cache(path, "engine", 1).known([b"x"]) == {}
        return
    with pytest.raises(CacheError) as caught:
        Cache(path, "engine", 1)
    assert str(path) in str(caught.value) and "SANDWICH_CACHE" in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_memory_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "oracle.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE looks (position TEXT)")
    with pytest.raises(CacheError, match="no such column"):
        Cache(path, "engine", 1)


def test_scores_are_expected_scores_of_the_side_to_move() -> None:
    assert Analysis("e2e4", 0).score == 0.5
    assert Analysis("e2e4", 100).score == pytest.approx(0.5910, abs=1e-4)  # Lichess: 59.1 %
    assert Analysis("e2e4", -1000).score == pytest.approx(1 - Analysis("e2e4", 1000).score)
    assert np.isclose(Analysis("e2e4", 1000).score, 0.9755, atol=1e-4)
