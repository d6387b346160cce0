"""Words that may be paths of files, and files that another machine has sent along."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_carried: dict[str, bytes] = {}


@contextmanager
def carried(files: Mapping[str, bytes]) -> Iterator[None]:
    """Meanwhile these contents count as the files of these paths, whatever lies there on this machine."""
    before = dict(_carried)
    _carried.update(files)
    try:
        yield
    finally:
        _carried.clear()
        _carried.update(before)


def is_file(name: str | Path) -> bool:
    """Whether a word is the path of a file that is there; one that can't be a path is none."""
    try:
        return str(name) in _carried or Path(name).is_file()
    except OSError:  # too long a name, such as a command line
        return False


def read_bytes(path: str | Path) -> bytes:
    """Content of a file. Raises OSError."""
    content = _carried.get(str(path))
    return Path(path).read_bytes() if content is None else content


def open_bytes(path: str | Path) -> io.BufferedReader:
    """A file to be read piece by piece. Raises OSError."""
    content = _carried.get(str(path))
    return Path(path).open("rb") if content is None else io.BufferedReader(io.BytesIO(content))
