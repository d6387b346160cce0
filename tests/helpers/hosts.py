"""Hosts of a network on one machine: each with processes, an address, a name, a /tmp and a folder of its own."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

TOKEN = "0123456789abcdef" * 4
"""That of their cluster."""
FOLDER = "/mnt"
"""Where commands run; on each host there lies a folder of its own."""


def why_not() -> str:
    """Why there can be no such hosts here; empty where there can."""
    missing = [program for program in ("ip", "unshare", "nsenter", "mount") if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        return f"needs {', '.join(missing)}" if missing else "needs root"
    tried = subprocess.run(["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "true"], capture_output=True)
    return tried.stderr.decode().strip() if tried.returncode else ""


class Host:
    """One of them."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
             "--propagation", "private", "--mount-proc", "sleep", "infinity"]
        )  # fmt: skip
        self.first = self._first()
        self.run("hostname", name)
        self.run("ip", "link", "set", "lo", "up")
        for place in ("/tmp", "/dev/shm", FOLDER):
            self.run("mount", "-t", "tmpfs", "tmpfs", place)

    def _first(self) -> int:
        """The process that all of the host's others descend from."""
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children")
        until = time.monotonic() + 10
        while time.monotonic() < until:
            for child in children.read_text().split():
                if "sleep" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
            time.sleep(0.05)
        raise RuntimeError("no host came to be")

    def start(self, *words: str, environment: Mapping[str, str] = {}) -> "subprocess.Popen[str]":
        """A command on this host, in `FOLDER`."""
        inside = ["nsenter", f"--target={self.first}", "--all", f"--wdns={FOLDER}", *words]
        values = {
            **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
            "SANDWICH_CACHE": "/tmp/cache", **environment,
        }  # fmt: skip
        return subprocess.Popen(inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=values)

    def run(self, *words: str, environment: Mapping[str, str] = {}) -> str:
        """What a command says that succeeds."""
        process = self.start(*words, environment=environment)
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, f"{words}: {error[-2000:]}"
        return out

    def says(self, *words: str) -> str:
        """What a command says, whether it succeeds or not."""
        return self.start(*words).communicate(timeout=300)[0]

    def end(self) -> None:
        """End all that runs on it."""
        self._keeper.kill()
        self._keeper.wait()


@contextmanager
def network(names: Sequence[str]) -> Iterator[list[Host]]:
    """Hosts that reach each other, and share nothing else."""
    if reason := why_not():
        pytest.skip(f"no hosts of a network can be made here: {reason}")
    with ExitStack() as stack:
        hosts = []
        for number, name in enumerate(names, 1):
            hosts.append(Host(name, f"10.77.0.{number}"))
            stack.callback(hosts[-1].end)
        first, *others = hosts
        first.run("ip", "link", "add", "net", "type", "bridge")
        for number, host in enumerate(others):
            port = f"port{number}"  # where the wire of another host ends in the first one's bridge
            subprocess.run(
                ["ip", "link", "add", port, "netns", str(first.first), "type", "veth",
                 "peer", "name", "net", "netns", str(host.first)], check=True,
            )  # fmt: skip
            first.run("ip", "link", "set", port, "master", "net", "up")
        for host in hosts:
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "net")
            host.run("ip", "link", "set", "net", "up")
        yield hosts
