"""A process that outlives whoever started it, and ends what that one left behind: `python -I -S guard.py FOLDER`.

It waits for the end of its input, which comes when the other closes it or is gone, however that ended. Then it kills
all that belongs to the folder (only where there is a /proc), and removes it: every process that was started with
SANDWICH_SESSION=FOLDER in its environment, and those of Ray's that have a file in there open: they write their titles
over some of their environment, so that the first does not find all of them. It imports nothing of this project, and so
starts at once.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "SANDWICH_SESSION"
PATIENCE = 10.0
"""Seconds in which what belongs to the folder is killed, again and again: something may just be starting something."""


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


def main(folder: str) -> None:
    """Wait, end what belongs to the folder, remove it."""
    sys.stdin.buffer.read()
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
