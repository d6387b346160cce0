"""What a Ray of this machine alone stands on: its folder, its token, and the guard that ends it with this process."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from engines.settings import Mistake
from sandwich.runtime import guard
from sandwich.runtime.environment import environment

RAYS = "r"
SOCKETS = f"/{RAYS}/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store.0"
"""The longest of the paths of sockets that Ray makes in its folder."""
LONGEST = 103 if sys.platform == "darwin" else 107
"""Bytes that the path of a socket may have."""
PLACES = ("/tmp", "/var/tmp", "/dev/shm")
"""Where a session lies whose temporary folder is too long or can't be written."""

GUARD_WAIT = 15.0
"""Seconds that the guard may take to end what is left of a session."""


class SessionError(Mistake, OSError):
    """There is no folder that a session can lie in: one line."""


@cache
def token() -> str:
    """What a process must know to talk to the Ray of this one; the same as long as this process lives.

    It is handed on in the environment, which the same user alone can read, and stands in no file.
    """
    return secrets.token_hex(32)


class Session:
    """A folder of its owner's alone for Ray's files and sockets, gone with what lies in it and runs from it.

    The guard ends what belongs to the session at `close`, and within seconds where this process ends without it,
    killed or not. Raises SessionError.
    """

    def __init__(self) -> None:
        self.folder = _make_folder()
        self.rays = str(Path(self.folder) / RAYS)
        """Ray's part of the folder: it lets everybody in there, which the folder around it does not."""
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            start_new_session=True,  # what ends a terminal's processes is not for it
        )  # fmt: skip

    @contextmanager
    def environment(self) -> Iterator[None]:
        """What is started inside belongs to the session, and its Ray asks for the token."""
        with environment({guard.MARK: self.folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token()}):
            yield

    def watch(self, process: int, line: str) -> None:
        """Have the guard say a line on stderr if a process ends before `unwatch`, whatever becomes of this one."""
        self._tell(f"{process} {line}")

    def unwatch(self) -> None:
        """What was watched may end now."""
        self._tell("")

    def _tell(self, line: str) -> None:
        assert self._guard.stdin
        with suppress(OSError):  # the guard itself is gone
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()

    def close(self) -> None:
        """End what is left of the session, and remove its folder; closing twice does no harm."""
        assert self._guard.stdin
        self._guard.stdin.close()
        try:
            self._guard.wait(GUARD_WAIT)
        except subprocess.TimeoutExpired:
            pass  # it goes on by itself


def _make_folder() -> str:
    """A new folder under $RAY_TMPDIR, else the temporary folder, else a place whose path is short enough."""
    named = os.environ.get("RAY_TMPDIR")
    for place in [named] if named else [tempfile.gettempdir(), *PLACES]:
        try:
            made = tempfile.mkdtemp(prefix="ray-", dir=Path(place).resolve())
        except OSError as error:
            reason = f"{place} can't be written to ({error.strerror})"
            continue
        if len(os.fsencode(made + SOCKETS)) <= LONGEST:
            return made
        Path(made).rmdir()
        reason = f"the path {place} is too long"
    room = LONGEST - len(SOCKETS) - len("/ray-01234567")
    raise SessionError(
        f"there is no folder for Ray's sockets: {reason}; set RAY_TMPDIR to a folder that can be written to and"
        f" whose path has at most {room} characters"
    )
