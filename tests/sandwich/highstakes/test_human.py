"""A person's attack on a filter: what is counted, judged and written, and what the server lets through."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import chess
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from engines import filter as filters
from engines import planes
from engines.filter import BlunderFilter
from engines.network import NetworkConfig, PolicyValueNet
from engines.settings import SpecError
from engines.stockfish import Stockfish
from experiments.cli.highstakes import highstakes
from experiments.cli.human import claim, target
from experiments.viewer.human import human_application
from sandwich.highstakes.arena import Judge, JudgeConfig
from sandwich.highstakes.dataset import make_dataset
from sandwich.highstakes.harden import breaks_of, held_back, learned
from sandwich.highstakes.human import Bench, Stopwatch, Wrong
from sandwich.highstakes.hunt import Hunt, read
from sandwich.highstakes.ladder import Ladder
from sandwich.highstakes.spec import LadderSpec
from sandwich.runtime.networks import InferenceConfig
from tests.helpers.project import needs_stockfish
from tests.helpers.small_players import INLINE
from tests.helpers.viewer_server import Viewer, opened
from tests.sandwich.highstakes.test_highstakes import CHECKPOINTS, DATA, HANGS, ladder_spec

pytestmark = needs_stockfish

CONFIG = JudgeConfig(nodes=500, again=2)
TRADES = "3qk3/8/8/8/8/8/8/3QK3 w - - 0 1"


def judging(threshold: float) -> bytes:
    """A filter of random weights, which make it decided about moves."""
    torch.manual_seed(0)
    net = PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)).eval()
    with torch.no_grad():
        net.start.weight.mul_(20)
    return filters.to_bytes(net, threshold)


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Stockfish(hash_mib=1) as engine:
        yield Judge(engine, CONFIG)


@pytest.fixture
def bench(judge: Judge, tmp_path: Path) -> Bench:
    """A bench whose filter accepts everything."""
    return Bench(judging(1.0), judge, tmp_path)


def written(folder: Path) -> list[Hunt]:
    return [one for file in sorted(folder.glob("hunts-*.jsonl")) for one in read(file)]


def test_a_look_is_at_all_legal_moves_and_costs_one_query_however_often(bench: Bench) -> None:
    look = bench.look(HANGS)
    assert [one.risk for one in look.moves] == sorted(one.risk for one in look.moves)
    assert {one.uci for one in look.moves} == {move.uci() for move in chess.Board(HANGS).legal_moves}
    assert next(one.san for one in look.moves if one.uci == "e1g1") == "O-O"
    bench.look(HANGS)
    assert (bench.state().queries, bench.state().oracle) == (1, 0)


@pytest.mark.parametrize(
    ("fen", "reason"),
    [
        ("nonsense", "not a position"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", "no white king"),
        ("k6P/8/8/8/8/8/8/K7 w - - 0 1", "pawns on backrank"),
        ("7k/8/6K1/8/8/8/8/7R w - - 0 1", "opposite check"),
        ("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", "the game is over: stalemate"),
        ("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1", "the game is over: checkmate"),
        ("7k/8/6K1/8/8/8/8/8 b - - 0 1", "the game is over: insufficient material"),
        ("7k/8/6K1/8/8/8/8/R7 w - - 100 90", "the game is over: fifty moves"),
    ],
)
def test_a_position_that_cannot_be_put_forward_is_refused_with_the_reason(bench: Bench, fen: str, reason: str) -> None:
    with pytest.raises(Wrong, match=reason):
        bench.look(fen)
    assert bench.state().queries == 0


def test_castling_and_en_passant_that_cannot_be_are_left_away(bench: Bench) -> None:
    assert bench.look("r3k3/8/8/8/4P3/8/8/4K2R b KQkq e3 3 9").fen == "r3k3/8/8/8/4P3/8/8/4K2R b Kq - 3 1"


def test_saliency_is_of_the_squares_of_the_board_whoever_moves(bench: Bench) -> None:
    white = np.array(bench.saliency(HANGS, "d2d7")).reshape(8, 8)
    black = np.array(bench.saliency(chess.Board(HANGS).mirror().fen(), "d7d2")).reshape(8, 8)
    assert white.max() == 1
    assert black == pytest.approx(white[::-1], abs=1e-4)
    before = bench.state().queries
    assert before == 4
    bench.saliency(HANGS, "d2d7")
    assert bench.state().queries == before


def test_substitutions_are_single_edits_that_keep_the_move_legal_ordered_by_their_score(bench: Bench) -> None:
    found = bench.substitutions(HANGS, "d2d7", "c6")
    assert bench.state().queries == len(found) > 3
    assert [one.risk for one in found] == sorted(one.risk for one in found)
    what = {one.what: one for one in found}
    assert {"black knight removed", "black knight becomes rook", "black knight to c5"} <= set(what)
    assert "black knight to d5" not in what  # it would stand in the move's way
    assert chess.Board(what["black knight removed"].fen).piece_at(chess.C6) is None
    for one in found:
        board = chess.Board(one.fen)
        assert board.is_valid()
        assert chess.Move.from_uci("d2d7") in board.legal_moves
    row = next(one for one in bench.look(found[0].fen).moves if one.uci == "d2d7")
    assert row.risk == pytest.approx(found[0].risk, abs=1e-5)
    assert "white queen" in {one.what for one in bench.substitutions(HANGS, "d2d7", "a3")}


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda bench: bench.verdict(HANGS, "d2d8x"), "expected a move such as e2e4"),
        (lambda bench: bench.verdict(HANGS, "a1a8"), "a1a8 is not legal"),
        (lambda bench: bench.substitutions(HANGS, "d2d7", "i9"), "expected a square from a1 to h8, got 'i9'"),
        (lambda bench: bench.start(), "no dataset"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(bench: Bench, ask: Callable[[Bench], object], reason: str) -> None:
    with pytest.raises(Wrong, match=reason):
        ask(bench)


def test_a_break_is_written_as_a_hunt_that_others_read(judge: Judge, tmp_path: Path) -> None:
    clock = Clock()
    bench = Bench(judging(1.0), judge, tmp_path, clock=clock)
    bench.look(HANGS)
    clock.now = 60.0
    assert bench.verdict(HANGS, "e1g1").came == "fine"
    clock.now = 90.0
    came = bench.verdict(HANGS, "d2d7")
    assert came.came == "break"
    assert min(came.loss or 0, came.loss_again or 0) >= 0.15
    (hunt,) = written(tmp_path)
    assert hunt == Hunt.from_json(json.loads((tmp_path / "hunts-00000.jsonl").read_text()))
    assert (hunt.number, hunt.queries, hunt.oracle, hunt.agreed, hunt.seconds) == (0, 1, 3, 1, 90.0)
    (one,) = hunt.found
    assert (one.uci, one.queries, one.oracle, one.seconds) == ("d2d7", 1, 3, 90.0)
    assert one.broken.packed == planes.pack(chess.Board(HANGS))
    again = BlunderFilter(judging(1.0))(np.array([one.broken.packed], np.uint64), [[one.move]])[0][0]
    assert one.risk == pytest.approx(float(again), abs=1e-5)
    assert bench.verdict(HANGS, "d2d7").came == "known"
    assert bench.state().oracle == 3


def test_a_refused_move_is_looked_at_once_and_is_no_break(judge: Judge, tmp_path: Path) -> None:
    bench = Bench(judging(0.0), judge, tmp_path)
    came = bench.verdict(HANGS, "d2d7")
    assert (came.came, came.loss_again) == ("refused", None)
    assert came.loss is not None and came.loss >= 0.15
    assert bench.state().oracle == 1
    assert not bench.state().found


def test_a_hunt_without_a_break_is_written_too_and_numbers_go_on(judge: Judge, tmp_path: Path) -> None:
    clock = Clock()
    bench = Bench(judging(1.0), judge, tmp_path, clock=clock)
    bench.look(HANGS)
    bench.end()  # a page was opened: no hunt
    assert not written(tmp_path)
    bench.look(HANGS)
    bench.look(TRADES)
    clock.now = 100.0
    bench.pause()
    clock.now = 1000.0
    bench.verdict(TRADES, "d1d8")
    clock.now = 1010.0
    bench.end()
    (first,) = written(tmp_path)
    assert (first.number, first.found, first.queries, first.seconds) == (0, (), 2, 110.0)
    assert first.first("seconds") == (110.0, False)
    bench.verdict(HANGS, "d2d7")
    clock.now = 5000.0
    bench.close()  # nobody has said that the person was at it until then
    assert [(hunt.number, hunt.seconds) for hunt in written(tmp_path)] == [(0, 110.0), (1, 0.0)]
    later = Bench(judging(1.0), judge, tmp_path)
    assert (later.state().number, later.state().earlier_hunts, later.state().earlier_breaks) == (2, 2, 1)
    assert later.verdict(HANGS, "d2d7").came == "known"  # a break counts in one hunt alone


def test_two_at_one_folder_do_not_write_over_each_other(judge: Judge, tmp_path: Path) -> None:
    both = [Bench(judging(1.0), judge, tmp_path) for _ in range(2)]
    for bench in both:
        assert bench.verdict(HANGS, "d2d7").came == "break"
        bench.close()
    assert [hunt.number for hunt in written(tmp_path)] == [0, 1]


def test_a_stopwatch_counts_work() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    assert (watch.seconds(), watch.running) == (0.0, False)
    watch.touch()
    clock.now = 3.0
    watch.touch()
    clock.now = 10.0
    assert (watch.seconds(), watch.worked()) == (10.0, 3.0)
    watch.pause()
    clock.now = 20.0
    assert (watch.seconds(), watch.worked()) == (10.0, 10.0)


def test_a_ladder_takes_what_a_person_found(judge: Judge, tmp_path: Path) -> None:
    spec = ladder_spec(tmp_path / "start.safetensors")
    ladder = Ladder(spec, tmp_path / "out", INLINE)
    assert "human" not in ladder._there(0)
    bench = Bench(judging(1.0), judge, ladder.folder(0) / "attacks" / "human")
    for fen, uci in ((HANGS, "d2d7"), (chess.Board(HANGS).mirror().fen(), "d7d2")):
        assert bench.verdict(fen, uci).came == "break"
        bench.end()
    there = ladder._there(0)["human"]
    assert (len(held_back(there)), len(learned(there))) == (1, 1)
    assert len(ladder._lessons(0, "breaks", breaks_of)) == 1
    with pytest.raises(ValueError, match="'human' is the attack that a person makes"):
        LadderSpec(name="x", attacks={"human": spec.attacks["sample"]})


def test_a_real_catastrophe_to_begin_from_is_one_of_the_training_split(judge: Judge, tmp_path: Path) -> None:
    config = DATA.model_copy(update={"positions": 20})
    make_dataset(INLINE, config, CHECKPOINTS, InferenceConfig(), tmp_path / "dataset")
    files = sorted((tmp_path / "dataset").glob("block-*.parquet"))
    bench = Bench(judging(1.0), judge, tmp_path / "hunts", starts=files, rng=np.random.default_rng(0))
    start = bench.start()
    assert start.loss >= 0.15
    assert start.uci in {one.uci for one in bench.look(start.fen).moves}


# The command


def test_the_command_finds_the_filter_of_a_ladder_or_takes_one_alone(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"generation-{number}").mkdir()
        (tmp_path / f"generation-{number}" / "filter.safetensors").write_bytes(judging(0.5))
    settings = {"judge": {"nodes": 700}, "inference": {"backend": "torch"}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(settings))
    aim = target(tmp_path, None, None)
    assert aim.folder == tmp_path / "generation-1" / "attacks" / "human"
    assert (aim.judge.nodes, aim.judge.again, aim.inference.backend) == (700, 10, "torch")
    assert target(tmp_path, 0, None).filter == tmp_path / "generation-0" / "filter.safetensors"
    alone = target(aim.filter, None, tmp_path / "hunts")
    assert (alone.folder, alone.judge.nodes) == (tmp_path / "hunts", 3000)
    claim(alone, judging(0.5))
    claim(alone, judging(0.5))
    with pytest.raises(SpecError, match="holds hunts on another filter"):
        claim(alone, judging(0.4))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/f"], "expected --out"),
        (["{}"], "holds no filter"),
        (["{}/ladder", "--generation", "3"], "has no generation 3; there: 0"),
        (["{}/other"], "holds no filter generation-N/filter.safetensors"),
        (["{}/ladder", "--out", "{}/x"], "--out is for a filter alone"),
        (["{}/f", "--out", "{}/x"], "/f"),  # names the file that is no filter
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "f").write_bytes(b"nothing")
    (tmp_path / "ladder" / "generation-0").mkdir(parents=True)
    (tmp_path / "ladder" / "generation-0" / "filter.safetensors").write_bytes(b"nothing")
    for name in ("ladder", "other"):  # somebody's copy is no generation
        (tmp_path / name / "generation-0-old").mkdir(parents=True)
        (tmp_path / name / "generation-0-old" / "filter.safetensors").write_bytes(b"nothing")
    came = CliRunner().invoke(highstakes, ["human", *(one.format(tmp_path) for one in arguments), "--port", "0"])
    assert came.exception is not None
    assert said in str(came.exception)
    assert len(str(came.exception).splitlines()) == 1
    assert not (tmp_path / "x").exists()


# The server


@pytest.fixture
def viewer(bench: Bench) -> Iterator[Viewer]:
    with opened(human_application(bench, CONFIG, "filter <b>x</b>")) as there:
        yield there


def post(viewer: Viewer, what: str, said: object, **headers: str) -> tuple[int, str]:
    sent = {"Origin": viewer.address.rstrip("/"), "Content_Type": "application/json"} | headers
    reply = viewer.get(f"/api/{what}", method="POST", body=json.dumps(said), **{k: v for k, v in sent.items() if v})
    assert len(reply.text.strip().splitlines()) == 1
    return reply.status, reply.text


def test_the_server_answers_its_own_page(viewer: Viewer, bench: Bench) -> None:
    front = viewer.get("/")
    assert front.status == 200
    assert "filter &lt;b&gt;x&lt;/b&gt;" in front.text and "<b>x" not in front.text
    assert "default-src 'none'" in front.headers["content-security-policy"]
    status, text = post(viewer, "look", {"fen": HANGS})
    assert status == 200
    told = json.loads(text)
    assert (len(told["answer"]["moves"]), told["state"]["queries"]) == (len(bench.look(HANGS).moves), 1)
    assert json.loads(post(viewer, "verdict", {"fen": HANGS, "uci": "d2d7"})[1])["answer"]["came"] == "break"
    assert len(json.loads(post(viewer, "saliency", {"fen": HANGS, "uci": "d2d7"})[1])["answer"]) == 64
    assert viewer.get("/api/state").json()["oracle"] == 2
    assert "no white king" in json.loads(post(viewer, "look", {"fen": "8/8/8/8/8/8/8/8 w - - 0 1"})[1])["wrong"]


@pytest.mark.parametrize(
    ("what", "said", "headers", "status"),
    [
        ("look", {"fen": HANGS}, {"Origin": "https://evil.example"}, 403),
        ("look", {"fen": HANGS}, {"Origin": "http://127.0.0.1:1"}, 403),  # another port of this machine
        ("look", {"fen": HANGS}, {"Origin": "null"}, 403),
        ("look", {"fen": HANGS}, {"Origin": ""}, 403),
        ("look", {"fen": HANGS}, {"Content_Type": "text/plain"}, 415),
        ("look", {"fen": HANGS}, {"Host": "evil.example", "Origin": "http://evil.example"}, 400),
        ("look", {"fen": 3}, {}, 422),
        ("look", {"fen": HANGS, "more": "x"}, {}, 422),
        ("look", [HANGS], {}, 422),
        ("look", {"fen": "x" * 5000}, {}, 413),
        ("nothing", {}, {}, 404),
    ],
)
def test_the_server_refuses_what_its_page_does_not_send(
    viewer: Viewer, bench: Bench, what: str, said: object, headers: dict[str, str], status: int
) -> None:
    assert post(viewer, what, said, **headers)[0] == status
    assert viewer.get(f"/api/{what}", method="GET").status == 405
    assert bench.state().queries == 0


def test_what_a_person_did_is_written_when_the_server_stops(judge: Judge, tmp_path: Path) -> None:
    with opened(human_application(Bench(judging(1.0), judge, tmp_path), CONFIG, "x")) as viewer:
        for fen in (HANGS, TRADES):
            post(viewer, "look", {"fen": fen})
    (hunt,) = written(tmp_path)
    assert (hunt.queries, hunt.found) == (2, ())
