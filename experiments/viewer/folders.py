"""What lies in a folder: a run or a sweep, the runs inside it by key, and whether anything has changed.

The key of a run is its path below the folder, with slashes: `cells/3f2a`, `controls/honest`; the key
of the folder itself is empty.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.settings import SpecError, read_yaml
from sandwich.runs.controls import FOLDER as CONTROLS
from sandwich.runs.labels import FOLDER as LABELLED
from sandwich.runs.labels import LABELS
from sandwich.runtime.kept import DamagedError, read_if_there, read_json
from sandwich.runtime.locks import holder
from sandwich.sweeps.cells import DAMAGED, INTERRUPTED, LEFT_OUT

CELLS = "cells"
"""Folder of a sweep that holds a run folder for each of its cells."""
SWEEP = "sweep.yaml"
"""The spec of a sweep."""

_KEY = re.compile(rf"(?:{CELLS}/[\w.-]+)?/?(?:{CONTROLS}/[\w.-]+)?")
_LEDGER = re.compile(r"step-(\d+)\.parquet")
_LABELLED = re.compile(r"step-(\d{3,})")


@dataclass(frozen=True)
class Cell:
    """One cell of a sweep, as its folder says.

    values: setting of each key that the sweep varies; empty where cell.json is not there yet.
    state: `done`, `failed`, `running`, `interrupted`, `waiting`, `damaged`, `left out` of the sweep's spec as it is
    now, or `unknown`.
    """

    key: str
    folder: Path
    values: dict[str, Any]
    state: str
    error: str | None


def is_sweep(folder: Path) -> bool:
    """Whether the folder holds a sweep; else it holds a run.

    Raises SpecError in one line where it holds neither.
    """
    if not folder.is_dir():
        raise SpecError(f"expected the folder of a run or a sweep, found no folder at {folder}")
    if (folder / SWEEP).is_file() or (folder / CELLS).is_dir():
        return True
    if (folder / "metrics.jsonl").is_file() or (folder / "ledger").is_dir():
        return False
    raise SpecError(f"{folder} holds no run and no sweep: expected metrics.jsonl or {SWEEP} in it")


def run_at(root: Path, key: str) -> Path | None:
    """Folder of the run with this key; None for a key that names no run inside the root."""
    if not _KEY.fullmatch(key) or key.startswith("/") or ".." in key.split("/"):
        return None
    folder = root / key
    inside = folder.resolve().is_relative_to(root.resolve())
    return folder if inside and folder.is_dir() else None


def runs(root: Path) -> list[str]:
    """Keys of every run in the folder: the run itself or a sweep's cells, and the controls of each."""
    tops = [cell.key for cell in cells(root)] if is_sweep(root) else [""]
    return [key for top in tops for key in (top, *_controls(root, top))]


def _controls(root: Path, top: str) -> list[str]:
    folder = root / top / CONTROLS
    return [f"{top}/{CONTROLS}/{path.name}".lstrip("/") for path in sorted(folder.glob("*")) if path.is_dir()]


def cells(root: Path) -> list[Cell]:
    """Cells of a sweep, in the order of their values; what a cell's file does not say is unknown."""
    all_cells = []
    for folder in (root / CELLS).glob("*"):
        if folder.is_dir() and run_at(root, f"{CELLS}/{folder.name}"):
            record = _record(folder)
            values = record.get("values")
            error, state = record.get("error"), str(record.get("state", "unknown"))
            done = state not in (LEFT_OUT, DAMAGED) and (folder / "result.json").is_file()
            all_cells.append(
                Cell(
                    f"{CELLS}/{folder.name}",
                    folder,
                    values if isinstance(values, dict) else {},
                    "done" if done else state,
                    None if error is None else str(error),
                )
            )
    return sorted(all_cells, key=lambda cell: ([_ordered(value) for value in cell.values.values()], cell.key))


def _ordered(value: Any) -> tuple[bool, float, str]:
    """A sort key for values of any type: numbers in their order, then the rest as text."""
    number = isinstance(value, int | float)
    return not number, float(value) if number else 0.0, str(value)


def ledgers(folder: Path) -> dict[int, Path]:
    """Ledger file of each step that a run folder has."""
    named = ((_LEDGER.fullmatch(path.name), path) for path in (folder / "ledger").glob("step-*.parquet"))
    return {int(match[1]): path for match, path in sorted(named, key=lambda pair: pair[1].name) if match}


def labels(folder: Path) -> Path | None:
    """The newest labels that a label model made of a run's answers."""
    named = (path for path in (folder / LABELLED).glob(f"step-*/{LABELS}") if _LABELLED.fullmatch(path.parent.name))
    return max(named, key=lambda path: path.parent.name, default=None)


def stamp(path: Path) -> tuple[str, int, int]:
    """Name, time and size of a file, which change with its content; zeros where there is none."""
    try:
        status = path.stat()
    except OSError:
        return path.name, 0, 0
    return path.name, status.st_mtime_ns, status.st_size


def version(folder: Path) -> str:
    """A word that changes whenever what the pages show of this run or sweep does."""
    digest = hashlib.sha256(repr([stamp(path) for path in _watched(folder)]).encode())
    return digest.hexdigest()[:16]


def is_shown(folder: Path, *made: Path) -> bool:
    """Whether these files, which show this run or sweep, are there and newer than all that they show."""
    times = [path.stat().st_mtime_ns for path in _watched(folder) if path.exists()]
    return all(path.exists() and path.stat().st_mtime_ns > max(times, default=0) for path in made)


def _watched(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in ("metrics.jsonl", "spec.yaml", SWEEP))
    yield from ledgers(folder).values()
    yield from sorted(folder.glob(f"{CONTROLS}/*/metrics.jsonl"))
    for path in sorted((folder / CELLS).glob("*")):
        yield from (path / "cell.json", path / "metrics.jsonl")


def name_of(folder: Path) -> str:
    """Name of a run or sweep: its spec's, else its folder's."""
    for file in (SWEEP, "spec.yaml"):
        try:
            spec = read_yaml(folder / file)
        except SpecError:
            continue
        if isinstance(spec, dict) and spec.get("name"):
            return str(spec["name"])
    return folder.resolve().name


def _record(folder: Path) -> dict[str, Any]:
    """What cell.json says of a cell; empty where there is none."""
    path = folder / "cell.json"
    try:
        record = {} if read_if_there(path) is None else read_json(path)
    except DamagedError as error:
        return {"state": DAMAGED, "error": str(error)}
    if record.get("state") == "running" and holder(folder) is None:
        return record | {"state": INTERRUPTED}
    return record
