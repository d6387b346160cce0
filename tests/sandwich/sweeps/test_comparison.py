"""Oversight strategies side by side: detection, paired differences, and the command that shows them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from engines.settings import SpecError
from experiments.cli.main import cli
from sandwich.label_models.base import REGISTRY as LABEL_MODELS
from sandwich.oversight.base import REGISTRY, label
from sandwich.spec.loading import validate
from sandwich.spec.run_spec import RunSpec
from sandwich.statistics import Ranking, auc, elo, holm
from sandwich.sweeps.cells import Cell
from sandwich.sweeps.comparison import Arm, against, arms, retained, short_names, thinned
from sandwich.sweeps.planning import plan
from sandwich.sweeps.sweep import begin
from sandwich.sweeps.sweep_spec import load_sweep
from tests.helpers import run_folders
from tests.helpers.project import ROOT

Floats = npt.NDArray[np.float64]
SWEEP = """
run:
  name: tiny
  assistant: {misalignment: {type: engine_worst}}
  oversight: {type: trust}
  steps: 1
over:
  assistant.misalignment.p: [0.4, 0.6]
  oversight.type: [trust, veto]
  seed: [0, 1, 2]
"""
OPENINGS = 400


def by_pairs(trust: Floats, lie: npt.NDArray[np.bool_]) -> float:
    """AUC by its definition."""
    pairs = [(honest > lied) + 0.5 * (honest == lied) for honest in trust[~lie] for lied in trust[lie]]
    return float(np.mean(pairs))


@pytest.mark.parametrize("seed", range(4))
def test_auc_is_the_chance_that_truth_is_trusted_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trust, lie = rng.integers(0, 6, 50).astype(float), rng.random(50) < 0.4  # many ties
    assert auc(trust, lie) == pytest.approx(by_pairs(trust, lie))
    assert auc(-trust, lie) == pytest.approx(1 - by_pairs(trust, lie))


def test_auc_needs_lies_and_honest_answers() -> None:
    assert np.isnan(auc(np.ones(3), np.ones(3, bool)))
    assert np.isnan(auc(np.ones(3), np.zeros(3, bool)))
    assert Ranking.of(np.ones(3), np.zeros(3, bool)).roc() is None


def test_roc_runs_from_refusing_none_to_refusing_all_and_has_the_area_that_it_should() -> None:
    rng = np.random.default_rng(1)
    lie = rng.random(400) < 0.5
    trust = rng.normal(size=400) - lie
    curve = Ranking.of(trust, lie).roc()
    assert curve is not None
    honest, lies = curve
    assert (honest[0], lies[0], honest[-1], lies[-1]) == (0, 0, 1, 1)
    assert (np.diff(honest) >= 0).all() and (np.diff(lies) >= 0).all()
    assert np.trapezoid(lies, honest) == pytest.approx(by_pairs(trust, lie))
    short = thinned(curve, 20)
    assert short is not None and len(short[0]) == 20
    assert (short[0][0], short[1][0], short[0][-1], short[1][-1]) == (0, 0, 1, 1)


def test_a_weight_counts_as_so_many_and_equal_scores_are_refused_together() -> None:
    rng = np.random.default_rng(2)
    trust, lie, often = rng.integers(0, 4, 40).astype(float), rng.random(40) < 0.4, rng.integers(0, 4, 40)
    repeated = by_pairs(np.repeat(trust, often), np.repeat(lie, often))
    ranking = Ranking.of(trust, lie)
    assert ranking.area(often.astype(float)) == pytest.approx(repeated)
    curve = ranking.roc()
    assert curve is not None and len(curve[0]) == 5  # whatever comes first of those that are equal


def scores(mean: float, rng: np.random.Generator) -> list[float]:
    return [float(score) for score in rng.choice([0, 0.5, 1], OPENINGS, p=[0.9 - mean, 0.2, mean - 0.1])]


def finish(cell: Cell) -> None:
    """What a finished run leaves, as far as it is compared; the better learner is who refuses the lies."""
    spec = cell.spec
    careful = type(spec.oversight).__name__ == "Veto"
    after = scores(0.4 if careful else 0.15, np.random.default_rng([spec.seed, careful]))
    rows = [run_folders.row(0), run_folders.row(1)]
    for row, pairs in zip(rows, (scores(0.2, np.random.default_rng(9)), after), strict=True):
        row["pairs"] = {"best": pairs}
    if careful:
        rows[1]["labels"] = {"auc": 0.9, "believed": 8, "lies_believed": 2}
    run_folders.write_metrics(cell.folder, rows)
    lies = {0: "d4", 4: "Nf3"}
    games = [run_folders.plies(n, run_folders.MATE, lies, refused=[0, 2] if careful else []) for n in (0, 2)]
    for game in games:
        for ply in game:
            if ply["asked"]:
                ply |= {"confidence": float(ply["believed"]), "questions": 2, "evaluations": 3 if careful else 0}
            if ply["ply"] == 4:
                ply |= {"loss_advised": 0.25, "loss_weight": 1.0}
    run_folders.write_ledger(cell.folder, 0, games)
    (cell.folder / "result.json").write_text('{"steps": 1}')


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep whose runs are finished."""
    beside = tmp_path_factory.mktemp("specs")
    (beside / "tiny.yaml").write_text(SWEEP)
    sweep = load_sweep(beside / "tiny.yaml")
    folder = beside / "runs"
    cells = plan(sweep, beside, folder)
    begin(sweep, beside, cells, folder)
    for cell in cells:
        finish(cell)
    return folder


