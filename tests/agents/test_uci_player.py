"""Any UCI engine as a player: what it answers, and in one line what keeps it from answering."""

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest

from agents.players.base import describe_player, parse_player
from agents.players.uci import UciPlayer
from agents.tools import Tools
from engines import moves
from engines.inference import Evaluation
from engines.settings import SpecError
from engines.stockfish import EngineError, Stockfish
from engines.uci import UciEngine
from tests.helpers.fakes import fake_tools, legal_numbers, pack_board
from tests.helpers.project import STOCKFISH, needs_stockfish, random_games

BOARDS = [board for game in random_games(6, seed=5, plies=80) for board in game[3::11] if any(board.legal_moves)]


def engine_command(*words: str) -> str | None:
    """Command line of an installed engine; None where there is none."""
    program = shutil.which(words[0]) or shutil.which(words[0], path="/usr/games")
    return shlex.join([program, *words[1:]]) if program else None


OTHERS = [
    pytest.param(command, id=words[0], marks=[] if command else pytest.mark.skip(f"no {words[0]}: apt install it"))
    for words in (("gnuchess", "--uci"), ("toga2",))
    for command in [engine_command(*words)]
]  # fmt: skip


def asked(player: UciPlayer, some: Sequence[chess.Board]) -> Evaluation:
    """What a newly started player thinks of some positions."""
    with fake_tools() as tools:
        return tools.player(player)(
            np.array([pack_board(board) for board in some]), [legal_numbers(board) for board in some]
        )


@needs_stockfish
@pytest.mark.parametrize("limit", [{"nodes": 1}, {"nodes": 400}, {"depth": 4}])
def test_stockfish_by_command_plays_and_thinks_what_stockfish_does(limit: dict[str, Any]) -> None:
    seen = asked(UciPlayer(command=STOCKFISH, options={"Hash": 1}, **limit), BOARDS)
    with Stockfish(hash_mib=1) as engine:
        for row, board in enumerate(BOARDS):
            engine.clear()
            (line,) = engine.analyse(board.fen(), **limit)
            assert moves.uci(seen.best(row), board) == line.move
            assert seen.value[row] == pytest.approx(line.expected_score)
            assert sorted(seen.policy[row])[-2:] in ([0, 1], [1])


@pytest.mark.parametrize("command", OTHERS)
def test_another_engine_answers_the_same_whatever_it_was_asked_before(command: str) -> None:
    player = UciPlayer(command=command, depth=3)
    first, again, elsewhere = asked(player, BOARDS), asked(player, BOARDS[::-1]), asked(player, BOARDS[7:9])
    for row in range(len(BOARDS)):
        assert first.policy[row].sum() == 1
        assert np.array_equal(first.policy[row], again.policy[-1 - row])
    assert np.array_equal(first.wdl, again.wdl[::-1])
    assert np.array_equal(first.wdl[7:9], elsewhere.wdl)
    assert len(set(first.value.tolist())) > len(BOARDS) // 2


@pytest.mark.parametrize("command", OTHERS)
def test_another_engine_finds_a_mate(command: str) -> None:
    board = chess.Board("r1bqkbnr/pppp1ppp/2n5/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 4 4")
    seen = asked(UciPlayer(command=command, depth=3), [board])
    assert moves.uci(seen.best(0), board) == "h5f7"
    assert seen.value[0] > 0.95


@needs_stockfish
def test_options_reach_the_engine() -> None:
    weak = {"Skill Level": 0, "UCI_LimitStrength": True, "UCI_Elo": 1400}
    named = {"type": "uci", "command": STOCKFISH, "nodes": 300, "options": weak}
    player = parse_player(named)
    assert parse_player(describe_player(player)) == player
    assert isinstance(player, UciPlayer)
    assert player.options == {"Skill Level": "0", "UCI_LimitStrength": "true", "UCI_Elo": "1400"}
    plain, limited = asked(UciPlayer(command=STOCKFISH, nodes=300), BOARDS), asked(player, BOARDS)
    assert any(plain.best(row) != limited.best(row) for row in range(len(BOARDS)))


def test_the_short_form_names_all_settings() -> None:
    player = parse_player("uci:command=/usr/games/gnuchess --uci,depth=3,options.Hash=1,options.OwnBook=false")
    assert player == UciPlayer(command="/usr/games/gnuchess --uci", depth=3, options={"Hash": "1", "OwnBook": "false"})


