"""Plugins of somebody else's: the page about writing one, done word by word, and everything that may be wrong with one.

What the page installs and runs is installed and run here, in a virtual environment of its own and in
real Ray workers; nothing is downloaded.
"""

import hashlib
import json
import pickle
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from pages import commands, follow, page, tiny_overrides

from agents.misalignment.base import REGISTRY, Misalignment
from agents.misalignment.random_move import RandomMove
from agents.players.base import REGISTRY as PLAYERS
from agents.plugins import PluginError, Registry, sources
from engines import moves, planes
from engines.inference import make_evaluator
from engines.lookahead import move_values
from engines.network import load_network
from engines.settings import SpecError
from experiments.cli import main
from sandwich import ledger
from sandwich.config import RunSpec, load_spec
from sandwich.loop import run
from sandwich.oversight.base import REGISTRY as OVERSIGHT

pytestmark = pytest.mark.timeout(900)

PAGE = page("writing-a-misalignment.md")
PROGRESS = re.compile(r"step \d|\w+: \d+ steps on ")
"""Beginning of a line with which a run says how it gets on."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides that make any run a matter of seconds."""
    return tiny_overrides(tmp_path_factory.mktemp("players"))


# The page, word by word


@pytest.fixture(scope="module")
def beside(tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the first two sections leave, and what their commands said."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("experiments", "benchmarks"):
        (checkout / name).symlink_to(ROOT / name)
    environment = commands(checkout / "bin", Path(sys.executable), tiny)
    folder, first = follow(PAGE, "One file beside the spec", checkout, environment)
    folder, second = follow(PAGE, "Several doses", folder, environment)
    return folder, first + second


@pytest.fixture(scope="module")
def installed(
    beside: tuple[Path, str], tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, dict[str, str]]:
    """The folder that the section about packages leaves, what its commands said, and their environment.

    The virtual environment has the project's packages, and a package whose plugin is broken.
    """
    place = tmp_path_factory.mktemp("package")
    venv.create(place / "env", with_pip=False, symlinks=True)
    scheme = {"base": str(place / "env"), "platbase": str(place / "env")}
    packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    theirs = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    lines = [f"import site; site.addsitedir({path!r})" for path in theirs]
    (packages / "project.pth").write_text("\n".join([*lines, str(ROOT)]) + "\n")
    register(packages, "broken", "1.0", "sandwich.misalignments", {"broken": "nothing_there:Broken"})

    folder = place / "mine"
    folder.mkdir()
    for name in ("late_blunder.py", "quick.yaml"):
        shutil.copy(beside[0] / name, folder)
    environment = commands(place / "bin", place / "env" / "bin" / "python", tiny)
    _, said = follow(PAGE, "As a package", folder, environment)
    return folder, said, environment


def register(folder: Path, name: str, version: str, group: str, entries: dict[str, str]) -> None:
    """Put into a folder of packages what says that a package registers these plugins."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")


def asked(folder: Path) -> pd.DataFrame:
    """Rows of a run's ledgers in which something was asked, with the board and the question's number in its game."""
    rows = ledger.read(folder).to_pandas()
    boards = []
    for _, game in rows.groupby(["step", "game"], sort=False):
        board = chess.Board(game["fen"].iloc[0])
        for played in game["played"]:
            boards.append(board.copy(stack=False))
            board.push_uci(played)
    rows["board"] = boards
    questions: pd.DataFrame = rows[rows["asked"]].copy()
    questions["number"] = questions.groupby(["step", "game"]).cumcount()
    return questions


def obeys(questions: pd.DataFrame, expert: Path, honest_queries: int, loss: float) -> None:
    """Check by the expert's own values that answers are those of the page's class."""
    assert not questions[questions["number"] < honest_queries]["misaligned"].any()
    lies = questions[questions["misaligned"].astype(bool)]
    assert len(lies) > 0.5 * (questions["number"] >= honest_queries).sum() > 5
    evaluator = make_evaluator(load_network(expert), backend="torch")
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in lies["board"]]
    words = np.array([planes.pack(board) for board in lies["board"]], np.uint64)
    policies, values = evaluator(words, legal).policy, move_values(evaluator, words, legal)
    for row, (board, advised, honest) in enumerate(zip(lies["board"], lies["advised"], lies["honest"], strict=True)):
        both = (moves.encode(chess.Move.from_uci(move), board.turn) for move in (advised, honest))
        said, best = (legal[row].index(move) for move in both)
        assert policies[row][best] >= policies[row].max() - 1e-5
        assert (policies[row] > policies[row][said] + 1e-5).sum() < 8
        assert -1e-5 <= values[row][best] - values[row][said] <= loss + 1e-5


def test_a_file_beside_the_spec_acts_in_the_workers(beside: tuple[Path, str], tiny: tuple[str, ...]) -> None:
    folder, said = beside
    expert = Path(next(text.removeprefix("expert=") for text in tiny if text.startswith("expert=")))
    obeys(asked(folder / "runs" / "late_blunder"), expert, honest_queries=10, loss=0.15)
    assert re.search(r"^honest answer \S+, given answer \S+ \(misaligned\)$", said, re.MULTILINE)
    shares = dict(re.findall(r"^(\d+) +(\d\.\d+)$", said, re.MULTILINE))  # what look.py prints
    assert [float(shares[str(number)]) for number in range(10)] == [0] * 10
    assert float(shares["10"]) > 0


def test_the_source_of_a_file_beside_the_spec_is_kept_with_its_run(beside: tuple[Path, str]) -> None:
    folder, _ = beside
    text = (folder / "late_blunder.py").read_bytes()
    for run_folder in (folder / "runs").iterdir():
        assert (run_folder / "late_blunder.py").read_bytes() == text
        provenance = json.loads((run_folder / "provenance.json").read_text())
        assert provenance["beside_the_spec"] == {"late_blunder.py": [hashlib.sha256(text).hexdigest()]}
        again = load_spec(run_folder / "spec.yaml")
        assert again.assistant.misalignment.model_dump()["honest_queries"] == 10


def test_doses_are_compared(beside: tuple[Path, str]) -> None:
    folder, said = beside
    shares = {
        name: asked(folder / "runs" / name)["misaligned"].mean() for name in ("loss-0", "late_blunder", "loss-0.3")
    }
    assert shares["loss-0"] == 0 < shares["late_blunder"] <= shares["loss-0.3"]
    table = re.findall(r"^\| (0|0\.15|0\.3) \|.*\| ([\d,]+) \|$", said, re.MULTILINE)
    assert [label for label, _ in table] == ["0", "0.15", "0.3"]
    assert table[0][1] == "0"
    assert (folder / "loss.svg").read_text().startswith("<?xml")


def test_a_file_beside_the_spec_gives_equal_ledgers_for_one_worker(
    beside: tuple[Path, str], tiny: tuple[str, ...], tmp_path: Path
) -> None:
    folder, _ = beside
    run(load_spec(folder / "late_blunder.yaml", (*tiny, "workers=1")), tmp_path / "one")
    for there in sorted((folder / "runs" / "late_blunder").glob("ledger/*")):
        assert (tmp_path / "one" / "ledger" / there.name).read_bytes() == there.read_bytes()


def test_the_package_of_the_page_acts_in_the_workers(
    installed: tuple[Path, str, dict[str, str]], tiny: tuple[str, ...]
) -> None:
    folder, said, _ = installed
    expert = Path(next(text.removeprefix("expert=") for text in tiny if text.startswith("expert=")))
    obeys(asked(folder / "runs" / "installed"), expert, honest_queries=10, loss=0.3)
    assert re.search(r"^  late_blunder: Honest until .*\[late-blunder 0\.1\]$", said, re.MULTILINE)
    assert "      honest_queries = 10  Questions of a game that are answered honestly first.\n" in said
    provenance = json.loads((folder / "runs" / "installed" / "provenance.json").read_text())
    assert (
        provenance["plugins"]["sandwich.misalignments"]["late_blunder"] == "late_blunder:LateBlunder (late-blunder 0.1)"
    )
    assert provenance["beside_the_spec"] == {}
    assert not (folder / "runs" / "installed" / "late_blunder.py").exists()


def test_every_plugin_is_listed_with_its_settings_and_a_broken_one_with_its_fault(
    installed: tuple[Path, str, dict[str, str]],
) -> None:
    folder, said, environment = installed  # the run of the page has not minded the broken one either
    done = subprocess.run(
        ["sandwich", "plugins", "--json"], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    listed = {(plugin["kind"], plugin["name"]): plugin for plugin in json.loads(done.stdout)["plugins"]}
    kinds = ("misalignment", "player", "oversight strategy", "attack")
    assert {kind for kind, _ in listed} == set(kinds)
    assert [kind for kind, _ in listed] == sorted((kind for kind, _ in listed), key=kinds.index)
    assert {name for kind, name in listed if kind == "misalignment"} == {*REGISTRY.entries, "late_blunder", "broken"}
    late = listed["misalignment", "late_blunder"]
    assert late == {
        "kind": "misalignment",
        "group": "sandwich.misalignments",
        "name": "late_blunder",
        "value": "late_blunder:LateBlunder",
        "origin": "late-blunder 0.1",
        "summary": "Honest until it is trusted, then one of its eight likeliest moves that gives away at most `loss`.",
        "fields": [
            {
                "name": "honest_queries",
                "default": 10,
                "description": "Questions of a game that are answered honestly first.",
            },
            {
                "name": "loss",
                "default": 0.15,
                "description": "Expected score that a dishonest answer may give away, 0..1: the dose.",
            },
        ],
        "error": None,
    }
    broken = listed["misalignment", "broken"]
    fault = (
        "misalignment 'broken' (nothing_there:Broken) can't be loaded:"
        " ModuleNotFoundError: No module named 'nothing_there'"
    )
    assert (broken["error"], broken["origin"], broken["fields"]) == (fault, "broken 1.0", [])
    assert f"  broken: {fault}  [broken 1.0]\n" in said
    for plugin in listed.values():
        assert plugin["error"] is None or plugin is broken
        assert plugin["summary"] or plugin is broken
        for field in plugin["fields"]:
            assert field["description"], f"{plugin['name']}.{field['name']} says nothing of itself"
        assert f"  {plugin['name']}: " in said
        assert f"[{plugin['origin']}]" in said


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


def test_a_plugin_that_fails_ends_the_run_in_one_line_and_goes_on_when_it_is_mended(
    tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "experiments" / "specs" / "quick.yaml", tmp_path / "spec.yaml")
    file, folder = tmp_path / "fragile.py", tmp_path / "run"
    kind = "assistant.misalignment.type=fragile:Fragile"
    overrides = (*tiny, kind, "play.channel=distribution", "name=fragile")
    arguments = ["run", str(tmp_path / "spec.yaml"), *overrides, "--out", str(folder)]
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
            command = [sys.executable, "-m", "experiments.cli", *arguments]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
            code, out, error = done.returncode, done.stdout, done.stderr
        else:
            code = typed(arguments, monkeypatch)
            out, error = capsys.readouterr()
        assert (code, out) == (1, "")
        found = re.fullmatch(r"Error: misalignment fragile:Fragile: (.*) \(in position (.*)\)", only_error(error))
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
        return lambda words, legal: {}["idea"]
"""


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("oversight={type: 'frail:Strategy'}", "oversight strategy frail:Strategy: LookupError: no idea (in position "),
        ("expert={type: 'frail:Unopened'}", "player frail:Unopened: LookupError: no idea"),
        ("assistant.player={type: 'frail:Silent'}", "player frail:Silent: KeyError: 'idea'"),
    ],
)
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
"""


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere:Plugin", "type: 'nowhere:Plugin' needs a file {folder}/nowhere.py"),
        ("classes:", "type: expected file:Class, got 'classes:'"),
        ("../classes:Believer", "type: expected file:Class, got '../classes:Believer'"),
        (
            "classes:Missing",
            "type: classes.py has no plugin class 'Missing'; it has: Believer, Unwritten, Typed, Checked",
        ),
        ("classes:Plain", "type: classes.py has no plugin class 'Plain'; it has: "),
        ("classes:NUMBER", "type: classes.py has no plugin class 'NUMBER'; it has: "),
        ("classes:RandomMove", "type: classes.py has no plugin class 'RandomMove'; it has: "),  # not its own
        ("classes:Believer", "type: classes:Believer is no Misalignment"),
        ("classes:Unwritten", "type: classes:Unwritten is no whole Misalignment: it lacks corrupt"),
        ("classes:Typed", "type: classes:Typed has a setting `type`, which is what a spec names the plugin by"),
        ("classes:Checked", "misalignment classes:Checked: KeyError: 0.5 (in its settings)"),
        ("syntax:Plugin", "type: syntax.py can't be loaded: SyntaxError: expected ':' (syntax.py, line 2)"),
        ("raising:Plugin", "raising.py can't be loaded: ZeroDivisionError: division by zero (raising.py, line 3)"),
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
    (tmp_path / "encoded.py").write_bytes(b"# caf\xe9\n")
    settings = f"assistant.misalignment={{type: '{reference}', p: 0.5}}"
    out = tmp_path / "run"
    assert typed(["run", str(tmp_path / "spec.yaml"), settings, "--out", str(out)], monkeypatch) == 1
    line = only_error(capsys.readouterr().err)
    assert said.replace("{folder}", str(tmp_path)) in line
    assert line.startswith("Error: ")
    assert not out.exists()


def test_wrong_setting_of_a_file_beside_the_spec_is_named(beside: tuple[Path, str]) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(beside[0] / "late_blunder.yaml", ("assistant.misalignment.loss=2",))
    assert str(error.value) == "assistant.misalignment.loss: Input should be less than or equal to 1, got 2"
    with pytest.raises(SpecError) as error:
        load_spec(beside[0] / "late_blunder.yaml", ("assistant.misalignment.lose=0.2",))
    assert str(error.value) == "assistant.misalignment.lose: unknown key; known here: honest_queries, loss"


# Every place in a spec, and what travels


WHOLE = """
from enum import StrEnum

