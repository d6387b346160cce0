"""Sweeps: which cells they are made of, each done once and equal over kills, and what is made of them."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from agents.checkpoint_files import read_checkpoints
from agents.plugin_code import code_of
from engines.settings import SpecError
from experiments.cli.main import cli
from experiments.cli.sweep import in_columns
from experiments.figures.game_page import game_page
from experiments.viewer import folders
from sandwich.label_models.base import REGISTRY
from sandwich.oversight.learned import Policy, load_policy, policy_path
from sandwich.runs.metrics import write_metrics
from sandwich.runs.provenance import provenance
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import FileError
from sandwich.runtime.origin import stockfish_here
from sandwich.runtime.trials import run_trials
from sandwich.spec.run_spec import load_spec
from sandwich.sweeps.cells import Cell, asked_key, cell_key
from sandwich.sweeps.cost import seconds
from sandwich.sweeps.planning import plan, planned
from sandwich.sweeps.results import points, tidy
from sandwich.sweeps.sweep import begin, other_origins, run_sweep, set_aside
from sandwich.sweeps.sweep_spec import Range, SweepSpec, Values, load_sweep
from tests.helpers import run_folders
from tests.helpers.project import ROOT, needs_stockfish
from tests.helpers.small_players import checkpoint
from tests.helpers.wandb_files import entries, history, records

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("cluster")]

P = "assistant.misalignment.p"


def sweep_of(settings: dict[str, Any], **changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(settings | changes)


def launched(settings: dict[str, Any], root: Path, **changes: Any) -> list[tuple[str, int]]:
    """Run a sweep; what it told."""
    sweep = sweep_of(settings, **changes)
    told: list[tuple[str, int]] = []
    run_sweep(sweep, ROOT, plan(sweep, ROOT, root), root, lambda key, rows: told.append((key, rows)))
    return told


def finish(cell: Cell) -> None:
    """What a finished run leaves, as far as a sweep asks for it."""
    run_folders.write_metrics(cell.folder, [run_folders.row(0), run_folders.row(1)])
    (cell.folder / "result.json").write_text('{"steps": 1}')
    made = provenance(cell.spec, {}, {}, None)
    (cell.folder / "provenance.json").write_text(json.dumps(made))


def made_by(cell: Cell, **changes: Any) -> None:
    """Have a cell been made otherwise."""
    there = json.loads((cell.folder / "provenance.json").read_text())
    (cell.folder / "provenance.json").write_text(json.dumps(there | changes))


def outcome(root: Path) -> dict[str, tuple[bytes, bytes]]:
    """Ledger and last weights of each cell."""
    return {
        cell.name: (
            (cell / "ledger" / "step-000.parquet").read_bytes(),
            (cell / "checkpoints" / "step-001" / "weights.safetensors").read_bytes(),
        )
        for cell in sorted((root / "cells").iterdir())
    }


@pytest.fixture(scope="module")
def whole(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed sweep."""
    root = tmp_path_factory.mktemp("sweeps") / "whole"
    launched(settings, root)
    return root


# Cells


def test_every_combination_is_a_cell(settings: dict[str, Any]) -> None:
    cells = plan(sweep_of(settings), ROOT, Path("x"))
    assert [(cell.values[P], cell.values["seed"]) for cell in cells] == [(0, 0), (0, 1), (0.5, 0), (0.5, 1)]
    assert len({cell.key for cell in cells}) == 4
    assert all(cell.spec.workers == 1 and cell.spec.tracking.group == "tiny" for cell in cells)
    assert [cell.folder for cell in cells] == [Path("x/cells") / cell.key for cell in cells]


def test_cells_set_together_are_combined_with_the_grid(settings: dict[str, Any]) -> None:
    lists = [{"assistant.misalignment": {"type": "random_move"}, P: 1}, {"assistant.misalignment": {"type": "bias"}}]
    cells = plan(sweep_of(settings, cells=lists, over={"seed": [0, 1]}), ROOT, Path("x"))
    kinds = [(cell.values["assistant.misalignment.type"], cell.values["seed"]) for cell in cells]
    assert kinds == [("random_move", 0), ("random_move", 1), ("bias", 0), ("bias", 1)]
    assert cells[0].values[P] == 1


