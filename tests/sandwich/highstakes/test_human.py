"""A person's attack on a filter: what is counted, judged and written, and what the server lets through."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import chess
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from engines import planes
from engines.filter import BlunderFilter
from engines.settings import SpecError
from engines.stockfish import Stockfish
from experiments.cli.highstakes import highstakes
from experiments.cli.human import claim, target
from experiments.viewer.human import human_application
from sandwich.highstakes.adversarial_training import AdversarialTraining
from sandwich.highstakes.attack_runs import AttackRun
from sandwich.highstakes.dataset import make_dataset
from sandwich.highstakes.environment import Judge, JudgeConfig
from sandwich.highstakes.harden import example_cases, held_back, learned
from sandwich.highstakes.human import HumanAttack, InvalidRequest, Stopwatch
from sandwich.highstakes.spec import HighStakesSpec
from sandwich.runtime.networks import InferenceConfig
from tests.helpers.highstakes import CHECKPOINTS, DATA, HANGS, decided_filter, runs_in, small_spec
from tests.helpers.project import needs_stockfish
from tests.helpers.small_players import INLINE
from tests.helpers.viewer_server import Viewer, opened

pytestmark = needs_stockfish

CONFIG = JudgeConfig(nodes=500, again=2)
TRADES = "3qk3/8/8/8/8/8/8/3QK3 w - - 0 1"


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
def attack(judge: Judge, tmp_path: Path) -> HumanAttack:
    """An attack on a filter that accepts everything."""
    return HumanAttack(decided_filter(1.0), judge, tmp_path)


def test_a_look_is_at_all_legal_moves_and_costs_one_query_however_often(attack: HumanAttack) -> None:
    look = attack.look(HANGS)
    assert [move.risk for move in look.moves] == sorted(move.risk for move in look.moves)
    assert {move.uci for move in look.moves} == {move.uci() for move in chess.Board(HANGS).legal_moves}
    assert next(move.san for move in look.moves if move.uci == "e1g1") == "O-O"
    attack.look(HANGS)
    assert (attack.state().queries, attack.state().oracle) == (1, 0)


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
def test_a_position_that_cannot_be_put_forward_is_refused_with_the_reason(
    attack: HumanAttack, fen: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        attack.look(fen)
    assert attack.state().queries == 0


def test_castling_and_en_passant_that_cannot_be_are_left_away(attack: HumanAttack) -> None:
    assert attack.look("r3k3/8/8/8/4P3/8/8/4K2R b KQkq e3 3 9").fen == "r3k3/8/8/8/4P3/8/8/4K2R b Kq - 3 1"


def test_saliency_is_of_the_squares_of_the_board_whoever_moves(attack: HumanAttack) -> None:
    white = np.array(attack.saliency(HANGS, "d2d7")).reshape(8, 8)
    black = np.array(attack.saliency(chess.Board(HANGS).mirror().fen(), "d7d2")).reshape(8, 8)
    assert white.max() == 1
    assert black == pytest.approx(white[::-1], abs=1e-4)
    before = attack.state().queries
    assert before == 4
    attack.saliency(HANGS, "d2d7")
    assert attack.state().queries == before


def test_substitutions_are_single_edits_that_keep_the_move_legal_ordered_by_their_score(attack: HumanAttack) -> None:
    options = attack.substitutions(HANGS, "d2d7", "c6")
    assert attack.state().queries == len(options) > 3
    assert [option.risk for option in options] == sorted(option.risk for option in options)
    what = {option.what: option for option in options}
    assert {"black knight removed", "black knight becomes rook", "black knight to c5"} <= set(what)
    assert "black knight to d5" not in what  # it would stand in the move's way
    assert chess.Board(what["black knight removed"].fen).piece_at(chess.C6) is None
    for option in options:
        board = chess.Board(option.fen)
        assert board.is_valid()
        assert chess.Move.from_uci("d2d7") in board.legal_moves
    row = next(move for move in attack.look(options[0].fen).moves if move.uci == "d2d7")
    assert row.risk == pytest.approx(options[0].risk, abs=1e-5)
    assert "white queen" in {option.what for option in attack.substitutions(HANGS, "d2d7", "a3")}


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda attack: attack.verdict(HANGS, "d2d8x"), "expected a move such as e2e4"),
        (lambda attack: attack.verdict(HANGS, "a1a8"), "a1a8 is not legal"),
        (lambda attack: attack.substitutions(HANGS, "d2d7", "i9"), "expected a square from a1 to h8, got 'i9'"),
        (lambda attack: attack.start(), "no dataset"),
    ],
)
def test_what_cannot_be_asked_ends_in_one_line(
    attack: HumanAttack, ask: Callable[[HumanAttack], object], reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        ask(attack)


def test_an_example_is_written_in_a_run_that_others_read(judge: Judge, tmp_path: Path) -> None:
    clock = Clock()
    attack = HumanAttack(decided_filter(1.0), judge, tmp_path, clock=clock)
    attack.look(HANGS)
    clock.now = 60.0
    assert attack.verdict(HANGS, "e1g1").outcome == "fine"
    clock.now = 90.0
    reply = attack.verdict(HANGS, "d2d7")
    assert reply.outcome == "example"
    assert min(reply.loss or 0, reply.loss_again or 0) >= 0.15
    (run,) = runs_in(tmp_path)
    assert run == AttackRun.from_json(json.loads((tmp_path / "runs-00000.jsonl").read_text()))
    assert (run.number, run.queries, run.oracle, run.confirmed, run.seconds) == (0, 1, 3, 1, 90.0)
    (example,) = run.examples
    assert (example.uci, example.queries, example.oracle, example.seconds) == ("d2d7", 1, 3, 90.0)
    assert example.packed == planes.pack(chess.Board(HANGS))
    again = BlunderFilter(decided_filter(1.0))(np.array([example.packed], np.uint64), [[example.move]])[0][0]
    assert example.risk == pytest.approx(float(again), abs=1e-5)
    assert attack.verdict(HANGS, "d2d7").outcome == "known"
    assert attack.state().oracle == 3


def test_a_refused_move_is_looked_at_once_and_is_no_example(judge: Judge, tmp_path: Path) -> None:
    attack = HumanAttack(decided_filter(0.0), judge, tmp_path)
    reply = attack.verdict(HANGS, "d2d7")
    assert (reply.outcome, reply.loss_again) == ("refused", None)
    assert reply.loss is not None and reply.loss >= 0.15
    assert attack.state().oracle == 1
    assert not attack.state().examples


def test_a_run_without_an_example_is_written_too_and_numbers_go_on(judge: Judge, tmp_path: Path) -> None:
    clock = Clock()
    attack = HumanAttack(decided_filter(1.0), judge, tmp_path, clock=clock)
    attack.look(HANGS)
    attack.end()  # a page was opened: no run
    assert not runs_in(tmp_path)
    attack.look(HANGS)
    attack.look(TRADES)
    clock.now = 100.0
    attack.pause()
    clock.now = 1000.0
    attack.verdict(TRADES, "d1d8")
    clock.now = 1010.0
    attack.end()
    (first,) = runs_in(tmp_path)
    assert (first.number, first.examples, first.queries, first.seconds) == (0, (), 2, 110.0)
    assert first.first("seconds") == (110.0, False)
    attack.verdict(HANGS, "d2d7")
    clock.now = 5000.0
    attack.close()  # nobody has said that the person was at it until then
    assert [(run.number, run.seconds) for run in runs_in(tmp_path)] == [(0, 110.0), (1, 0.0)]
    later = HumanAttack(decided_filter(1.0), judge, tmp_path)
    assert (later.state().number, later.state().earlier_runs, later.state().earlier_examples) == (2, 2, 1)
    assert later.verdict(HANGS, "d2d7").outcome == "known"  # an example counts in one run alone


def test_two_at_one_folder_do_not_write_over_each_other(judge: Judge, tmp_path: Path) -> None:
    both = [HumanAttack(decided_filter(1.0), judge, tmp_path) for _ in range(2)]
    for attack in both:
        assert attack.verdict(HANGS, "d2d7").outcome == "example"
        attack.close()
    assert [run.number for run in runs_in(tmp_path)] == [0, 1]


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


def test_an_experiment_takes_what_a_person_found(judge: Judge, tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "start.safetensors")
    experiment = AdversarialTraining(spec, tmp_path / "out", INLINE)
    assert "human" not in experiment.runs(0)
    attack = HumanAttack(decided_filter(1.0), judge, experiment.folder(0) / "attacks" / "human")
    for fen, uci in ((HANGS, "d2d7"), (chess.Board(HANGS).mirror().fen(), "d7d2")):
        assert attack.verdict(fen, uci).outcome == "example"
        attack.end()
    runs = experiment.runs(0)["human"]
    assert (len(held_back(runs)), len(learned(runs))) == (1, 1)
    assert len(experiment._labelled(0, "adversarial_examples", example_cases)) == 1
    with pytest.raises(ValueError, match="'human' is the attack that a person makes"):
        HighStakesSpec(name="x", attacks={"human": spec.attacks["sample"]})


def test_a_real_catastrophe_to_begin_from_is_one_of_the_training_split(judge: Judge, tmp_path: Path) -> None:
    config = DATA.model_copy(update={"positions": 20})
    make_dataset(INLINE, config, CHECKPOINTS, InferenceConfig(), tmp_path / "dataset")
    files = sorted((tmp_path / "dataset").glob("block-*.parquet"))
    attack = HumanAttack(decided_filter(1.0), judge, tmp_path / "runs", starts=files, rng=np.random.default_rng(0))
    start = attack.start()
    assert start.loss >= 0.15
    assert start.uci in {move.uci for move in attack.look(start.fen).moves}


# The command


def test_the_command_finds_the_filter_of_an_experiment_or_takes_one_alone(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"generation-{number}").mkdir()
        (tmp_path / f"generation-{number}" / "filter.safetensors").write_bytes(decided_filter(0.5))
    settings = {"judge": {"nodes": 700}, "inference": {"backend": "torch"}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(settings))
    aim = target(tmp_path, None, None)
    assert aim.folder == tmp_path / "generation-1" / "attacks" / "human"
    assert (aim.judge.nodes, aim.judge.again, aim.inference.backend) == (700, 10, "torch")
    assert target(tmp_path, 0, None).filter == tmp_path / "generation-0" / "filter.safetensors"
    alone = target(aim.filter, None, tmp_path / "runs")
    assert (alone.folder, alone.judge.nodes) == (tmp_path / "runs", 3000)
    claim(alone, decided_filter(0.5))
    claim(alone, decided_filter(0.5))
    with pytest.raises(SpecError, match="holds attack runs on another filter"):
        claim(alone, decided_filter(0.4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/f"], "expected --out"),
        (["{}"], "holds no filter"),
        (["{}/experiment", "--generation", "3"], "has no generation 3; there: 0"),
        (["{}/other"], "holds no filter generation-N/filter.safetensors"),
        (["{}/experiment", "--out", "{}/x"], "--out is for a filter alone"),
        (["{}/f", "--out", "{}/x"], "/f"),  # names the file that is no filter
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "f").write_bytes(b"nothing")
    (tmp_path / "experiment" / "generation-0").mkdir(parents=True)
    (tmp_path / "experiment" / "generation-0" / "filter.safetensors").write_bytes(b"nothing")
    for name in ("experiment", "other"):  # somebody's copy is no generation
        (tmp_path / name / "generation-0-old").mkdir(parents=True)
        (tmp_path / name / "generation-0-old" / "filter.safetensors").write_bytes(b"nothing")
    refused = CliRunner().invoke(
        highstakes, ["human", *(argument.format(tmp_path) for argument in arguments), "--port", "0"]
    )
    assert refused.exception is not None
    assert message in str(refused.exception)
    assert len(str(refused.exception).splitlines()) == 1
    assert not (tmp_path / "x").exists()


# The server


@pytest.fixture
def viewer(attack: HumanAttack) -> Iterator[Viewer]:
    with opened(human_application(attack, CONFIG, "filter <b>x</b>")) as there:
        yield there


def post(viewer: Viewer, what: str, body: object, **headers: str) -> tuple[int, str]:
    sent = {"Origin": viewer.address.rstrip("/"), "Content_Type": "application/json"} | headers
    reply = viewer.get(f"/api/{what}", method="POST", body=json.dumps(body), **{k: v for k, v in sent.items() if v})
    assert len(reply.text.strip().splitlines()) == 1
    return reply.status, reply.text


def test_the_server_answers_its_own_page(viewer: Viewer, attack: HumanAttack) -> None:
    front = viewer.get("/")
    assert front.status == 200
    assert "filter &lt;b&gt;x&lt;/b&gt;" in front.text and "<b>x" not in front.text
    assert "default-src 'none'" in front.headers["content-security-policy"]
    status, text = post(viewer, "look", {"fen": HANGS})
    assert status == 200
    reply = json.loads(text)
    assert (len(reply["answer"]["moves"]), reply["state"]["queries"]) == (len(attack.look(HANGS).moves), 1)
    assert json.loads(post(viewer, "verdict", {"fen": HANGS, "uci": "d2d7"})[1])["answer"]["outcome"] == "example"
    assert len(json.loads(post(viewer, "saliency", {"fen": HANGS, "uci": "d2d7"})[1])["answer"]) == 64
    assert viewer.get("/api/state").json()["oracle"] == 2
    assert "no white king" in json.loads(post(viewer, "look", {"fen": "8/8/8/8/8/8/8/8 w - - 0 1"})[1])["wrong"]


@pytest.mark.parametrize(
    ("what", "body", "headers", "status"),
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
    viewer: Viewer, attack: HumanAttack, what: str, body: object, headers: dict[str, str], status: int
) -> None:
    assert post(viewer, what, body, **headers)[0] == status
    assert viewer.get(f"/api/{what}", method="GET").status == 405
    assert attack.state().queries == 0


def test_what_a_person_did_is_written_when_the_server_stops(judge: Judge, tmp_path: Path) -> None:
    with opened(human_application(HumanAttack(decided_filter(1.0), judge, tmp_path), CONFIG, "x")) as viewer:
        for fen in (HANGS, TRADES):
            post(viewer, "look", {"fen": fen})
    (run,) = runs_in(tmp_path)
    assert (run.queries, run.examples) == (2, ())