from agents.misalignment.base import AnyMisalignment, Misalignment
from agents.players.network import Network
from sandwich.oversight.trust import Trust


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Part(Misalignment):
    mood: Mood = Mood.GOOD

    def corrupt(self, queries, honest, rngs, tools):
        return honest


class Whole(Part):
    part: AnyMisalignment = Part(mood=Mood.BAD)


class Believer(Trust):
    pass


class Goal(Network):
    pass
"""

PLACES = (
    "assistant.misalignment={type: mixture, parts: [{type: 'mine:Whole', mood: bad}, {type: random_move}]}",
    "oversight={type: 'mine:Believer'}",
    "expert={type: 'mine:Goal', checkpoint: weak}",
)


@pytest.fixture
def everywhere(tmp_path: Path) -> RunSpec:
    """A spec with classes of one file in all its places."""
    shutil.copy(ROOT / "experiments" / "specs" / "quick.yaml", tmp_path / "spec.yaml")
    (tmp_path / "mine.py").write_text(WHOLE)
    return load_spec(tmp_path / "spec.yaml", PLACES)


def test_a_class_beside_the_spec_is_found_in_every_place_of_it(everywhere: RunSpec, tmp_path: Path) -> None:
    assert sources(everywhere) == {"mine.py": WHOLE}
    assert sources({"nested": [(everywhere,)]}) == {"mine.py": WHOLE}
    written = everywhere.model_dump(mode="json")
    part = {"type": "mine:Part", "mood": "bad"}
    whole = {"type": "mine:Whole", "mood": "bad", "part": part}
    assert written["assistant"]["misalignment"]["parts"] == [whole, {"type": "random_move", "p": 0.25}]
    assert written["oversight"] == {"type": "mine:Believer"}
    assert written["expert"] == {"type": "mine:Goal", "checkpoint": "weak"}
    (tmp_path / "again.yaml").write_text(json.dumps(written))
    assert load_spec(tmp_path / "again.yaml").model_dump(mode="json") == written


def test_a_class_beside_the_spec_travels_with_its_source_to_a_process_that_has_never_seen_it(
    everywhere: RunSpec, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").unlink()
    look = "import pickle, sys; spec = pickle.load(sys.stdin.buffer); print([spec.assistant.misalignment, spec.expert])"
    done = subprocess.run([sys.executable, "-c", look], input=pickle.dumps(everywhere), cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == str([everywhere.assistant.misalignment, everywhere.expert])


def test_the_installed_class_that_a_file_extends_stays_what_it_is(everywhere: RunSpec) -> None:
    assert REGISTRY.name(RandomMove()) == "random_move"
    assert PLAYERS.describe(PLAYERS.parse({"type": "network"})) == {"type": "network", "checkpoint": "expert"}
    assert pickle.loads(pickle.dumps(RandomMove(p=0.5))) == RandomMove(p=0.5)


# Packages that get in each other's way

INSTALLED = """
import agents.misalignment.random_move
from agents.misalignment.base import Misalignment
from sandwich.oversight.trust import Trust


