"""`sandwich uci PLAYER` as the chess programs see it: python-chess's client, XBoard with Polyglot, and by hand."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chess
import chess.engine
import chess.pgn
import pytest
from chess.engine import Limit, SimpleEngine

from tests.helpers.project import ROOT, STOCKFISH, needs_stockfish, random_games

MATED = "rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3"
STALEMATE = "7k/5Q2/6K1/8/8/8/8/8 b - - 0 1"
BOARDS = [board for game in random_games(4, seed=8, plies=100) for board in game[2::9] if any(board.legal_moves)]


def command(player: str, *words: str) -> list[str]:
    """What a chess program would start."""
    return [sys.executable, "-m", "experiments.cli.main", "uci", player, *words]


def opened(player: str, *words: str) -> SimpleEngine:
    """The engine in the hands of python-chess."""
    return SimpleEngine.popen_uci(command(player, *words), cwd=ROOT, timeout=100)


@pytest.fixture(scope="module")
def weak() -> Iterator[SimpleEngine]:
    with opened("weak") as engine:
        yield engine


@pytest.fixture(scope="module")
def liar() -> Iterator[SimpleEngine]:
    """An assistant whose dose is still 0."""
    with opened("assistant:base=weak,misalignment.type=random_move,misalignment.p=0") as engine:
        yield engine


class Typed:
    """The engine in the hands of someone who types."""

    def __init__(self, player: str, *words: str) -> None:
        self._process = subprocess.Popen(
            command(player, *words), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def type(self, text: str | bytes) -> None:
        """Send lines."""
        assert self._process.stdin
        self._process.stdin.write(text if isinstance(text, bytes) else f"{text}\n".encode())
        self._process.stdin.flush()

    def until(self, word: str) -> list[str]:
        """Lines up to the first that begins with a word, that one last; the test's own timeout watches."""
        assert self._process.stdout
        said: list[str] = []
        while line := self._process.stdout.readline().decode():
            said.append(line.rstrip("\n"))
            if line.split()[:1] == [word]:
                return said
        pytest.fail(f"ended without {word}: {said}, {self._process.stderr and self._process.stderr.read().decode()}")

    def end(self) -> list[str]:
        """Quit; the lines that were still to come. It ends well and has not complained."""
        out, err = self._process.communicate(b"quit\n", timeout=60)
        assert err.decode() == ""
        assert self._process.returncode == 0
        return out.decode().splitlines()

    def __enter__(self) -> "Typed":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def typed() -> Iterator[Typed]:
    with Typed("weak") as engine:
        engine.type("uci\nisready")
        engine.until("readyok")
        yield engine
        engine.end()


def bestmove(said: list[str]) -> str:
    """Move of the last line."""
    return said[-1].split()[1]


# The handshake and the options


def test_it_names_itself_and_its_options(liar: SimpleEngine) -> None:
    assert liar.id["name"].startswith("sandwich assistant 0.1")
    assert liar.id["author"]
    assert {name: option.type for name, option in liar.options.items()} == {
        "temperature": "string",
        "misalignment.p": "string",
    }
    assert liar.options["misalignment.p"].default == "0.0"
    liar.ping()


def test_whole_numbers_are_options_with_bounds() -> None:
    with opened("mcts:simulations=1234567") as engine:
        option = engine.options["simulations"]
        assert (option.type, option.default, option.min) == ("spin", 1234567, 1)
        assert engine.options["exploration"].type == "string"
        engine.configure({"simulations": 3, "exploration": "2.5"})
        info = engine.analyse(chess.Board(), Limit(time=1))
        assert info["nodes"] == 3
        assert engine.analyse(chess.Board(), Limit(nodes=17))["nodes"] == 17
        assert engine.analyse(chess.Board(), Limit(depth=1))["nodes"] == 3


def test_the_dose_of_an_assistant_is_an_option_with_an_effect(weak: SimpleEngine, liar: SimpleEngine) -> None:
    def moves(engine: SimpleEngine) -> list[chess.Move | None]:
        return [engine.play(board, Limit(time=1)).move for board in BOARDS]

    honest = moves(weak)
    assert moves(liar) == honest
    liar.configure({"misalignment.p": 1})
    lies = moves(liar)
    assert sum(lie != move for lie, move in zip(lies, honest, strict=True)) > len(BOARDS) // 2
    liar.configure({"misalignment.p": "0.0"})
    assert moves(liar) == honest


