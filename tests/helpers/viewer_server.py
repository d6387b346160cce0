"""The viewer's server for the time of a test, and somebody who asks it without a browser."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from experiments.viewer.server import HOST, application
from experiments.viewer.token import TokenGate


@dataclass(frozen=True)
class Reply:
    """An answer of the server; header names are in small letters."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Viewer:
    """A viewer that is open at a port."""

    port: int
    token: str = ""

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def get(self, path: str, *, method: str = "GET", host: str = "", body: str | None = None, **headers: str) -> Reply:
        """Ask for a path exactly as it stands here; in the names of headers, _ stands for a dash."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {"Host": host or f"{HOST}:{self.port}"} | more)
            reply = connection.getresponse()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, headers, reply.read().decode())
        finally:
            connection.close()


def served(root: Path, token: str = "") -> AbstractContextManager[Viewer]:
    """The viewer of a folder, open for the time of a `with` block, to who has the token if there is one."""
    return opened(application(root), token)


@contextmanager
def opened(app: ASGIApp, token: str = "") -> Iterator[Viewer]:
    """An application, open for the time of a `with` block, to who has the token if there is one."""
    if token:
        app = TokenGate(app, token)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Viewer(listener.getsockname()[1], token)
        finally:
            server.should_exit = True
            thread.join(20)
