"""Sweeps: many runs whose specs differ in a few keys, each done once.

A sweep is a folder of cells. A cell is a run, and its key is the hash of everything that the run's
result depends on, the code of plugins included; so whatever is launched again finds its finished cells, and
another dose or another seed only adds some. Versions and engine are no part of it, but a cell knows them.
"""

import hashlib
import inspect
import itertools
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, model_validator

from agents.checkpoint_files import checkpoints_in, read_checkpoints
from agents.plugins import Plugin, code_of, plugins_in, source_of, sources
from engines.settings import Frozen, SpecError
from sandwich.runs.loop import CELL, RESULT, run
from sandwich.runs.metrics import read_metrics
from sandwich.runs.provenance import differences, engines_of, programs, provenance, read_files
from sandwich.runs.tracking import Board
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.files import contents, holds_nothing
from sandwich.runtime.kept import (
    ROOTS,
    SUMS,
    DamagedError,
    check,
    damaged,
    keep_checksums,
    read_if_there,
    read_json,
    read_settings,
    write_kept,
)
from sandwich.runtime.locks import BusyError, driver, holder
from sandwich.runtime.origin import WAY_OUT, stockfish_here
from sandwich.runtime.progress import NullProgress, Row
from sandwich.spec.kinds import SWEEP, read_spec
from sandwich.spec.loading import Override, assigned, spec_settings, validate
from sandwich.spec.run_spec import RunSpec, check_devices
from sandwich.spec.shipped import find_spec

PLAN = "plan.json"
"""What a sweep writes into its folder of its cells, in order: key, `asked`, values and spec of each."""
PROVENANCE = "provenance.json"
"""What a run keeps of its making."""
KEY = re.compile(r"[A-Za-z0-9_-]+")
"""Key of a cell."""
LEFT_OUT = "left out"
"""State of a cell that an earlier launch had and the sweep's spec no longer has; its run stays."""

DAMAGED = "damaged"
"""State of a cell of which a file is not what was written."""
INTERRUPTED = "interrupted"
"""State of a cell in which nobody is at work any more, though it is not finished."""
FAILED = ("failed", DAMAGED)
"""States of cells that a sweep does not go on with."""
SCRATCH = ".tune-"
"""How the folder begins in which Ray Tune keeps what nobody needs afterwards."""
ENDING = 120.0
"""Seconds that a worker may need to end whose driver was killed."""

Values = dict[str, Any]
"""Values of dotted keys of a run's spec."""


class Range(Frozen):
    """Evenly spaced values of a key."""

    start: float
    """The first value."""
    stop: float
    """The last value."""
    count: int = Field(ge=2)
    """How many, both ends included."""
    log: bool = False
    """Evenly spaced logarithms instead; both ends are then over 0."""

    @model_validator(mode="after")
    def _positive(self) -> "Range":
        if self.log and min(self.start, self.stop) <= 0:
            raise ValueError(f"expected ends over 0 for log: true, got {self.start:g} and {self.stop:g}")
        return self

    def values(self) -> list[float]:
        """The values, rounded to twelve digits."""
        ends = [math.log(end) if self.log else end for end in (self.start, self.stop)]
        even = [ends[0] + (ends[1] - ends[0]) * place / (self.count - 1) for place in range(self.count)]
        return [float(f"{math.exp(value) if self.log else value:.12g}") for value in even]


def _spread(values: Any) -> Any:
    """Values of a key: a range's where it is one."""
    return Range.model_validate(values).values() if isinstance(values, dict) else values


def _dotted(values: Any) -> Any:
    """Settings within settings as dotted keys; a range stays a value."""
    if not isinstance(values, Mapping):
        return values
    return dict(_leaves(values, whole=lambda value: "start" in value))


