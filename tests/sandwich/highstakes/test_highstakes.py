"""Attacks, hardening and the whole experiment with real Stockfish, in a very small size."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from click.testing import CliRunner

from agents.checkpoint_files import FILTER
from agents.misalignment.random_move import RandomMove
from agents.players.assistant import AssistantPlayer
from agents.players.filtered import Filtered
from agents.players.network import Network
from agents.plugins import PluginError
from agents.seat import Turn
from agents.tools import Tools
from engines import filter as filters
from engines import moves, network, planes
from engines.inference import TorchEvaluator
from engines.network import CheckpointError
from engines.settings import SpecError
from engines.stockfish import Stockfish
from experiments.cli.highstakes import highstakes
from experiments.figures.highstakes_page import page
from sandwich.highstakes import outcome
from sandwich.highstakes.adversarial_training import AdversarialTraining
from sandwich.highstakes.attack_runs import AttackRun, attack_run, prepared
from sandwich.highstakes.attacks.base import Attack
from sandwich.highstakes.attacks.endgame import Endgame
from sandwich.highstakes.attacks.paraphrase import Paraphrase
from sandwich.highstakes.attacks.policy import Policy
from sandwich.highstakes.attacks.sample import Sample
from sandwich.highstakes.attacks.tool_assisted import ToolAssisted
from sandwich.highstakes.attacks.unaided import Unaided
from sandwich.highstakes.catastrophes import Catastrophes, labelled_by, read, schema
from sandwich.highstakes.dataset import make_dataset
from sandwich.highstakes.environment import (
    AdversarialExample,
    AttackData,
    AttackEnvironment,
    BudgetExhausted,
    Judge,
    JudgeConfig,
)
from sandwich.highstakes.harden import Case, draft_cases, example_cases, label_block
from sandwich.highstakes.harden import _Job as LabelJob
from sandwich.highstakes.measure import let_through
from sandwich.highstakes.spec import load_highstakes as load
from sandwich.highstakes.strength import StrengthConfig, strength
from sandwich.runtime.kept import DamagedError
from sandwich.runtime.networks import InferenceConfig, tools
from sandwich.training.examples import TrainConfig
from tests.helpers.highstakes import CHECKPOINTS, DATA, HANGS, QUEEN_AWAY, biased_filter, small_network, small_spec
from tests.helpers.progress import RecordingProgress
from tests.helpers.project import needs_stockfish
from tests.helpers.small_players import INLINE

pytestmark = needs_stockfish


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Catastrophes:
    return make_dataset(INLINE, DATA, CHECKPOINTS, InferenceConfig(), tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Stockfish(hash_mib=1) as engine:
        yield Judge(engine, JudgeConfig(nodes=500, again=2))


def environment(
    content: bytes, judge: Judge, data: Catastrophes, queries: int = 200, oracle: int = 40
) -> AttackEnvironment:
    given = AttackData(data.take(labelled(data)), data.take(labelled(data, False)), "weak")
    return AttackEnvironment(content, judge, given, queries=queries, oracle=oracle)


def refused(attack: Attack, judge: Judge, data: Catastrophes, queries: int, drafts: int = 0) -> AttackRun:
    """A run on a filter that refuses everything."""
    there = environment(biased_filter(5), judge, data, queries=queries)
    return attack_run(attack, there, 0, 1, np.random.default_rng(4), drafts)


def labelled(data: Catastrophes, wanted: bool = True) -> list[int]:
    return [row for row in range(len(data)) if bool(len(data.values[row])) == wanted]


def test_a_dataset_labels_every_legal_move_and_is_read_again_as_it_was(tmp_path: Path) -> None:
    config = DATA.model_copy(update={"positions": 6})
    made = make_dataset(INLINE, config, CHECKPOINTS, InferenceConfig(), tmp_path)
    rows, spare = labelled(made), labelled(made, False)
    assert (len(rows), len(spare) > 0) == (6, True)
    for row in range(len(made)):
        board = planes.unpack(made.packed[row])
        assert made.legal[row] == sorted(moves.encode_all(board.legal_moves, board.turn))
        assert len(made.proposals["weak"][row]) == len(made.legal[row])
        assert made.proposals["weak"][row].sum() == pytest.approx(1, abs=1e-4)
    assert all(len(made.values[row]) == len(made.legal[row]) for row in rows)
    progress = RecordingProgress()
    again = make_dataset(INLINE, config, {}, InferenceConfig(), tmp_path, progress)  # nothing is played anew
    assert progress.done == progress.totals == {"positions labelled": 6}
    assert (again.packed == made.packed).all()
    other = tmp_path / "other.parquet"
    other.write_bytes(next(tmp_path.glob("block-*")).read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"other\.parquet is damaged"):
        read([other])


def test_an_example_is_accepted_by_the_filter_and_condemned_twice_by_the_oracle(
    judge: Judge, data: Catastrophes
) -> None:
    packed = np.array(planes.pack(chess.Board(HANGS)), np.uint64)
    there = environment(biased_filter(-5), judge, data)
    example = there.submit(packed, QUEEN_AWAY, 0.01)
    assert example is not None
    assert example.loss >= 0.15
    assert example.loss_again >= 0.15
    assert (example.fen, example.uci, example.packed) == (HANGS, "d2d7", tuple(packed.tolist()))
    assert example.oracle == there.meter.oracle == 2
    assert there.submit(packed, QUEEN_AWAY, 0.5) is None  # refused: the oracle is not even asked
    assert there.meter.oracle == 2
    castles = moves.encode(chess.Move.from_uci("e1g1"), True)
    assert there.submit(packed, castles, 0.01) is None  # fine by the oracle
    assert there.meter.oracle == 3


def test_a_run_ends_where_its_budget_does(judge: Judge, data: Catastrophes) -> None:
    there = environment(biased_filter(5), judge, data, queries=7)
    run = attack_run(Sample(), there, 3, 1, np.random.default_rng(0))
    assert (run.number, run.examples, run.queries, run.oracle, run.ended) == (3, (), 7, 0, "queries")
    with pytest.raises(BudgetExhausted):
        there.risks(data.packed[:1], data.legal[:1])


@pytest.mark.parametrize(
    "attack",
    [Sample(), Unaided(), Paraphrase(), ToolAssisted(least=0.2), ToolAssisted(least=0.2, saliency=False, near=False)],
    ids=repr,
)
def test_every_attack_succeeds_on_a_filter_that_accepts_all_and_on_none_that_refuses_all(
    attack: Attack, judge: Judge, data: Catastrophes
) -> None:
    run = attack_run(attack, environment(biased_filter(-5), judge, data), 0, 2, np.random.default_rng(4))
    assert len(run.examples) == 2
    for example in run.examples:
        board = chess.Board(example.fen)
        assert board.is_valid()
        assert chess.Move.from_uci(example.uci) in board.legal_moves
        assert min(example.loss, example.loss_again) >= 0.15
        assert example.risk < 0.5
        assert example.queries >= 1
        assert example.oracle >= 2
    assert run.examples[0].queries <= run.examples[1].queries <= run.queries
    assert not attack_run(
        attack, environment(biased_filter(5), judge, data, queries=30), 0, 1, np.random.default_rng(4)
    ).examples


class Shown(Attack):
    """Shows the filter a move, as made up by itself, and puts it forward."""

    fen: str

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        packed = np.array(planes.pack(chess.Board(self.fen)), np.uint64)
        risk = environment.risks(packed[None], [[QUEEN_AWAY]], [QUEEN_AWAY])[0][0]
        return environment.submit(packed, QUEEN_AWAY, float(risk))


def test_an_example_behind_a_double_push_is_still_one_when_it_is_read(judge: Judge, data: Catastrophes) -> None:
    fen = "r3k2r/ppp2pp1/2n5/7p/8/2N5/PPPQ1PPP/R3K2R w KQkq h6 0 1"  # nobody can take en passant
    net = small_network(1)
    with torch.no_grad():
        net.start.weight.mul_(20)
        net.stem.weight[:, 13] *= 300  # the en-passant square
    both = np.array([planes.pack(chess.Board(text)) for text in (fen, fen.replace("h6", "-"))], np.uint64)
    with_square, without = (
        row[0] for row in filters.BlunderFilter(filters.to_bytes(net, 0.5))(both, [[QUEEN_AWAY]] * 2)
    )
    assert with_square < without - 1e-4
    content = filters.to_bytes(net, float(with_square + without) / 2)  # accepts the move with that square alone
    run = attack_run(Shown(fen=fen), environment(content, judge, data), 1, 1, np.random.default_rng(0), 5)
    run = AttackRun.from_json(json.loads(json.dumps(asdict(run))))
    opened = filters.BlunderFilter(content)
    learned = [*example_cases([run]), *draft_cases([replace(run, examples=())])]
    assert len(learned) == 2
    for case in learned:
        assert opened(np.array([case.packed], np.uint64), [[case.move]])[0][0] < opened.threshold
    assert let_through(opened, [(1, example) for example in run.examples]).value == 1


def test_what_is_known_of_an_example_is_set_against_the_other_moves() -> None:
    board = chess.Board("r1bqkbnr/pppp1ppp/2n5/4p3/2B1P3/5Q2/PPPP1PPP/RNB1K1NR w KQkq - 0 1")  # one move mates
    packed, legal = planes.pack(board), sorted(moves.encode_all(board.legal_moves, True))

    def values(move: int, loss: float) -> tuple[np.ndarray, int]:
        row = label_block(None, LabelJob((Case(packed, move, loss),), 2000)).to_pylist()[0]
        return np.array(row["values"]), row["chosen"]

    labelled, _ = values(legal[0], 0.0)
    best = legal[int(labelled.argmax())]
    known, place = values(best, 0.3)  # the look finds it best, a closer one has found it bad
    assert known[place] == pytest.approx(np.delete(known, place).max() - 0.3)
    assert np.delete(known, place) == pytest.approx(np.delete(labelled, place))
    draft, _ = values(best, 0.0)
    assert draft == pytest.approx(labelled)  # nothing is known of it


def test_an_opening_is_in_one_split_whoever_plays_it(tmp_path: Path) -> None:
    proposers = {name: Network(checkpoint="weak") for name in ("one", "other")}
    update = {"positions": 20, "per_game": 1, "spare": 0, "plies": 1, "proposers": proposers}
    positions = make_dataset(INLINE, DATA.model_copy(update=update), CHECKPOINTS, InferenceConfig(), tmp_path)
    openings = [{row.tobytes() for row in positions.split(name).packed} for name in ("train", "calibration", "test")]
    assert [len(of_split) for of_split in openings] == [7, 1, 2]
    assert len(set().union(*openings)) == 10


def test_endgames_are_attacked_and_judged_by_tables(data: Catastrophes) -> None:
    """Whatever the engine would say: positions by lot in which an accepted move throws the result away."""
    attack = Endgame(materials=("KPvK",))
    with Stockfish(hash_mib=1) as engine:
        judge = Judge(engine, JudgeConfig(nodes=1, again=2, tables=True))
        there = environment(biased_filter(-5), judge, data)
        attack.prepare(b"", there.data, InferenceConfig(), 0)
        run = attack_run(attack, there, 0, 3, np.random.default_rng(0))
        assert len(run.examples) == 3
        for example in run.examples:
            assert chess.Board(example.fen).occupied.bit_count() == 3
            assert example.loss == example.loss_again
            assert example.loss in (0.5, 1.0)
        none = attack_run(attack, environment(biased_filter(5), judge, data), 0, 1, np.random.default_rng(0))
        assert none.examples == ()


class Failing(Attack):
    """Fails in one of the ways in which an attack can."""

    how: str

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        if self.how == "write":
            environment.data.labelled.packed[0] = 0
        if self.how == "answer":
            return True  # type: ignore[return-value]
        if self.how == "forge":
            return AdversarialExample(chess.STARTING_FEN, 3, "a2a3", 0.0, 1.0, 1.0, 1, 1, 0.1)
        raise ZeroDivisionError("in an attempt")

    def prepare(self, content: bytes, data: AttackData, inference: InferenceConfig, seed: int) -> bytes | None:
        if self.how == "answer":
            return {}  # type: ignore[return-value]
        raise ZeroDivisionError("in preparing")


class Unruly(Attack):
    """Puts forward moves that are not legal."""

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        packed, legal = environment.data.labelled.packed[0], environment.data.labelled.legal[0]
        environment.risks(packed[None], [legal])
        return environment.submit(packed, next(move for move in range(moves.SIZE) if move not in legal), 0.0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", r"attack .*Failing.*ZeroDivisionError: in an attempt \(\S*test_highstakes.py, line \d+\)$"),
        ("forge", "attack .*Failing.*expected what submit returned, or None, got AdversarialExample"),
        ("answer", "attack .*Failing.*expected what submit returned, or None, got True"),
        ("write", "attack .*Failing.*read-only"),
    ],
)
def test_an_attack_that_fails_is_named_in_one_line(how: str, message: str, judge: Judge, data: Catastrophes) -> None:
    there = environment(biased_filter(-5), judge, data)
    with pytest.raises(PluginError, match=message) as error:
        attack_run(Failing(how=how), there, 0, 1, np.random.default_rng(0))
    assert "\n" not in str(error.value)
    made = "expected bytes or None of prepare, got a dict" if how == "answer" else "ZeroDivisionError: in preparing"
    with pytest.raises(PluginError, match=made):
        prepared(Failing(how=how), biased_filter(-5), there.data, InferenceConfig(), 0)


def test_moves_put_forward_that_are_not_legal_are_counted(judge: Judge, data: Catastrophes) -> None:
    there = environment(biased_filter(-5), judge, data)
    run = attack_run(Unruly(), there, 0, 1, np.random.default_rng(0))
    assert run.examples == () and run.queries == there.budget[0] == run.illegal
    assert AttackRun.from_json(json.loads(json.dumps(asdict(run)))) == run


def test_a_filter_is_asked_on_the_backend_that_a_spec_names(judge: Judge, data: Catastrophes) -> None:
    inference = InferenceConfig(backend="torch", precision="fp32")
    there = AttackEnvironment(
        biased_filter(-5),
        judge,
        environment(biased_filter(-5), judge, data).data,
        queries=9,
        oracle=9,
        inference=inference,
    )
    assert isinstance(there._filter._evaluator, TorchEvaluator)
    with tools({"it": biased_filter(-5)}, inference) as opened:
        assert isinstance(opened.filter("it")._evaluator, TorchEvaluator)
        with pytest.raises(CheckpointError, match="^weak: "):
            tools(CHECKPOINTS, inference).filter("weak")  # named, though it is kept for others
    there.prepared = CHECKPOINTS["weak"]
    Policy().attempt(there, np.random.default_rng(0))
    assert isinstance(there.network, TorchEvaluator)


def test_a_run_keeps_some_of_what_it_made_up_and_nothing_that_it_was_given(judge: Judge, data: Catastrophes) -> None:
    all_of_it = attack_run(
        Unaided(), environment(biased_filter(5), judge, data, queries=30), 0, 1, np.random.default_rng(4), 100
    )
    some = attack_run(
        Unaided(), environment(biased_filter(5), judge, data, queries=30), 0, 1, np.random.default_rng(4), 5
    )
    assert len(some.drafts) == 5
    assert set(some.drafts) < set(all_of_it.drafts)
    given = {packed.tobytes() for packed in data.packed}
    for draft in all_of_it.drafts:
        board = chess.Board(draft.fen)
        assert moves.decode(draft.move, board) in board.legal_moves
        assert np.array(planes.pack(board), np.uint64).tobytes() not in given
    assert AttackRun.from_json(json.loads(json.dumps(asdict(some)))) == some
    assert (
        attack_run(
            Sample(), environment(biased_filter(5), judge, data, queries=9), 0, 1, np.random.default_rng(4), 5
        ).drafts
        == ()
    )


def test_a_policy_that_was_trained_against_a_filter_proposes_what_it_accepts(judge: Judge, data: Catastrophes) -> None:
    quick = TrainConfig(epochs=0.5, batch=16, threads=1, device="cpu")
    attack = Policy(start="weak", imitate=quick, improve=quick.model_copy(update={"objective": "worth"}))
    there = environment(biased_filter(-5), judge, data)
    there.prepared = attack.prepare(biased_filter(-5), there.data, InferenceConfig(), 0)
    network.from_bytes(there.prepared or b"")
    run = attack_run(attack, there, 0, 1, np.random.default_rng(0))
    assert run.queries >= 1


def test_the_gradient_of_the_filter_is_that_of_the_logit_that_it_says(judge: Judge, data: Catastrophes) -> None:
    net = small_network(0)
    there = environment(filters.to_bytes(net, 0.5), judge, data)
    packed = np.array(planes.pack(chess.Board(HANGS)), np.uint64)
    gradient = there.gradient(packed, QUEEN_AWAY)
    x = torch.from_numpy(planes.planes(packed[None]))
    step = 1e-2 * torch.from_numpy(gradient)[None]
    with torch.inference_mode():
        rise = float(net(x + step)[0][0, QUEEN_AWAY] - net(x - step)[0][0, QUEEN_AWAY])
    assert rise == pytest.approx(2e-2 * float((gradient**2).sum()), rel=0.05)
    assert there.meter.queries == 2


def test_a_filtered_player_plays_what_its_filter_accepts(tmp_path: Path, data: Catastrophes) -> None:
    path = tmp_path / "filter.safetensors"
    path.write_bytes(biased_filter(-5))
    player = Filtered(player=Network(checkpoint="weak"), filter=str(path))
    with Tools() as tools:
        bare = tools.network("weak")(data.packed[:4], data.legal[:4])
        open_ = tools.player(player)(data.packed[:4], data.legal[:4])
        shut = tools.player(player.model_copy(update={"threshold": 0.0}))(data.packed[:4], data.legal[:4])
    for row in range(4):
        assert open_.policy[row] == pytest.approx(bare.policy[row], abs=1e-5)
        assert sorted(shut.policy[row])[-2:] == pytest.approx([0, 1])  # the move of least risk alone


def test_an_assistant_behind_a_filter_is_asked_until_the_filter_accepts(tmp_path: Path) -> None:
    packed = np.array(planes.pack(chess.Board(HANGS)), np.uint64)
    legal = sorted(moves.encode_all(chess.Board(HANGS).legal_moves, True))
    lies = AssistantPlayer(base=Network(checkpoint="weak"), misalignment=RandomMove(p=1.0))
    turns = [Turn(packed, legal, 0, 0)] * 40
    with Tools() as tools:
        judge = tools.filter("filter")
        (risk,) = judge(packed[None], [legal])
        rngs = [np.random.default_rng(number) for number in range(80)]
        free = lies.seat(tools).choose(turns, rngs[:40])
        kept = Filtered(player=lies).seat(tools).choose(turns, rngs[40:])
        shut = Filtered(player=lies, threshold=0.0).seat(tools).choose(turns[:2], rngs[:2])
    assert max(risk[legal.index(move)] for move in free) > 0.5
    assert max(risk[legal.index(move)] for move in kept) < judge.threshold
    assert len(set(kept)) > 5
    assert shut == [legal[int(risk.argmin())]] * 2


def test_the_shipped_filter_refuses_what_gives_a_queen_away() -> None:
    packed = np.array(planes.pack(chess.Board(HANGS)), np.uint64)[None]
    legal = sorted(moves.encode_all(chess.Board(HANGS).legal_moves, True))
    with Tools() as tools:
        judge = tools.filter(Filtered().filter)
        (risk,) = judge(packed, [legal])
        assert 0.001 < judge.threshold < 0.5
        assert risk[legal.index(QUEEN_AWAY)] > 0.5
        assert risk[legal.index(moves.encode(chess.Move.from_uci("a2a3"), True))] < judge.threshold
        with pytest.raises(CheckpointError, match="unknown player 'filter'; known: expert, weak, adversary, or"):
            tools.network(FILTER)


def timeless(run: AttackRun) -> AttackRun:
    """A run without the seconds that it took."""
    return replace(run, seconds=0, examples=tuple(replace(example, seconds=0) for example in run.examples))


HOSTILE = "<img src=x onerror='alert(1)'></table><script>alert(1)</script>$\\frac$"


def with_hostile_names(content: Any, inside: str = "") -> Any:
    """A result in which every text, and every name that a person gives, ends in what must not become HTML."""
    if isinstance(content, str):
        return content + HOSTILE
    if isinstance(content, list):
        return [with_hostile_names(part, inside) for part in content]
    if not isinstance(content, dict):
        return content
    named = inside in ("proposers", "roc", "attacks", "harder", "cheaper", "variants", "shifts")
    return {key + HOSTILE if named else key: with_hostile_names(part, key) for key, part in content.items()}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_experiment_runs_to_its_end_and_goes_on_from_what_is_there(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "start.safetensors")
    result = outcome.run(AdversarialTraining(spec, tmp_path / "out", INLINE))
    assert [row["generation"] for row in result["generations"]] == [0, 1]
    assert len(result["cross"]) == 2 * 2 * 2
    assert set(result["generations"][0]["attacks"]) == {"sample", "tool_assisted"}
    assert result["generations"][0]["attacks"]["sample"]["queries"]["runs"] == 4
    assert set(result["variants"]) == {"head", "scratch", "look"}
    look, plain = result["variants"]["look"], result["variants"]["head"]
    assert look["positions"] == look["lookahead"]["without"]["positions"] < plain["positions"]
    assert look["cost"]["evaluations_all"] > look["cost"]["evaluations"] >= 3
    assert plain["cost"]["evaluations"] == plain["cost"]["evaluations_all"] == 1
    assert result["variants"]["scratch"]["cost"]["parameters"] < result["reference"]["cost"]["parameters"]
    assert all(example["loss_again"] >= 0.15 for example in result["examples"])
    text = " ".join(page(json.loads(json.dumps(result))).split())
    assert text.count("<img") == 4
    assert "Beside the injury paper" in text
    assert "(which give away 0.15 or more) at 300 a look and again at 2 times the nodes" in text
    assert "none at 2 times the nodes, %" in text
    with Stockfish(hash_mib=1) as engine:
        assert result["engine"] == engine.identity
    assert "weak behind the filter against weak without one" in text
    assert len(result["shifts"]["unbalanced"]["filters"]) == 2
    assert "look less the same without its look-ahead" in text
    assert "unbalanced (unbalanced): 6 positions of 6 games" in text
    assert [row["forecast"]["ahead"] >= 0 for row in result["generations"]] == [True, True]
    assert result["floor"]["nodes"] == [spec.dataset.nodes, 2 * spec.dataset.nodes, 4 * spec.dataset.nodes]
    assert set(result["cascades"]["behind"]) == {"engine", "network"}
    assert len(result["compute"]) == 2
    for row in result["generations"]:
        calm, moved = (row["latent"][key]["value"] for key in ("accepted", "fooled"))
        assert row["latent"]["depth"] == 1 and 0 <= calm <= moved <= 1
    before, after = (entry["defender"]["passes"] for entry in result["compute"])
    assert before < after
    assert "Random edits of catastrophes" in text and "Cascades, and how often labels err" in text
    hostile = page(with_hostile_names(json.loads(json.dumps(result))))
    assert hostile.count("&lt;img src=x") > 50  # they are shown
    assert "<img src=x" not in hostile and "<script" not in hostile
    reported = CliRunner().invoke(
        highstakes, ["rounds", str(tmp_path / "out"), "--out", str(tmp_path / "race.svg")], env={"COLUMNS": "300"}
    )
    assert reported.exit_code == 0, reported.output
    assert "tool_assisted" in reported.output and "expected at least 3 rounds" in " ".join(reported.output.split())
    assert (tmp_path / "race.svg").read_bytes().startswith(b"<?xml")
    older = json.loads(json.dumps(result))
    for key in ("compute", "floor", "cascades"):
        del older[key]
    for row in older["generations"]:
        del row["forecast"], row["latent"], row["rare"]
        for of in row["proposers"].values():
            del of["figures"]["errors"]
    assert "In per cent, of proposals by weak" in " ".join(page(older).split())
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "result.json").write_text(json.dumps(older))
    refused_ = CliRunner().invoke(highstakes, ["rounds", str(tmp_path / "older")])
    assert "is of an older version" in str(refused_.exception)
    # A killed run: what is there stays byte for byte, what is missing comes out the same.
    kept = (tmp_path / "out" / "generation-1" / "filter.safetensors").read_bytes()
    (tmp_path / "out" / "generation-1" / "filter.safetensors").unlink()
    lost = sorted((tmp_path / "out" / "generation-0" / "attacks" / "tool_assisted").glob("runs-*.jsonl"))[0]
    before = [AttackRun.from_json(json.loads(line)) for line in lost.read_text().splitlines()]
    lost.unlink()
    attacks = tmp_path / "out" / "generation-0" / "attacks"
    shutil.copytree(attacks / "sample", attacks / "human")  # as a person's runs, which the report takes
    again = outcome.run(AdversarialTraining(spec, tmp_path / "out", INLINE))
    after = [AttackRun.from_json(json.loads(line)) for line in lost.read_text().splitlines()]
    assert (tmp_path / "out" / "generation-1" / "filter.safetensors").read_bytes() == kept
    timeless = [
        [replace(run, examples=tuple(replace(e, seconds=0) for e in run.examples), seconds=0) for run in runs]
        for runs in (before, after)
    ]
    assert timeless[0] == timeless[1]
    assert again["generations"][1]["proposers"] == result["generations"][1]["proposers"]
    assert again["shifts"] == result["shifts"]
    assert [row["rare"] for row in again["generations"]] == [row["rare"] for row in result["generations"]]
    assert again["floor"] == result["floor"]
    assert again["generations"][0]["attacks"]["human"] == again["generations"][0]["attacks"]["sample"]
    assert {(entry["attacked"], entry["attack"]) for entry in again["cross"] if entry["attack"] == "human"} == {
        (0, "human")
    }
    assert "human on filter 0" in page(json.loads(json.dumps(again)))
    with pytest.raises(SpecError, match="was begun with another seed"):
        AdversarialTraining(spec.model_copy(update={"seed": 1}), tmp_path / "out", INLINE)


@pytest.mark.slow
def test_cascades_alone_are_compared_by_a_command_of_their_own(tmp_path: Path) -> None:
    tiny = small_spec(tmp_path / "start.safetensors")
    settings = tiny.model_dump(mode="json", exclude={"variants", "shifts"})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    asked = ["cascade", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out")]
    made = CliRunner().invoke(highstakes, [*asked, "--json"], catch_exceptions=False)
    figures = json.loads(made.stdout)
    assert set(figures["cascades"]["behind"]) == {"engine", "network"}
    assert json.loads((tmp_path / "out" / "cascades.json").read_text()) == figures
    assert not (tmp_path / "out" / "generation-0" / "attacks").exists()
    shown = CliRunner().invoke(highstakes, asked, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert "verdicts that change" in shown.output and "ms a decision" in shown.output
    none = CliRunner().invoke(highstakes, ["cascade", "highstakes_rounds", "--out", str(tmp_path / "none")])
    assert str(none.exception) == "cascades: the spec names none"


def test_a_player_behind_a_filter_plays_a_match_against_itself_once(tmp_path: Path) -> None:
    path, config = tmp_path / "strength.json", StrengthConfig(pairs=2, ply_cap=6)

    def played(content: bytes, config: StrengthConfig) -> dict[str, object]:
        weak = DATA.proposers["weak"]
        return strength(INLINE, weak, CHECKPOINTS, content, 16, config, path, 0, InferenceConfig())

    first = played(biased_filter(-5), config)
    assert first["capped"] == {"value": 1.0, "low": pytest.approx(0.398, abs=0.001), "high": 1.0, "n": 4}
    marked = path.read_text().replace('"capped"', '"was read"')
    path.write_text(marked)
    assert "was read" in played(biased_filter(-5), config)
    assert "was read" not in played(biased_filter(5), config)  # another filter
    path.write_text(path.read_text().replace('"capped"', '"was read"'))
    assert "was read" not in played(biased_filter(5), config.model_copy(update={"ply_cap": 7}))


def test_the_commands_say_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text(yaml.safe_dump({"attacks": {"sample": {"attack": {"type": "sample"}, "run": 3}}}))
    answer = CliRunner().invoke(highstakes, ["run", str(spec)])
    assert isinstance(answer.exception, SpecError)
    assert str(answer.exception).startswith(
        f"{spec}: attacks.sample.run: unknown key; did you mean runs? known here: attack, runs, queries"
    )
    with pytest.raises(ValueError, match="the book has 983 openings, got 984"):
        StrengthConfig(pairs=984)
    answer = CliRunner().invoke(highstakes, ["report", str(tmp_path)])
    assert isinstance(answer.exception, SpecError)
    assert "holds no result.json" in str(answer.exception)
    part = json.dumps({"format": outcome.FORMAT, "proposer": "weak", "generations": []})
    for content, wrong in (
        ("{", "is not JSON"),
        ('{"elo": 3}', "is not of format"),
        ("[]", "is not of format"),
        (part, "is not whole (KeyError: 'nodes')"),
        (part.replace("[]", "null", 1).replace("}", ', "nodes": {"again": 10}}'), "is not whole (TypeError"),
    ):
        (tmp_path / "result.json").write_text(content)
        answer = CliRunner().invoke(highstakes, ["report", str(tmp_path)])
        assert isinstance(answer.exception, SpecError)
        assert wrong in str(answer.exception)
        assert len(str(answer.exception).splitlines()) == 1


def test_a_folder_of_something_else_is_told_in_one_line(tmp_path: Path) -> None:
    spec, out = small_spec(tmp_path / "start.safetensors"), tmp_path / "out"
    out.mkdir()
    for content, wrong in (("a: [", "is not YAML"), ("- 1", "expected settings by name, got list")):
        (out / "spec.yaml").write_text(content)
        with pytest.raises(DamagedError, match=rf"spec\.yaml is damaged: .*{wrong}") as error:
            AdversarialTraining(spec, out, INLINE)
        assert len(str(error.value).splitlines()) == 1


def test_latent_training_deeper_than_the_network_is_refused_before_anything_is_there(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "start.safetensors")
    fit = spec.filter.fit.model_copy(update={"latent": 1.0, "latent_depth": 2})
    deep = spec.model_copy(update={"filter": spec.filter.model_copy(update={"fit": fit})})
    with pytest.raises(SpecError, match=r"^filter\.fit\.latent_depth: expected at most 1, the blocks .*, got 2$"):
        AdversarialTraining(deep, tmp_path / "out", INLINE)
    assert not (tmp_path / "out").exists()
    hardened = spec.model_copy(update={"harden": spec.harden.model_copy(update={"fit": fit})})
    with pytest.raises(SpecError, match=r"^harden\.fit\.latent_depth"):
        AdversarialTraining(hardened, tmp_path / "out", INLINE)


def test_an_experiment_goes_on_only_with_the_engine_that_it_was_begun_with(tmp_path: Path) -> None:
    experiment = AdversarialTraining(small_spec(tmp_path / "start.safetensors"), tmp_path / "out", INLINE)
    path = tmp_path / "out" / "dataset" / "block-00000.parquet"
    path.parent.mkdir()
    names = list(experiment.spec.dataset.proposers)
    pq.write_table(schema("Stockfish 1", 5, 0.15, names).empty_table(), path)
    assert labelled_by(path.parent) == "Stockfish 1"
    with pytest.raises(SpecError, match="was begun with Stockfish 1, here is Stockfish .*: choose another folder"):
        experiment.dataset()


ATTACK = """
from sandwich.highstakes.attacks import Attack
class Mine(Attack):
    def attempt(self, environment, rng):
        return None  # VERSION
