"""Supervision of Stockfish: the real one, stopped and killed, and scripts that stand in for a broken one."""

import hashlib
import math
import os
import re
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest
import stockfish as pypi

from engines.stockfish import EngineError, Line, Stockfish, expected_score, find_stockfish, program_digest
from tests.helpers.project import STOCKFISH, needs_stockfish

MIDDLEGAME = "r1bq1rk1/pp2bppp/2n1pn2/3p4/2PP4/2N2N2/PP2BPPP/R1BQ1RK1 w - - 0 9"
FENS = [
    chess.STARTING_FEN,
    MIDDLEGAME,
    "r1bq1rk1/pp2bppp/2n1pn2/3p4/2PP4/2N2N2/PP2BPPP/R1BQ1RK1 b - - 0 9",
    "8/8/4k3/8/8/4K3/4P3/8 b - - 0 1",
    "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1",  # mate in one
    "3r2k1/5ppp/8/8/8/8/5PPP/6K1 w - - 0 1",  # a rook down
    "7k/8/8/8/8/8/r7/1r4K1 w - - 0 1",  # mated on the next move
]


@pytest.fixture
def engine() -> Iterator[Stockfish]:
    """A real engine that counts as hanging after five seconds."""
    with Stockfish(STOCKFISH, timeout=5) as running:
        yield running


# Values


@pytest.mark.parametrize(
    ("centipawns", "expected"),
    [
        (0, 0.5),
        (100, 0.5910),  # Lichess shows 59 % for a pawn
        (-100, 0.4090),
        (300, 0.7511),
        (1000, 0.9754),
        (1001, 0.9754),  # clipped
        (-30000, 0.0246),
    ],
)
def test_expected_score_is_lichess_win_percentage(centipawns: int, expected: float) -> None:
    assert expected_score(centipawns) == pytest.approx(expected, abs=5e-5)
    lichess = 50 + 50 * (2 / (1 + math.exp(-0.00368208 * max(-1000, min(1000, centipawns)))) - 1)
    assert expected_score(centipawns) == pytest.approx(lichess / 100, abs=1e-12)


def test_expected_score_takes_arrays() -> None:
    both = expected_score(np.array([-250.0, 250.0]))
    assert both.shape == (2,)
    assert both.sum() == pytest.approx(1)


def test_a_line_knows_its_expected_score() -> None:
    assert Line("e2e4", 0).expected_score == 0.5
    assert Line("e2e4", 1000, mate=2).expected_score == pytest.approx(0.9754, abs=5e-5)


# The real engine


@needs_stockfish
def test_the_same_question_has_the_same_answer_after_clear(engine: Stockfish) -> None:
    assert "Stockfish" in engine.identity
    first = engine.analyse(MIDDLEGAME, nodes=5000, multipv=3)
    engine.analyse(chess.STARTING_FEN, nodes=20_000)
    engine.clear()
    assert engine.analyse(MIDDLEGAME, nodes=5000, multipv=3) == first
    assert [line.move for line in first] == list(dict.fromkeys(line.move for line in first))
    assert len(first) == 3


@needs_stockfish
def test_moves_lead_to_the_position_that_is_judged(engine: Stockfish) -> None:
    board = chess.Board()
    board.push_uci("e2e4")
    board.push_uci("e7e5")
    by_moves = engine.analyse(chess.STARTING_FEN, ["e2e4", "e7e5"], depth=6)
    engine.clear()
    assert engine.analyse(board.fen(), depth=6) == by_moves


@needs_stockfish
def test_a_killed_engine_is_replaced_and_asked_again(engine: Stockfish) -> None:
    answer = engine.analyse(MIDDLEGAME, nodes=5000)
    killed = engine.pid
    assert killed
    os.kill(killed, signal.SIGKILL)
    assert engine.analyse(MIDDLEGAME, nodes=5000) == answer
    assert engine.restarts == 1
    assert engine.pid != killed


