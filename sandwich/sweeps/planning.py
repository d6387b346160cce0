"""The cells of a sweep: as its spec makes them, and as they were launched last."""

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from agents.checkpoint_files import checkpoints_in, read_checkpoints
from engines.settings import SpecError
from sandwich.runs.loop import CELL
from sandwich.runs.provenance import PROVENANCE
from sandwich.runtime.kept import (
    as_meant,
    read_if_there,
    read_kept,
    read_settings,
)
from sandwich.spec.loading import assigned, validate
from sandwich.spec.run_spec import RunSpec
from sandwich.sweeps.cells import LEFT_OUT, Cell, asked_key, readable, unlisted, with_code
from sandwich.sweeps.sweep_spec import SweepSpec, Values, dotted_leaves, load_sweep, run_settings

PLAN = "plan.json"
"""What a sweep writes into its folder of its cells, in order: key, `asked`, values and spec of each."""
KEY = re.compile(r"[A-Za-z0-9_-]+")
"""Key of a cell."""


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
        wanted = asked_key(spec, digests)
        key = with_code(wanted, spec)
        old = root / "cells" / wanted
        if not (root / "cells" / key).exists() and "code" not in readable(old / PROVENANCE) != {}:
            key = wanted
        if key in specs:
            raise SpecError(f"cell {_text(values)}: another cell of the sweep is the same run")
        asked[key] = wanted
        specs[key] = spec.model_copy(
            update={"name": key, "workers": sweep.workers, "tracking": tracking, "storage": None}
        )
    _check_files([spec for key, spec in specs.items() if not (root / "cells" / key).exists()])
    leaves = {key: dict(dotted_leaves(_numbered(spec.result_keys()))) for key, spec in specs.items()}
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


def _numbered(keys: Values) -> Values:
    """Keys of a spec in which each of several `second` assistants stands under its number."""
    second = unlisted(keys)["second"]
    several = {str(place): assistant for place, assistant in enumerate(second)} if isinstance(second, list) else second
    return {**keys, "second": several}


def _check_files(specs: Iterable[RunSpec]) -> None:
    """CheckpointError for a checkpoint of runs still to be made that can't be used; each is looked at once."""
    checked: set[str] = set()
    for spec in specs:
        if not checkpoints_in(spec) <= checked:
            checked |= read_checkpoints(spec).keys()


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
    """The cells that the plan in a sweep's folder names. Raises SpecError, DamagedError."""
    path = root / PLAN
    mend = f"sandwich sweep SPEC --out {root} writes it anew"
    content = read_kept(path)
    try:
        parts = [
            (str(row["key"]), str(row.get("asked", row["key"])), dict(row["values"]), dict(row["spec"]))
            for row in json.loads(content)
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SpecError(f"{path} is damaged ({' '.join(str(error).split()) or type(error).__name__}): {mend}") from None
    cells = []
    for key, asked, values, settings in parts:
        if not KEY.fullmatch(key):
            raise SpecError(f"{path} is damaged (the key {key!r} is none): {mend}")
        try:
            spec = validate(RunSpec, as_meant(settings), root, load=False)
        except SpecError as error:
            raise SpecError(f"{path}: cell {key}: {error}") from None
        cells.append(Cell(key, spec, values, root / "cells" / key, asked))
    return cells


def found(cell: Cell, root: Path) -> Cell:
    """A cell that is not there: the one that other code of its plugins has made, if there is one."""
    if cell.folder.exists():
        return cell
    for mark in sorted(root.glob(f"cells/*/{CELL}")):
        about = readable(mark)
        if about.get("asked") == cell.asked and about.get("state") != LEFT_OUT:
            key = mark.parent.name
            return replace(cell, key=key, spec=cell.spec.model_copy(update={"name": key}), folder=mark.parent)
    return cell