@needs_stockfish
def test_the_process_ends_with_the_tools() -> None:
    with Tools() as tools:
        engine = tools.keep(UciEngine([STOCKFISH]))
        pid = engine.pid
        assert pid is not None
        os.kill(pid, 0)
    assert engine.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# What keeps an engine from answering

FAKE = """#!{python}
import os, sys
for line in sys.stdin:
    said = {{"uci": "id name fake\\nuciok", "isready": "readyok"}}.get(line.strip())
    if said:
        print(said, flush=True)
    if line.startswith("go"):
        {go}
"""


def fake(folder: Path, go: str) -> str:
    """Command of an engine that does `go` when it is asked for a move."""
    path = folder / "engine"
    path.write_text(FAKE.format(python=sys.executable, go=go))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no_such_engine --uci", "no engine 'no_such_engine' found: expected the path of an executable file, or"),
        ("/etc/passwd", "no engine '/etc/passwd' found: expected the path of an executable file, or"),
        ("sleep 100", "UCI engine sleep 100: no uciok within 1 s"),
        ("cat", "UCI engine cat: no uciok within 1 s"),
        ("false", "UCI engine false: engine process died unexpectedly (exit code: 1)"),
    ],
)
def test_a_command_that_is_no_engine_is_told_in_one_line(command: str, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        asked(UciPlayer(command=command, nodes=1, timeout=1), BOARDS[:1])
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("go", "said"),
    [
        ("pass", "no answer within 1 s"),
        ("sys.exit(3)", "engine process died unexpectedly (exit code: 3)"),
        ("print('bestmove (none)', flush=True)", "it gave no move in rnbqkbnr/"),
        ("print('bestmove e2e5', flush=True)", "illegal uci: 'e2e5' in rnbqkbnr/"),
        ("print('bestmove', flush=True)", "it gave no move in rnbqkbnr/"),
        ("while True: print('info string still here')", "no answer within 1 s"),
        ("while True: print('x' * 1000, end='')", "a line of more than 1 MiB"),
        ("while True: print('info string ' + 500_000 * 'x')", "more than 64 MiB without an answer"),
    ],
)
def test_an_engine_that_fails_at_a_question_is_told_in_one_line(tmp_path: Path, go: str, said: str) -> None:
    command = fake(tmp_path, go)
    with pytest.raises(EngineError) as caught:
        asked(UciPlayer(command=command, nodes=1, timeout=1), [chess.Board()])
    assert str(caught.value).startswith(f"UCI engine {command}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.timing
@pytest.mark.parametrize("go", ["pass", "while True: print('info depth 1')", "import time; time.sleep(1000)"])
def test_a_question_is_over_in_twice_its_time(tmp_path: Path, go: str) -> None:
    command = fake(tmp_path, go)
    began = time.monotonic()
    with pytest.raises(EngineError, match="no answer within 1 s"):
        asked(UciPlayer(command=command, nodes=1, timeout=1), [chess.Board()])
    assert time.monotonic() - began < 10


@pytest.mark.timing
@pytest.mark.parametrize("word", ["x", "option name x type check default true"])
def test_an_engine_that_floods_from_its_start_is_told_in_one_line(tmp_path: Path, word: str) -> None:
    path = tmp_path / "flood"
    path.write_text(f"#!/bin/sh\nyes '{word}'\n" if word != "x" else "#!/bin/sh\ntr '\\0' x < /dev/zero\n")
    path.chmod(0o755)
    began = time.monotonic()
    with pytest.raises(EngineError) as caught:
        asked(UciPlayer(command=str(path), nodes=1, timeout=2), [chess.Board()])
    assert time.monotonic() - began < 20
    assert str(caught.value).startswith(f"UCI engine {path}: ") and "\n" not in str(caught.value)


SAID = {
    "one line": ["score cp 300 pv e2e4"],
    "two lines": ["multipv 1 score cp 300 pv e2e4", "multipv 2 score cp -900 pv d2d4"],
    "the second first": ["multipv 2 score cp -900 pv d2d4", "multipv 1 score cp 300 pv e2e4"],
    "an upper bound later": ["score cp 300 pv e2e4", "depth 6 score cp -900 upperbound pv e2e4"],
    "a lower bound later": ["score cp 300 pv e2e4", "score cp 900 lowerbound pv e2e4", "nodes 7"],
    "a bound before": ["score cp -900 upperbound pv e2e4", "score cp 300 pv e2e4"],
    "a newer one": ["score cp 20 pv d2d4", "score cp 25 lowerbound pv e2e4", "score cp 300 pv e2e4"],
    "a bound alone": ["score cp 300 lowerbound pv e2e4"],
    "a text about scores": ["score cp 300 pv e2e4", "string score cp -900 pv d2d4"],
}


@pytest.mark.parametrize("name", SAID)
def test_the_score_is_the_exact_one_of_the_move_itself(tmp_path: Path, name: str) -> None:
    lines = "".join(f"info {line}\\n" for line in SAID[name])
    seen = asked(UciPlayer(command=fake(tmp_path, f"print('{lines}bestmove e2e4', flush=True)"), nodes=1),
                 [chess.Board(), chess.Board()])  # fmt: skip
    assert seen.value == pytest.approx(0.7511, abs=1e-4)  # what 300 centipawns are worth


def test_an_engine_that_dies_once_is_asked_again(tmp_path: Path) -> None:
    died = tmp_path / "died"
    dies = f"[open({str(died)!r}, 'w'), sys.exit(1)]"
    go = f"print('bestmove e2e4', flush=True) if os.path.exists({str(died)!r}) else {dies}"
    seen = asked(UciPlayer(command=fake(tmp_path, go), nodes=1), [chess.Board()] * 3)
    assert died.exists()
    assert [moves.uci(seen.best(row), chess.Board()) for row in range(3)] == ["e2e4"] * 3
    assert seen.value == pytest.approx(0.5)  # it gives no score


@needs_stockfish
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"Hush": 1}, "engine does not support option Hush (available options: "),
        ({"Hash": "big"}, "expected integer for spin option 'Hash', got: 'big'"),
        ({"Hash": 0}, "expected value for option 'Hash' to be at least 1, got: 0"),
        ({"MultiPV": 2}, "cannot set MultiPV which is automatically managed"),
    ],
)
def test_an_option_that_the_engine_does_not_take_is_told_in_one_line(options: dict[str, object], said: str) -> None:
    player = UciPlayer.model_validate({"command": STOCKFISH, "nodes": 1, "options": options})
    with pytest.raises(EngineError) as caught:
        asked(player, BOARDS[:1])
    assert str(caught.value).startswith(f"UCI engine {STOCKFISH}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("uci", "command: missing"),
        ("uci:command=x", "expected exactly one of nodes and depth, got neither"),
        ("uci:command=x,nodes=1,depth=1", "expected exactly one of nodes and depth, got both"),
        ("uci:command=x,nodes=0", "nodes: expected at least 1, got 0"),
        ("uci:command=x,movetime=5", "movetime: unknown key; known here: command, nodes, depth, options, timeout"),
        ("uci:command=x 'y,nodes=1", 'command: expected a command line (no closing quotation), got "x \'y"'),
        ("uci:command=' ',nodes=1", "command: expected a command line, not empty, got ' '"),
        ("uci:command=x,nodes=1,options=3", "options: expected a mapping of keys, got 3"),
        ("uci:command=x,nodes=1,options.A=", "options: A: expected text, a number, true or false, got None"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(named: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_player(named)
    assert str(caught.value) == said


@needs_stockfish
def test_a_uci_engine_plays_a_match_and_leaves_no_word_of_its_own(root: Path) -> None:
    command = [sys.executable, "-m", "experiments.cli.main", "match", "weak", f"uci:command={STOCKFISH},nodes=50"]
    command += ["--pairs", "2", "--workers", "1", "--ply-cap", "20", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=root, check=True)
    assert 0 <= json.loads(done.stdout)["score"]["value"] <= 1
    wrong = [
        sys.executable,
        "-m",
        "experiments.cli.main",
        "ask",
        "uci:command=sleep 100,depth=1,timeout=0.5",
        chess.STARTING_FEN,
    ]
    told = subprocess.run(wrong, capture_output=True, text=True, timeout=60, cwd=root, check=False)
    assert told.returncode == 1
    assert told.stderr == "Error: UCI engine sleep 100: no uciok within 0.5 s\n"