def test_a_plugins_unnamed_settings_tell_no_cells_apart(settings: dict[str, Any]) -> None:
    kinds = [{"assistant.misalignment": {"type": kind, "p": 0.5}} for kind in ("random_move", "engine_worst")]
    cells = plan(sweep_of(settings, cells=kinds), ROOT, Path("x"))
    assert {key for cell in cells for key in cell.values} == {"assistant.misalignment.type", P, "seed"}
    nodes = [{"assistant.misalignment": {"type": "engine_worst", "p": 0.5, "nodes": n}} for n in (100, 200)]
    cells = plan(sweep_of(settings, cells=[kinds[0], *nodes], over={"seed": [0]}), ROOT, Path("x"))
    assert [cell.values.get("assistant.misalignment.nodes") for cell in cells] == [None, 100, 200]


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"start": 0, "stop": 1, "count": 5}, [0, 0.25, 0.5, 0.75, 1]),
        ({"start": 0.01, "stop": 1, "count": 3, "log": True}, [0.01, 0.1, 1]),
        ({"start": 8, "stop": 1, "count": 4, "log": True}, [8, 4, 2, 1]),
    ],
)
def test_a_range_is_even(settings: dict[str, Any], values: list[float]) -> None:
    assert Range(**settings).values() == values


def test_a_key_is_made_of_what_the_result_depends_on(settings: dict[str, Any]) -> None:
    spec = plan(sweep_of(settings), ROOT, Path("x"))[0].spec
    tracked = spec.model_copy(update={"tracking": spec.tracking.model_copy(update={"project": "other"})})
    same = [spec.model_copy(update={"workers": 7}), spec.model_copy(update={"name": "other"}), tracked]
    assert {cell_key(other) for other in same} == {cell_key(spec)}
    assert cell_key(spec.model_copy(update={"seed": 5})) != cell_key(spec)
    assert cell_key(spec.model_copy(update={"steps": 2})) != cell_key(spec)
    weak, key = Path(settings["run"]["student"]), cell_key(spec)
    before = weak.read_bytes()
    try:
        weak.write_bytes(checkpoint(3))  # the same path, other weights
        assert cell_key(spec) != key
    finally:
        weak.write_bytes(before)


def test_keys_of_before_there_was_a_choice_are_those_of_what_was_done_then(settings: dict[str, Any]) -> None:
    """A run in fp32 that replays all of earlier steps, without a label model, has the key that it had without these.

    So has one with a single second assistant, or none.
    """
    then = {"inference.precision": "fp32", "finetune.replay": 1}
    spec = plan(sweep_of(settings, fixed=then), ROOT, Path("x"))[0].spec
    keys = spec.result_keys()
    del keys["inference"]["precision"], keys["finetune"]["replay"], keys["assistant"]["misalignment"]["coin"]
    del keys["label_model"], keys["seats"]
    assert keys["second"] == []
    keys["second"] = None
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in read_checkpoints(spec).items()}
    content = json.dumps([keys, digests, []], sort_keys=True)
    assert asked_key(spec, {}) == hashlib.sha256(content.encode()).hexdigest()[:16]
    later = {
        "inference.precision": "bf16", "finetune.replay": 0.5, "assistant.misalignment.coin": "position",
        "label_model": "mixture", "seats": "run",
    }  # fmt: skip
    for key, value in later.items():
        other = plan(sweep_of(settings, fixed=then | {key: value}), ROOT, Path("x"))[0].spec
        assert asked_key(other, {}) != asked_key(spec, {})
    alone = {"second": settings["run"]["assistant"] | {"misalignment": "random_move"}}
    spec = plan(sweep_of(settings, fixed=then | alone), ROOT, Path("x"))[0].spec
    (keys["second"],) = spec.result_keys()["second"]
    del keys["second"]["misalignment"]["coin"]
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in read_checkpoints(spec).items()}
    content = json.dumps([keys, digests, []], sort_keys=True)
    assert asked_key(spec, {}) == hashlib.sha256(content.encode()).hexdigest()[:16]


