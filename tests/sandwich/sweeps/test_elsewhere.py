"""Cells done where the sweep's folder is not seen, and copies in a storage: the same files come to be at home."""

from pathlib import Path
from typing import Any

import pytest

from engines.paths import carried
from engines.settings import SpecError
from sandwich.runs.loop import run
from sandwich.runtime.kept import SUMS, DamagedError, check, read_kept
from sandwich.runtime.locks import BusyError, holder
from sandwich.runtime.mirror import Mirror, Storage
from sandwich.spec.run_spec import RunSpec
from sandwich.sweeps.cells import Cell
from sandwich.sweeps.home import ClaimedError, Home
from sandwich.sweeps.planning import plan
from sandwich.sweeps.sweep import begin, run_cell, run_sweep
from sandwich.sweeps.sweep_spec import SweepSpec
from tests.helpers.faults import another_driver
from tests.helpers.lots import lot_of
from tests.helpers.project import ROOT

pytestmark = pytest.mark.usefixtures("cluster")


def begun(settings: dict[str, Any], root: Path) -> list[Cell]:
    """One cell of a sweep that has been begun."""
    sweep = SweepSpec.model_validate(settings | {"over": {"seed": [0]}})
    cells = plan(sweep, ROOT, root)
    begin(sweep, ROOT, cells, root)
    return cells


def results(folder: Path) -> dict[str, bytes]:
    """Contents of what a run's result depends on, by path."""
    names = ("*.parquet", "*.safetensors", "spec.yaml")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for name in names for path in folder.rglob(name)}