class SweepSpec(Frozen):
    """Which runs a sweep is made of."""

    name: str = Field("sweep", min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the sweep, of its folder, and of the W&B group of its runs; where a file does not say it, the file's."""
    run: str | dict[str, Any]
    """The run that every cell is but for some keys: a spec's file beside this one, the name of a shipped spec, or
    its settings."""
    fixed: Annotated[dict[str, Any], BeforeValidator(_dotted)] = Field(default_factory=dict)
    """Keys that all cells have otherwise than that run."""
    over: Annotated[dict[str, Annotated[list[Any], BeforeValidator(_spread)]], BeforeValidator(_dotted)] = Field(
        default_factory=dict
    )
    """Values of dotted keys, as a list or a `Range`; every combination is a cell."""
    cells: list[dict[str, Any]] = Field(default_factory=list)
    """Keys with their values, set together; each of these is combined with `over`."""
    workers: int = Field(1, ge=1)
    """Ray workers of one cell; as many cells run at once as there is room for."""
    retries: int = Field(1, ge=0)
    """Times that a failed cell is tried again."""

    @model_validator(mode="after")
    def _something(self) -> "SweepSpec":
        if empty := [key for key, values in self.over.items() if values == []]:
            raise ValueError(f"over.{empty[0]}: expected at least one value, got none")
        return self

    def combinations(self) -> Iterator[Values]:
        """Values of each cell."""
        for together in self.cells or [{}]:
            for chosen in itertools.product(*self.over.values()):
                yield {**together, **dict(zip(self.over, chosen, strict=True))}


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a sweep.

    key: hash of all that its result depends on.
    spec: of the run.
    values: the keys in which the sweep's cells differ, with this one's values.
    folder: its run folder.
    asked: hash of the same without the code of installed plugins: what the sweep asks for.
    """

    key: str
    spec: RunSpec
    values: Values
    folder: Path
    asked: str

    @property
    def finished(self) -> bool:
        """Whether its run has come to its end."""
        return (self.folder / RESULT).exists()

    @property
    def done(self) -> bool:
        """Whether its run is finished, and what is there of it is whole."""
        return self.finished and self.problem is None

    @property
    def problem(self) -> str | None:
        """What is damaged or missing of the files that a sweep reads of its cells, in one line; None: nothing is."""
        try:
            whole_rows(self.folder)
        except DamagedError as error:
            return str(error)
        return None

    @property
    def rows(self) -> list[Row]:
        """Its metrics so far; none where it is damaged."""
        try:
            return whole_rows(self.folder)
        except DamagedError:
            return []

    @property
    def made(self) -> dict[str, Any]:
        """Its run's provenance; empty where there is none that can be read."""
        return _readable(self.folder / PROVENANCE)

    def mark(self, state: str, error: str | None = None) -> None:
        """Write `cell.json`: what the cell is, and how it stands (waiting, running, done, damaged, failed, left out).

        Raises FileError, DamagedError.
        """
        mark = {"key": self.key, "asked": self.asked, "values": self.values, "state": state, "error": error}
        _write_mark(self.folder, mark)

    def read_mark(self) -> dict[str, Any]:
        """What `cell.json` says, with the state `done` where the run is finished, `damaged` where a file is."""
        if problem := self.problem:
            return {"state": DAMAGED, "error": problem}
        return _read_mark(self.folder) | ({"state": "done", "error": None} if self.finished else {})


def whole_rows(folder: Path) -> list[Row]:
    """The metrics so far of a cell's run. Raises DamagedError where a file that a sweep reads of it is damaged."""
    for name in (CELL, PROVENANCE):
        if read_if_there(folder / name) is not None:
            read_json(folder / name)
    rows = read_metrics(folder)
    if (folder / RESULT).exists():
        steps = read_json(folder / RESULT).get("steps", len(rows) - 1)
        if not rows:
            raise damaged(folder / "metrics.jsonl", "it has no rows of a finished run")
        if steps != len(rows) - 1:
            raise damaged(folder / "metrics.jsonl", f"it has {len(rows)} rows, and {RESULT} says {steps} steps")
    return rows


def _write_mark(folder: Path, mark: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if holds_nothing(folder):
        keep_checksums(folder)
    write_kept(folder / CELL, (json.dumps(mark, indent=1) + "\n").encode())


def _read_mark(folder: Path) -> dict[str, Any]:
    """What `cell.json` says; a cell that is said to be running in a folder where nobody is at work is interrupted.

    Raises DamagedError.
    """
    if read_if_there(folder / CELL) is None:
        return {"state": "waiting", "error": None}
    mark = {"state": "unknown", "error": None} | read_json(folder / CELL)
    return mark | ({"state": INTERRUPTED} if mark["state"] == "running" and holder(folder) is None else {})


def _readable(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is none that can be read."""
    try:
        return {} if read_if_there(path) is None else read_json(path)
    except DamagedError:
        return {}


def load_sweep(source: str | Path, *overrides: Override | Iterable[Override], **keys: Any) -> SweepSpec:
    """The spec of a sweep: of a YAML file, or the shipped one of that name, with other values of some keys.

    Overrides and keys are those of `sandwich.spec.run_spec.load_spec`. The run that it names is read, so that it
    needs no other file any more, but for those of plugins. Raises SpecError.
    """
    sweep, path = read_spec(SweepSpec, SWEEP, source, *overrides, keys)
    return sweep.model_copy(update={"run": run_settings(sweep, path.parent)})


def run_settings(sweep: SweepSpec, beside: Path) -> dict[str, Any]:
    """Settings of the run that every cell is but for some keys. Raises SpecError."""
    if not isinstance(sweep.run, str):
        return sweep.run
    file = beside / sweep.run
    try:
        source = find_spec(file if file.is_file() else sweep.run)
    except SpecError as error:
        raise SpecError(f"run: {error}") from None
    return spec_settings(source)


def plan(sweep: SweepSpec, beside: str | Path, root: str | Path, *, load: bool = True) -> list[Cell]:
    """The cells of a sweep in order; `beside` is the folder of its run's file and of the files of its plugins.

    load: whether these may be run; without it, cells with such plugins have other keys.
    A cell of before cells knew the code of installed plugins is the same one under its old key.
    Raises SpecError for a cell that is no run, and for two cells that are the same run.
    """
    beside, root = Path(beside), Path(root)
    settings = assigned(run_settings(sweep, beside), sweep.fixed)
    digests: dict[str, str] = {}
    specs: dict[str, RunSpec] = {}
    asked: dict[str, str] = {}
    for values in sweep.combinations():
        try:
            spec = validate(RunSpec, {**assigned(settings, values), "name": sweep.name}, beside, load=load)
        except SpecError as error:
            raise SpecError(f"cell {_text(values)}: {error}") from None
        tracking = spec.tracking.model_copy(update={"group": sweep.name})
        wanted = _asked(spec, digests)
        key = _with_code(wanted, spec)
        old = root / "cells" / wanted
        if not (root / "cells" / key).exists() and "code" not in _readable(old / PROVENANCE) != {}:
            key = wanted
        if key in specs:
            raise SpecError(f"cell {_text(values)}: another cell of the sweep is the same run")
        asked[key] = wanted
        specs[key] = spec.model_copy(update={"name": key, "workers": sweep.workers, "tracking": tracking})
    leaves = {key: dict(_leaves(spec.result_keys())) for key, spec in specs.items()}
    names = dict.fromkeys(name for values in leaves.values() for name in values)
    named = {*sweep.over, *itertools.chain.from_iterable(sweep.cells)}
    varied = [name for name in names if _varies(name, leaves.values(), name in named)]
    chosen = varied or [name for name in names if name in {**sweep.over, **dict.fromkeys(sweep.fixed)}]
    return [
        Cell(
            key,
            spec,
            {name: leaves[key][name] for name in chosen if name in leaves[key]},
            root / "cells" / key,
            asked[key],
        )
        for key, spec in specs.items()
    ]


def _varies(name: str, cells: Iterable[Values], named: bool) -> bool:
    """Whether a key tells cells apart.

    named: by the sweep. A plugin's other settings, there wherever the plugin is, do so only by their values.
    """
    kind = f"{name.rpartition('.')[0]}.type"
    different = {
        repr(values[name]) if name in values else None
        for values in cells
        if name in values or named or kind not in values
    }
    return len(different) > 1


def _text(values: Values) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "(no keys)"


def _leaves(
    settings: Mapping[str, Any],
    prefix: str = "",
    whole: Callable[[Mapping[str, Any]], bool] = lambda value: False,
) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested settings; a mapping that is to stay whole is a value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value and not whole(value):
            yield from _leaves(value, f"{prefix}{key}.", whole)
        else:
            yield f"{prefix}{key}", value


def cell_key(spec: RunSpec) -> str:
    """Hash of what a run's result depends on: its spec, the content of its checkpoints and puzzles, its plugins' code.

    Raises CheckpointError, SpecError.
    """
    return _with_code(_asked(spec, {}), spec)


def _with_code(asked: str, spec: RunSpec) -> str:
    content = json.dumps([asked, code_of(spec)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _asked(spec: RunSpec, digests: dict[str, str]) -> str:
    """The same without the code of plugins that are of this package.

    digests: of files that were read before, by name; added to.
    """
    names = sorted(checkpoints_in(spec))
    if not digests.keys() >= set(names):
        digests |= {name: hashlib.sha256(read).hexdigest() for name, read in read_checkpoints(spec).items()}
    others = {type(plugin) for plugin in plugins_in(spec)}
    texts = [
        *sources(spec).values(),
        *(inspect.getsource(other) for other in others if not source_of(other) and not _ours(other)),
    ]
    puzzles = spec.evaluate.puzzles
    if puzzles is not None and puzzles not in digests:
        digests |= {name: hashlib.sha256(read).hexdigest() for name, read in read_files(spec).items()}
    code = sorted(
        [hashlib.sha256(text.encode()).hexdigest() for text in texts] + ([digests[puzzles]] if puzzles else [])
    )
    content = json.dumps([spec.result_keys(), {name: digests[name] for name in names}, code], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _ours(plugin: type[Plugin]) -> bool:
    return plugin.__module__.startswith(("agents.", "sandwich."))


class TrialProgress(NullProgress):
    """Reports each row of a run to Ray Tune."""

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report

    def row(self, row: Row) -> None:
        self._report({"step": row["step"]})


def run_cell(
    cells: Mapping[str, Cell], key: str, report: Callable[[dict[str, Any]], None], board: Board | None = None
) -> None:
    """Carry out one cell, or go on with it; `report` hears of each step. What it raises is in its cell.json too."""
    cell = cells[key]
    cell.mark("running")
    try:
        run(cell.spec, cell.folder, TrialProgress(report), board, wait=ENDING)
    except DamagedError as error:
        cell.mark(DAMAGED, str(error))
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        cell.mark("failed", f"{type(error).__name__}: {text}")
        raise
    cell.mark("done")


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
    write_kept(root / "sweep.yaml", yaml.safe_dump(about, sort_keys=False).encode())
    rows = [
        {"key": cell.key, "asked": cell.asked, "values": cell.values, "spec": cell.spec.model_dump(mode="json")}
        for cell in cells
    ]
    write_kept(root / PLAN, (json.dumps(rows, indent=1) + "\n").encode())
    for cell in cells:
        for name, text in sources(cell.spec).items():
            write_kept(root / name, text.encode())
        if not cell.problem:
            cell.mark("done" if cell.finished else "waiting")
    for other in {file.parent for file in root.glob(f"cells/*/{CELL}")} - {cell.folder for cell in cells}:
        try:
            _write_mark(other, _read_mark(other) | {"state": LEFT_OUT, "error": None})
        except DamagedError:  # it is not asked about any more
            pass


def planned(root: str | Path) -> tuple[SweepSpec, list[Cell]]:
    """The sweep in a folder, and its cells as they were launched last. Runs no file of a plugin.

    Raises SpecError, DamagedError.
    """
    root = Path(root)
    about = root / "sweep.yaml"
    if read_if_there(about) is None:
        raise SpecError(f"{root} holds no sweep: expected sweep.yaml in it")
    read_settings(about)
    sweep = load_sweep(about)
    if (root / PLAN).is_file():
        return sweep, _launched(root)
    cells = [found(cell, root) for cell in plan(sweep, root, root, load=False)]
    there = {file.parent.name for file in root.glob(f"cells/*/{CELL}")}
    if there and not there & {cell.key for cell in cells}:
        raise SpecError(
            f"{root} has no {PLAN}, which says what its cells are: sandwich sweep SPEC --out {root} writes it"
        )
    return sweep, cells


def _launched(root: Path) -> list[Cell]:
    """The cells that the plan in a sweep's folder names. Raises SpecError."""
    path = root / PLAN
    mend = f"sandwich sweep SPEC --out {root} writes it anew"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        parts = [
            (str(row["key"]), str(row.get("asked", row["key"])), dict(row["values"]), dict(row["spec"])) for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpecError(f"{path} is damaged ({' '.join(str(error).split()) or type(error).__name__}): {mend}") from None
    cells = []
    for key, asked, values, settings in parts:
        if not KEY.fullmatch(key):
            raise SpecError(f"{path} is damaged (the key {key!r} is none): {mend}")
        try:
            spec = validate(RunSpec, settings, root, load=False)
        except SpecError as error:
            raise SpecError(f"{path}: cell {key}: {error}") from None
        cells.append(Cell(key, spec, values, root / "cells" / key, asked))
    return cells


def found(cell: Cell, root: Path) -> Cell:
    """A cell that is not there: the one that other code of its plugins has made, if there is one."""
    if cell.folder.exists():
        return cell
    for mark in sorted(root.glob(f"cells/*/{CELL}")):
        about = _readable(mark)
        if about.get("asked") == cell.asked and about.get("state") != LEFT_OUT:
            key = mark.parent.name
            return replace(cell, key=key, spec=cell.spec.model_copy(update={"name": key}), folder=mark.parent)
    return cell


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
) -> None:
    """Do the cells that are not done yet, as many at once as there is room for.

    on_step: hears of a cell (key) and its rows so far.
    board: page of one game, for those that are shown in W&B; a function that workers can import.
    A cell that fails, or whose trial is lost, is tried again, then left with its error in cell.json, as one is whose
    files are damaged; the others go on. Raises SpecError, BusyError where another process is at work in `root`.
    """
    beside, root = Path(beside), Path(root)
    for cell in cells:
        if not cell.finished:
            check_devices(cell.spec)
    with driver(root, apart=ROOTS):
        to_do = [cell for cell in cells if not cell.finished and not cell.problem]
        if to_do:
            _refuse_other_engines(cells, root)
        begin(sweep, beside, cells, root)
        _run_cells(sweep, to_do, root, on_step, board)


def _run_cells(
    sweep: SweepSpec, cells: Sequence[Cell], root: Path, on_step: Callable[[str, int], None], board: Board | None
) -> None:
    left = {cell.key: replace(cell, folder=cell.folder.resolve()) for cell in cells}
    if not left:
        return
    with Cluster(max(cores(), sweep.workers)) as cluster:
        for _ in range(sweep.retries + 1):  # once, but for trials that were lost together with a worker
            with tempfile.TemporaryDirectory(dir=root, prefix=SCRATCH) as scratch:
                died = cluster.trials(
                    partial(run_cell, board=board), left, list(left), workers=sweep.workers, retries=sweep.retries,
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
