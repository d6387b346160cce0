"""Sweeps: many runs whose specs differ in a few keys, each done once.

Whatever is launched again finds its finished cells, and another dose or another seed only adds some.
"""

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from agents.plugin_code import code_of
from agents.plugins import sources
from engines.settings import SpecError
from sandwich.runs.loop import CELL, run
from sandwich.runs.provenance import differences, engines_of, programs, provenance
from sandwich.runs.tracking import Board
from sandwich.runtime.cluster import Cluster, cores, most
from sandwich.runtime.files import contents
from sandwich.runtime.kept import (
    ROOTS,
    SUMS,
    DamagedError,
    check,
    keep_checksums,
    read_if_there,
    write_changed,
    write_kept,
)
from sandwich.runtime.locks import BusyError, driver, holder
from sandwich.runtime.mirror import Mirror, Storage
from sandwich.runtime.origin import WAY_OUT, stockfish_here
from sandwich.runtime.progress import NullProgress, Row
from sandwich.runtime.trials import run_trials
from sandwich.spec.run_spec import check_devices
from sandwich.sweeps.cells import (
    DAMAGED,
    FAILED,
    LEFT_OUT,
    Cell,
    read_mark,
    write_mark,
)
from sandwich.sweeps.home import ENDING, Home, Lot, cell_storage, files_of, signed
from sandwich.sweeps.planning import PLAN
from sandwich.sweeps.sweep_spec import SweepSpec, run_settings

SCRATCH = ".tune-"
"""How the folder begins in which Ray Tune keeps what nobody needs afterwards."""


class TrialProgress(NullProgress):
    """Reports each row of a run to Ray Tune."""

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report

    def row(self, row: Row) -> None:
        self._report({"step": row["step"]})


def run_cell(lot: Lot, key: str, report: Callable[[dict[str, Any]], None], board: Board | None = None) -> None:
    """Carry out one cell, or go on with it; `report` hears of each step. What it raises is in its cell.json too."""
    lot.home("mark", key, "running")
    try:
        with lot.at_work(key) as (cell, copied):
            run(cell.spec, cell.folder, copied(TrialProgress(report)), board, wait=ENDING)
    except DamagedError as error:
        lot.home("mark", key, DAMAGED, str(error))
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        lot.home("mark", key, "failed", f"{type(error).__name__}: {text}")
        raise
    lot.home("mark", key, "done")


def begin(sweep: SweepSpec, beside: Path, cells: Sequence[Cell], root: Path) -> None:
    """Make the sweep's folder, or take over the one there. Raises SpecError where it holds something else.

    Of a damaged cell nothing is written. What trials of a killed sweep left is removed.
    """
    if read_if_there(root / "sweep.yaml") is None and any(path.name != SUMS for path in contents(root)):
        raise SpecError(f"{root} is not empty and holds no sweep: choose another --out")
    about = sweep.model_dump(mode="json") | {"run": run_settings(sweep, beside)}  # needs no other file
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"{root}: no folder can be made there ({error.strerror}): choose another --out") from None
    for left in root.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    keep_checksums(root)
    write_changed(root / "sweep.yaml", yaml.safe_dump(about, sort_keys=False).encode())
    rows = [
        {"key": cell.key, "asked": cell.asked, "values": cell.values, "spec": cell.spec.model_dump(mode="json")}
        for cell in cells
    ]
    write_changed(root / PLAN, (json.dumps(rows, indent=1) + "\n").encode())
    for cell in cells:
        for name, text in sources(cell.spec).items():
            write_kept(root / name, text.encode())
        if not cell.problem:
            cell.mark("done" if cell.finished else "waiting")
    for other in {file.parent for file in root.glob(f"cells/*/{CELL}")} - {cell.folder for cell in cells}:
        try:
            write_mark(other, read_mark(other) | {"state": LEFT_OUT, "error": None})
        except DamagedError:  # it is not asked about any more
            pass