def test_each_of_several_assistants_has_its_number_in_a_cells_values(settings: dict[str, Any]) -> None:
    lies = [{"misalignment": {"type": "random_move", "p": 1}}, {"misalignment": {"type": "engine_worst", "p": 1}}]
    sweep = sweep_of(settings, fixed={"second": lies}, over={"second.0.misalignment.p": [0.25, 0.5]})
    cells = plan(sweep, ROOT, Path("x"))
    assert [cell.values for cell in cells] == [{"second.0.misalignment.p": p} for p in (0.25, 0.5)]
    assert [[one.misalignment.model_dump()["p"] for one in cell.spec.second] for cell in cells] == [[0.25, 1], [0.5, 1]]


def test_files_that_a_result_depends_on_are_part_of_the_key(settings: dict[str, Any], tmp_path: Path) -> None:
    policy, puzzles = tmp_path / "policy.safetensors", tmp_path / "puzzles.csv"
    policy.write_bytes(policy_path("oversight").read_bytes())
    learned = {**settings["run"], "oversight": {"type": "learned", "policy": str(policy)}}
    asked = {**settings["run"], "evaluate": {**settings["run"]["evaluate"], "puzzles": str(puzzles)}}
    keys = []
    for content in ("one", "two"):
        puzzles.write_text(content)
        keys.append([cell.key for cell in plan(sweep_of(settings, run=asked), ROOT, Path("x"))])
        keys.append([cell.key for cell in plan(sweep_of(settings, run=learned), ROOT, Path("x"))])
        weights = load_policy("oversight")
        policy.write_bytes(Policy(2 * weights.hidden, weights.out).to_bytes())
    assert len({key for some in keys for key in some}) == 16
    puzzles.unlink()
    with pytest.raises(SpecError, match=r"evaluate.puzzles: .*puzzles.csv cannot be read"):
        plan(sweep_of(settings, run=asked), ROOT, Path("x"))


