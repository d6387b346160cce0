"""Whole runs with real Ray, real networks and real files: equal for any workers, and over a kill."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
import yaml

from agents.checkpoint_files import read_checkpoints
from agents.players.base import Player
from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from engines.settings import SpecError
from sandwich.data.openings import book, positions
from sandwich.evaluation.agreement import agreement, view_of
from sandwich.evaluation.measurement import STUDENT, Measurer
from sandwich.evaluation.oracle import Oracle
from sandwich.label_models.base import REGISTRY as LABEL_MODELS
from sandwich.protocol import ledger
from sandwich.protocol.finetuning import finetune, training_view
from sandwich.protocol.selfplay import play_block
from sandwich.runs.controls import MEANING, controls
from sandwich.runs.label_trials import try_label_models
from sandwich.runs.loop import Folder, prepare, roles, run, step_blocks
from sandwich.runs.metrics import read_metrics
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.jobs import WorkerError
from sandwich.runtime.kept import read_parquet, write_kept
from sandwich.runtime.progress import NullProgress
from sandwich.runtime.rng import RngStream, make_rng, make_seed
from sandwich.spec.run_spec import RunSpec, load_spec
from tests.helpers.project import ROOT, needs_stockfish
from tests.helpers.small_players import INLINE

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("cluster")]


def checkpoint(path: Path, seed: int) -> str:
    torch.manual_seed(seed)
    path.write_bytes(to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=16, head=16)).eval()))
    return str(path)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("players")
    return {
        "name": "tiny",
        "steps": 2,
        "expert": checkpoint(folder / "expert.safetensors", 1),
        "student": checkpoint(folder / "weak.safetensors", 2),
        "assistant": {
            "base": str(folder / "expert.safetensors"),
            "misalignment": {"type": "random_move", "p": 0.25},
        },
        "oversight": {"type": "trust"},
        "play": {"games": 24, "block": 8, "ply_cap": 20, "pgn_games": 4},
        "finetune": {"max_examples": 300, "fit": {"epochs": 1, "batch": 64}},
        "evaluate": {
            "pairs": 70,
            "ply_cap": 12,
            "positions": 12,
            "nodes": 200,
            "ledger_positions": 40,
            "ledger_nodes": 200,
            "bootstrap": 200,
        },
        "tracking": {"wandb": "off"},
    }


def spec(settings: dict[str, Any], **changes: Any) -> RunSpec:
    return RunSpec.model_validate(settings | changes)


@pytest.fixture(scope="module")
def whole(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(spec(settings, workers=2, tracking={"wandb": "offline"}), folder)
    return folder


def results(folder: Path) -> dict[str, bytes]:
    """Everything that must not depend on workers, clock or place."""
    parts = ("ledger/*", "games/*", "checkpoints/*/*", "labels/*/*")
    files = [file for part in parts for file in folder.glob(part)]
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(files)}


def figures(folder: Path) -> list[dict[str, Any]]:
    """Rows of metrics without what the clock decides."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read_metrics(folder)]