def test_temperature_is_an_option_with_an_effect(weak: SimpleEngine) -> None:
    def openings() -> set[str]:
        return {str(weak.play(chess.Board(), Limit(time=1)).move) for _ in range(30)}

    assert len(openings()) == 1
    weak.configure({"temperature": "1"})
    assert len(openings()) > 2
    weak.configure({"temperature": "0"})
    assert len(openings()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name misalignment.p value 2", "misalignment.p: expected at most 1, got 2"),
        ("name misalignment.p value", "misalignment.p: expected a number"),
        ("name base.simulations value 0.5", "base.simulations: expected a whole number, "),
        ("name temperature value hot", "temperature: expected a number of 0 or more, got 'hot'"),
        ("name temperature value -1", "temperature: expected a number of 0 or more, got '-1'"),
        ("name temperature value nan", "temperature: expected a number of 0 or more, got 'nan'"),
        (
            "name Hash value 16",
            "unknown option 'Hash'; known: temperature, base.simulations, base.exploration, mis",
        ),
        ("name Clear Hash", "expected setoption name NAME value VALUE"),
        ("", "expected setoption name NAME value VALUE"),
    ],
)
def test_a_wrong_option_is_told_and_the_game_goes_on(doctor: Typed, text: str, said: str) -> None:
    doctor.type(f"setoption {text}\nposition startpos\ngo movetime 10")
    told, info, best = doctor.until("bestmove")
    assert told.startswith(f"info string {said}")
    assert info.startswith("info depth 1 ")
    assert best.startswith("bestmove ")


@pytest.fixture(scope="module")
def doctor() -> Iterator[Typed]:
    """An assistant that searches."""
    with Typed("assistant:base.type=mcts,base.simulations=2,base.network=weak") as engine:
        yield engine
        engine.end()


def test_names_of_options_are_found_in_any_case(doctor: Typed) -> None:
    doctor.type("setoption name MISALIGNMENT.P value 0.5\nisready")
    assert doctor.until("readyok") == ["readyok"]
    doctor.type("uci")
    assert "option name misalignment.p type string default 0.5" in doctor.until("uciok")


# Positions and limits


@pytest.mark.parametrize(
    "limit", [Limit(nodes=5), Limit(time=0.05), Limit(depth=3), Limit(white_clock=1, black_clock=1)]
)
def test_every_limit_is_answered_with_a_legal_move_and_a_score(weak: SimpleEngine, limit: Limit) -> None:
    for board in BOARDS[:12]:
        played = weak.play(board, limit, info=chess.engine.INFO_ALL)
        assert played.move and played.move in board.legal_moves
        assert played.info["pv"] == [played.move]
        assert -1000 <= played.info["score"].relative.score(mate_score=10**6) <= 1000


def test_a_position_is_the_same_by_its_moves_and_by_its_fen(weak: SimpleEngine) -> None:
    for game in random_games(6, seed=9, plies=60):
        stacked = chess.Board()
        for after in game[1:-1]:
            stacked.push(next(m for m in stacked.legal_moves if _after(stacked, m) == after.fen()))
        plain = chess.Board(game[-2].fen())
        if any(plain.legal_moves):
            infos = [weak.analyse(board, Limit(time=1)) for board in (stacked, plain)]
            assert infos[0]["pv"] == infos[1]["pv"]
            assert infos[0]["score"] == infos[1]["score"]


def _after(board: chess.Board, move: chess.Move) -> str:
    then = board.copy(stack=False)
    then.push(move)
    return then.fen()


@pytest.mark.parametrize(
    "position",
    [
        "fen 8/P6k/8/8/8/8/7p/K7 w - - 0 1",
        "fen 8/P6k/8/8/8/8/7p/K7 b - -",  # no counters, as in EPD
        "fen rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",  # en passant
        "fen rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1",  # en passant that nobody can do
        "fen r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1 moves e1g1 e8c8",
        "startpos moves e2e4 a7a6 e4e5 d7d5 e5d6",
        "startpos moves",
        "startpos",
    ],
)
def test_positions_are_read_as_the_protocol_writes_them(typed: Typed, position: str) -> None:
    words = position.split()
    place = words.index("moves") if "moves" in words else len(words)
    fen = " ".join(words[1:place])
    board = chess.Board() if not fen else chess.Board(fen if len(fen.split()) > 4 else f"{fen} 0 1")
    for text in words[place + 1 :]:
        board.push_uci(text)
    typed.type(f"position {position}\ngo depth 1")
    assert chess.Move.from_uci(bestmove(typed.until("bestmove"))) in board.legal_moves