def test_a_plugin_beside_the_spec_is_part_of_the_key(settings: dict[str, Any], tmp_path: Path) -> None:
    code = """
from agents.misalignment.base import Misalignment
class Mine(Misalignment):
    def corrupt(self, queries, honest, rngs, tools):
        return list(honest)  # VERSION
"""
    keys = []
    for version in ("1", "2"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "mine.py").write_text(code.replace("VERSION", version))
        sweep = sweep_of(settings, fixed={"assistant.misalignment": {"type": "mine:Mine"}}, over={"seed": [0]})
        keys.append(plan(sweep, folder, Path("x"))[0].key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"over": {"play.gmaes": [4]}},
            "cell play.gmaes=4: play.gmaes: unknown key; did you mean games? known here: games",
        ),
        ({"over": {P: [0, 2]}}, f"cell {P}=2: {P}: expected at most 1, got 2"),
        ({"over": {"seed": [0, 0]}}, "cell seed=0: another cell of the sweep is the same run"),
        ({"over": {"seed.x": [0]}}, "seed.x: seed is a value and has no keys below it"),
        ({"run": "nowhere.yaml"}, "run: no spec at nowhere.yaml: expected"),
    ],
)
def test_a_cell_that_is_no_run_is_named_in_one_line(settings: dict[str, Any], changes: Any, said: str) -> None:
    base = {**settings, "run": {**settings["run"], "seed": 3}}
    with pytest.raises(SpecError) as caught:
        plan(sweep_of(base, **changes), ROOT, Path("x"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_of_a_sweep_can_be_set_on_the_command_line() -> None:
    path = ROOT / "experiments" / "specs" / "dose_smoke.yaml"
    sweep = load_sweep(path, ("over.assistant.misalignment.p=[0.1]", "over.seed={start: 0, stop: 4, count: 3}",
                              "fixed.play.games=8"))  # fmt: skip
    cells = plan(sweep, path.parent, Path("x"))
    assert [cell.values["seed"] for cell in cells] == [0, 2, 4]
    assert {cell.spec.play.games for cell in cells} == {8}
    assert {cell.spec.play.block for cell in cells} == {32}  # as in the run that it is made from
    assert {cell.spec.assistant.model_dump(mode="json")["misalignment"]["p"] for cell in cells} == {0.1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run: a.yaml\nover: {seed: []}", "over.seed: expected at least one value, got none"),
        ("run: a.yaml\nover: {seed: {start: 0, stop: 1, count: 3, log: true}}", "expected ends over 0 for log: true"),
        ("run: a.yaml\noevr: {}", "oevr: unknown key"),
        ("over: {}", "run"),
    ],
)
def test_a_mistake_in_a_sweep_is_named_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_sweep(tmp_path / "s.yaml")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_every_shipped_sweep_can_be_planned() -> None:
    found = sorted((ROOT / "experiments" / "specs").glob("*.yaml"))
    sweeps = [path for path in found if "run" in (yaml.safe_load(path.read_text()) or {})]
    assert {path.stem for path in sweeps} >= {"dose_smoke", "dose_response"}
    for path in sweeps:
        cells = plan(load_sweep(path), path.parent, Path("x"))
        assert len(cells) >= 4
        assert all(seconds(cell.spec, 3000) > 1 for cell in cells)


def test_a_label_model_is_reckoned_in_what_a_run_takes() -> None:
    base = load_spec("default")
    rejudged, two, three = (
        seconds(base.model_copy(update={"label_model": REGISTRY.parse(model)}), 3000)
        for model in ("rejudge", "mixture", "mixture:voices=3")
    )
    assert seconds(base, 3000) < rejudged < two < three


# Running


def test_a_sweep_does_every_cell_once(whole: Path, settings: dict[str, Any]) -> None:
    _, cells = planned(whole)
    assert [cell.read_mark()["state"] for cell in cells] == ["done"] * 4
    assert len(outcome(whole)) == 4
    assert len({weights for _, weights in outcome(whole).values()}) == 4
    assert not list(whole.glob(".tune-*"))
    for cell in cells:
        mark = json.loads((cell.folder / "cell.json").read_text())
        assert mark == {
            "key": cell.key, "asked": cell.asked, "values": cell.values, "state": "done", "error": None,
        }  # fmt: skip


def test_pictures_and_report_of_a_finished_sweep_are_left_alone_until_there_is_something_new(
    whole: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(whole, root := tmp_path / "sweep")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    shown = [root / name for name in ("report.html", "results.parquet", "response.svg", "response.png")]

    def launched_again() -> list[int]:
        result = CliRunner().invoke(cli, ["sweep", str(tmp_path / "tiny.yaml"), "--out", str(root)])
        assert result.exit_code == 0, result.output
        return [path.stat().st_mtime_ns for path in shown]

    times = launched_again()
    assert launched_again() == times
    for lost in (True, False):
        if lost:
            shown[2].unlink()
        else:
            os.utime(next(root.glob("cells/*/metrics.jsonl")))
        before, times = times, launched_again()
        assert all(new > old for new, old in zip(times, before, strict=True))
        assert launched_again() == times


@pytest.mark.timing
def test_a_finished_sweep_runs_nothing(whole: Path, settings: dict[str, Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("cells/*/result.json")}
    start = time.monotonic()
    assert launched(settings, whole) == []
    assert time.monotonic() - start < 60
    assert {path: path.stat().st_mtime_ns for path in whole.glob("cells/*/result.json")} == before


@pytest.mark.slow
def test_a_cell_that_fails_is_tried_again_and_stops_no_other(
    settings: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "rare.py").write_text(f"""
from pathlib import Path
from agents.misalignment.base import Misalignment
class Rare(Misalignment):
    often: int = 1
    def corrupt(self, queries, honest, rngs, tools):
        mark = Path({str(tmp_path)!r}) / f"tries-{{self.often}}"
        tries = int(mark.read_text()) if mark.exists() else 0
        if tries < self.often:
            mark.write_text(str(tries + 1))
            raise RuntimeError("not <this> time")
        return list(honest)
""")
    fixed = {"assistant.misalignment": {"type": "rare:Rare"}}
    sweep = sweep_of(settings, fixed=fixed, over={"assistant.misalignment.often": [0, 1, 9]}, retries=1)
    root = tmp_path / "sweep"
    cells = plan(sweep, tmp_path, root)
    run_sweep(sweep, tmp_path, cells, root)
    assert [cell.read_mark()["state"] for cell in cells] == ["done", "done", "failed"]
    error = cells[2].read_mark()["error"]
    assert "RuntimeError: not <this> time" in error and "\n" not in error
    assert (tmp_path / "tries-9").read_text() == "4"  # two tries: the batch fails, then its first question alone
    status = invoked("sweep", "status", str(root))
    assert status.exit_code == 0
    assert "2 done, 1 failed" in status.stdout and "not <this> time" in status.stdout.replace("\n", " ")


def invoked(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"})


@pytest.mark.slow
@pytest.mark.long
def test_after_kills_of_driver_and_worker_every_cell_is_there_once_and_equal(
    settings: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    root = tmp_path / "sweep"
    command = [sys.executable, "-m", "experiments.cli.main", "sweep", str(tmp_path / "tiny.yaml"), "--out", str(root)]

    said = tmp_path / "said"

    def begun() -> subprocess.Popen[bytes]:
        with said.open("wb") as file:
            return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)

    def until(pattern: str, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 150
        while not list(root.glob(pattern)) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)

    child = begun()
    until("cells/*/ledger/*.parquet", child)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not all((cell / "result.json").exists() for cell in (root / "cells").iterdir())
    child = begun()
    until("cells/*/result.json", child)
    killed = False
    while not killed and child.poll() is None:
        for worker in ray_processes(child.pid):
            with suppress(ProcessLookupError):  # it may just have ended
                os.kill(worker, signal.SIGKILL)
                killed = True
    assert killed, "a worker must still be there"
    assert child.wait(timeout=250) == 0, said.read_text()
    assert outcome(root) == outcome(whole)


@pytest.mark.parametrize(("lost", "state"), [(1, "done"), (2, "failed")])
def test_a_trial_that_is_lost_is_launched_again_and_then_reported(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int, state: str
) -> None:
    launches: list[int] = []

    def losing(cluster: Cluster, function: Any, shared: Any, names: Any, **settings: Any) -> dict[str, str]:
        """Forgets the first of its trials, so many times."""
        launches.append(len(names))
        left = names[len(launches) <= lost :]
        return run_trials(cluster, function, shared, left, **settings) if left else {}

    monkeypatch.setattr("sandwich.sweeps.sweep.run_trials", losing)
    sweep = sweep_of(settings, over={P: [0, 0.5], "seed": [0]})
    cells = plan(sweep, ROOT, tmp_path)
    run_sweep(sweep, ROOT, cells, tmp_path)
    assert launches == [2, 1]
    assert [cell.read_mark()["state"] for cell in cells] == [state, "done"]
    assert (cells[0].read_mark()["error"] or "") == ("" if state == "done" else "its trial ended without a result")


TRIAL = "ray::ImplicitFunc"
"""What the process of a trial calls itself."""


def ray_processes(driver: int) -> list[int]:
    """One of the processes in which trials are at work, of this driver's Ray alone."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().decode(errors="replace")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            above = int((Path("/proc") / str(parent) / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if title.startswith(TRIAL) and driver in (parent, above):
            found.append(int(folder.name))
    return found[:1]


@pytest.mark.slow
def test_every_cell_is_a_wandb_run_in_the_sweeps_group(settings: dict[str, Any], tmp_path: Path) -> None:
    run = {**settings["run"], "tracking": {"wandb": "offline", "artifacts": True}}
    sweep = sweep_of(settings, run=run, over={P: [1], "seed": [0, 1]})
    root = tmp_path / "sweep"
    cells = plan(sweep, ROOT, root)
    run_sweep(sweep, ROOT, cells, root, board=game_page)  # in Ray's workers
    for cell in cells:
        found = records(cell.folder)
        (made,) = [record.run for record in found if record.HasField("run")]
        assert (made.run_group, made.display_name) == ("tiny", cell.key)
        config = entries(made.config.update)
        assert config["seed"] == cell.values["seed"] and config["assistant"]["misalignment"]["p"] == 1
        assert {key for line in history(cell.folder) for key in line} >= {"elo", "step", "play/queries"}
        (table,) = cell.folder.glob("wandb/*/files/media/table/games_*.table.json")
        shown = json.loads(table.read_text())["data"]
        assert [line[1] for line in shown] == ["worst accepted lie", "random"]  # nothing is caught
        kept = {record.artifact.type: record.artifact for record in found if record.HasField("artifact")}
        assert set(kept) == {"run_table", "model", "dataset"}
        pages = [Path(e.local_path) for e in kept["run_table"].manifest.contents if e.path.endswith(".html")]
        assert len(pages) == 2 and all("<svg id='board'" in page.read_text() for page in pages)


@pytest.mark.slow
def test_another_seed_adds_only_its_cells(settings: dict[str, Any], whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("cells/*/result.json")}
    told = launched(settings, whole, over={P: [0, 0.5], "seed": [0, 1, 2]})
    assert len({key for key, _ in told}) == 2
    assert len(list(whole.glob("cells/*/result.json"))) == 6
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_cell_that_the_sweep_no_longer_has_is_left_out_and_kept(settings: dict[str, Any], tmp_path: Path) -> None:
    cells = plan(sweep_of(settings), ROOT, tmp_path)
    begin(sweep_of(settings), ROOT, cells, tmp_path)
    finish(cells[0])
    fewer = sweep_of(settings, over={P: [0.5], "seed": [0, 1]})
    begin(fewer, ROOT, plan(fewer, ROOT, tmp_path), tmp_path)
    states = {cell.key: cell.state for cell in folders.cells(tmp_path)}
    assert [states[f"cells/{cell.key}"] for cell in cells] == ["left out", "left out", "waiting", "waiting"]
    begin(sweep_of(settings), ROOT, cells, tmp_path)
    assert [cell.read_mark()["state"] for cell in cells] == ["done", "waiting", "waiting", "waiting"]


def test_a_sweep_that_was_killed_as_it_began_goes_on(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = plan(sweep_of(settings), ROOT, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Cell, "mark", interrupted)
        with pytest.raises(KeyboardInterrupt):
            begin(sweep_of(settings), ROOT, cells, tmp_path)
    begin(sweep_of(settings), ROOT, cells, tmp_path)
    assert len(planned(tmp_path)[1]) == 4


def interrupted(cell: Cell, state: str, error: str | None = None) -> None:
    raise KeyboardInterrupt


def test_a_folder_that_cannot_be_made_is_named_in_one_line(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(FileError, match=r"letter.txt/x can't be written .*: choose another --out"):
        launched(settings, tmp_path / "letter.txt" / "x")


def test_a_folder_with_other_things_in_it_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SpecError, match="is not empty and holds no sweep: choose another --out"):
        launched(settings, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# Origins and damage


@pytest.fixture
def finished(settings: dict[str, Any], tmp_path: Path) -> tuple[Path, list[Cell]]:
    """A sweep whose cells are finished, as far as a sweep asks for it."""
    root = tmp_path / "sweep"
    cells = plan(sweep_of(settings), ROOT, root)
    begin(sweep_of(settings), ROOT, cells, root)
    for cell in cells:
        finish(cell)
    return root, cells


def test_a_cell_that_was_made_otherwise_is_named_and_set_aside(
    settings: dict[str, Any], finished: tuple[Path, list[Cell]]
) -> None:
    root, cells = finished
    assert other_origins(cells) == {}
    packages = json.loads((cells[0].folder / "provenance.json").read_text())["packages"]
    made_by(cells[0], packages=packages | {"torch": "1.0"})
    made_by(cells[1], source="other")
    made_by(cells[2], sandwich="0.0.1", source="other")
    words = other_origins(cells)
    assert words[cells[0].key] == [f"torch 1.0, here {packages['torch']}"]
    assert words[cells[1].key] == ["other code of sandwich"]
    assert words[cells[2].key][0].startswith("sandwich 0.0.1, here ")
    status = invoked("sweep", "status", str(root))
    assert "3 of 4 cells were made otherwise" in status.stdout and "--again" in status.stdout
    lines = json.loads(invoked("sweep", "status", str(root), "--json").stdout)["cells"]
    assert [bool(line["made_otherwise"]) for line in lines] == [True, True, True, False]

    aside = set_aside(cells)
    assert [path.name for path in aside] == [f"{cell.key}-1" for cell in cells[:3]]
    again = plan(sweep_of(settings), ROOT, root)
    assert [cell.finished for cell in again] == [False, False, False, True]
    begin(sweep_of(settings), ROOT, again, root)
    states = {cell.key: cell.state for cell in folders.cells(root)}
    assert [states[f"cells/{path.name}"] for path in aside] == ["left out"] * 3
    assert other_origins(planned(root)[1]) == {}


def test_a_changed_plugin_of_the_package_makes_other_cells_and_the_old_ones_are_read(
    settings: dict[str, Any], finished: tuple[Path, list[Cell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cells = finished
    text = "agents.misalignment.random_move:RandomMove"
    edited = {**code_of(cells[0].spec), text: "another"}
    for room in ("cells", "sweep"):
        monkeypatch.setattr(f"sandwich.sweeps.{room}.code_of", lambda spec: edited)
    others = plan(sweep_of(settings), ROOT, root)
    assert not {cell.key for cell in others} & {cell.key for cell in cells}
    assert [cell.finished for cell in others] == [False] * 4
    there = planned(root)[1]
    assert [cell.key for cell in there] == [cell.key for cell in cells] and all(cell.done for cell in there)
    assert set(map(tuple, other_origins(there).values())) == {(f"other code of {text}",)}
    begin(sweep_of(settings), ROOT, others, root)
    assert [cell.key for cell in planned(root)[1]] == [cell.key for cell in others]


def test_cells_of_before_code_was_known_keep_their_keys(
    settings: dict[str, Any], finished: tuple[Path, list[Cell]]
) -> None:
    root, cells = finished
    for cell in cells:
        made_by(cell, code=None)
        there = json.loads((cell.folder / "provenance.json").read_text())
        del there["code"]
        (cell.folder / "provenance.json").write_text(json.dumps(there))
        cell.folder.rename(cell.folder.with_name(cell.asked))
    old = plan(sweep_of(settings), ROOT, root)
    assert [cell.key for cell in old] == [cell.asked for cell in cells] and all(cell.done for cell in old)
    set_aside(old)
    assert other_origins(old) == {}
    for cell in old:
        made_by(cell, python="3.1")
    set_aside(old)
    assert [cell.key for cell in plan(sweep_of(settings), ROOT, root)] == [cell.key for cell in cells]


@needs_stockfish
def test_a_sweep_is_not_gone_on_with_by_another_engine(
    settings: dict[str, Any], finished: tuple[Path, list[Cell]]
) -> None:
    root, cells = finished
    made_by(cells[0], engine="Stockfish 3", engine_sha256="0" * 64)
    (cells[1].folder / "result.json").unlink()
    here = stockfish_here()
    assert here is not None
    with pytest.raises(SpecError) as error:
        run_sweep(sweep_of(settings), ROOT, cells, root)
    assert f"were measured with Stockfish 3, here is {here.name}: set STOCKFISH_PATH to that engine" in str(error.value)
    assert "--again" in str(error.value) and "\n" not in str(error.value)
    assert other_origins(cells)[cells[0].key] == [f"Stockfish 3, here {here.name}"]
    finish(cells[1])
    run_sweep(sweep_of(settings), ROOT, cells, root)  # nothing is left to measure


def test_a_damaged_cell_is_named_and_the_others_are_told(finished: tuple[Path, list[Cell]]) -> None:
    root, cells = finished
    (cells[0].folder / "metrics.jsonl").write_text("")
    (cells[1].folder / "metrics.jsonl").write_text('{"step": 0\n')
    (cells[2].folder / "result.json").write_text("")
    run_sweep(*sweep_arguments(root, cells))
    assert [cell.read_mark()["state"] for cell in cells] == ["damaged"] * 3 + ["done"]
    lines = json.loads(invoked("sweep", "status", str(root), "--json").stdout)["cells"]
    assert [line["state"] for line in lines] == ["damaged"] * 3 + ["done"]
    assert "metrics.jsonl is damaged: it has no rows of a finished run" in lines[0]["error"]
    table = invoked("sweep", "table", str(root))
    assert table.exit_code == 1
    said = table.output
    assert "3 of 4 cells failed" in said and all(cell.key in said for cell in cells[:3])
    assert "metrics.jsonl, line 1" in said and "--again" in said
    assert len(set_aside(cells)) == 3


def sweep_arguments(root: Path, cells: list[Cell]) -> tuple[SweepSpec, Path, list[Cell], Path]:
    return planned(root)[0], ROOT, cells, root


STUDY = ROOT / "docs" / "studies" / "dose_response"


@pytest.mark.slow
def test_the_kept_study_is_drawn_as_it_was(tmp_path: Path) -> None:
    shutil.copytree(STUDY, tmp_path / "study")
    done = invoked("sweep", "table", str(tmp_path / "study"), "--json")
    assert done.exit_code == 0, done.output
    frame = pd.read_parquet(tmp_path / "study" / "results.parquet")
    assert set(frame["cell"]) == {folder.name for folder in (STUDY / "cells").iterdir()}
    drawn = next((tmp_path / "study").glob("response*.svg")).read_bytes()
    assert drawn == (ROOT / "docs" / "images" / "dose-response.svg").read_bytes()


# Results


def test_results_are_one_tidy_table(whole: Path) -> None:
    _, cells = planned(whole)
    done = invoked("sweep", "table", str(whole), "--json")
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    frame = pd.read_parquet(whole / "results.parquet")
    assert len(frame) == 2 * len(cells)
    assert set(frame["cell"]) == {cell.key for cell in cells}
    assert {P, "seed", "step", "elo", "elo/low", "play/queries"} <= set(frame.columns)
    assert len(told["points"]) == 2 and len(told["points"][0]["seeds"]) == len(cells) // 2
    assert (whole / "response.svg").exists() and (whole / "response.png").exists()
    assert tidy(cells)["cell"].tolist() == frame["cell"].tolist()


def test_a_heat_map_of_a_key_that_does_not_vary_is_refused(whole: Path) -> None:
    done = invoked("sweep", "table", str(whole), "--heat", P, "seed")
    assert isinstance(done.exception, SpecError) and "seed: no key that varies" in str(done.exception)


def test_a_dry_run_lists_cells_and_time_and_writes_nothing(tmp_path: Path) -> None:
    spec = ROOT / "experiments" / "specs" / "dose_smoke.yaml"
    done = invoked("sweep", str(spec), "--dry-run", "--out", str(tmp_path / "x"))
    assert done.exit_code == 0, done.exception
    assert "9 of 9 cells to do, about" in done.stdout
    assert not (tmp_path / "x").exists()


def test_points_leave_out_cells_that_are_not_done(tmp_path: Path, settings: dict[str, Any]) -> None:
    cells: list[Cell] = plan(sweep_of(settings), ROOT, tmp_path)
    assert points(cells) == []
    cells[0].mark("running")
    write_metrics(cells[0].folder, [{"step": 0}])
    assert not cells[0].done and cells[0].read_mark()["state"] == "interrupted"
    assert points(cells) == []
    (cells[0].folder / "result.json").write_text("{}")
    assert cells[0].done and cells[0].read_mark()["state"] == "done"


def test_a_plugin_and_its_settings_share_a_column() -> None:
    rows: list[Values] = [
        {"assistant.misalignment.type": "random_move", "assistant.misalignment.p": 0.5, "seed": 0},
        {"oversight.type": "unanimous", "oversight.members": [{"type": "veto", "delta": 0.1}, {"type": "vote"}]},
    ]
    headings, shown = in_columns(rows)
    assert headings == ["misalignment", "seed", "oversight"]
    assert shown == [["random_move (p = 0.5)", "0", ""], ["", "", "unanimous (members = veto (delta = 0.1), vote)"]]
    assert in_columns([{"a.n": 1, "b.n": 2}])[0] == ["a.n", "b.n"]
