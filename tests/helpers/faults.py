"""Faults for tests: damaged files, small disks, and drivers that are killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

DAMAGES = ("empty", "cut", "zeros", "flipped", "missing")
"""Ways in which a file is damaged."""


def damage(path: Path, how: str) -> None:
    """Damage a file."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    if how == "missing":
        path.unlink()
        return
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[:middle],
            "zeros": bytes(len(whole)),
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        }[how]
    )


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of so many bytes (`64k`) mounted on a new folder; skips the test where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(disk: Path, size: str) -> None:
    """Give a small disk more room."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


@contextmanager
def another_driver(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is at work in a folder, until it is killed at the end at the latest."""
    code = (
        "import sys, time; from pathlib import Path; from sandwich.runtime.locks import driver\n"
        "with driver(Path(sys.argv[1])): print('at work', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def environment() -> dict[str, str]:
    """The environment of a process that imports this code."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
