"""A folder's copy elsewhere: with the driver of a sweep, whose disk another machine need not see, or in a storage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

import pyarrow as pa
from pyarrow import fs

from engines.settings import Mistake, SpecError
from sandwich.runtime.files import write_whole
from sandwich.runtime.kept import SUMS, keep_checksums, write_kept
from sandwich.runtime.progress import Row, RunProgress

LAST = ("metrics.jsonl", "result.json", "cell.json")
"""Files that are copied behind all others: what they speak of is there then."""


class StorageError(Mistake, OSError):
    """A storage that can't be read or written: one line that names it."""


class Copy(Protocol):
    """Where the copies of a folder's files lie, by their paths below it, with slashes."""

    def names(self) -> list[str]:
        """Those that are there."""

    def read(self, name: str) -> bytes:
        """Content of one."""

    def write(self, name: str, content: bytes) -> None:
        """Put one there, whole or not at all."""


class Mirror:
    """A folder, and the copy of it that follows what is written in it.

    Checksums are no part of the copy: each side has those of its own. Neither are hidden files and links.
    apart: names in the folder that have mirrors of their own.
    """

    def __init__(self, folder: Path, copy: Copy, apart: tuple[str, ...] = ()) -> None:
        self._folder, self._copy, self._apart = folder, copy, apart
        self._seen: dict[str, tuple[int, int]] = {}

    def pull(self) -> None:
        """Bring what the folder lacks, lines behind its own too, with checksums; what it has stays."""
        there = _in_order(name for name in self._copy.names() if not self._is_apart(name))
        if there:
            keep_checksums(self._folder)
        for name in there:
            path = self._folder / name
            if not path.exists() or (name.endswith(".jsonl") and self._is_ahead(name, path)):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_kept(path, self._copy.read(name))
                self._seen[name] = _state(path)

    @contextmanager
    def following(self) -> Iterator[None]:
        """Behind what is done inside, the rest is copied, but not where that was refused: the copy may be better."""
        try:
            yield
        except Mistake:
            raise
        except BaseException:
            self.push()
            raise
        self.push()

    def push(self) -> None:
        """Copy what has changed."""
        for name in _in_order(self._files()):
            path = self._folder / name
            try:
                state = _state(path)
                if self._seen.get(name) == state:
                    continue
                content = path.read_bytes()
            except FileNotFoundError:  # a library's, which is gone again
                continue
            self._copy.write(name, content)
            self._seen[name] = state

    def _files(self) -> Iterator[str]:
        for at, below, names in os.walk(self._folder):
            here = Path(at).relative_to(self._folder)
            below[:] = [name for name in below if not self._is_apart((here / name).as_posix())]
            for name in names:
                if not (name.startswith(".") or name == SUMS or Path(at, name).is_symlink()):
                    yield (here / name).as_posix()

    def _is_ahead(self, name: str, path: Path) -> bool:
        """Whether the copy of a file of lines goes on behind the folder's last."""
        copy, own = self._copy.read(name), path.read_bytes()
        return len(copy) > len(own) and copy.startswith(own)

    def _is_apart(self, name: str) -> bool:
        return PurePosixPath(name).parts[0] in self._apart


def _in_order(names: Iterator[str]) -> list[str]:
    return sorted(names, key=lambda name: (LAST.index(name) + 1 if name in LAST else 0, name))


def _state(path: Path) -> tuple[int, int]:
    there = path.stat()
    return there.st_size, there.st_mtime_ns


class Mirrored:
    """A reporter of a run's progress that has the run's folder copied whenever something is done."""

    def __init__(self, progress: RunProgress, mirror: Mirror) -> None:
        self._progress, self._mirror = progress, mirror

    def begin(self, phase: str, total: int, done: int = 0) -> None:
        self._mirror.push()
        self._progress.begin(phase, total, done)

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._progress.advance(amount, note)

    def message(self, text: str) -> None:
        self._progress.message(text)

    def step(self, step: int) -> None:
        self._progress.step(step)

    def row(self, row: Row) -> None:
        self._mirror.push()
        self._progress.row(row)


class Storage:
    """A folder of a file system that pyarrow knows: a path, or a URI such as `s3://bucket/folder`.

    Raises SpecError for what is neither, StorageError for what can't be read or written.
    """

    def __init__(self, uri: str, *below: str) -> None:
        self._uri = uri
        try:
            self._files, root = fs.FileSystem.from_uri(uri if "://" in uri else str(Path(uri).expanduser().absolute()))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SpecError(
                f"storage: {uri!r} is neither a path nor a URI that pyarrow knows ({_line(error)});"
                " expected one such as s3://bucket/folder"
            ) from None
        if "://" in uri and not root.strip("/"):
            raise SpecError(f"storage: {uri!r} names no bucket or folder; expected one such as s3://bucket/folder")
        self._root = "/".join([root.rstrip("/"), *below])

    def __str__(self) -> str:
        return f"storage {self._uri} ({self._root})"

    def refuse_overlap(self, folder: Path) -> None:
        """Raises SpecError where the copy would lie in the folder itself, or the folder in it."""
        if isinstance(self._files, fs.LocalFileSystem):
            copy, folder = Path(self._root).resolve(), folder.resolve()
            if copy == folder or copy in folder.parents or folder in copy.parents:
                raise SpecError(f"storage {self._uri}: the copy would be {copy}, which is not apart from {folder}")

    def names(self) -> list[str]:
        with self._told("read"):
            found = self._files.get_file_info(fs.FileSelector(self._root, allow_not_found=True, recursive=True))
        below = (PurePosixPath(one.path).relative_to(self._root) for one in found if one.is_file)
        return [path.as_posix() for path in below if not any(part.startswith(".") for part in path.parts)]

    def read(self, name: str) -> bytes:
        with self._told("read"), self._files.open_input_stream(f"{self._root}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        path = f"{self._root}/{name}"
        with self._told("written"):
            if isinstance(self._files, fs.LocalFileSystem):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_whole(Path(path), content)
                return
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
            with self._files.open_output_stream(path) as stream:
                stream.write(content)

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"{self} can't be {done} ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