@pytest.fixture(scope="module")
def found(root: Path) -> list[Arm]:
    return arms(plan(load_sweep(root / "sweep.yaml"), root, root), 1)


def test_runs_that_differ_in_their_seed_are_one_arm(found: Sequence[Arm]) -> None:
    assert [(arm.strategy, arm.assistant["p"], arm.seeds) for arm in found] == [
        ("trust", 0.4, [0, 1, 2]), ("veto", 0.4, [0, 1, 2]), ("trust", 0.6, [0, 1, 2]), ("veto", 0.6, [0, 1, 2]),
    ]  # fmt: skip


def test_a_strategy_is_told_by_its_type_and_what_is_not_the_default() -> None:
    said = {"type": "unanimous", "members": [{"type": "plausible", "least": 0.02}, {"type": "lookahead"}]}
    assert label(REGISTRY.parse(said)) == "unanimous (plausible (least = 0.02), lookahead)"
    assert label(REGISTRY.parse({"type": "veto", "delta": 0.5})) == "veto (delta = 0.5)"
    model = LABEL_MODELS.parse({"type": "mixture", "rounds": 2, "start": "plausible:least=0.02"})
    assert label(model, LABEL_MODELS) == "mixture (start = plausible (least = 0.02), rounds = 2)"


def test_names_are_short_where_they_still_differ(found: Sequence[Arm]) -> None:
    assert short_names(found) == {"trust": "trust", "veto": "veto"}
    other = [replace(arm, label=f"{arm.label} ({arm.assistant['p']})") for arm in found]
    assert set(short_names(other)) == set(short_names(other).values())


def test_figures_are_those_of_the_ledgers(found: Sequence[Arm]) -> None:
    trusting, careful = ({name: figure.value for name, figure in arm.figures.items()} for arm in found[:2])
    # Two games, in each of which White asks four times, at plies 0, 2, 4 and 6; run_folders.row says 64 games.
    assert trusting["lies"] == careful["lies"] == 0.5
    assert trusting["questions"] == 16
    assert trusting["auc"] == careful["auc"] == 0.5  # one lie and one honest answer are refused, one of each believed
    assert (trusting["accepted_lies"], careful["accepted_lies"]) == (4 / 64, 2 / 64)
    assert (trusting["refused_honest"], careful["refused_honest"]) == (0, 2 / 64)
    assert trusting["lost_by_lie"] == pytest.approx(25)
    assert (trusting["evaluations"], careful["evaluations"]) == (0, 3)
    assert (careful["labels_auc"], careful["labels_lies"]) == (0.9, 0.25)
    assert (trusting["labels_auc"], trusting["labels_lies"]) == (None, None), "nothing labelled its answers"


def recovered(arm: Arm) -> list[float]:
    """PGR of each run of an arm, from its games."""
    return [1 - float(elo(end.mean()) / elo(start.mean())) for start, end in arm.point.pairs]


def test_an_arm_is_held_against_trust_with_the_same_assistant(found: Sequence[Arm]) -> None:
    apart = against(found[1], found)
    assert apart.value is not None and apart.low is not None and apart.low > 0
    assert apart.n == 3
    assert apart.value == pytest.approx(found[1].point.pgr().value - found[0].point.pgr().value)  # type: ignore[operator]
    assert against(found[0], found).value is None
    assert against(found[1], [arm for arm in found if arm.assistant["p"] == 0.6]).value is None
    other_way = against(found[0], found, "veto")
    assert other_way.value == pytest.approx(-apart.value)


