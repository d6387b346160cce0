"""A process that outlives whoever started it, and ends what that one left behind: `python -I -S guard.py FOLDER`.

It waits for the end of its input, which comes when the other closes it or is gone, however that ended. A line of that
input names a process, and what to say on stderr if that one ends first: Ray ends whoever started it when its own
process is gone, often before that one can say a word. Another line takes this back.

At the end it kills all that belongs to the folder (only where there is a /proc), and removes it: every process that was
started with SANDWICH_SESSION=FOLDER in its environment, and those of Ray's that have a file in there open: they write
their titles over some of their environment, so that the first does not find all of them. It imports nothing of this
project, and so starts at once.
"""

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "SANDWICH_SESSION"
PATIENCE = 10.0
"""Seconds in which what belongs to the folder is killed, again and again: something may just be starting something."""


def _can_watch() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


WATCHES = _can_watch()
"""Whether it can tell when a process ends that is not its own: not on macOS, nor where a sandbox forbids it."""


def belongs(process: Path, folder: str) -> bool:
    """Whether a process, as its folder in /proc, belongs to a folder. Raises OSError where it is gone or another's."""
    mark = f"{MARK}={folder}".encode()
    if mark in (process / "environ").read_bytes().split(b"\0"):
        return True
    titled = (process / "cmdline").read_bytes().startswith(b"ray::")
    return titled and any(_target(file).startswith(f"{folder}/") for file in (process / "fd").iterdir())


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:  # closed just now
        return ""


def belonging(folder: str) -> list[int]:
    """Processes, other than this one, that belong to a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and belongs(entry, folder):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def wait() -> None:
    """Wait for the end of the input, and say what it asks for if the process that it names ends meanwhile."""
    given = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 (nothing is read ahead of what is asked for)
    if (line := given.readline()) and WATCHES:
        number, _, said = line.partition(b" ")
        if ends_first(int(number), given.fileno()):
            try:
                os.write(2, said)
            except OSError:  # nobody listens any more; what is left behind is ended all the same
                pass
    given.read()


def ends_first(process: int, given: int) -> bool:
    """Wait for a process or for input; whether the process has ended then."""
    try:
        watched = os.pidfd_open(process)
    except ProcessLookupError:  # it has already
        return True
    events = select.poll()
    events.register(given, select.POLLIN)
    events.register(watched, select.POLLIN)
    return watched in dict(events.poll())


def main(folder: str) -> None:
    """Wait, end what belongs to the folder, remove it."""
    wait()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and (left := belonging(folder)):
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
