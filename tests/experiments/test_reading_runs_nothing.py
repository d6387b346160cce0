"""Reading a folder runs no file that lies in it: somebody else's run or sweep can be looked at."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

import sandwich
from engines.settings import SpecError
from experiments.cli.human import target
from experiments.cli.main import cli
from experiments.viewer import folders
from sandwich.runs.loop import Folder, prepare
from sandwich.runs.provenance import provenance
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import write_kept
from sandwich.spec.run_spec import load_spec
from sandwich.sweeps.cells import Cell
from sandwich.sweeps.planning import plan, planned
from sandwich.sweeps.sweep import begin
from sandwich.sweeps.sweep_spec import load_sweep
from tests.helpers import run_folders
from tests.helpers.project import needs_stockfish
from tests.helpers.viewer_server import served

PLUGINS = """
from agents.misalignment.random_move import RandomMove
from sandwich.oversight.trust import Trust


class Lie(RandomMove):
    pass


class Careful(Trust):
    least: float = 0.5
"""
SWEEP = """
run:
  assistant: {misalignment: {type: 'mine:Lie'}}
  oversight: {type: trust}
  steps: 1
over:
  assistant.misalignment.p: [0.4, 0.6]
  oversight.type: [trust, 'mine:Careful']
  seed: [0, 1, 2]
"""


def finish(cell: Cell) -> None:
    """Make a finished run of a cell, without a run."""
    run_folders.write_run(cell.folder, cell.key, steps=1)
    rng = np.random.default_rng(cell.spec.seed)
    rows = [run_folders.row(0), run_folders.row(1)]
    for row, mean in zip(rows, (0.1, 0.4), strict=True):
        row["pairs"] = {"best": rng.choice([0, 0.5, 1], 400, p=[0.9 - mean, 0.2, mean - 0.1]).tolist()}
    run_folders.write_metrics(cell.folder, rows)
    (cell.folder / "spec.yaml").write_text(yaml.safe_dump(cell.spec.model_dump(mode="json")))
    (cell.folder / "provenance.json").write_text(json.dumps(provenance(cell.spec, {}, {}, None)))
    (cell.folder / "result.json").write_text("{}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with plugins from a file, whose files write `marker` into their folder when they are run now."""
    beside = tmp_path_factory.mktemp("sweep")
    (beside / "mine.py").write_text(PLUGINS)
    (beside / "tiny.yaml").write_text(SWEEP)
    sweep, root = load_sweep(beside / "tiny.yaml"), beside / "runs"
    cells = plan(sweep, beside, root)
    begin(sweep, beside, cells, root)
    for cell in cells:
        finish(cell)
    assert (root / "mine.py").read_text() == PLUGINS
    for folder in (root, *(cell.folder for cell in cells)):
        set_trap(folder)
    return root


def set_trap(folder: Path) -> None:
    """Put a file of plugins into a folder that leaves a marker there when it is run."""
    write_kept(folder / "mine.py", f"open({str(folder / 'marker')!r}, 'w')\n{PLUGINS}".encode())


def markers(root: Path) -> list[Path]:
    return list(root.rglob("marker"))


def invoked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def told(arguments: Sequence[str | Path], root: Path) -> Result:
    """What a command that reads says; it ends well and runs nothing."""
    done = invoked(*arguments)
    assert done.exit_code == 0, done.exception
    assert markers(root) == []
    return done


def test_a_sweep_is_read_without_its_plugins(made: Path) -> None:
    status = json.loads(told(["sweep", "status", made, "--json"], made).output)["cells"]
    assert [cell["state"] for cell in status] == ["done"] * 12
    assert [cell["values"]["oversight.type"] for cell in status[::3]] == ["trust", "mine:Careful"] * 2
    assert all(cell["of"] == cell["steps"] == 1 for cell in status)
    assert all(cell["made_otherwise"] == [] for cell in status)  # of what is not loaded nothing is said
    table = json.loads(told(["sweep", "table", made, "--json"], made).output)
    assert len(table["points"]) == 4 and table["failed"] == {}
    assert all(len(point["seeds"]) == 3 for point in table["points"])
    compared = json.loads(told(["evaluate", "oversight", made, "--json"], made).output)
    rows = [(row["label"], row["assistant"]) for row in compared["arms"]]
    assert rows == [(name, f"mine:Lie, p = {p}") for p in (0.4, 0.6) for name in ("trust", "mine:Careful")]
    assert all(row["against"]["value"] is not None for row in compared["arms"] if row["label"] == "mine:Careful")
    assert len(sandwich.read_sweep(made)) == 12
    assert len(sandwich.evaluate_oversight(made)) == 4
    assert markers(made) == []