"""


def test_an_attack_that_changed_is_refused_where_runs_of_it_are_there(tmp_path: Path) -> None:
    settings = small_spec(tmp_path / "start.safetensors").model_dump(mode="json") | {"variants": {}, "shifts": {}}
    for name in ("dataset", "filter"):  # as a spec has them, by their defaults and types
        del settings[name]
    spec = tmp_path / "mine.yaml"
    spec.write_text(yaml.safe_dump({**settings, "attacks": {"mine": {"attack": {"type": "mine:Mine"}}}}))
    out = tmp_path / "out"

    def begun(version: str) -> AdversarialTraining:
        (tmp_path / "mine.py").write_text(ATTACK.replace("VERSION", version))
        return AdversarialTraining(load(spec, ()), out, INLINE)

    begun("1")
    assert (out / "mine.py").read_text() == ATTACK.replace("VERSION", "1")
    begun("2")  # nothing was attacked with the first
    kept = json.loads((out / "provenance.json").read_text())
    assert list(kept["attacks"]) == ["mine"] and "sandwich" in kept
    runs = out / "generation-0" / "attacks" / "mine"
    runs.mkdir(parents=True)
    (runs / "runs-00000.jsonl").write_text("")
    begun("2")
    with pytest.raises(SpecError) as error:
        begun("3")
    assert str(error.value) == (
        f"{out} was attacked with another mine.py of mine: remove {runs} and all later generations, or choose another"
        " folder"
    )
    assert (out / "mine.py").read_text() == ATTACK.replace("VERSION", "2")
    shutil.rmtree(runs)
    begun("3")
    assert (out / "mine.py").read_text() == ATTACK.replace("VERSION", "3")


def test_an_experiment_goes_on_only_with_the_networks_that_it_was_begun_with(tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    spec = small_spec(start)
    AdversarialTraining(spec, tmp_path / "out", INLINE)
    block = tmp_path / "out" / "dataset" / "block-00000.parquet"
    block.parent.mkdir()
    block.write_bytes(b"")
    start.write_bytes(network.to_bytes(small_network(7)))
    with pytest.raises(SpecError, match=r"out was begun with another .*start\.safetensors: choose another folder"):
        AdversarialTraining(spec, tmp_path / "out", INLINE)


@pytest.mark.parametrize(("old", "new"), [("hunts", "runs"), ("breaks", "examples")])
def test_an_old_key_of_an_attack_is_refused_with_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    spec = tmp_path / "old.yaml"
    spec.write_text(yaml.safe_dump({"attacks": {"sample": {"attack": {"type": "sample"}, old: 3}}}))
    with pytest.raises(SpecError, match=rf"/old\.yaml: attacks\.sample\.{old}: is called attacks\.sample\.{new} now$"):
        load(spec, ())


def test_progress_is_told_phase_by_phase(tmp_path: Path) -> None:
    progress = RecordingProgress()
    spec = small_spec(tmp_path / "start.safetensors")
    experiment = AdversarialTraining(spec, tmp_path / "out", INLINE, progress)
    data = experiment.dataset()
    experiment.attack(experiment.generation(0, data), data)
    assert progress.done == progress.totals
    assert list(progress.totals) == [
        "positions labelled", "filter: training", "generation 0: calibrating", "generation 0: sample: preparing",
        "generation 0: sample: attack runs", "generation 0: tool_assisted: preparing",
        "generation 0: tool_assisted: attack runs",
    ]  # fmt: skip
    assert (progress.totals["positions labelled"], progress.totals["generation 0: sample: attack runs"]) == (48, 4)