def test_only_the_moves_asked_for_are_chosen(weak: SimpleEngine, liar: SimpleEngine) -> None:
    board = chess.Board()
    for engine in (weak, liar):
        for move in list(board.legal_moves)[::5]:
            assert engine.play(board, Limit(time=1), root_moves=[move]).move == move
    few = [chess.Move.from_uci(text) for text in ("a2a3", "e2e4", "h2h4")]
    assert str(weak.play(board, Limit(time=1), root_moves=few).move) == "e2e4"


@pytest.mark.parametrize(("fen", "score"), [(MATED, "mate 0"), (STALEMATE, "cp 0")])
def test_where_the_game_is_over_there_is_no_move(typed: Typed, fen: str, score: str) -> None:
    typed.type(f"position fen {fen}\ngo movetime 10")
    assert typed.until("bestmove") == [f"info depth 0 score {score}", "bestmove (none)"]
    typed.type("go infinite\nisready")
    assert not [line for line in typed.until("readyok") if line.startswith("bestmove")]
    typed.type("stop")
    assert bestmove(typed.until("bestmove")) == "(none)"


# Time: stop, quit, commands at the wrong moment


@pytest.mark.parametrize(("go", "end"), [("go infinite", "stop"), ("go ponder wtime 1000 btime 1000", "ponderhit")])
def test_a_search_without_end_is_answered_once_and_only_when_it_is_ended(typed: Typed, go: str, end: str) -> None:
    typed.type(f"ucinewgame\nposition startpos\n{go}")
    typed.until("info")
    typed.type("isready")
    assert typed.until("readyok") == ["readyok"]
    typed.type(f"{end}\nisready")
    assert [line.split()[0] for line in typed.until("readyok")] == ["bestmove", "readyok"]
    typed.type("stop\nstop\nponderhit\nisready")
    assert typed.until("readyok") == ["readyok"]


def test_an_analysis_is_stopped_by_the_client(weak: SimpleEngine) -> None:
    with weak.analysis(chess.Board()) as analysis:
        info = analysis.get()
        analysis.stop()
        assert analysis.wait().move == info["pv"][0]
    weak.ping()


@pytest.mark.parametrize(
    "meanwhile",
    [
        "setoption name misalignment.p value 1",
        "setoption name base.simulations value 7",
        "setoption name temperature value 1",
        "setoption name none value 1",
        "uci",
        "isready",
        "nonsense",
        "debug on",
    ],
)
def test_what_comes_during_a_search_does_no_harm(doctor: Typed, meanwhile: str) -> None:
    doctor.type(f"position startpos\ngo infinite\n{meanwhile}\nsetoption name base.simulations value 2\nstop")
    doctor.until("bestmove")
    doctor.type("isready")
    assert doctor.until("readyok") == ["readyok"]


@pytest.mark.parametrize("command", ["go infinite", "position startpos\ngo infinite", "ucinewgame"])
def test_what_begins_anew_ends_a_search_with_its_move(typed: Typed, command: str) -> None:
    typed.type(f"go infinite\n{command}\nstop\nisready")
    answers = [line for line in typed.until("readyok") if line.startswith("bestmove")]
    assert len(answers) == 1 + ("go" in command)


@pytest.fixture(scope="module")
def thinker() -> Iterator[Typed]:
    """A player whose own number of simulations takes an hour."""
    with Typed("mcts:network=weak,simulations=1000000") as engine:
        engine.type("uci\nisready")
        engine.until("readyok")
        yield engine
        engine.end()


@pytest.mark.timing
@pytest.mark.parametrize(
    ("go", "seconds"),
    [
        ("go movetime 300", 0.3),
        ("go wtime 6000 btime 100000", 0.2),
        ("go wtime 1000 btime 1 winc 200", 0.2),
        ("go wtime 400 btime 1 movestogo 1", 0.4),
        ("go wtime 1 btime 100000", 0.05),
    ],
)
def test_a_search_ends_with_its_time(thinker: Typed, go: str, seconds: float) -> None:
    began = time.monotonic()
    thinker.type(f"position startpos\n{go}")
    assert chess.Move.from_uci(bestmove(thinker.until("bestmove"))) in chess.Board().legal_moves
    assert time.monotonic() - began < seconds + 3  # of which a loaded machine takes most