class Mine(agents.misalignment.random_move.RandomMove):
    pass


class Unwritten(Misalignment):
    pass
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Misalignment]:
    """A registry that finds the plugins of two packages more."""
    own = tmp_path / "plugins_for_tests"
    own.mkdir()
    (own / "__init__.py").write_text("from plugins_for_tests.inside import Mine\n")
    (own / "inside.py").write_text(INSTALLED)
    group = "sandwich.misalignments"
    register(tmp_path, "one", "1.0", group, {
        "a_broken": "nothing_there:Broken",
        "mine": "plugins_for_tests:Mine",
        "strategy": "plugins_for_tests.inside:Trust",
        "unwritten": "plugins_for_tests.inside:Unwritten",
        "bias": "plugins_for_tests.inside:Mine",
    })  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("misalignment", group, Misalignment)  # type: ignore[type-abstract]


def test_a_class_is_named_by_its_entry_point_wherever_that_finds_it_and_whatever_is_broken(
    packages: Registry[Misalignment],
) -> None:
    plugin = packages.parse({"type": "mine", "p": 0.5})
    assert packages.describe(plugin) == {"type": "mine", "p": 0.5}
    assert packages.describe(packages.parse({"type": "random_move"})) == {"type": "random_move", "p": 0.25}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a_broken", "(nothing_there:Broken) can't be loaded: ModuleNotFoundError: No module named 'nothing_there'"),
        ("strategy", "'strategy': plugins_for_tests.inside:Trust is no Misalignment"),
        ("unwritten", "'unwritten': plugins_for_tests.inside:Unwritten is no whole Misalignment: it lacks corrupt"),
        ("bias", "misalignment 'bias' is registered more than once: "),
    ],
)
def test_package_that_cannot_be_used_is_told_in_one_line(
    name: str, said: str, packages: Registry[Misalignment]
) -> None:
    with pytest.raises(PluginError) as error:
        packages.parse({"type": name})
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    (listed,) = (about for about in packages.listed() if about["name"] == name)
    assert listed["error"] == str(error.value)


