"""Files that are there whole or not at all, what is left of those that did not come to be, and tables as bytes."""

import errno
import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engines.settings import Mistake

_LEFT = re.compile(r"\..+\.(?P<host>[\w-]+)-(?P<process>\d+)-[0-9a-f]{8}\.tmp")
_NOT_OURS = {"lost+found", "Thumbs.db", "desktop.ini"}
"""What a file system or a file manager puts into folders, beside hidden files."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FileError(Mistake, OSError):
    """A file that can't be written: one line that names it, and says why."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all (temporary name, flush, rename).

    Two that write the same file, on one machine or on several, have different temporary names. Raises FileError,
    and leaves nothing behind then.
    """
    temporary = path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        _remove(temporary)
        way = ": make room, then give the same command again" if error.errno in _FULL else ""
        raise FileError(f"{path} can't be written ({error.strerror or error}){way}") from None
    except BaseException:
        _remove(temporary)
        raise


def clear_leftovers(folder: Path, apart: tuple[str, ...] = ()) -> None:
    """Remove what killed processes left half-written under a folder.

    A file of a process of this machine that is alive stays. apart: a folder below that holds one of these files is
    left alone, since it is somebody else's.
    """
    for at, below, names in os.walk(folder):
        below[:] = [name for name in below if not any(Path(at, name, mark).exists() for mark in apart)]
        for name in names:
            if (left := _LEFT.fullmatch(name)) and not (left["host"] == _host() and _others(int(left["process"]))):
                _remove(Path(at, name))


def alive(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty, or not there; hidden files, and others that nobody put there, don't count."""
    return not any(contents(folder))


def contents(folder: Path) -> Iterator[Path]:
    """What a folder holds, but for hidden files and others that nobody put there."""
    found = folder.iterdir() if folder.exists() else iter(())
    return (path for path in found if not path.name.startswith(".") and path.name not in _NOT_OURS)


def parquet_bytes(content: pa.Table) -> bytes:
    """A table as Parquet, the same bytes for the same table."""
    sink = pa.BufferOutputStream()
    pq.write_table(content, sink, compression="zstd")
    return bytes(sink.getvalue())


def _host() -> str:
    return re.sub(r"[^\w-]", "_", socket.gethostname()) or "host"


def _others(process: int) -> bool:
    return process != os.getpid() and alive(process)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:  # it is not there, or nothing can be done about it
        pass