def test_the_pages_of_a_sweep_and_of_a_run_need_no_plugin(made: Path) -> None:
    cell = planned(made)[1][0].folder
    for folder in (made, cell):
        told(["report", folder], made)
        with served(folder) as viewer:
            for path in (
                "/",
                *(f"/api/{name}?run={key}" for name in ("figures", "games") for key in folders.runs(folder)),
            ):
                assert viewer.get(path).status == 200
    sandwich.read_metrics(cell)
    sandwich.read_ledger(cell)
    assert markers(made) == []


@needs_stockfish
@pytest.mark.usefixtures("cluster")
def test_the_oracle_looks_at_a_run_without_its_plugins(made: Path) -> None:
    cell = planned(made)[1][0].folder
    with Cluster(1):
        told(["evaluate", "oracle", cell, "--positions", "30", "--nodes", "50"], made)


def test_a_sweep_that_names_a_file_and_was_never_launched_is_read(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    set_trap(tmp_path)
    done = told(["sweep", "status", tmp_path], tmp_path)
    assert "12 waiting" in done.output


def test_a_sweep_whose_plan_is_lost_says_how_it_is_made_anew(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    shutil.copytree(made, root)
    (root / "plan.json").unlink()
    done = invoked("sweep", "status", root)
    assert isinstance(done.exception, SpecError)
    assert str(done.exception) == (
        f"{root} has no plan.json, which says what its cells are: sandwich sweep SPEC --out {root} writes it"
    )
    write_kept(root / "plan.json", b'[{"key": "../../x", "values": {}, "spec": {}}]')
    assert "the key '../../x' is none" in str(invoked("sweep", "status", root).exception)
    (root / "plan.json").write_text('[{"key": ')
    assert "plan.json is damaged" in str(invoked("sweep", "status", root).exception)
    assert markers(root) == []


def test_a_run_loads_the_plugin_of_its_spec_and_not_that_of_the_folder_that_it_goes_on_in(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(yaml.safe_load(SWEEP)["run"]))
    (tmp_path / "mine.py").write_text(PLUGINS)
    spec, folder = load_spec(tmp_path / "spec.yaml", name="run"), tmp_path / "run"
    prepare(Folder(folder), spec, {}, None)
    set_trap(folder)
    prepare(Folder(folder), spec, {}, None)
    assert markers(tmp_path) == []
    assert (folder / "mine.py").read_text() == PLUGINS
    with pytest.raises(
        SpecError, match=r"holds a run with assistant\.misalignment\.type='mine:Lie', not 'random_move'"
    ):
        prepare(Folder(folder), load_spec(tmp_path / "spec.yaml", "assistant.misalignment.type=random_move"), {}, None)
    assert markers(tmp_path) == []


def test_a_player_file_that_a_folder_names_is_read_and_what_lies_beside_it_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\n")
    (tmp_path / "player.yaml").write_text("type: mine:Player\n")
    run = {**yaml.safe_load(SWEEP)["run"], "expert": str(tmp_path / "player.yaml")}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"run": run}))
    (_, (cell,)) = planned(tmp_path)
    assert cell.spec.model_dump(mode="json")["expert"] == {"type": "mine:Player"}
    assert markers(tmp_path) == []


def test_a_high_stakes_folder_is_attacked_by_hand_and_reported_without_its_attacks(tmp_path: Path) -> None:
    home = tmp_path / "generation-0"
    home.mkdir()
    (home / "filter.safetensors").write_bytes(b"")
    (tmp_path / "spec.yaml").write_text("attacks: {mine: {attack: {type: 'mine:Attack'}}}\n")
    set_trap(tmp_path)
    assert target(tmp_path, None, None).filter == home / "filter.safetensors"
    invoked("highstakes", "report", tmp_path)
    assert markers(tmp_path) == []
