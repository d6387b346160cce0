"""Files that are read again: each has a checksum in its folder, and is compared with it whenever it is read.

A folder of a run, a cell, a training or an experiment has a file SHA256SUMS, which `sha256sum -c` reads. A new
digest is noted there before its file gets its name and counts from then on, so that a kill at any moment leaves a
file that fits. Folders without SHA256SUMS are read unchecked.
"""

import fcntl
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from engines.settings import Mistake
from sandwich.runtime.files import FileError, write_whole

SUMS = "SHA256SUMS"
"""Name of the file of checksums."""
ROOTS = (SUMS, "spec.yaml", "sweep.yaml", "cell.json")
"""A folder that holds one of these is one of its own, whose files are not noted in the folder above it."""
DEPTH = 4
"""Folders above a file in which its checksum may be."""
ATTEMPTS = 5
"""Times that a file is read, in case it is being written anew."""
_HEAD = "# What sandwich wrote here; `sandwich verify` and `sha256sum -c SHA256SUMS` compare.\n"
_NEXT, _END = "# next: ", "# SHA-256 of all above: "
_FOREIGN = re.compile(rb"([0-9a-f]{64} [ *][^\n]+\n)+")
"""A file of checksums that somebody else made."""
_LINE = re.compile(r"(?P<next># next: )?(?P<digest>[0-9a-f]{64})  (?P<name>[^\n]+)")


class DamagedError(Mistake, ValueError):
    """A file that is not what was written, or is gone: one line that names it, and the way out."""


@dataclass
class _Sums:
    """What SHA256SUMS says: digests by path below its folder, and those of files that are being written."""

    there: dict[str, str] = field(default_factory=dict)
    coming: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Self | None:
        """Those of a folder; None where it has none. Raises DamagedError."""
        path = root / SUMS
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DamagedError(f"{path} can't be read ({error.strerror}){_way_out(path)}") from None
        if _FOREIGN.fullmatch(content):
            return None
        body, end, digest = content.rpartition(_END.encode())
        if not end or digest != f"{_sha256(body)}\n".encode():
            raise DamagedError(f"{path} is damaged{_way_out(path)}, or delete it to go on without checksums")
        sums = cls()
        for line in body.decode().splitlines():
            if match := _LINE.fullmatch(line):
                (sums.coming if match["next"] else sums.there)[match["name"]] = match["digest"]
        return sums

    def write(self, root: Path) -> None:
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self.there.items())]
        lines += [f"{_NEXT}{digest}  {name}\n" for name, digest in sorted(self.coming.items())]
        body = "".join([_HEAD, *lines]).encode()
        write_whole(root / SUMS, body + f"{_END}{_sha256(body)}\n".encode())

    def settle(self, root: Path, name: str) -> None:
        """Decide which of two digests a file has that was being written when somebody was killed."""
        if coming := self.coming.pop(name, None):
            content = _content(root / name)
            if content is not None and _sha256(content) == coming:
                self.there[name] = coming


def keep_checksums(root: Path) -> None:
    """From now on a folder, made where there is none, has checksums of what `write_kept` writes in it.

    Raises FileError, DamagedError.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{root} can't be written ({error.strerror})") from None
    with _alone(root):
        sums = _Sums.read(root) or _Sums()
        for name in list(sums.coming):
            sums.settle(root, name)
        sums.write(root)


def write_kept(path: Path, content: bytes) -> None:
    """Write a file whole, with its checksum where its folder has such. Raises FileError, DamagedError."""
    root = _root(path)
    if root is None or _Sums.read(root) is None:
        write_whole(path, content)
        return
    name = path.relative_to(root).as_posix()
    with _alone(root):
        sums = _Sums.read(root) or _Sums()
        sums.settle(root, name)
        sums.coming[name] = _sha256(content)
        sums.write(root)
        write_whole(path, content)
        sums.there[name] = sums.coming.pop(name)
        sums.write(root)


def write_changed(path: Path, content: bytes) -> None:
    """`write_kept`, unless that is what the file holds."""
    if (root := _root(path)) is not None:
        _Sums.read(root)  # raises DamagedError
    if not path.is_file() or path.read_bytes() != content:
        write_kept(path, content)


def remove_kept(path: Path) -> None:
    """Remove a file, with its checksum."""
    path.unlink()
    root = _root(path)
    if root is not None and (sums := _Sums.read(root)) is not None:
        sums.there.pop(path.relative_to(root).as_posix(), None)
        sums.write(root)


def forget_removed(root: Path, prefix: str) -> None:
    """Take files whose path begins so and that are gone for files that were never there: they are to be made anew.

    Raises DamagedError.
    """
    sums = _Sums.read(root)
    gone = {name for name in sums.there if name.startswith(prefix) and not (root / name).exists()} if sums else set()
    if sums and gone:
        sums.there = {name: digest for name, digest in sums.there.items() if name not in gone}
        sums.write(root)


def read_kept(path: Path) -> bytes:
    """What a file holds. Raises DamagedError where it is gone, can't be read or is not what was written."""
    content = read_if_there(path)
    if content is None:
        raise missing(path)
    return content