def other_origins(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """In what the making of cells differs from how they would be made now, in words, by key; without those alike.

    Of plugins whose file was not loaded nothing is said.
    """
    made = {cell.key: (cell, there) for cell in cells if (there := cell.made)}
    engine = stockfish_here() if any(engines_of(there) for _, there in made.values()) else None
    now = provenance((), {}, {}, engine)
    found = {
        key: differences(there, now | {"code": code_of(cell.spec), "programs": programs(cell.spec)})
        for key, (cell, there) in made.items()
    }
    return {key: words for key, words in found.items() if words}


def set_aside(cells: Iterable[Cell]) -> list[Path]:
    """Move the cells that are damaged, or were made otherwise than they would be now, out of the way; where they are.

    Here every file of a cell that has a checksum counts. The sweep is to be planned anew behind it. Raises BusyError
    where another process is at work in the sweep or in one of these cells.
    """
    cells, out = list(cells), []
    others = other_origins(cells)
    old = [cell for cell in cells if cell.key in others or cell.problem or check(cell.folder).problems]
    for root in {cell.folder.parent.parent for cell in old}:
        with driver(root, apart=ROOTS):
            for cell in (cell for cell in old if cell.folder.parent.parent == root):
                if there := holder(cell.folder):
                    raise BusyError(f"{cell.folder} is in use by {there}: wait for its end")
                names = (cell.folder.with_name(f"{cell.key}-{number}") for number in itertools.count(1))
                out.append(cell.folder.rename(next(name for name in names if not name.exists())))
                moved = replace(cell, folder=out[-1])
                try:
                    moved.mark(LEFT_OUT)
                except DamagedError:  # its checksums are
                    (moved.folder / SUMS).rename(moved.folder / f"{SUMS}.damaged")
                    moved.mark(LEFT_OUT)
    return out


def _refuse_other_engines(cells: Iterable[Cell], root: Path) -> None:
    """SpecError where cells of a sweep would be measured by another engine than those that are there."""
    there = [engine for cell in cells for engine in engines_of(cell.made)]
    here = stockfish_here() if there else None
    for engine in there:
        if here and engine.is_other(here):
            raise SpecError(
                f"cells of {root} were measured with {engine.beside(here)}, here is {here.beside(engine)}: {WAY_OUT},"
                " choose another --out, or --again to do those cells anew"
            )


def run_sweep(
    sweep: SweepSpec,
    beside: str | Path,
    cells: Sequence[Cell],
    root: str | Path,
    on_step: Callable[[str, int], None] = lambda key, steps: None,
    board: Board | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Do the cells that are not done yet, as many at once as there is room for.

    on_step: hears of a cell (key) and its rows so far.
    board: page of one game, for those that are shown in W&B; a function that workers can import.
    tell: hears, in a line, of a machine that is lost.
    A cell that fails, or whose trial is lost, is tried again, then left with its error in cell.json, as one is whose
    files are damaged; the others go on. Raises SpecError, BusyError where another process is at work in `root`.
    """
    beside, root = Path(beside), Path(root)
    for cell in cells:
        if not cell.finished:
            check_devices(cell.spec)
    with driver(root, apart=ROOTS), stored(root, cells, sweep.storage):
        to_do = [cell for cell in cells if not cell.finished and not cell.problem]
        if to_do:
            _refuse_other_engines(cells, root)
        begin(sweep, beside, cells, root)
        _run_cells(sweep, to_do, root, on_step, board, tell)


@contextmanager
def stored(root: Path, cells: Iterable[Cell], storage: str | None) -> Iterator[None]:
    """Before, what a storage has of a sweep and its folder lacks is brought; behind it, what is new is copied there."""
    if storage is None:
        yield
        return
    copy = Storage(storage, root.resolve().name)
    copy.refuse_overlap(root)
    whole = Mirror(root, copy, apart=("cells",))
    whole.pull()
    for cell in cells:
        Mirror(cell.folder, cell_storage(storage, root, cell.key)).pull()
    with whole.following():
        yield


def _run_cells(
    sweep: SweepSpec,
    cells: Sequence[Cell],
    root: Path,
    on_step: Callable[[str, int], None],
    board: Board | None,
    tell: Callable[[str], None],
) -> None:
    left = {cell.key: replace(cell, folder=cell.folder.resolve()) for cell in cells}
    if not left:
        return
    files = files_of(cells)
    each = most(cell.spec.resources for cell in cells)
    with (
        Cluster(max(cores(), sweep.workers), tell, each) as cluster,
        signed(root) as sign,
        cluster.at_home(Home, dict(left)) as home,
    ):
        lot = Lot(left, files, home, root.resolve(), sign, sweep.storage)
        for _ in range(sweep.retries + 1):  # once, but for trials that were lost together with a worker
            with tempfile.TemporaryDirectory(dir=root, prefix=SCRATCH) as scratch:
                died = run_trials(
                    cluster, partial(run_cell, board=board), lot, list(left), workers=sweep.workers, each=each,
                    retries=sweep.retries,
                    scratch=Path(scratch), on_result=lambda key, result: on_step(key, int(result["step"]) + 1),
                )  # fmt: skip
            for key, error in died.items():
                if not left[key].done and left[key].read_mark()["state"] not in FAILED:
                    left[key].mark("failed", error)
            left = {key: c for key, c in left.items() if not c.done and c.read_mark()["state"] not in FAILED}
            if not left:
                return
    for cell in left.values():
        cell.mark("failed", "its trial ended without a result")
