"""Cells on machines that do not see the sweep's folder: what is written there comes home, to the driver's machine."""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.checkpoint_files import read_checkpoints
from engines.paths import carried, is_file
from engines.settings import Mistake
from sandwich.runs.provenance import read_files
from sandwich.runtime.files import write_whole
from sandwich.runtime.kept import ROOTS, read_kept, write_kept
from sandwich.runtime.locks import driver
from sandwich.runtime.mirror import Mirror, Mirrored, Storage
from sandwich.runtime.progress import RunProgress
from sandwich.sweeps.cells import Cell

SIGN = ".home"
"""Hidden file in a sweep's folder by whose content a machine knows that it sees the driver's folder."""
ENDING = 120.0
"""Seconds that a worker may need to end whose driver was killed."""


class ClaimedError(Mistake, RuntimeError):
    """A cell that was given to another machine meanwhile: one line."""


class Home:
    """The cells of a sweep in the driver's folder, for those who are at work on one anywhere. Lives on that machine."""

    def __init__(self, cells: Mapping[str, Cell]) -> None:
        self._cells = cells
        self._claims: dict[str, tuple[str, ExitStack]] = {}

    def claim(self, key: str) -> str:
        """Take a cell for one that is at work elsewhere, from whoever had it; what it is to be named by from now on."""
        self.release(key)
        lock = ExitStack()
        lock.enter_context(driver(self._cells[key].folder, ENDING, apart=ROOTS))
        claim = secrets.token_hex(8)
        self._claims[key] = claim, lock
        return claim

    def release(self, key: str) -> None:
        """Nobody is at work in it elsewhere any more."""
        if key in self._claims:
            self._claims.pop(key)[1].close()

    def mark(self, key: str, state: str, error: str | None = None) -> None:
        """Write how a cell stands."""
        self._cells[key].mark(state, error)

    def names(self, key: str) -> list[str]:
        return Storage(str(self._cells[key].folder)).names()

    def read(self, key: str, name: str) -> bytes:
        return read_kept(self._cells[key].folder / name)

    def write(self, key: str, claim: str, name: str, content: bytes) -> None:
        """Raises ClaimedError where the cell was given to somebody else."""
        if self._claims.get(key, ("", None))[0] != claim:
            raise ClaimedError(f"the cell {key} was given to another machine meanwhile")
        path = self._cells[key].folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_kept(path, content)


class AtHome:
    """The copy of a cell's folder that lies at home."""

    def __init__(self, home: Callable[..., Any], key: str) -> None:
        self._home, self._key = home, key
        self._claim = home("claim", key)

    def names(self) -> list[str]:
        names: list[str] = self._home("names", self._key)
        return names

    def read(self, name: str) -> bytes:
        content: bytes = self._home("read", self._key, name)
        return content

    def write(self, name: str, content: bytes) -> None:
        self._home("write", self._key, self._claim, name, content)


@dataclass(frozen=True, eq=False)
class Lot:
    """Cells to be done on any machine of a cluster.

    cells: by key. files: contents of those that their specs name by a path. home: calls a method of `Home`.
    root, sign: the sweep's folder, and what stands in its sign.
    storage: where copies go, beside the sweep's folder.
    """

    cells: Mapping[str, Cell]
    files: Mapping[str, bytes]
    home: Callable[..., Any]
    root: Path
    sign: str
    storage: str | None

    @contextmanager
    def at_work(self, key: str) -> Iterator[tuple[Cell, Callable[[RunProgress], RunProgress]]]:
        """A cell with a folder on this machine, and what makes a reporter of progress that has it copied."""
        cell = self.cells[key]
        with ExitStack() as stack:
            stack.enter_context(carried(self.files))
            mirrors = []
            if self._sees_home():
                self.home("release", key)
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandwich-"))) / key
                cell = replace(cell, folder=folder)
                mirrors.append(Mirror(folder, AtHome(self.home, key)))
                mirrors[0].pull()
                stack.callback(self.home, "release", key)
            if self.storage:
                mirrors.append(Mirror(cell.folder, cell_storage(self.storage, self.root, key)))

            def copied(progress: RunProgress) -> RunProgress:
                for mirror in mirrors:
                    progress = Mirrored(progress, mirror)
                return progress

            for mirror in mirrors:
                stack.enter_context(mirror.following())
            yield cell, copied

    def _sees_home(self) -> bool:
        try:
            return (self.root / SIGN).read_text(encoding="ascii") == self.sign
        except (OSError, UnicodeDecodeError):
            return False


@contextmanager
def signed(root: Path) -> Iterator[str]:
    """Meanwhile there is a sign in a sweep's folder; its content."""
    sign, path = secrets.token_hex(16), root / SIGN
    write_whole(path, sign.encode())
    try:
        yield sign
    finally:
        path.unlink(missing_ok=True)


def cell_storage(storage: str, root: Path, key: str) -> Storage:
    """Where copies of the files of a cell go whose sweep lies in the folder `root`."""
    return Storage(storage, root.resolve().name, "cells", key)


def files_of(cells: Sequence[Cell]) -> dict[str, bytes]:
    """Contents of the files that the specs of cells name by a path. Raises CheckpointError, SpecError."""
    found: dict[str, bytes] = {}
    for cell in cells:
        found |= read_checkpoints(cell.spec, check=False) | read_files(cell.spec)
    return {name: content for name, content in found.items() if is_file(name)}