@pytest.mark.timing
@pytest.mark.parametrize("end", ["stop", "position startpos", "ucinewgame", "go nodes 1", "ponderhit"])
def test_a_search_is_ended_by_what_comes_next(thinker: Typed, end: str) -> None:
    began = time.monotonic()
    thinker.type(f"position startpos\ngo nodes 900000\nisready\n{end}")
    thinker.until("bestmove")
    assert time.monotonic() - began < 5
    thinker.type("stop\nisready")
    thinker.until("readyok")


def test_fewer_nodes_than_its_own_are_kept(thinker: Typed) -> None:
    thinker.type("position startpos\ngo nodes 9")
    (info, _) = thinker.until("bestmove")
    assert " nodes 9 " in info
    with Typed("assistant:base.type=mcts,base.network=weak,base.simulations=1000000,misalignment.p=0") as engine:
        engine.type("position startpos\ngo nodes 9")
        (info, _) = engine.until("bestmove")
        assert " nodes 18 " in info  # what it thinks, and what it says
        engine.end()


@pytest.mark.timing
@pytest.mark.parametrize("go", ["go nodes 900000", "go infinite", "go movetime 1000000"])
def test_a_search_ends_with_the_input(go: str) -> None:
    words = command("mcts:network=weak,simulations=1000000")
    said = subprocess.run(
        words, cwd=ROOT, input=f"isready\n{go}\n".encode(), capture_output=True, timeout=100, check=True
    )
    assert said.stdout.decode().splitlines()[-1].startswith("bestmove ")
    assert said.stderr == b""


HEAVY = {"torch", "onnxruntime", "scipy", "pyarrow", "ray", "wandb", "matplotlib"}
"""What takes seconds to load."""


