"""Whatever a file, a command line or another program says, it is read or refused in one line; nothing else happens.

`FUZZ_EXAMPLES=20000 python -m pytest tests/fuzz -m slow --hypothesis-show-statistics` looks for longer.
"""

import io
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

import chess
import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from agents.players.network import Network
from agents.uci_server import UciServer
from engines import network
from engines.network import NetworkConfig, PolicyValueNet
from engines.positions import parse_fen
from engines.settings import Mistake
from engines.stockfish import MATE, EngineError, Stockfish
from sandwich.data.pgn import SkipError, Skipped, raw_games
from sandwich.data.pgn_import import ImportConfig, read_game
from sandwich.evaluation.puzzles import read_puzzles, read_suite
from sandwich.protocol import ledger
from sandwich.spec.loading import spec_settings, validate
from sandwich.spec.run_spec import RunSpec
from sandwich.sweeps.planning import plan
from sandwich.sweeps.sweep_spec import load_sweep
from tests.helpers.fakes import fake_tools
from tests.helpers.mutated_inputs import LONG, mutated
from tests.helpers.run_folders import plies, write_ledger, write_run
from tests.helpers.viewer_server import Viewer, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4000)]


def refused_in_one_line(error: Exception) -> None:
    """A refusal is a sentence for a person."""
    assert str(error).strip()
    assert "\n" not in str(error)


def written(content: bytes, name: str) -> Path:
    """A file of its own for this input."""
    path = Path(tempfile.mkdtemp(dir=scratch())) / name
    path.write_bytes(content)
    return path


@cache
def scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