@needs_stockfish
def test_an_engine_killed_while_it_thinks_is_replaced_and_asked_again() -> None:
    with Stockfish(STOCKFISH, timeout=60) as engine:
        answer = engine.analyse(MIDDLEGAME, nodes=500_000)
        engine.clear()
        assert engine.pid
        killer = threading.Timer(0.1, os.kill, (engine.pid, signal.SIGKILL))
        killer.start()
        assert engine.analyse(MIDDLEGAME, nodes=500_000) == answer
        killer.join()
        assert engine.restarts == 1


@needs_stockfish
@pytest.mark.timing
def test_a_stopped_engine_is_replaced_within_its_timeout(engine: Stockfish) -> None:
    answer = engine.analyse(MIDDLEGAME, nodes=5000)
    stopped = engine.pid
    assert stopped
    os.kill(stopped, signal.SIGSTOP)
    start = time.monotonic()
    assert engine.analyse(MIDDLEGAME, nodes=5000) == answer
    assert 5 <= time.monotonic() - start < 60
    assert engine.restarts == 1
    with pytest.raises(ProcessLookupError):  # not left behind, stopped for ever
        os.kill(stopped, 0)


@needs_stockfish
def test_closing_ends_the_process_and_may_be_repeated() -> None:
    with Stockfish(STOCKFISH) as engine:
        pid = engine.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert engine.pid is None
    engine.close()
    assert engine.best_move(MIDDLEGAME, depth=1)  # a later question starts it again
    engine.close()


@needs_stockfish
@pytest.mark.parametrize(
    ("fen", "lines"),
    [
        (chess.STARTING_FEN, 5),
        ("7k/8/8/8/8/8/r7/1r4K1 w - - 0 1", 0),  # checkmate: nothing to say
        ("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", 0),  # stalemate
        ("7k/8/8/8/8/8/8/K6r w - - 0 1", 2),
        ("k7/8/8/8/8/8/6r1/7K w - - 0 1", 1),
    ],
)
def test_there_are_no_more_lines_than_legal_moves(engine: Stockfish, fen: str, lines: int) -> None:
    legal = {move.uci() for move in chess.Board(fen).legal_moves}
    answer = engine.analyse(fen, depth=3, multipv=5)
    assert len(answer) == lines
    assert {line.move for line in answer} <= legal
    best = engine.best_move(fen, depth=3)
    assert best in legal if legal else best is None
    assert engine.restarts == 0


@needs_stockfish
def test_the_number_of_lines_holds_for_one_question(engine: Stockfish) -> None:
    assert [len(engine.analyse(MIDDLEGAME, nodes=2000, multipv=n)) for n in (4, 1, 3)] == [4, 1, 3]


@needs_stockfish
def test_a_forced_mate_is_worth_the_bound(engine: Stockfish) -> None:
    mate, mated = "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1", "k7/8/1K6/8/8/8/8/7R b - - 0 1"
    assert engine.analyse(mate, depth=5) == (Line("d1d8", 1000, 1),)
    assert engine.analyse(mated, depth=5) == (Line("a8b8", -1000, -1),)


@needs_stockfish
@pytest.mark.parametrize(
    "limits", [{}, {"nodes": 1, "depth": 1}, {"nodes": 0}, {"depth": -1}, {"depth": 1, "multipv": 0}]
)
def test_a_question_without_one_sensible_limit_is_refused(engine: Stockfish, limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="^expected "):
        engine.analyse(MIDDLEGAME, **limits)
    assert engine.restarts == 0


@needs_stockfish
@pytest.mark.parametrize("fen", [fen for fen in FENS if any(chess.Board(fen).legal_moves)])
def test_an_independent_client_sees_the_same_scores(engine: Stockfish, fen: str) -> None:
    other = pypi.Stockfish(STOCKFISH, depth=10, parameters={"Hash": 16, "Threads": 1}, turn_perspective=True)
    try:
        other.set_fen_position(fen)
        theirs = other.get_evaluation()
        engine.clear()
        ours = engine.analyse(fen, depth=10)[0]
        assert theirs == (
            {"type": "cp", "value": ours.centipawns} if ours.mate is None else {"type": "mate", "value": ours.mate}
        )
        other.send_ucinewgame_command()
        engine.clear()
        assert engine.best_move(fen, depth=10) == other.get_best_move()
    finally:
        other.send_quit_command()