def test_a_cell_done_elsewhere_comes_home_with_the_bytes_of_one_done_here(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (here,), (there,) = begun(settings, tmp_path / "here"), begun(settings, tmp_path / "there")
    heard: list[dict[str, Any]] = []
    run_cell(lot_of([here], tmp_path / "here"), here.key, heard.append)
    lot = lot_of([there], tmp_path / "there", elsewhere=True)
    names = [Path(settings["run"][name]) for name in ("expert", "student")]
    for path in names:  # no such file is on the machine that does it
        path.rename(f"{path}.away")
    try:
        run_cell(lot, there.key, heard.append)
    finally:
        for path in names:
            Path(f"{path}.away").rename(path)
    assert results(there.folder) == results(here.folder) != {}
    assert there.done and there.read_mark()["state"] == "done"
    assert check(there.folder).files > 5 and not check(there.folder).problems
    assert holder(there.folder) is None
    assert heard == [{"step": 0}, {"step": 1}] * 2


def test_a_cell_goes_on_elsewhere_behind_what_came_home(settings: dict[str, Any], tmp_path: Path) -> None:
    (whole,), (part,) = begun(settings, tmp_path / "whole"), begun(settings, tmp_path / "part")
    run_cell(lot_of([whole], tmp_path / "whole"), whole.key, lambda told: None)
    seen: list[int] = []

    def cut(told: dict[str, Any]) -> None:
        seen.append(told["step"])
        raise ConnectionError("the network is down")

    lot = lot_of([part], tmp_path / "part", elsewhere=True)
    with pytest.raises(ConnectionError):
        run_cell(lot, part.key, cut)
    assert part.read_mark()["error"] == "ConnectionError: the network is down"
    run_cell(lot, part.key, lambda told: seen.append(told["step"]))
    assert seen == [0, 1]  # the row of step 0 was not made twice
    assert results(part.folder) == results(whole.folder)


def test_who_lost_a_cell_to_another_machine_writes_nothing_in_it(settings: dict[str, Any], tmp_path: Path) -> None:
    (cell,) = begun(settings, tmp_path)
    home = Home({cell.key: cell})
    first = home.claim(cell.key)
    second = home.claim(cell.key)
    with pytest.raises(ClaimedError, match="was given to another machine"):
        home.write(cell.key, first, "ledger/step-000.parquet", b"old")
    home.write(cell.key, second, "ledger/step-000.parquet", b"new")
    assert read_kept(cell.folder / "ledger" / "step-000.parquet") == b"new"
    assert holder(cell.folder) is not None
    home.release(cell.key)
    assert holder(cell.folder) is None


def test_a_damaged_file_at_home_is_found_by_who_goes_on_elsewhere(settings: dict[str, Any], tmp_path: Path) -> None:
    (cell,) = begun(settings, tmp_path)
    lot = lot_of([cell], tmp_path, elsewhere=True)
    claim = lot.home("claim", cell.key)
    lot.home("write", cell.key, claim, "ledger/step-000.parquet", b"of a step")
    (cell.folder / "ledger" / "step-000.parquet").write_bytes(b"of a")
    with pytest.raises(DamagedError):
        run_cell(lot, cell.key, lambda told: None)
    assert cell.read_mark()["state"] == "damaged"


def test_a_mirror_copies_what_changed_and_metrics_last(tmp_path: Path) -> None:
    folder, written = tmp_path / "folder", list[str]()

    class Listening(Storage):
        def write(self, name: str, content: bytes) -> None:
            written.append(name)
            super().write(name, content)

    (folder / "ledger").mkdir(parents=True)
    for name in ("metrics.jsonl", "spec.yaml", "ledger/step-000.parquet", ".lock", SUMS):
        (folder / name).write_text(name)
    (folder / "latest").symlink_to(folder / "spec.yaml")
    mirror = Mirror(folder, Listening(str(tmp_path / "storage"), "run"))
    mirror.push()
    assert written == ["ledger/step-000.parquet", "spec.yaml", "metrics.jsonl"]
    (folder / "metrics.jsonl").write_text("more rows")
    mirror.push()
    assert written[3:] == ["metrics.jsonl"]
    new = tmp_path / "new"
    Mirror(new, Storage(f"file://{tmp_path}/storage", "run")).pull()
    assert (new / "metrics.jsonl").read_text() == "more rows"
    assert check(new).files == 3 and not check(new).problems


@pytest.mark.parametrize("uri", ["ftp://host/folder", "nowhere://x"])
def test_a_storage_that_nobody_knows_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(SpecError, match=f"storage: '{uri}' is neither a path nor a URI that pyarrow knows"):
        Storage(uri)


def test_a_sweep_goes_on_from_its_storage_in_another_folder(settings: dict[str, Any], tmp_path: Path) -> None:
    storage = str(tmp_path / "storage")
    sweep = SweepSpec.model_validate(settings | {"over": {"seed": [0]}, "storage": storage})
    first = tmp_path / "first" / "tiny"
    run_sweep(sweep, ROOT, plan(sweep, ROOT, first), first)
    second = tmp_path / "second" / "tiny"
    told: list[str] = []
    cells = plan(sweep, ROOT, second)
    assert not cells[0].finished
    run_sweep(sweep, ROOT, cells, second, lambda key, rows: told.append(key))
    assert cells[0].done and not told  # nothing was done twice
    assert results(cells[0].folder) == results(first / "cells" / cells[0].key) != {}


def test_a_run_goes_on_from_its_storage(settings: dict[str, Any], tmp_path: Path) -> None:
    storage = str(tmp_path / "storage")
    spec = RunSpec.model_validate({**settings["run"], "name": "small", "workers": 1, "storage": storage})
    run(spec, tmp_path / "here" / "small")
    run(spec.model_copy(update={"steps": 2}), tmp_path / "there" / "small")
    assert results(tmp_path / "here" / "small").items() - results(tmp_path / "there" / "small").items() <= {
        ("spec.yaml", (tmp_path / "here" / "small" / "spec.yaml").read_bytes())
    }
    assert (tmp_path / "there" / "small" / "ledger" / "step-001.parquet").exists()


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_neither_folder_nor_storage_changes_where_the_other_holds_another_run(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    one = RunSpec.model_validate({**settings["run"], "name": "small", "workers": 1, "storage": str(storage)})
    other = one.model_copy(update={"seed": 1})
    run(one, tmp_path / "one" / "small")
    run(other.model_copy(update={"storage": None}), tmp_path / "other" / "small")
    before = everything(tmp_path)
    for spec, folder, held_by in (
        (other, "new", f"storage {storage} ({storage}/small)"),  # would bring the storage's run
        (other, "other", f"storage {storage} ({storage}/small)"),  # would write over it
        (one, "other", f"{tmp_path}/other/small"),
    ):
        with pytest.raises(SpecError) as refused:
            run(spec, tmp_path / folder / "small")
        assert str(refused.value).startswith(f"{held_by} holds a run with seed=")
        assert everything(tmp_path) == before


@pytest.mark.parametrize(("out", "storage"), [("runs/a", "runs"), ("a", "a"), ("a/b/a", "."), ("a", "a/b")])
def test_a_copy_lies_apart_from_its_folder(out: str, storage: str, settings: dict[str, Any], tmp_path: Path) -> None:
    spec = RunSpec.model_validate({**settings["run"], "name": "small", "storage": str(tmp_path / storage)})
    with pytest.raises(SpecError, match="is not apart from"):
        run(spec, tmp_path / out)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_lines_that_the_copy_is_ahead_by_are_brought(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, text in ((here, "1\n"), (there / "here", "1\n2\n")):
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(text)
        (folder / "others.jsonl").write_text(f"{text[:1]} of {folder}\n")
    mirror = Mirror(here, Storage(str(there), "here"))
    mirror.pull()
    assert (here / "metrics.jsonl").read_text() == "1\n2\n"
    assert (here / "others.jsonl").read_text() == f"1 of {here}\n"


def test_what_is_refused_is_not_copied(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "a").touch()
    mirror = Mirror(here, Storage(str(tmp_path / "there"), "here"))
    with pytest.raises(DamagedError), mirror.following():
        raise DamagedError("here/a is damaged")
    assert not (tmp_path / "there").exists()
    with pytest.raises(KeyboardInterrupt), mirror.following():
        raise KeyboardInterrupt
    assert (tmp_path / "there" / "here" / "a").exists()


def test_a_cell_that_is_at_work_elsewhere_is_held(settings: dict[str, Any], tmp_path: Path) -> None:
    (cell,) = begun(settings, tmp_path)
    with another_driver(cell.folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sandwich.sweeps.home.ENDING", 0.1)
        with pytest.raises(BusyError):
            Home({cell.key: cell}).claim(cell.key)


def test_what_is_carried_counts_as_there(tmp_path: Path) -> None:
    from agents.checkpoint_files import checkpoint_path
    from engines.checkpoints import CheckpointError, read

    name = str(tmp_path / "players" / "mine.safetensors")
    with carried({name: b"weights"}):
        assert read(checkpoint_path(name)) == b"weights"
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoint_path(name)
