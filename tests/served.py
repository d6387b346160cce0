"""The viewer's server for the time of a test, and somebody who asks it without a browser."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from experiments.viewer.server import HOST, application


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

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def get(self, path: str, *, method: str = "GET", host: str = "") -> Reply:
        """Ask for a path exactly as it stands here."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, headers={"Host": host or f"{HOST}:{self.port}"})
            reply = connection.getresponse()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, headers, reply.read().decode())
        finally:
            connection.close()


@contextmanager
def served(root: Path) -> Iterator[Viewer]:
    """The viewer of a folder, open for the time of a `with` block."""
    app = application(root)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Viewer(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(20)