def test_the_path_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("#!/bin/sh\n")
    monkeypatch.setenv("STOCKFISH_PATH", str(own))
    with pytest.raises(EngineError, match=rf"^STOCKFISH_PATH={re.escape(str(own))} is not an executable file$"):
        find_stockfish()
    own.chmod(0o755)
    assert find_stockfish() == str(own)


# Scripts that stand in for a broken engine: what no real one can be made to do

FAKE = """#!/bin/sh
{start}
while read -r line; do
    case "$line" in
    uci) {uci} ;;
    isready) {isready} ;;
    go*) {go} ;;
    esac
done
"""

INFO = "echo 'info depth 1 multipv 1 score cp 13 nodes 20 pv e2e4 e7e5'"


def fake(folder: Path, *, start: str = ":", uci: str = "echo uciok", isready: str = "echo readyok", go: str) -> str:
    """Path of a shell script that answers as said."""
    path = folder / "engine"
    path.write_text(FAKE.format(start=start, uci=uci, isready=isready, go=go))
    path.chmod(0o755)
    return str(path)


def test_the_stand_in_is_an_engine_where_nothing_is_broken(tmp_path: Path) -> None:
    with Stockfish(fake(tmp_path, go=f"{INFO}; echo 'bestmove e2e4 ponder e7e5'")) as engine:
        assert engine.analyse(chess.STARTING_FEN, depth=1) == (Line("e2e4", 13),)
        assert engine.restarts == 0


@pytest.mark.timing
@pytest.mark.parametrize(
    ("go", "fault"),
    [
        (INFO, "no bestmove within 1 s"),
        (":", "no bestmove within 1 s"),
        ("while :; do echo 'info string still here'; done", "no bestmove within 1 s"),
        ("while :; do printf x; sleep 0.01; done", "no bestmove within 1 s"),  # a line without an end
        (f"{INFO}; printf 'bestmove e2e4'", "no bestmove within 1 s"),
        ("echo 'bestmove e2e4'", "a best move without a score"),
        (f"{INFO}; echo 'bestmove d2d4'", "best move d2d4 is in none of its lines"),
        (f"{INFO}; echo 'bestmove e2e5'", "illegal move e2e5 in rnbqkbnr/"),
        (f"{INFO}; echo 'bestmove a1a1'", "illegal move a1a1 in rnbqkbnr/"),
        (f"{INFO}; echo 'bestmove (none)'", "no move in rnbqkbnr/"),
        (f"{INFO}; echo 'bestmove 0000'", "no move in rnbqkbnr/"),
        ("tr '\\0' x < /dev/zero", "a line of more than 1 MiB before bestmove"),
        ("yes 'info string still here'", "no bestmove within 1 s"),
        (f"{INFO}; echo bestmove", ""),
        ("echo 'info depth 1 score cp'; echo 'bestmove e2e4'", "a best move without a score"),
        ("echo 'info depth 1 score cp pv e2e4'; echo 'bestmove e2e4'", ""),
        ("echo 'info depth 1 score cp 1 pv'; echo 'bestmove e2e4'", ""),
        ("exit 3", "ended before bestmove"),
        (f"{INFO}; kill -9 $$", "ended before bestmove"),
    ],
)
def test_a_broken_answer_ends_in_an_error_within_the_deadline(tmp_path: Path, go: str, fault: str) -> None:
    path = fake(tmp_path, go=go)
    start = time.monotonic()
    with Stockfish(path, timeout=1, retries=1) as engine:
        with pytest.raises(EngineError) as failure:
            engine.analyse(chess.STARTING_FEN, depth=1)
        assert engine.pid is None
        assert engine.restarts == 2
    assert time.monotonic() - start < 2 * 2 * 1 + 20  # each of the two attempts starts and asks
    message = str(failure.value)
    assert message.startswith(path)
    assert fault in message
    assert message.endswith("(after 2 attempts)")
    assert "\n" not in message