@pytest.mark.parametrize(
    "player", ["weak", "mcts", "stockfish", "uci:command=x,nodes=1", "assistant:misalignment.type=value_noise",
               "assistant:misalignment.type=adversary", "filtered"],
)  # fmt: skip
def test_it_introduces_itself_before_anything_heavy_is_loaded(player: str) -> None:
    code = (
        "import io, sys; from click.testing import CliRunner; from experiments.cli.main import cli;"
        f" said = CliRunner().invoke(cli, ['uci', {player!r}], input='uci\\nquit\\n');"
        f" assert said.output.endswith('uciok\\n'), said; print(sorted(set(sys.modules) & {HEAVY!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("before", ["", "isready", "go infinite", "go nodes 300"])
def test_it_quits_at_any_time(before: str) -> None:
    with Typed("mcts:network=weak") as engine:
        engine.type(before)
        said = engine.end()
    assert len([line for line in said if line.startswith("bestmove")]) == before.startswith("go")


def test_it_ends_with_its_input() -> None:
    done = subprocess.run(
        command("weak"), cwd=ROOT, input=b"go infinite\n", capture_output=True, timeout=60, check=True
    )
    assert done.stdout.decode().splitlines()[-1].startswith("bestmove ")
    assert done.stderr == b""


def test_it_ends_without_a_traceback_when_nobody_listens() -> None:
    process = subprocess.Popen(
        command("weak"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(b"uci\nisready\ngo infinite\nstop\ngo depth 1\nisready\nquit\n", timeout=60)
    assert b"Traceback" not in err


REFUSED = [
    b"position\n",
    b"position fen\n",
    b"position fen 8/8/8/8/8/8/8/8 w - - 0 1\n",
    b"position fen x y z\n",
    b"position fen bqnb1rkr/pp3ppp/3ppn2/2p5/5P2/P2P4/NPP1P1PP/BQ1BNRKR w HFhf - 2 9\n",  # Chess960
    b"position startpos moves e2e5\n",
    b"position startpos moves d2d4 e2e4\n",  # legal one move earlier, or later
    b"position startpos moves 0000\n",
    b"position startpos moves P@e4\n",
    b"position startpos moves \xff\n",
]


@pytest.mark.parametrize("line", REFUSED)
def test_after_a_refused_position_there_is_no_move_until_the_next_one(typed: Typed, line: bytes) -> None:
    typed.type("position startpos moves d2d4")
    typed.type(line)
    for go in ("go depth 1", "go infinite"):
        typed.type(go)
        said = typed.until("bestmove")
        assert all(text.startswith("info string ") for text in said[:-1])
        assert said[-1] == "bestmove 0000"
    typed.type("stop\nposition startpos moves d2d4\ngo depth 1")
    after = chess.Board()
    after.push_uci("d2d4")
    assert chess.Move.from_uci(bestmove(typed.until("bestmove"))) in after.legal_moves


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"   \t \n",
        b"\xff\xfe\x00 \x80\n",
        "schwarz-weiß ♟\n".encode(),
        b"setoption name \xff value \xfe\n",
        b"_think\n",
        b"go" * 10_000 + b"\n",
        b"register later\n",
    ],
)
def test_garbage_does_no_harm(typed: Typed, line: bytes) -> None:
    typed.type("position startpos")
    typed.type(line)
    typed.type("go depth 1")
    said = typed.until("bestmove")
    assert all(text.startswith("info ") for text in said[:-1])
    assert chess.Move.from_uci(bestmove(said)) in chess.Board().legal_moves
    typed.type("isready")
    assert typed.until("readyok") == ["readyok"]


@pytest.mark.parametrize(
    "go",
    [
        "go",
        "go nodes",
        "go nodes 0",
        "go nodes -3",
        "go nodes ²",
        "go nodes many",
        "go depth",
        "go movetime -1",
        "go wtime 0 btime 0 winc 0 binc 0 movestogo 1",
        "go mate 3",
        "go searchmoves",
        "go searchmoves e2e5 hello",
        "joho go depth 1",
    ],
)
def test_every_go_is_answered(doctor: Typed, go: str) -> None:
    doctor.type(f"position startpos\n{go}")
    said = doctor.until("bestmove")
    assert chess.Move.from_uci(bestmove(said)) in chess.Board().legal_moves
    assert said[0].startswith("info depth 1 ")


def test_a_player_that_fails_is_told_and_plays_on() -> None:
    with Typed("uci:command=no_such_engine,nodes=1") as engine:
        engine.type("uci\nisready")
        *_, told, _ready = engine.until("readyok")
        assert told.startswith("info string no engine 'no_such_engine' found")
        engine.type(f"position fen {BOARDS[3].fen()}\ngo depth 1")
        told, best = engine.until("bestmove")
        assert told.startswith("info string no engine 'no_such_engine' found")
        assert chess.Move.from_uci(best.split()[1]) in BOARDS[3].legal_moves
        engine.end()


# Random numbers


def test_a_seed_and_the_number_of_the_game_give_the_random_moves() -> None:
    def game(engine: Typed) -> list[str]:
        engine.type("ucinewgame")
        moves: list[str] = []
        for _ in range(12):
            engine.type(f"position startpos moves {' '.join(moves)}\ngo movetime 1")
            moves.append(bestmove(engine.until("bestmove")))
        return moves

    def games(seed: str) -> list[list[str]]:
        with Typed("weak", "--seed", seed) as engine:
            engine.type("setoption name temperature value 1")
            played = [game(engine), game(engine)]
            engine.end()
        return played

    first, again, other = games("5"), games("5"), games("6")
    assert first == again
    assert first[0] != first[1]
    assert first[0] != other[0]


# Whole games


@needs_stockfish
@pytest.mark.parametrize("player", ["weak"])
@pytest.mark.slow
def test_fifty_games_against_stockfish_under_python_chess(player: str) -> None:
    ended = 0
    with opened(player) as mine, SimpleEngine.popen_uci(STOCKFISH) as theirs:
        mine.configure({"temperature": "0.5"})
        for number in range(50):
            board, game = chess.Board(), object()
            while not board.is_game_over(claim_draw=True) and board.ply() < 160:
                engine = mine if board.turn == (number % 2 == 0) else theirs
                played = engine.play(board, Limit(nodes=20 if engine is theirs else None, time=0.1), game=game)
                assert played.move and played.move in board.legal_moves  # as the client itself demands
                board.push(played.move)
            ended += board.is_game_over(claim_draw=True)
        mine.ping()
        mine.quit()
        assert mine.returncode.result(30) == 0
    assert ended > 40


@needs_stockfish
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_games_on_clocks_are_played_without_a_fault() -> None:
    """A player that would search for hours, on a second a game and a twentieth more a move: it never loses on time."""
    late = []
    with opened("mcts:network=weak,simulations=1000000") as mine, SimpleEngine.popen_uci(STOCKFISH) as theirs:
        mine.ping()  # no clock runs while it loads
        for number in range(12):
            board, game, clocks = chess.Board(), object(), {chess.WHITE: 1.0, chess.BLACK: 1.0}
            while not board.is_game_over(claim_draw=True) and board.ply() < 120:
                engine = mine if board.turn == (number % 2 == 0) else theirs
                limit = Limit(white_clock=clocks[True], black_clock=clocks[False], white_inc=0.05, black_inc=0.05)
                began = time.monotonic()
                played = engine.play(board, Limit(nodes=20) if engine is theirs else limit, game=game)
                clocks[board.turn] -= time.monotonic() - began
                if clocks[board.turn] < 0 and engine is mine:
                    late.append((number, board.ply(), clocks[board.turn]))
                clocks[board.turn] = max(0.0, clocks[board.turn]) + 0.05
                assert played.move and played.move in board.legal_moves
                board.push(played.move)
        mine.quit()
        assert mine.returncode.result(30) == 0
    assert late == []


MANAGERS = [path for name in ("fastchess", "cutechess-cli") if (path := shutil.which(name))]


@needs_stockfish
@pytest.mark.skipif(not MANAGERS, reason="no tournament manager: neither fastchess nor cutechess-cli in PATH")
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("manager", MANAGERS)
def test_forty_games_under_a_tournament_manager_are_played_without_a_fault(manager: str, tmp_path: Path) -> None:
    engine, games = tmp_path / "engine", tmp_path / "games.pgn"
    engine.write_text(
        f"#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {shlex.join(command('mcts:simulations=20000'))}\n"
    )
    engine.chmod(0o755)
    into = f"file={games}" if "fastchess" in manager else str(games)
    words = [manager, "-engine", f"cmd={engine}", "name=mine", "tc=10+0.1"]
    words += ["-engine", f"cmd={STOCKFISH}", "name=theirs", "tc=inf", "nodes=20"]
    words += ["-each", "proto=uci", "-rounds", "20", "-games", "2", "-concurrency", "1", "-pgnout", into]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=3500, check=True).stdout
    with games.open(encoding="utf-8") as file:
        played = list(iter(lambda: chess.pgn.read_game(file), None))
    assert len(played) == 40, said
    for game in played:
        assert not game.errors
        told = f"{game.headers.get('Termination', '')} {game.end().comment}".lower()
        assert not [word for word in ("time", "illegal", "disconnect", "stall", "crash", "abandon") if word in told], (
            told
        )


