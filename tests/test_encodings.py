"""Text is read and written as UTF-8 whatever the locale, and a terminal that lacks a character ends nothing."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

ROOMS = ("engines", "agents", "sandwich", "experiments", "scripts", "benchmarks", "examples")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "node_modules" not in path.parts)


def is_text_by_locale(call: ast.Call) -> bool:
    """Whether a call opens a text file, or reads a process, without the name of an encoding."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in named:
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("read_text", "write_text"):
        return True
    if name in ("run", "Popen", "check_output"):
        return isinstance(value := named.get("text"), ast.Constant) and value.value is True
    modes = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    if isinstance(value := named.get("mode"), ast.Constant):
        modes.append(str(value.value))
    return name == "open" and any(set(mode) <= set("rwax+t") for mode in modes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_is_opened_with_its_encoding_named(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if is_text_by_locale(call)] == []


SHOWS = """
from rich.console import Console
from experiments.cli import main

def show(**options):
    print("τ–b")
    Console().print("τ–b")
    Console(stderr=True).print("τ–b")

main.cli.main = show
main.main()
"""


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_character_that_a_terminal_lacks_is_replaced(encoding: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", SHOWS], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr.split()) == (0, [b"??b", b"??b"], [b"??b"])