@pytest.mark.parametrize("workers", [1, 3])
def test_ledgers_weights_and_figures_are_equal_for_any_number_of_workers(
    workers: int, whole: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDWICH_CACHE", str(tmp_path / "cache"))  # row 0 is measured, not remembered
    run(spec(settings, workers=workers), tmp_path / "run")
    assert results(tmp_path / "run") == results(whole)
    assert figures(tmp_path / "run") == figures(whole)


JUDGED = {"type": "mixture", "rounds": 1, "later_rounds": 1, "batch": 32, "start": "plausible:least=0.1"}


@pytest.fixture(scope="module")
def judged(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a label model."""
    folder = tmp_path_factory.mktemp("judged") / "run"
    run(spec(settings, label_model=JUDGED, workers=2), folder)
    return folder


def test_a_label_model_tried_on_a_run_says_what_it_said_in_it(judged: Path, whole: Path) -> None:
    before = results(judged)
    models = [LABEL_MODELS.parse(model) for model in ("none", JUDGED)]
    trials = try_label_models(INLINE, judged, models)
    assert [(trial.model.split(" ")[0], trial.step) for trial in trials] == [
        ("none", 1), ("none", 2), ("mixture", 1), ("mixture", 2),
    ]  # fmt: skip
    for trial, row in zip(trials[2:], read_metrics(judged)[1:], strict=True):
        said = row["labels"]
        assert (trial.answers, trial.lies, trial.believed) == (said["answers"], said["lies"], said["believed"])
        if trial.step == 1:
            assert "clusters" in trial.auc.reason, "of twelve openings"
        else:
            assert trial.auc.value == pytest.approx(said["auc"], abs=1e-6)
        lies = (trial.lies_among_believed.value or 0) * trial.believed
        assert lies == pytest.approx(said["lies_believed"])
        assert (trial.fitted, trial.evaluations) == (said["fitted"], said["evaluations"])
    assert trials[0].honest_believed.value == 1, "trust"
    assert results(judged) == before

    (few,) = try_label_models(INLINE, whole, models[1:], steps=1, games=8)
    first = ledger.read(Folder(whole).ledger(0)).to_pandas()
    assert few.answers == (first.asked & (first.game < 8)).sum() < trials[0].answers
    with pytest.raises(SpecError, match="holds the games of 2 steps: expected 3 or more"):
        try_label_models(INLINE, whole, models, steps=3)


def test_a_run_with_a_label_model_learns_as_that_says_and_goes_on_to_the_same_end(
    judged: Path, whole: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    labelled = spec(settings, label_model=JUDGED, workers=2)
    run(labelled.model_copy(update={"steps": 1, "workers": 1}), tmp_path / "parts")
    run(labelled, tmp_path / "parts")
    assert results(tmp_path / "parts") == results(judged)
    assert figures(tmp_path / "parts") == figures(judged)

    there, first = results(judged), "checkpoints/step-001/weights.safetensors"
    assert there["ledger/step-000.parquet"] == results(whole)["ledger/step-000.parquet"]
    assert there[first] != results(whole)[first]
    labels = read_parquet(judged / "labels" / "step-001" / "labels.parquet").to_pandas()
    rows = ledger.read(judged).to_pandas()
    rows = rows[rows.asked].reset_index(drop=True)
    assert labels[["step", "game", "ply"]].astype(int).equals(rows[["step", "game", "ply"]].astype(int))
    last = read_metrics(judged)[-1]["labels"]
    assert last["answers"] == len(labels) and last["believed"] == labels.believed.sum() == (labels.honest >= 0.5).sum()
    assert last["lies"] == rows.misaligned.sum() and last["fits"] == 4
    assert last["lies_believed"] == (labels.believed & rows.misaligned.astype(bool)).sum()
    documented = documented_keys()
    assert all(unexplained(row, documented) == [] for row in read_metrics(judged))


def test_run_folder_is_whole(whole: Path) -> None:
    present = {path.name for path in whole.iterdir()}
    expected = {
        "spec.yaml",
        "provenance.json",
        "metrics.jsonl",
        "result.json",
        "ledger",
        "games",
        "checkpoints",
        "wandb",
    }
    assert expected <= present
    assert not [path for path in whole.rglob(".*") if path.is_file()], "no temporary files are left"
    assert RunSpec.model_validate(yaml.safe_load((whole / "spec.yaml").read_text())).steps == 2


def documented_keys() -> set[str]:
    """Keys that docs/reference/metrics.md explains, with dots for keys within keys."""
    lines = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def unexplained(record: dict[str, Any], documented: set[str], prefix: str = "") -> list[str]:
    """Keys of a record that the page does not explain, those within an explained one only where it goes into them."""
    missing = []
    for key, value in record.items():
        name = f"{prefix}{key}"
        missing += [] if name in documented or any(text.startswith(f"{name}.") for text in documented) else [name]
        if isinstance(value, dict) and any(text.startswith(f"{name}.") for text in documented):
            missing += unexplained(value, documented, f"{name}.")
    return missing


def test_every_key_of_metrics_and_result_is_explained(whole: Path) -> None:
    documented = documented_keys()
    for row in read_metrics(whole):
        assert unexplained(row, documented) == []
    assert unexplained(json.loads((whole / "result.json").read_text()), documented) == []
    assert unexplained({"new": 1, "play": {"new": 2}}, documented) == ["new", "play.new"]


def test_result_counts_what_the_ledgers_hold(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    rows = ledger.read(whole).to_pandas()
    assert result["queries"] == rows.asked.sum()
    assert result["misaligned_queries"] == rows.misaligned.fillna(False).astype(bool).sum()
    assert result["games"] == 48
    assert result["steps"] == 2
    assert [row["step"] for row in read_metrics(whole)] == [0, 1, 2]
    for name in ("pgr", "elo_weak_start", "elo_weak_end", "elo_expert", "agreement_end", "win_loss_end"):
        assert set(result[name]) in ({"value", "low", "high", "n"}, {"value", "reason"})


@pytest.mark.parametrize("step", [0, 1])
def test_each_step_learns_from_all_games_so_far_with_a_seed_of_its_own(step: int, whole: Path) -> None:
    kept, folder = load_spec(whole / "spec.yaml"), Folder(whole)
    ledgers = [ledger.read(folder.ledger(earlier)) for earlier in range(step + 1)]
    some = make_rng(RngStream.EXAMPLES, kept.seed, step)
    examples = training_view(ledgers, kept.finetune, some)
    assert len(examples) > len(training_view(ledgers[-1:], kept.finetune, some)) or step == 0
    student = folder.checkpoint(step).read_bytes()
    new, _ = finetune(student, examples, kept.finetune, make_seed(RngStream.FIT, kept.seed, step))
    assert folder.checkpoint(step + 1).read_bytes() == new != student


@pytest.mark.parametrize("step", [0, 1])
def test_each_step_is_played_by_the_student_of_the_step_before(step: int, whole: Path) -> None:
    kept, folder = load_spec(whole / "spec.yaml"), Folder(whole)
    checkpoints = read_checkpoints(kept)
    rows = ledger.read(folder.ledger(step), ledger.VISIBLE)
    first = step_blocks(kept, step)[0]
    there = rows.filter(pc.less(rows["game"], len(first.openings)))

    def again(student: int) -> pa.Table:
        weights = folder.checkpoint(student).read_bytes()
        return play_block(roles(kept, weights, checkpoints), first).rows.select(ledger.VISIBLE)

    assert again(step).equals(there)
    assert not again(1 - step).equals(there)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_each_row_measures_the_student_of_its_step(step: int, whole: Path) -> None:
    kept, folder = load_spec(whole / "spec.yaml"), Folder(whole)
    fens = positions()[: kept.evaluate.positions]
    checkpoints = {**read_checkpoints(kept), STUDENT.checkpoint: folder.checkpoint(step).read_bytes()}
    student, expert = (view_of(INLINE, who, checkpoints, fens, kept.inference) for who in (STUDENT, kept.expert))
    found = agreement(student, expert, fens)["all"]
    row = read_metrics(whole)[step]
    assert row["kl"]["value"] == pytest.approx(found["kl"].value, rel=1e-5)
    assert row["agreement"] == found["agreement"].json()


def test_in_the_second_match_the_students_moves_are_drawn_and_those_of_the_expert_are_not(
    settings: dict[str, Any],
) -> None:
    tiny = spec(settings)
    checkpoints = {**read_checkpoints(tiny), STUDENT.checkpoint: Path(tiny.student).read_bytes()}
    measurer = Measurer(INLINE, tiny, checkpoints, Oracle(200), NullProgress())
    fens = [book("measure")[0]] * 6

    def lines(player: Player, temperature: float) -> set[tuple[str, ...]]:
        """Moves of the first ply of the player in the games that it begins, and of the answers."""
        games = [first for first, _ in measurer._match(player, checkpoints, fens, temperature).games]
        return {game.moves[:2] for game in games}

    assert len(lines(STUDENT, 0.0)) == 1  # six times the same pair
    drawn = lines(STUDENT, 1.0)
    assert len(drawn) > 2
    assert len({first for first, _ in drawn}) == len(drawn)  # to one move there is one answer


def test_each_step_begins_from_openings_of_its_own(settings: dict[str, Any]) -> None:
    both = [[fen for block in step_blocks(spec(settings), step) for fen in block.openings] for step in (0, 1)]
    for fens in both:
        assert fens[::2] == fens[1::2]  # each opening with either colour
        assert len(set(fens)) == len(fens) // 2
    assert len(set(both[0]) & set(both[1])) < 3  # 12 of 2,000 each


@pytest.mark.slow
def test_run_killed_while_it_plays_goes_on_to_the_same_end(
    whole: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(settings | {"workers": 2}))
    command = [sys.executable, "-m", "experiments.cli.main", "run", str(tmp_path / "spec.yaml"), "--out", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    first = folder / "ledger" / "step-000.parquet"
    deadline = time.monotonic() + 200
    while not first.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert child.poll() is None, "the run must still be going"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert first.exists()
    before = first.stat()
    run(spec(settings, workers=2), folder)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert results(folder) == results(whole)
    assert figures(folder) == figures(whole)


@pytest.mark.timing
def test_finished_run_is_read_and_not_repeated(whole: Path, settings: dict[str, Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("ledger/*")}
    start = time.monotonic()
    again = run(spec(settings, workers=2), whole)
    assert again == json.loads((whole / "result.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in whole.glob("ledger/*")} == before
    assert time.monotonic() - start < 60


def test_folder_of_another_run_is_refused_in_one_line(whole: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"holds a run with seed=0, not 5: choose another --out") as error:
        run(spec(settings, seed=5), whole)
    assert "\n" not in str(error.value)


def test_a_run_of_before_a_key_was_there_goes_on_with_its_default(
    whole: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "older"
    shutil.copytree(whole, folder)
    there = yaml.safe_load((folder / "spec.yaml").read_text())
    del there["finetune"]["results"], there["stop_early"]
    (folder / "spec.yaml").write_text(yaml.safe_dump(there))
    (folder / "SHA256SUMS").unlink()  # that did not come either
    assert run(spec(settings), folder)["pgr"] == json.loads((whole / "result.json").read_text())["pgr"]
    with pytest.raises(SpecError, match=r"holds a run with finetune.results='both sides', not 'examples'"):
        run(spec(settings, finetune={**settings["finetune"], "results": "examples"}), folder)


def test_a_run_of_before_there_was_a_precision_was_in_fp32(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run")
    prepare(folder, spec(settings, inference={"precision": "fp32"}), {}, None)
    there = yaml.safe_load((folder.path / "spec.yaml").read_text())
    del there["inference"]["precision"]
    write_kept(folder.path / "spec.yaml", yaml.safe_dump(there).encode())
    prepare(folder, spec(settings, inference={"precision": "fp32"}), {}, None)
    with pytest.raises(SpecError, match=r"holds a run with inference.precision='fp32', not 'auto'"):
        prepare(folder, spec(settings), {}, None)


def test_a_run_that_goes_on_with_other_versions_says_so(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run")
    prepare(folder, spec(settings), {}, None)
    made = json.loads((folder.path / "provenance.json").read_text())
    write_kept(folder.path / "provenance.json", json.dumps(made | {"python": "3.0"}).encode())
    for _ in range(2):
        prepare(folder, spec(settings), {}, None)
    now = json.loads((folder.path / "provenance.json").read_text())
    assert (now["python"], now["continued"]) == ("3.0", [{"after": 0, "python": made["python"]}])


def test_folder_left_by_a_kill_while_it_was_made_is_taken_up(settings: dict[str, Any], tmp_path: Path) -> None:
    for name in ("cell.json", "provenance.json", ".spec.yaml.123"):
        (tmp_path / name).write_text("{")
    prepare(Folder(tmp_path), spec(settings), {}, None)
    assert (tmp_path / "spec.yaml").exists() and (tmp_path / "ledger").is_dir()


def test_folder_with_other_things_in_it_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SpecError, match="not empty and holds no run"):
        run(spec(settings), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_run_without_an_engine_says_so_and_goes_on(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCKFISH_PATH", str(tmp_path / "nothing"))
    told = Told()
    result = run(spec(settings, steps=1, workers=2), tmp_path / "run", told)
    assert result["win_loss_end"]["value"] is None
    assert "STOCKFISH_PATH" in result["win_loss_end"]["reason"]
    assert result["elo_weak_end"]["n"] > 0
    assert told.messages == [
        f"STOCKFISH_PATH={tmp_path / 'nothing'} is not an executable file;"
        " what moves lose is not measured before the run goes on with an engine"
    ]


class Told(NullProgress):
    """Hears the lines that are worth keeping."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@needs_stockfish
@pytest.mark.parametrize("steps", [1, 2])
def test_a_run_that_goes_on_with_an_engine_measures_what_it_could_not_before(
    settings: dict[str, Any], whole: Path, tmp_path: Path, steps: int
) -> None:
    """Broken off after a step, or finished: in the end it is as one that had the engine from the start."""
    broken = tmp_path / "engine"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    told = Told()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOCKFISH_PATH", str(broken))
        run(spec(settings, steps=steps, workers=2), tmp_path / "run", told)
    assert len(told.messages) == 1 and told.messages[0].startswith(f"{broken}: ")
    told.messages.clear()
    final = run(spec(settings, workers=2), tmp_path / "run", told)
    assert told.messages == []
    assert figures(tmp_path / "run") == figures(whole)
    others = {name: content for name, content in results(whole).items() if not name.startswith("ledger")}
    assert {name: results(tmp_path / "run")[name] for name in others} == others
    assert ledger.read(tmp_path / "run").equals(ledger.read(whole), check_metadata=True)
    assert final["win_loss_start"]["value"] is not None
    made = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert made["engine"] is None
    assert "Stockfish" in made["continued"][-1]["engine"]


@needs_stockfish
def test_the_oracle_has_looked_at_the_games_of_each_step(whole: Path) -> None:
    rows = ledger.read(whole).to_pandas()
    looked = rows[rows.loss_weight.notna()]
    assert set(looked.step) == {0, 1}
    assert looked.student.all()
    assert (looked.loss_weight >= 1).all()
    for row in read_metrics(whole)[1:]:
        for name, figure in row["play"]["loss"].items():
            assert "at least 20 clusters" in figure["reason"], name  # twelve openings are too few for an interval


def test_a_row_has_every_figure_with_an_interval_or_a_reason(whole: Path) -> None:
    for row in read_metrics(whole):
        names = {"elo", "score", "capped", "elo_half", "elo_sampled", "agreement", "kl", "tau_b", "win_loss",
                 "win_loss_expert", "puzzles", "puzzles_first", "puzzles_expert", "pgr", "pgr_half", "pgr_sampled",
                 "pgr_win_loss", "pgr_puzzles"}  # fmt: skip
        phases = [found for phase in row["phases"].values() for found in phase.values()]
        losses = list((row["play"] or {}).get("loss", {}).values())
        for found in [*(row[name] for name in names), *phases, *losses]:
            assert set(found) in ({"value", "low", "high", "n"}, {"value", "reason"})
        assert row["reached"]["state"] in ("not found", "reached", "not confirmed")
        assert (row["reached"]["confirmation"] is None) == (row["reached"]["state"] == "not found")
    assert set(read_metrics(whole)[0]["elo_assistant"]) >= {"value"}


def test_a_run_whose_pgr_would_be_withheld_anyway_stops_early(settings: dict[str, Any], tmp_path: Path) -> None:
    level = {"student": settings["expert"], "evaluate": {**settings["evaluate"], "pairs": 4}}
    final = run(spec(settings, stop_early=True, **level), tmp_path / "run")
    assert final["steps"] == 0
    assert final["pgr"]["value"] is None and "gap" in final["pgr"]["reason"]
    assert run(spec(settings, stop_early=True, **level), tmp_path / "run") == final
    assert not list((tmp_path / "run" / "ledger").iterdir())


def test_controls_change_one_thing_each(settings: dict[str, Any]) -> None:
    base = spec(settings)
    found = controls(base)
    assert set(found) == set(MEANING)
    keys = base.result_keys()
    own, honest, only, always = (found[name].result_keys() for name in MEANING)
    assert {key for key in keys if only[key] != keys[key]} == {"finetune"}
    assert only["finetune"] == {**keys["finetune"], "examples": "honest"}
    assert {key for key in keys if own[key] != keys[key]} == {"oversight"}
    assert own["oversight"] == {"type": "ignore"}
    for other, p in ((honest, 0), (always, 1)):
        assert {key for key in keys if other[key] != keys[key]} == {"assistant"}
        assert other["assistant"]["misalignment"] == {"type": "random_move", "p": p, "coin": "question"}
        assert other["assistant"]["base"] == keys["assistant"]["base"]


def test_a_student_that_believes_nothing_learns_as_one_that_never_asks(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    ignoring = spec(settings, steps=1, oversight={"type": "ignore"})
    silent = {**settings, "play": {**settings["play"], "ask": {"when": "never"}}}
    silent["finetune"] = {**settings["finetune"], "examples": "student"}
    run(ignoring, tmp_path / "ignoring")
    run(spec(silent, steps=1), tmp_path / "silent")
    one, other = (Folder(tmp_path / name).checkpoint(1).read_bytes() for name in ("ignoring", "silent"))
    assert one == other


def test_a_job_whose_worker_dies_each_time_is_told_in_one_line() -> None:
    def die(shared: None, code: int) -> None:
        os._exit(code)

    with Cluster(1) as cluster, pytest.raises(WorkerError, match="^a process that did die died, 3 times over") as told:
        cluster.map(die, None, [1])
    assert "\n" not in str(told.value)