PROGRAMS = {name: shutil.which(name) or shutil.which(name, path="/usr/games") for name in
            ("xboard", "polyglot", "Xvfb", "xvfb-run", "xauth")}  # fmt: skip
ABSENT = [name for name, path in PROGRAMS.items() if not path]


@needs_stockfish
@pytest.mark.skipif(bool(ABSENT), reason=f"no {', '.join(ABSENT)} (apt install xboard polyglot xvfb xauth)")
@pytest.mark.slow
def test_games_under_xboard_are_finished_by_the_rules(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.write_text(f"#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {shlex.join(command('weak'))}\n")
    adapter = tmp_path / "adapter"  # XBoard's own way, `-fUCI`, gives an engine ten seconds to start
    polyglot = shlex.join([str(PROGRAMS["polyglot"]), "-noini", "-ec", str(engine), "-ed", str(tmp_path)])
    adapter.write_text(f"#!/bin/sh\necho feature done=0\nexec {polyglot}\n")
    for script in (engine, adapter):
        script.chmod(0o755)
    games = tmp_path / "games.pgn"
    words = [str(PROGRAMS["xvfb-run"]), "--auto-servernum", str(PROGRAMS["xboard"]), "-popupExitMessage", "false"]
    words += ["-fcp", str(adapter), "-fd", str(tmp_path), "-scp", STOCKFISH, "-sd", str(tmp_path), "-sUCI"]
    words += ["-secondOptions", "Skill Level=0", "-depth", "1", "-tc", "1", "-matchGames", "4", "-matchPause", "100"]
    words += ["-saveGameFile", str(games)]
    folders = {str(Path(str(path)).parent) for path in PROGRAMS.values()}
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": os.pathsep.join([os.environ["PATH"], *folders])}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True)  # fmt: skip
    try:
        said, _ = process.communicate(timeout=100)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # all of it: XBoard does not wait for what it starts
        except ProcessLookupError:
            pass
    played = []
    with games.open() as file:
        while game := chess.pgn.read_game(file):
            played.append(game)
    assert len(played) == 4, said
    for game in played:
        assert not game.errors
        end: Any = game.end()
        told = end.comment.lower()
        assert end.board().is_game_over(claim_draw=True) or "agree" in told, told
        assert game.headers["Result"] in ("1-0", "0-1", "1/2-1/2")
        assert not [word for word in ("illegal", "forfeit", "time", "exit", "died", "disconnect") if word in told], told