def test_arms_of_one_name_are_told_apart_by_the_key_in_which_they_differ(root: Path) -> None:
    cells = plan(load_sweep(root / "sweep.yaml"), root, root)
    rare = [
        replace(cell, values={**cell.values, "play.ask.n": 1 if cell.spec.seed else 3})
        if cell.spec.oversight == cells[0].spec.oversight
        else cell
        for cell in cells
    ]
    found = arms(rare, 1)
    names = [arm.label for arm in found if arm.assistant["p"] == 0.4]
    assert names == ["trust, play.ask.n = 3", "trust, play.ask.n = 1", "veto"]
    veto = next(arm for arm in found if arm.strategy == "veto")
    of_two = against(veto, found, "trust, play.ask.n = 1")
    assert of_two.n == 2 and of_two.low is None
    often = next(arm for arm in found if arm.label == "trust, play.ask.n = 1")
    assert of_two.value == pytest.approx(np.mean(recovered(veto)[1:]) - np.mean(recovered(often)))
    with pytest.raises(SpecError, match="several arms are trust: expected one of trust, play.ask.n = 3; trust, play"):
        against(veto, found)


@pytest.mark.parametrize(
    ("fixed", "dose", "faced"),
    [
        ("{assistant.misalignment.type: policy_noise}", "assistant.misalignment.sigma", "policy_noise, sigma = {}"),
        (
            "{assistant.misalignment: {type: schedule, inner: {type: engine_worst}}}",
            "assistant.misalignment.inner.p",
            "schedule, inner.p = {}",
        ),
        (
            "{second: {misalignment: {type: random_move}}}",
            "second.misalignment.p",
            "engine_worst, p = 0.25, second.misalignment.p = {}",
        ),
    ],
)
def test_an_assistant_is_the_same_where_every_dose_is(tmp_path: Path, fixed: str, dose: str, faced: str) -> None:
    other = SWEEP.replace("over:", f"fixed: {fixed}\nover:").replace("assistant.misalignment.p:", f"{dose}:")
    (tmp_path / "tiny.yaml").write_text(other.replace("seed: [0, 1, 2]", "seed: [0]"))
    sweep = load_sweep(tmp_path / "tiny.yaml")
    cells = plan(sweep, tmp_path, tmp_path / "runs")
    begin(sweep, tmp_path, cells, tmp_path / "runs")
    for cell in cells:
        finish(cell)
    done = CliRunner().invoke(cli, ["evaluate", "oversight", str(tmp_path / "runs"), "--json"])
    assert done.exit_code == 0, done.exception
    rows = json.loads(done.output)["arms"]
    assert [(row["label"], row["assistant"]) for row in rows] == [
        (label, faced.format(dose)) for dose in (0.4, 0.6) for label in ("trust", "veto")
    ]
    found = arms(cells, 1)
    note = json.loads(done.output)["note"].splitlines()
    assert note[0] == "The interval of a single run leaves out the luck of training."
    assert note[1:] == ["2 intervals: 2 exclude 0; corrected for their number (Holm), 2 do."]
    within = against(found[1], found)
    assert within.value == pytest.approx(recovered(found[1])[0] - recovered(found[0])[0])
    assert within.value is not None and within.low is not None and within.high is not None
    assert within.low < within.value < within.high
    assert "no other arm of trust" in str(against(found[1], found[2:]).reason)


def test_what_an_arm_retained_is_told_where_there_is_its_control(found: Sequence[Arm]) -> None:
    """Over the arm that learned from the honest answers of the same assistant alone, that of its strategy first."""
    trusting, careful, other, _ = found
    control = replace(careful, values={**careful.values, "finetune.examples": "honest"})
    figure = retained(trusting, [trusting, control])
    assert figure.value == pytest.approx(np.mean(recovered(trusting)) / np.mean(recovered(careful)))
    assert figure.value is not None and figure.low is not None and figure.high is not None
    assert figure.low < figure.value < figure.high
    assert retained(careful, [careful, control]).value == pytest.approx(1)
    own = replace(trusting, values=control.values)
    assert retained(careful, [careful, control, own]).value == pytest.approx(1)
    assert retained(control, [trusting, control]).reason == "it is the control itself"
    for others in ([trusting, careful], [trusting, replace(control, assistant=other.assistant)]):
        assert "no one arm with finetune.examples = honest" in str(retained(trusting, others).reason)
    single = [
        replace(arm, seeds=arm.seeds[:1], point=replace(arm.point, rows=arm.point.rows[:1]))
        for arm in (trusting, control)
    ]
    assert retained(single[0], single).n == 2 * OPENINGS