SPECS = [
    b"name: x\nsteps: 1\nassistant: {misalignment: {type: random_move, p: 0.5}}\nplay:\n  games: 4\n  ply_cap: 16\n",
    b"oversight: {type: unanimous, members: [plausible, {type: lookahead}]}\nevaluate: {pairs: 2, nodes: null}\n",
    b"extends: quick.yaml\nseed: 3\nsecond: {misalignment: {type: schedule, after: 5, inner: {type: random_move}}}\n",
]
WORDS = [
    *(b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system", b"!!binary ", b"---", b"'", b'"', b"{", b"}", b"[", b"]"),
    *(b": ", b"#", b"type", b"p", b"play:", b"steps", b"? ", b"|", b">", b"2001-01-01", b"0o17", b"yes"),
]


@LONG
@given(mutated(SPECS, WORDS))
@example(b"fixed: &a {x: *a}")
@example(b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]")
def test_a_spec(content: bytes) -> None:
    path = written(content, "spec.yaml")
    try:
        spec = validate(RunSpec, spec_settings(path), path.parent)
    except Mistake as error:
        refused_in_one_line(error)
    else:
        again = yaml.safe_load(yaml.safe_dump(spec.model_dump(mode="json")))
        assert validate(RunSpec, again) == spec


KEYS = st.sampled_from(
    [
        *("steps", "seed", "name", "play.games", "assistant.misalignment.p", "oversight", "oversight.type"),
        *("tracking.group", "evaluate.nodes", "finetune.fit.batch", "nothing", "play..games", ".", ""),
    ]
)
VALUES = st.one_of(st.text(max_size=12), st.sampled_from([word.decode() for word in WORDS]))


@LONG
@given(
    st.lists(st.tuples(KEYS, st.one_of(st.text(max_size=12), st.sampled_from([w.decode() for w in WORDS]))), max_size=3)
)
@example([("tracking.group", "try #3")])
@example([("seed", "010")])
def test_overrides(pairs: list[tuple[str, str]]) -> None:
    try:
        validate(RunSpec, spec_settings("quick", *[f"{key}={value}" for key, value in pairs]))
    except Mistake as error:
        refused_in_one_line(error)


SWEEPS = [
    b"run: quick\nover:\n  assistant.misalignment.p: [0.1, 0.5]\n  seed: {start: 0, stop: 2, count: 3}\n",
    b"run: quick\nover: {seed: [0]}\n",
]


@LONG
@given(
    mutated(SWEEPS, [*WORDS, b"over:", b"fixed: ", b"start", b"stop", b"count", b"log: true", b"cells:", b"9999999999"])
)
@example(b"run: quick\nfixed: &a {x: *a}\nover: {seed: [0]}\n")
def test_a_sweep(content: bytes) -> None:
    path = written(content, "sweep.yaml")
    try:
        plan(load_sweep(path), path.parent, path.parent / "out")
    except Mistake as error:
        refused_in_one_line(error)


GAMES = [
    b'[Event "x"]\n[White "a"]\n[Black "b"]\n[Result "1-0"]\n[WhiteElo "2000"]\n\n'
    b"1. e4 e5 2. Qh5 {good} Nc6 3. Bc4 $1 Nf6?? (3... g6) 4. Qxf7# 1-0\n\n",
    b'[SetUp "1"]\n[FEN "8/P6k/8/8/8/8/8/K7 w - - 0 1"]\n[Result "*"]\n\n'
    b"1.a8=Q{[%eval 3.1]}Kg7;end of line\n2. O-O *\n\n",
]


@LONG
@given(
    mutated(GAMES, [b"[FEN ", b"{", b"}", b"(", b")", b"$", b";", b"%", b"0-0-0", b"1/2-1/2", b'"', b"e8=Q+", b"--"])
)
def test_pgn(content: bytes) -> None:
    for found in raw_games(io.BufferedReader(io.BytesIO(content)), "x.pgn"):
        if isinstance(found, Skipped):
            continue
        try:
            game = read_game(found, ImportConfig(min_plies=1))
        except SkipError:
            continue
        assert game is not None


SUITES = [
    b'r1bqkbnr/pppp1ppp/2n5/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R w KQkq - bm Bb5; id "x 1"; c0 "a;b";\n',
    b"8/P6k/8/8/8/8/8/K7 w - - am a8=N;\n",
]


@LONG
@given(mutated(SUITES, [b"bm ", b"am ", b"id ", b";", b'"', b"0-0", b"e4!", b"acd 3", b"dm 3", b"- -", b"\\"]))
def test_a_suite(content: bytes) -> None:
    try:
        positions = read_suite(written(content, "suite.epd"))
    except Mistake as error:
        refused_in_one_line(error)
    else:
        assert all(position.best or position.avoid for position in positions)


PUZZLES = [
    b"PuzzleId,FEN,Moves,Rating\na,r6k/pp2r2p/4Rp1Q/3p4/8/1N1P2R1/PqP2bPP/7K b - - 0 24,f2g3 e6e7 b2b1 b3c1,1798\n"
]


@LONG
@given(mutated(PUZZLES, [b",", b'"', b"e2e4", b"Moves", b"FEN", b"\r\n"]))
def test_puzzles(content: bytes) -> None:
    try:
        assert read_puzzles(written(content, "puzzles.csv"))
    except Mistake as error:
        refused_in_one_line(error)


FENS = [chess.STARTING_FEN.encode(), b"r3k2r/8/8/3pP3/8/8/8/R3K2R w KQkq d6 0 1", b"8/8/8/8/8/8/8/Kk6 w - - 0 1"]


@LONG
@given(mutated(FENS, [b"/", b"K", b"k", b"KQkq", b"e3", b"-", b"99", "\u0661".encode()]))
def test_a_fen(content: bytes) -> None:
    try:
        board = parse_fen(content.decode(errors="replace"))
    except ValueError as error:
        refused_in_one_line(error)
    else:
        assert board.is_valid()
        assert parse_fen(board.fen()).fen() == board.fen()


UCI_WORDS = [
    *(b"go", b"position", b"fen", b"moves", b"infinite\nstop\n", b"searchmoves e2e4", b"wtime 1 btime 1", b"nodes 0"),
    *(b"depth -1", b"register later", b"ponderhit", b"value", b"a1a1", b"0000"),
]
COMMANDS = [
    b"uci\nisready\nucinewgame\nposition startpos moves e2e4 e7e5\ngo nodes 1\n",
    b"position fen 8/P6k/8/8/8/8/8/K7 w - - 0 1 moves a7a8Q\ngo movetime 5\nstop\nsetoption name Temperature value 1\n",
]


@LONG
@given(mutated(COMMANDS, UCI_WORDS))
def test_commands_to_our_engine(content: bytes) -> None:
    out = io.StringIO()
    with fake_tools() as tools:
        UciServer(Network(checkpoint="weak"), "weak", tools, out).serve(io.StringIO(content.decode(errors="replace")))
    for line in out.getvalue().splitlines():
        assert line.split()[0] in ("id", "option", "uciok", "readyok", "info", "bestmove"), line
    asked = sum(line.split()[:1] == ["go"] for line in content.decode(errors="replace").splitlines())
    assert out.getvalue().count("bestmove") >= asked  # each gets its answer


ANSWERING = """#!/bin/sh
while read -r line; do
    case "$line" in
        uci) echo uciok ;;
        isready) echo readyok ;;
        go*) cat '{answer}'; printf '\\nbestmove e2e4\\n' ;;
    esac
done
"""
"""An engine that answers each question with what a file holds."""
ANSWERS = [
    b"info depth 1 seldepth 2 multipv 1 score cp 31 nodes 20 nps 900 pv e2e4 e7e5\n"
    b"info depth 1 multipv 2 score mate 3 upperbound nodes 20 pv d2d4\nbestmove e2e4 ponder e7e5\n",
    b"info string no score\ninfo depth 2 score cp -1200 lowerbound pv g1f3\nbestmove g1f3\n",
]
ANSWER_WORDS = [
    *(b"bestmove ", b"(none)", b"0000", b" multipv 3", b" multipv x", b" score cp", b" score mate 0", b" pv", b"\n"),
    *(b" lowerbound", b" e7e8q", b"99999999999999999999", b"-", b"\x00", "\u0661".encode()),
]


@LONG
@given(mutated(ANSWERS, ANSWER_WORDS))
def test_answers_of_an_engine(content: bytes) -> None:
    folder = written(content, "answer").parent
    program = folder / "engine"
    program.write_text(ANSWERING.format(answer=folder / "answer"), encoding="utf-8")
    program.chmod(0o755)
    board = chess.Board()
    with Stockfish(str(program), timeout=1.0, retries=0) as engine:
        try:
            lines = engine.analyse(board.fen(), nodes=10, multipv=2)
        except EngineError as error:
            refused_in_one_line(error)
            return
    assert len({line.move for line in lines}) == len(lines) <= 2
    assert all(chess.Move.from_uci(line.move) in board.legal_moves for line in lines)
    assert all(abs(line.centipawns) <= MATE for line in lines)


@cache
def a_ledger() -> bytes:
    folder = Path(tempfile.mkdtemp(dir=scratch()))
    write_ledger(folder, 0, [plies(0, "e4 e5 Nf3", {2: "Nc3"})])
    return (folder / "ledger" / "step-000.parquet").read_bytes()


@LONG
@given(st.data())
def test_a_ledger(data: st.DataObject) -> None:
    path = written(data.draw(mutated([a_ledger()], [b"PAR1", b"sandwich-ledger/6"])), "step-000.parquet")
    try:
        ledger.read(path)
    except Mistake as error:
        refused_in_one_line(error)


@cache
def a_checkpoint() -> bytes:
    return network.to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)), {"made": "x"})


