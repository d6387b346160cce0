"""The machines of a cluster: which are there, which were lost, of what kind they are, and with what code."""

import hashlib
import platform
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CODE = ("engines", "agents", "sandwich")
"""Packages that figures are made by."""

LOST = "lost the machine {name}: what it was at is done again on others"
"""What is told of a machine that is gone."""


class Machines:
    """Watches the machines of this process's cluster; `tell` hears in one line of each that is lost."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._there: dict[str, str] = {}

    def look(self) -> bool:
        """Look which are there; whether one is gone since the last look."""
        import ray

        now: dict[str, str] = {
            node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        }
        gone = self._there.keys() - now.keys()
        for node in gone:
            self._tell(LOST.format(name=self._there[node]))
        self._there = now
        return bool(gone)


def largest(resource: str) -> float:
    """How much of a resource (`CPU`, `GPU`) that machine of this process's cluster has which has most of it."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return max((float(node["Resources"].get(resource, 0)) for node in nodes if node["Alive"]), default=0.0)


@cache
def processor() -> str:
    """Name of this machine's processor, with what decides about its arithmetic."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@cache
def source_digest() -> str:
    """SHA-256 of the code that figures are made by, as it was when it was first asked for."""
    root = Path(__file__).parents[2]
    every = (path for package in CODE for path in (root / package).rglob("*") if path.suffix in (".py", ".c"))
    files = sorted(path.relative_to(root) for path in every)
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.as_posix()}\0{hashlib.sha256((root / file).read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a job was done. source: SHA-256 of the code there."""

    host: str
    processor: str
    source: str


@cache
def here() -> Place:
    """This process's."""
    return Place(socket.gethostname(), processor(), source_digest())