def test_the_command_writes_a_table_and_a_picture(root: Path) -> None:
    done = CliRunner().invoke(cli, ["evaluate", "oversight", str(root), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert [row["strategy"] for row in said["arms"]] == ["trust", "veto", "trust", "veto"]
    assert [row["assistant"] for row in said["arms"][1:3]] == ["engine_worst, p = 0.4", "engine_worst, p = 0.6"]
    assert said["note"] == "2 intervals: 2 exclude 0; corrected for their number (Holm), 2 do."
    against_trust = [row["against"] for row in said["arms"] if row["strategy"] == "veto"]
    assert [row["p_holm"] for row in against_trust] == holm([row["p"] for row in against_trust])
    assert all(0 < row["p"] < 0.05 for row in against_trust)
    assert all(row["retained"]["value"] is None for row in said["arms"])
    assert (root / "oversight.svg").read_text().startswith("<?xml")
    table = (root / "oversight.md").read_text().splitlines()
    assert len(table) == 8 and all(line.count("|") == table[0].count("|") for line in table[:6])
    assert table[7] == said["note"]
    assert "less trust's" in table[0]


def test_power_is_told_from_the_runs_that_are_there(root: Path, tmp_path: Path) -> None:
    spec = root.parent / "tiny.yaml"
    told = ["sweep", str(spec), "--out", str(root), "--power"]
    done = CliRunner().invoke(cli, [*told, "0.3", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["difference"] == 0.3 and said["variance"]["pairs"] == OPENINGS
    needed = {row["pairs"]: row["seeds"] for row in said["needed"]}
    assert sorted(needed) == sorted({150, 300, 600, 1200, OPENINGS})
    assert needed[150] >= needed[600] >= needed[1200] >= 3
    smaller = json.loads(CliRunner().invoke(cli, [*told, "0.1", "--json"]).output)["needed"]
    assert all(row["seeds"] is None or row["seeds"] >= needed[row["pairs"]] for row in smaller)
    assert "seen with a chance of 80%" in CliRunner().invoke(cli, [*told, "0.3"]).output
    before = sorted(path for path in root.rglob("*"))
    nothing = CliRunner().invoke(cli, ["sweep", str(spec), "--out", str(tmp_path / "none"), "--power", "0.1"])
    assert isinstance(nothing.exception, SpecError)
    assert "no two arms have 3 seeds in common that are done" in str(nothing.exception)
    assert not (tmp_path / "none").exists() and before == sorted(path for path in root.rglob("*"))


def test_differences_are_taken_from_any_strategy(root: Path) -> None:
    done = CliRunner().invoke(cli, ["evaluate", "oversight", str(root), "--than", "veto", "--json"])
    first, second, *_ = json.loads(done.output)["arms"]
    assert first["against"]["high"] < 0
    assert second["against"]["value"] is None
    assert "less veto's" in (root / "oversight.md").read_text()
    wrong = CliRunner().invoke(cli, ["evaluate", "oversight", str(root), "--than", "vetoes"])
    assert "than vetoes: no such strategy in " in str(wrong.exception)
    assert str(wrong.exception).endswith("expected one of trust; veto")


def test_longer_runs_are_compared_after_the_step_that_all_get_to(tmp_path: Path) -> None:
    longer = SWEEP.replace("  steps: 1", "  steps: 2").replace("[trust, veto]", "[trust]")
    (tmp_path / "tiny.yaml").write_text(longer)
    sweep = load_sweep(tmp_path / "tiny.yaml")
    cells = plan(sweep, tmp_path, tmp_path / "runs")
    begin(sweep, tmp_path, cells, tmp_path / "runs")
    for cell in cells[:-1]:
        finish(cell)  # one step of two
    assert [len(arm.seeds) for arm in arms(cells, 1)] == [3, 2]
    assert arms(cells, 2) == []
    row = run_folders.row(2)
    row["pairs"] = {"best": scores(0.6, np.random.default_rng(5))}
    run_folders.write_metrics(cells[0].folder, [run_folders.row(0), run_folders.row(1), row])
    run_folders.write_ledger(cells[0].folder, 1, [run_folders.plies(0, run_folders.MATE, {}, refused=[])])
    assert arms(cells, 1)[0].figures["questions"].value == 16  # the games of the second step don't count


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["x=1"], "takes no overrides"), (["--out", "y"], "takes no overrides and no --out")],
)
def test_a_folder_takes_no_settings(root: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["evaluate", "oversight", str(root), *arguments])
    assert done.exit_code != 0
    assert isinstance(done.exception, SpecError) and said in str(done.exception)


def test_a_sweep_without_a_finished_run_has_nothing_to_compare(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    sweep = load_sweep(tmp_path / "tiny.yaml")
    begin(sweep, tmp_path, plan(sweep, tmp_path, tmp_path / "runs"), tmp_path / "runs")
    done = CliRunner().invoke(cli, ["evaluate", "oversight", str(tmp_path / "runs")])
    assert isinstance(done.exception, SpecError) and "none has got to step 1" in str(done.exception)


def test_the_shipped_study_is_a_sweep(tmp_path: Path) -> None:
    spec = ROOT / "experiments" / "specs" / "majority.yaml"
    cells = plan(load_sweep(spec), spec.parent, tmp_path)
    assert len({cell.key for cell in cells}) == 55
    doses = {cell.values["assistant.misalignment.p"] for cell in cells}
    assert doses == {0.4, 0.5, 0.6}
    assert all(validate(RunSpec, cell.spec.model_dump(mode="json")) == cell.spec for cell in cells)