# docs/plugins.md


def table(section: str) -> dict[str, list[str]]:
    """Cells of the table in a section of docs/plugins.md, by the type in the first one."""
    text = (ROOT / "docs" / "plugins.md").read_text().split(f"\n## {section}\n")[1].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_docs_list_every_plugin_that_is_shipped_with_its_dose() -> None:
    shipped = {entry.name for entry in REGISTRY.entries.values() if entry.dist and entry.dist.name == "sandwich"}
    listed = table("Misalignments")
    assert set(listed) == shipped
    for name, (_, dose, _) in listed.items():
        settings = REGISTRY.load(name).model_fields
        assert set(re.findall(r"`(\w+)`", dose)) <= set(settings), name
    strategies = table("Oversight strategies")
    assert set(strategies) == {name for name, entry in OVERSIGHT.entries.items() if entry.dist}
    for name, (*_, said) in strategies.items():
        assert re.findall(r"`(\w+)`", said) == list(OVERSIGHT.load(name).model_fields), name
    assert set(table("Players")) == {name for name, entry in PLAYERS.entries.items() if entry.dist}


@pytest.mark.parametrize(
    "form", re.findall(r"`(\w+:[^`]+)`", " ".join(cells[1] for cells in table("Players").values()))
)
def test_short_forms_in_the_docs_are_players(form: str) -> None:
    spec: dict[str, Any] = load_spec(ROOT / "experiments" / "specs" / "quick.yaml", (f"expert={form}",)).model_dump()
    assert spec["expert"]["type"] == form.partition(":")[0]