@pytest.mark.timing
@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ({"start": "exit 0"}, ""),  # a broken pipe or an end of file, whichever is seen first
        ({"uci": ":"}, "no uciok within 1 s"),
        ({"isready": ":"}, "no readyok within 1 s"),
        ({"uci": "exit 1"}, "ended before uciok"),
    ],
)
def test_an_engine_that_does_not_start_ends_in_an_error(tmp_path: Path, script: dict[str, str], fault: str) -> None:
    path = fake(tmp_path, go=":", **script)
    start = time.monotonic()
    with pytest.raises(EngineError, match=r"\(after 2 attempts\)$") as failure, Stockfish(path, timeout=1, retries=1):
        pass
    assert fault in str(failure.value)
    assert time.monotonic() - start < 2 * 1 + 20


def test_an_engine_that_is_none_ends_in_an_error(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with (
        pytest.raises(EngineError, match=f"^cannot start {re.escape(str(missing))}: No such file or directory$"),
        Stockfish(str(missing)),
    ):
        pass
    text = tmp_path / "text"
    text.write_text("not a program")
    text.chmod(0o755)
    with pytest.raises(EngineError, match=f"^cannot start {re.escape(str(text))}: "), Stockfish(str(text)):
        pass


@pytest.mark.parametrize("broken", ["exit 3", "echo 'bestmove e2e4'", "echo bestmove", ":"])
def test_one_bad_answer_is_survived(tmp_path: Path, broken: str) -> None:
    mark = tmp_path / "failed_once"
    go = f"if [ -e '{mark}' ]; then {INFO}; echo 'bestmove e2e4'; else touch '{mark}'; {broken}; fi"
    with Stockfish(fake(tmp_path, go=go), timeout=1, retries=1) as engine:
        assert engine.analyse(chess.STARTING_FEN, depth=1) == (Line("e2e4", 13),)
        assert engine.restarts == 1


def test_an_interrupted_question_leaves_no_answer_behind(tmp_path: Path) -> None:
    """Ctrl-C while the engine thinks: its late answer must not pass for that to the next question."""
    go = f"{INFO}; sleep 8; echo 'bestmove e2e4'"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    with Stockfish(fake(tmp_path, go=go), timeout=20) as engine:
        interrupt = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            engine.analyse(chess.STARTING_FEN, depth=1)
        interrupt.join()
        assert engine.pid is None
    signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def test_a_line_seen_twice_counts_once_and_the_best_move_comes_first(tmp_path: Path) -> None:
    """Stopped in the middle of a depth, an engine has said new first lines and old last ones."""
    said = [
        "info depth 1 multipv 1 score cp 30 pv e2e4",
        "info depth 1 multipv 2 score cp 20 pv d2d4",
        "info depth 1 multipv 3 score mate -2 pv g2g4",
        "info depth 2 multipv 1 score cp 2500 pv d2d4",
        "info depth 2 currmove e2e4 currmovenumber 2",
        "bestmove d2d4",
    ]
    assert answer(tmp_path, said, 3) == (Line("d2d4", 1000), Line("g2g4", -1000, -2))


def answer(folder: Path, said: Sequence[str], multipv: int) -> tuple[Line, ...]:
    """What the client makes of what an engine says."""
    go = "; ".join(f"echo '{line}'" for line in said)
    with Stockfish(fake(folder, go=go)) as engine:
        found = engine.analyse(chess.STARTING_FEN, depth=2, multipv=multipv)
        assert engine.restarts == 0
    return found


@pytest.mark.parametrize(
    ("said", "multipv", "lines"),
    [
        # a bound comes never over an exact score
        (["score cp 30 pv e2e4", "score cp -900 upperbound pv e2e4", "bestmove e2e4"], 1, [("e2e4", 30)]),
        (["score cp 30 pv e2e4", "score cp 900 lowerbound pv e2e4", "bestmove e2e4"], 1, [("e2e4", 30)]),
        (["score cp 900 lowerbound pv e2e4", "score cp 31 pv e2e4", "bestmove e2e4"], 1, [("e2e4", 31)]),
        # where there is no exact one, a bound is what there is
        (["score cp 90 lowerbound pv e2e4", "bestmove e2e4"], 1, [("e2e4", 90)]),
        (["score cp 30 pv e2e4", "score cp 90 lowerbound pv d2d4", "bestmove d2d4"], 1, [("d2d4", 90)]),
        (["score cp 30 pv e2e4", "score cp 90 lowerbound pv d2d4", "bestmove e2e4"], 1, [("e2e4", 30)]),
        (
            ["multipv 1 score cp 30 pv e2e4", "multipv 2 score cp 20 pv d2d4",
             "multipv 1 score cp 50 upperbound pv d2d4", "bestmove d2d4"],
            2, [("d2d4", 20), ("e2e4", 30)],
        ),
        # more lines than were asked for, as of an engine with a MultiPV of its own
        (["multipv 1 score cp 30 pv e2e4", "multipv 2 score cp -90 pv d2d4", "bestmove e2e4"], 1, [("e2e4", 30)]),
        (["multipv 2 score cp -90 pv d2d4", "multipv 1 score cp 30 pv e2e4", "bestmove e2e4"], 1, [("e2e4", 30)]),
    ],
)  # fmt: skip
def test_scores_are_exact_and_of_the_lines_asked_for(
    tmp_path: Path, said: list[str], multipv: int, lines: list[tuple[str, int]]
) -> None:
    printed = [f"info depth 1 {line}" if "score" in line else line for line in said]
    assert answer(tmp_path, printed, multipv) == tuple(Line(move, score) for move, score in lines)


def test_a_flood_takes_no_memory(tmp_path: Path) -> None:
    """Of what is printed without end nothing is kept; an hour of it would be read as this second is."""
    go = f"yes '{INFO.removeprefix('echo ').strip(chr(39))}'"
    with Stockfish(fake(tmp_path, go=go), timeout=2, retries=0) as engine:
        tracemalloc.start()
        try:
            with pytest.raises(EngineError, match="no bestmove within 2 s"):
                engine.analyse(chess.STARTING_FEN, depth=1)
            assert tracemalloc.get_traced_memory()[1] < 10 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.timing
@pytest.mark.parametrize(
    "script", [{"go": ":"}, {"go": ":", "isready": "sleep 0.5; echo readyok"}, {"go": "yes"}, {"go": "sleep 1000"}]
)
def test_a_question_is_over_in_twice_its_time_whatever_the_engine_does(tmp_path: Path, script: dict[str, str]) -> None:
    with Stockfish(fake(tmp_path, **script), timeout=1, retries=20) as engine:
        start = time.monotonic()
        with pytest.raises(EngineError, match="no (bestmove|readyok) within 1 s .after [23] attempts.$"):
            engine.analyse(chess.STARTING_FEN, depth=1)
        assert 2 <= time.monotonic() - start < 10


@pytest.mark.timing
def test_an_engine_that_hangs_again_and_again_is_given_up_although_a_new_one_answers(tmp_path: Path) -> None:
    """Every process answers once: no question takes long, and yet they would take for ever."""
    go = f"if [ -z \"$asked\" ]; then asked=1; {INFO}; echo 'bestmove e2e4'; fi"

    def ask(engine: Stockfish) -> None:
        for _ in range(100):
            engine.analyse(chess.STARTING_FEN, depth=1)

    with Stockfish(fake(tmp_path, go=go), timeout=0.5, retries=1) as engine:
        start = time.monotonic()
        with pytest.raises(EngineError, match="no bestmove within 0.5 s .again and again, [5-7] times.$"):
            ask(engine)
        assert time.monotonic() - start < 20


def test_nothing_of_an_engine_behind_a_script_is_left(tmp_path: Path) -> None:
    there = tmp_path / "pid"
    go = f"sleep 1000 & echo $! > '{there}'; wait"
    with Stockfish(fake(tmp_path, go=go), timeout=1, retries=0) as engine, pytest.raises(EngineError):
        engine.analyse(chess.STARTING_FEN, depth=1)
    child = int(there.read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_is_known_by_its_content(tmp_path: Path) -> None:
    path, link = tmp_path / "engine", tmp_path / "link"
    path.write_text("one")
    link.symlink_to(path)
    assert program_digest(str(path)) == program_digest(str(link)) == hashlib.sha256(b"one").hexdigest()
    path.write_text("other")
    assert program_digest(str(path)) == hashlib.sha256(b"other").hexdigest()
    path.unlink()
    with pytest.raises(EngineError, match="^cannot read .*: No such file or directory$"):
        program_digest(str(path))
