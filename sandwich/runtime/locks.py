"""One driver a folder: a lock that says who has it, and that ends with its process."""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from engines.settings import Mistake
from sandwich.runtime.files import FileError, alive, clear_leftovers

LOCK = ".lock"
"""Name of the file."""
PATIENCE = 0.5
"""Seconds that a lock may be held by somebody who only looks whether it is."""


class BusyError(Mistake, RuntimeError):
    """A folder in which another process is at work: one line that names it."""


@dataclass(frozen=True)
class Holder:
    """Who has a lock, since when. boot: what tells one start of a machine from others; empty where nothing does."""

    process: int
    host: str
    boot: str
    since: str

    @classmethod
    def me(cls) -> "Holder":
        """This process."""
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        return cls(os.getpid(), socket.gethostname(), _boot(), now)

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this machine, whose end this machine knows of."""
        return self.host == socket.gethostname() or bool(self.boot and self.boot == _boot())

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


@contextmanager
def driver(folder: Path, wait: float = PATIENCE, apart: tuple[str, ...] = ()) -> Iterator[None]:
    """A folder for this process alone; what killed ones left half-written in it is removed.

    wait: seconds that another may still need to end. apart: see `sandwich.runtime.files.clear_leftovers`.
    The lock of a process that is gone is taken over, if that was one of this machine: of another machine nobody here
    can tell. Raises BusyError, FileError.
    """
    path, made = folder / LOCK, not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(path, wait)
    except OSError as error:
        raise FileError(f"{folder} can't be written ({error.strerror}): choose another --out") from None
    try:
        clear_leftovers(folder, apart)
        yield
    finally:
        try:
            path.unlink(missing_ok=True)  # while it is locked, so that nobody takes a file that is gone
        finally:
            os.close(descriptor)
        if made:
            with suppress(OSError):  # it is not empty: something was done in it
                folder.rmdir()


def holder(folder: Path) -> Holder | None:
    """Who is at work in a folder; None: nobody is."""
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        free = _locked(descriptor, fcntl.LOCK_SH)
        there = _read(path)
        return None if there is None or (free and _over(there, free)) else there
    finally:
        os.close(descriptor)


def _taken(path: Path, wait: float) -> int:
    """A descriptor that holds the lock. Raises BusyError, OSError."""
    until = time.monotonic() + wait
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            free = _locked(descriptor, fcntl.LOCK_EX)
            there = _read(path)
            if free is not False and _same(descriptor, path):
                if there is None or _over(there, free):
                    _write(descriptor, path)
                    return descriptor
                if not there.here:
                    raise BusyError(
                        f"{path.parent} is in use by {there}: wait for its end, or choose another --out; "
                        f"if that process is gone, delete {path}"
                    )
            if time.monotonic() > until:
                who = there or "another process"
                raise BusyError(f"{path.parent} is in use by {who}: wait for its end, or choose another --out")
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.05)


def _locked(descriptor: int, kind: int) -> bool | None:
    """Whether the lock was free, and is held now; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES) else None
    return True


def _over(there: Holder, free: bool | None) -> bool:
    """Whether somebody whose lock is free, or who is on a file system without locks, is gone."""
    return there.here and (free is True or there.process == os.getpid() or not alive(there.process))


def _same(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, path: Path) -> None:
    """Name this process in a lock that it holds. Raises OSError, and leaves none then."""
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(asdict(Holder.me())) + "\n").encode(), 0)
    except OSError:
        path.unlink()
        raise


def _read(path: Path) -> Holder | None:
    """Who is named in a lock; None: nobody yet."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