def read_if_there(path: Path) -> bytes | None:
    """The same; None for a file that is not there and was never written."""
    root = _root(path)
    for attempt in range(ATTEMPTS):
        time.sleep(0.02 * attempt)
        sums = _Sums.read(root) if root else None
        try:
            content = _content(path)
        except OSError as error:
            raise DamagedError(f"{path} can't be read ({error.strerror}){_way_out(path)}") from None
        if root is None or sums is None:
            return content
        name = path.relative_to(root).as_posix()
        known = {digests[name] for digests in (sums.there, sums.coming) if name in digests}
        if content is None and name not in sums.there:
            return None
        if content is not None and (not known or _sha256(content) in known):
            return content
    if content is None:
        raise missing(path)
    raise damaged(path, f"its SHA-256 is not the one in {SUMS}" if content else "it is empty")


def damaged(path: Path, why: str) -> DamagedError:
    """The error for a file that can't be what was written."""
    return DamagedError(f"{path} is damaged: {' '.join(why.split())[:200]}{_way_out(path)}")


def missing(path: Path) -> DamagedError:
    """The error for a file that is gone."""
    return DamagedError(f"{path} is missing{_way_out(path)}")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds. Raises DamagedError."""
    content = read_kept(path)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is not JSON ({error})" if content else "it is empty") from None
    if not isinstance(found, dict):
        raise damaged(path, f"expected a JSON object, got {type(found).__name__}")
    return found


def read_json_lines(path: Path) -> list[Any]:
    """The JSON value of each line of a file; none where it is not there yet. Raises DamagedError."""
    content = read_if_there(path)
    rows = []
    for number, line in enumerate((content or b"").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise damaged(path, f"line {number} is not JSON ({error})") from None
    return rows


def as_meant(settings: dict[str, Any]) -> dict[str, Any]:
    """Kept settings with the key that came later as it was before it came: networks were evaluated in fp32."""
    inference = settings.get("inference")
    if isinstance(inference, dict):
        settings = {**settings, "inference": {**inference, "precision": inference.get("precision", "fp32")}}
    return settings


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that a YAML file of ours holds, as they were meant when they were written. Raises DamagedError."""
    content = read_kept(path)
    try:
        found = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(path, f"it is not YAML ({error})") from None
    if not isinstance(found, dict):
        raise damaged(path, f"expected settings by name, got {type(found).__name__}" if content else "it is empty")
    if not content.endswith(b"\n"):
        raise damaged(path, "it is cut off")
    return as_meant(found)


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The table that a Parquet file holds, or some of its columns. Raises DamagedError."""
    content = read_kept(path)
    try:
        return pq.read_table(io.BytesIO(content), columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, f"it is not Parquet ({error})" if content else "it is empty") from None


def noted(root: Path, prefix: str) -> list[Path]:
    """Files below a folder that have a checksum in it, those whose path begins so."""
    sums = _Sums.read(root)
    return [root / name for name in sorted(sums.there) if name.startswith(prefix)] if sums else []


@dataclass(frozen=True)
class Checked:
    """Files of a folder that were compared with their checksums, and a line for each that is damaged or missing."""

    files: int = 0
    problems: tuple[str, ...] = ()


def check(root: Path, but: tuple[str, ...] = ()) -> Checked:
    """Compare the files of one folder with its checksums; `but`: beginnings of the paths of those that don't matter."""
    try:
        files = [path for path in noted(root, "") if not path.relative_to(root).as_posix().startswith(but)]
    except DamagedError as error:
        return Checked(1, (str(error),))
    found = []
    for path in files:
        try:
            read_kept(path)
        except DamagedError as error:
            found.append(str(error))
    return Checked(len(files), tuple(found))


def check_all(root: Path, but: tuple[str, ...] = ()) -> Checked | None:
    """The same for a folder and all below it; None where none has checksums."""
    below = [Path(at) for at, _, names in sorted(os.walk(root)) if SUMS in names]
    parts = [check(folder, but) for folder in below]
    found = tuple(line for part in parts for line in part.problems)
    return Checked(sum(part.files for part in parts), found) if parts else None


def _root(path: Path) -> Path | None:
    """The folder in which the checksum of a file is, or would be."""
    for folder in list(path.parents)[:DEPTH]:
        if any((folder / name).exists() for name in ROOTS):
            return folder
    return None


def _way_out(path: Path) -> str:
    root = _root(path)
    above = root.parent.name if root else ""
    again = f", or delete {root}, and it is done anew" if above in ("cells", "controls") else ""
    return f"; restore it{again}, or begin anew with another --out"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """While nobody else writes checksums in a folder, where its file system can tell."""
    try:
        descriptor = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise FileError(f"{root} can't be written ({error.strerror})") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)
