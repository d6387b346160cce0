"""A damaged, locked or killed sweep: what is told of its cells, and that one of them stops no other."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from engines.settings import Mistake
from experiments.cli.main import cli
from experiments.cli.run import check_shown
from experiments.viewer import folders
from sandwich.runtime.kept import SUMS, DamagedError, write_kept
from sandwich.runtime.locks import BusyError
from sandwich.sweeps.cells import Cell
from sandwich.sweeps.planning import PLAN, plan, planned
from sandwich.sweeps.results import tidy
from sandwich.sweeps.sweep import begin, run_cell, run_sweep, set_aside
from sandwich.sweeps.sweep_spec import SweepSpec
from tests.helpers.faults import DAMAGES, another_driver, damage
from tests.helpers.lots import lot_of
from tests.helpers.project import ROOT


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SweepSpec:
    path = tmp_path_factory.mktemp("players") / "weak.safetensors"
    torch.manual_seed(2)
    path.write_bytes(to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=16, head=16)).eval()))
    run: dict[str, Any] = {
        "steps": 1, "expert": str(path), "student": str(path), "oversight": {"type": "trust"},
        "assistant": {"base": str(path), "misalignment": {"type": "random_move"}}, "tracking": {"wandb": "off"},
    }  # fmt: skip
    return SweepSpec.model_validate({"name": "tiny", "run": run, "over": {"seed": [0, 1, 2]}})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sweep"


@pytest.fixture
def cells(sweep: SweepSpec, root: Path) -> list[Cell]:
    """Cells of a sweep that has been begun."""
    made = plan(sweep, ROOT, root)
    begin(sweep, ROOT, made, root)
    return made


def finish(cell: Cell) -> None:
    """What a finished run leaves that a sweep reads."""
    write_kept(cell.folder / "metrics.jsonl", b'{"step": 0, "seconds": {}}\n')
    write_kept(cell.folder / "result.json", b"{}\n")
    cell.mark("done")


def said(*arguments: str) -> str:
    """What a command ends with: one line."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, Mistake), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_sweep_is_named_by_every_command(how: str, cells: list[Cell], root: Path) -> None:
    assert len(planned(root)[1]) == len(cells)
    damage(root / "sweep.yaml", how)
    expected = f"{root / 'sweep.yaml'} is {'missing' if how == 'missing' else 'damaged'}"
    for command in (["sweep", "status"], ["sweep", "table"], ["evaluate", "oversight"]):
        assert said(*command, str(root)).startswith(expected)
    result = CliRunner().invoke(cli, ["verify", str(root)])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 2)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["cell.json", "metrics.jsonl"])
def test_a_damaged_cell_is_told_and_stops_no_other(
    name: str, how: str, sweep: SweepSpec, cells: list[Cell], root: Path
) -> None:
    for cell in cells:
        finish(cell)
    path = cells[1].folder / name
    damage(path, how)
    run_sweep(sweep, ROOT, cells, root)
    assert [cell.read_mark()["state"] for cell in cells] == ["done", "damaged", "done"]
    assert set(tidy(cells)["cell"]) == {cells[0].key, cells[2].key}
    line = said("sweep", "status", str(root))
    assert line.startswith(f"{path} is {'missing' if how == 'missing' else 'damaged'}")
    assert f"or delete {cells[1].folder}, and it is done anew" in line
    if name == "cell.json":
        assert [cell.state for cell in folders.cells(root)].count("damaged") == 1


def test_the_metrics_of_a_finished_cell_that_are_empty_are_damaged_without_checksums_too(cells: list[Cell]) -> None:
    finish(cells[0])
    for path in (cells[0].folder / SUMS, cells[0].folder.parent.parent / SUMS):
        path.unlink()
    damage(cells[0].folder / "metrics.jsonl", "empty")
    mark = cells[0].read_mark()
    assert mark["state"] == "damaged" and "metrics.jsonl is damaged: it has no rows of a finished run" in mark["error"]


def test_damaged_checksums_of_a_cell_stop_no_sweep(sweep: SweepSpec, cells: list[Cell], root: Path) -> None:
    finish(cells[0])
    finish(cells[1])
    damage(cells[2].folder / SUMS, "cut")
    run_sweep(sweep, ROOT, cells, root)
    assert cells[2].read_mark()["state"] == "damaged"
    with pytest.raises(DamagedError, match=f"{SUMS} is damaged"):
        cells[2].mark("waiting")


def test_damaged_cells_are_set_aside_to_be_done_anew(sweep: SweepSpec, cells: list[Cell], root: Path) -> None:
    for cell in cells:
        finish(cell)
    ledger = cells[0].folder / "ledger" / "step-000.parquet"
    ledger.parent.mkdir()
    write_kept(ledger, b"of a step")
    for path in (ledger, cells[1].folder / "cell.json", cells[2].folder / SUMS):
        damage(path, "cut")
    with another_driver(root), pytest.raises(BusyError, match="sweep is in use by process"):
        set_aside(cells)
    with another_driver(cells[0].folder), pytest.raises(BusyError, match=f"{cells[0].key} is in use by process"):
        set_aside(cells)
    aside = set_aside(cells)
    assert [path.name for path in aside] == [f"{cell.key}-1" for cell in cells]
    again = plan(sweep, ROOT, root)
    begin(sweep, ROOT, again, root)
    assert [cell.read_mark()["state"] for cell in again] == ["waiting"] * 3
    assert sorted(cell.state for cell in folders.cells(root)) == ["left out"] * 3 + ["waiting"] * 3
    assert check_shown(root) == () and set_aside(again) == []


def test_a_cell_whose_run_finds_a_damaged_file_is_damaged(cells: list[Cell]) -> None:
    path = cells[0].folder / "ledger" / "step-000.parquet"
    path.parent.mkdir()
    write_kept(path, b"of a step")
    damage(path, "cut")
    with pytest.raises(DamagedError):
        run_cell(lot_of(cells, cells[0].folder.parent.parent), cells[0].key, lambda told: None)
    mark = cells[0].read_mark()
    assert mark["state"] == "damaged" and mark["error"].startswith(f"{path} is damaged")


def test_a_cell_in_which_nobody_is_at_work_any_more_is_interrupted(cells: list[Cell], root: Path) -> None:
    with another_driver(cells[0].folder) as worker:
        cells[0].mark("running")
        assert cells[0].read_mark()["state"] == "running"
        assert "running" in [cell.state for cell in folders.cells(root)]
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert cells[0].read_mark()["state"] == "interrupted"
        assert "interrupted" in [cell.state for cell in folders.cells(root)]
    result = CliRunner().invoke(cli, ["sweep", "status", str(root)])
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "1 interrupted, 2 waiting")


def test_the_second_driver_of_a_sweep_is_refused(sweep: SweepSpec, cells: list[Cell], root: Path) -> None:
    with another_driver(root) as first, pytest.raises(BusyError, match=f"in use by process {first.pid} on "):
        run_sweep(sweep, ROOT, cells, root)


def test_a_sweep_begins_beside_hidden_files_and_without_what_a_killed_one_left(sweep: SweepSpec, root: Path) -> None:
    (root / ".tune-abc" / "trials").mkdir(parents=True)
    (root / ".DS_Store").write_bytes(b"")
    begin(sweep, ROOT, plan(sweep, ROOT, root), root)
    assert sorted(path.name for path in root.iterdir()) == [".DS_Store", SUMS, "cells", PLAN, "sweep.yaml"]
