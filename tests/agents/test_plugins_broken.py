"""Plugins that fail, lead nowhere or cannot be one: each ends in one line, and a run goes on when they are mended."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import chess
import pytest

from experiments.cli.main import main
from sandwich.runs.loop import run
from sandwich.spec.run_spec import load_spec
from tests.helpers.doc_pages import tiny_overrides
from tests.helpers.project import ROOT

pytestmark = pytest.mark.timeout(900)

PROGRESS = re.compile(r"step \d|\w+: \d+ steps on |no block finished for \d+ s: ")
"""Beginning of a line with which a run says how it gets on."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides that make any run a matter of seconds."""
    return tiny_overrides(tmp_path_factory.mktemp("players"))


# A plugin that fails, and goes on when it is mended


FRAGILE = """
from dataclasses import replace

from agents.misalignment.base import Misalignment


class Fragile(Misalignment):
    def corrupt(self, queries, honest, rngs, tools):
        bad = [row for row, query in enumerate(queries) if query.ply >= 6]
        answers = list(honest)
        {body}
        return answers
"""

HEALTHY = FRAGILE.format(body="")
MENDED = FRAGILE.format(body="# mended")
RAISES = FRAGILE.format(body='if bad:\n            raise LookupError("no\\nidea")')
ILLEGAL = FRAGILE.format(body="answers[-1] = replace(honest[-1], move=-5)")
SHAPE = FRAGILE.format(body="answers[-1] = replace(honest[-1], policy=honest[-1].policy[1:])")
FEWER = FRAGILE.format(body="answers.pop()")

FAULTS = [
    (RAISES, "LookupError: no idea"),
    (ILLEGAL, "the move -5 is not legal; expected one of "),
    (SHAPE, "expected a policy of shape "),
    (FEWER, "answers, got "),
]


