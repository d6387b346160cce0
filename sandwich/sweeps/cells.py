"""Cells: the runs of a sweep, each in a folder under its key.

The key is the hash of everything that the run's result depends on, the code of plugins included. Versions and
engine are no part of it, but a cell knows them.
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.checkpoint_files import checkpoints_in, read_checkpoints
from agents.plugin_code import code_of
from agents.plugins import Plugin, plugins_in, source_of, sources
from sandwich.runs.loop import CELL, RESULT
from sandwich.runs.metrics import read_metrics
from sandwich.runs.provenance import PROVENANCE, read_files
from sandwich.runtime.files import holds_nothing
from sandwich.runtime.kept import (
    DamagedError,
    damaged,
    keep_checksums,
    read_if_there,
    read_json,
    write_changed,
)
from sandwich.runtime.locks import holder
from sandwich.runtime.progress import Row
from sandwich.spec.run_spec import RunSpec
from sandwich.sweeps.sweep_spec import Values

LEFT_OUT = "left out"
"""State of a cell that an earlier launch had and the sweep's spec no longer has; its run stays."""
DAMAGED = "damaged"
"""State of a cell of which a file is not what was written."""
INTERRUPTED = "interrupted"
"""State of a cell in which nobody is at work any more, though it is not finished."""
FAILED = ("failed", DAMAGED)
"""States of cells that a sweep does not go on with."""


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
        return readable(self.folder / PROVENANCE)

    def mark(self, state: str, error: str | None = None) -> None:
        """Write `cell.json`: what the cell is, and how it stands (waiting, running, done, damaged, failed, left out).

        Raises FileError, DamagedError.
        """
        mark = {"key": self.key, "asked": self.asked, "values": self.values, "state": state, "error": error}
        write_mark(self.folder, mark)

    def read_mark(self) -> dict[str, Any]:
        """What `cell.json` says, with the state `done` where the run is finished, `damaged` where a file is."""
        if problem := self.problem:
            return {"state": DAMAGED, "error": problem}
        return read_mark(self.folder) | ({"state": "done", "error": None} if self.finished else {})


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


def write_mark(folder: Path, mark: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if holds_nothing(folder):
        keep_checksums(folder)
    write_changed(folder / CELL, (json.dumps(mark, indent=1) + "\n").encode())


def read_mark(folder: Path) -> dict[str, Any]:
    """What `cell.json` says; a cell that is said to be running in a folder where nobody is at work is interrupted.

    Raises DamagedError.
    """
    if read_if_there(folder / CELL) is None:
        return {"state": "waiting", "error": None}
    mark = {"state": "unknown", "error": None} | read_json(folder / CELL)
    return mark | ({"state": INTERRUPTED} if mark["state"] == "running" and holder(folder) is None else {})


def readable(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is none that can be read."""
    try:
        return {} if read_if_there(path) is None else read_json(path)
    except DamagedError:
        return {}


def cell_key(spec: RunSpec) -> str:
    """Hash of what a run's result depends on: its spec, the content of its checkpoints and puzzles, its plugins' code.

    Raises CheckpointError, SpecError.
    """
    return with_code(asked_key(spec, {}), spec)


def with_code(asked: str, spec: RunSpec) -> str:
    content = json.dumps([asked, code_of(spec)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


BEFORE: dict[tuple[str | None, str], object] = {
    ("inference", "precision"): "fp32", ("finetune", "replay"): 1, (None, "coin"): "question",
    ("", "label_model"): {"type": "none"}, ("", "seats"): "game",
}  # fmt: skip
"""Settings that came later, each with what it stands in (None: anything), and what all runs were before there was a
choice: with it they keep their keys."""


def without_later(settings: Any, within: str = "") -> Any:
    """Settings without those that came later, where they say what all runs were before."""
    if isinstance(settings, Mapping):
        return {
            name: without_later(value, name)
            for name, value in settings.items()
            if not any(key in BEFORE and BEFORE[key] == value for key in ((within, name), (None, name)))
        }
    return [without_later(value, within) for value in settings] if isinstance(settings, list) else settings


def unlisted(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a spec with a single `second` as its settings alone, and null for none: as when there was no list."""
    second = keys["second"]
    return {**keys, "second": second if len(second) > 1 else second[0] if second else None}


def asked_key(spec: RunSpec, digests: dict[str, str]) -> str:
    """The same without the code of plugins that are of this package.

    digests: of files that were read before, by name; added to. Checkpoints are not looked into.
    """
    names = sorted(checkpoints_in(spec))
    if not digests.keys() >= set(names):
        contents = read_checkpoints(spec, check=False)
        digests |= {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
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
    content = json.dumps(
        [without_later(unlisted(spec.result_keys())), {name: digests[name] for name in names}, code], sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _ours(plugin: type[Plugin]) -> bool:
    return plugin.__module__.startswith(("agents.", "sandwich."))