@LONG
@given(st.data())
def test_a_checkpoint(data: st.DataObject) -> None:
    content = a_checkpoint()
    header = 8 + int(np.frombuffer(content[:8], "<u8")[0])
    words = [b"F32", b"F16", b'"shape":[', b"__metadata__", b"null", b'"channels"', b"1024", b"{", b"}", b"[", b"]"]
    head = data.draw(mutated([content[:header], content[8:header]], words))
    try:
        network.from_bytes(
            data.draw(st.sampled_from([head + content[header:], head, content[: len(head)]])), "x.safetensors"
        )
    except Mistake as error:
        refused_in_one_line(error)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """The viewer of a run folder."""
    with served(write_run(tmp_path_factory.mktemp("viewer") / "run", "x")) as opened:
        yield opened


ADDRESSES = [
    b"/",
    b"/api/game?step=0&game=1",
    b"/api/games?run=controls/honest",
    b"/assets/viewer/main.js",
    b"/board.svg?fen=8/8/8/8/8/8/8/K1k5 w - - 0 1&arrow=lie:a1a2",
]


@LONG
@given(mutated(ADDRESSES, [b"..", b"%2e%2e%2f", b"%00", b"//", b"?", b"&", b"run=", b"arrow=", b"flip", b"last="]))
@example(content=b"\n/")
def test_an_address_of_the_viewer(viewer: Viewer, content: bytes) -> None:
    reply = viewer.get("/" + quote(content.lstrip(b"/"), safe="/?&=%:"))
    assert reply.status in (200, 400, 404, 405, 422)
    assert "Traceback" not in reply.text
    assert "root:" not in reply.text