def typed(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["sandwich", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def state(files: Iterable[Path]) -> dict[Path, tuple[bytes, int]]:
    """Content of files, and when each was written."""
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def only_error(stderr: str) -> str:
    """The one line on stderr that is no progress."""
    (line,) = (line for line in stderr.splitlines() if not PROGRESS.match(line))
    return line


@pytest.mark.usefixtures("cluster")
def test_a_plugin_that_fails_ends_the_run_in_one_line_and_goes_on_when_it_is_mended(
    tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "experiments" / "specs" / "quick.yaml", tmp_path / "spec.yaml")
    file, folder = tmp_path / "fragile.py", tmp_path / "run"
    kind = "assistant.misalignment.type=fragile:Fragile"
    overrides = (*tiny, kind, "play.channel=distribution", "name=fragile")
    arguments = ["run", str(tmp_path / "spec.yaml"), *overrides, "--out", str(folder), "--mended"]
    file.write_text(HEALTHY)
    run(load_spec(tmp_path / "spec.yaml", (*overrides, "steps=1")), folder)
    finished = state(
        [path for part in ("ledger", "games", "checkpoints/step-001") for path in (folder / part).iterdir()]
    )
    rows = (folder / "metrics.jsonl").read_text()
    assert len(finished) == 4
    capsys.readouterr()

    for text, what in FAULTS:
        file.write_text(text)
        if text is RAISES:  # as a user types it, the first time
            command = [sys.executable, "-m", "experiments.cli.main", *arguments]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
            code, out, error = done.returncode, done.stdout, done.stderr
        else:
            code = typed(arguments, monkeypatch)
            out, error = capsys.readouterr()
        assert (code, out) == (1, "")
        where = r" \(fragile.py, line 12\)" if text is RAISES else ""
        found = re.fullmatch(
            rf"Error: misalignment fragile:Fragile: (.*){where} \(in position (.*)\)", only_error(error)
        )
        assert found, error
        assert what in found[1]
        assert chess.Board(found[2]).is_valid()
        assert state(finished) == finished
        assert (folder / "metrics.jsonl").read_text() == rows
        assert not (folder / "ledger" / "step-001.parquet").exists()

    file.write_text(MENDED)
    assert typed(arguments, monkeypatch) == 0
    assert "Report: " in capsys.readouterr().out
    assert state(finished) == finished
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    assert (folder / "fragile.py").read_text() == MENDED
    digests = json.loads((folder / "provenance.json").read_text())["beside_the_spec"]["fragile.py"]
    versions = [HEALTHY, *(text for text, _ in FAULTS), MENDED]
    assert digests == [hashlib.sha256(text.encode()).hexdigest() for text in versions]

    file.write_text(HEALTHY)  # now nothing is left to play
    assert typed(arguments, monkeypatch) == 1
    assert only_error(capsys.readouterr().err) == (
        f"Error: {folder} was played with another fragile.py: choose another --out"
    )
    assert (folder / "fragile.py").read_text() == MENDED


FRAIL = """
from agents.players.base import Player
from sandwich.oversight.base import Oversight


class Strategy(Oversight):
    def decide(self, question):
        raise LookupError("no\\nidea")


class Unopened(Player):
    def open(self, tools):
        raise LookupError("no\\nidea")


class Silent(Player):
    def open(self, tools):
        return lambda packed, legal: {}["idea"]
"""


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "oversight={type: 'frail:Strategy'}",
            "oversight strategy frail:Strategy: LookupError: no idea (frail.py, line 8) (in position ",
        ),
        ("expert={type: 'frail:Unopened'}", "player frail:Unopened: LookupError: no idea (frail.py, line 13)"),
        ("assistant.base={type: 'frail:Silent'}", "player frail:Silent: KeyError: 'idea' (frail.py, line 18)"),
    ],
)
@pytest.mark.usefixtures("cluster")
def test_a_strategy_or_player_that_fails_ends_the_run_in_one_line(
    override: str,
    said: str,
    tiny: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(ROOT / "experiments" / "specs" / "quick.yaml", tmp_path / "spec.yaml")
    (tmp_path / "frail.py").write_text(FRAIL)
    arguments = ["run", str(tmp_path / "spec.yaml"), *tiny, override, "--out", str(tmp_path / "run")]
    assert typed(arguments, monkeypatch) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert only_error(error).startswith(f"Error: {said}")


@pytest.mark.usefixtures("cluster")
def test_the_traceback_of_a_plugin_in_a_worker_is_shown_to_who_asks_for_it(
    tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "experiments" / "specs" / "quick.yaml", tmp_path / "spec.yaml")
    (tmp_path / "frail.py").write_text(FRAIL)
    monkeypatch.setenv("SANDWICH_TRACEBACK", "1")
    player = "expert={type: 'frail:Unopened'}"
    assert typed(["run", str(tmp_path / "spec.yaml"), *tiny, player, "--out", str(tmp_path / "run")], monkeypatch) == 1
    error = capsys.readouterr().err
    assert 'File "frail.py", line 13, in open' in error
    assert error.splitlines()[-1] == "Error: player frail:Unopened: LookupError: no idea (frail.py, line 13)"


# References that lead nowhere, and classes that can't be plugins


CLASSES = """
from pydantic import field_validator

from agents.misalignment.base import Misalignment
from agents.misalignment.random_move import RandomMove
from sandwich.oversight.trust import Trust

NUMBER = 5


class Plain:
    pass


class Believer(Trust):
    pass


class Unwritten(Misalignment):
    dose: float = 1.0


class Typed(RandomMove):
    type: str = "mine"


class Checked(RandomMove):
    @field_validator("p")
    @classmethod
    def check(cls, p: float) -> float:
        return {0.25: p}[p]


class Growing(RandomMove):
    items: list[int] = []
"""


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere:Plugin", "type: 'nowhere:Plugin' needs a file {folder}/nowhere.py"),
        ("classes:", "type: expected file:Class, got 'classes:'"),
        ("../classes:Believer", "type: expected file:Class, got '../classes:Believer'"),
        (
            "classes:Missing",
            "type: classes.py has no plugin class 'Missing'; it has: Believer, Unwritten, Typed, Checked, Growing",
        ),
        ("classes:Plain", "type: classes.py has no plugin class 'Plain'; it has: "),
        ("classes:NUMBER", "type: classes.py has no plugin class 'NUMBER'; it has: "),
        ("classes:RandomMove", "type: classes.py has no plugin class 'RandomMove'; it has: "),  # not its own
        ("classes:Believer", "type: classes:Believer is no Misalignment"),
        ("classes:Unwritten", "type: classes:Unwritten is no whole Misalignment: it lacks corrupt"),
        ("classes:Typed", "type: classes:Typed has a setting `type`, which is what a spec names the plugin by"),
        ("classes:Checked", "misalignment classes:Checked: KeyError: 0.5 (in its settings) (classes.py, line 31)"),
        (
            "classes:Growing",
            "type: classes:Growing has a setting `items` whose default, a list, could be changed while",
        ),
        ("syntax:Plugin", "type: syntax.py can't be loaded: SyntaxError: expected ':' (syntax.py, line 2)"),
        ("raising:Plugin", "raising.py can't be loaded: ZeroDivisionError: division by zero (raising.py, line 3)"),
        ("ending:Plugin", "type: ending.py can't be loaded: SystemExit: 0 (ending.py, line 2)"),
        ("encoded:Plugin", "type: {folder}/encoded.py is not UTF-8 text"),
    ],
)
def test_reference_that_leads_nowhere_ends_in_one_line(
    reference: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "experiments" / "specs" / "quick.yaml", tmp_path / "spec.yaml")
    (tmp_path / "classes.py").write_text(CLASSES)
    (tmp_path / "syntax.py").write_text("\nclass Plugin\n    pass\n")
    (tmp_path / "raising.py").write_text("import math\n\nmath.floor(1 / 0)\n")
    (tmp_path / "ending.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "encoded.py").write_bytes(b"# caf\xe9\n")
    settings = f"assistant.misalignment={{type: '{reference}', p: 0.5}}"
    out = tmp_path / "run"
    assert typed(["run", str(tmp_path / "spec.yaml"), settings, "--out", str(out)], monkeypatch) == 1
    line = only_error(capsys.readouterr().err)
    assert said.replace("{folder}", str(tmp_path)) in line
    assert line.startswith("Error: ")
    assert not out.exists()
