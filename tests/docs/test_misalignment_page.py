"""The page about writing a misalignment, done word by word.

What it installs and runs is installed and run here, in a virtual environment of its own and in
real Ray workers; nothing is downloaded.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import fields
from pathlib import Path

import chess
import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter

from agents.advice import Channel, Query
from agents.assistant import Assistant
from agents.misalignment.base import REGISTRY, AnyMisalignment
from agents.tools import Tools
from engines import moves, planes
from engines.inference import Evaluation, make_evaluator
from engines.lookahead import move_values
from engines.network import NetworkConfig, PolicyValueNet, load_network
from engines.settings import SpecError
from sandwich.protocol import ledger
from sandwich.runs.loop import run
from sandwich.spec.run_spec import load_spec
from tests.helpers.doc_pages import blocks, commands, follow, page, register, tiny_overrides
from tests.helpers.project import ROOT, random_games

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

PAGE = page("tutorials/writing-a-misalignment.md")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides that make any run a matter of seconds."""
    return tiny_overrides(tmp_path_factory.mktemp("players"))


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
    packed = np.array([planes.pack(board) for board in lies["board"]], np.uint64)
    policies, values = evaluator(packed, legal).policy, move_values(evaluator, packed, legal)
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


def test_the_page_prints_whether_it_lied_where_the_position_was_worse(beside: tuple[Path, str]) -> None:
    folder, said = beside
    rows = asked(folder / "runs" / "late_blunder").astype({"misaligned": bool})
    shares = rows.groupby(rows["assistant_value"] < 0.5)["misaligned"].mean()
    printed = dict(re.findall(r"^(False|True) +(\d\.\d+)$", said, re.MULTILINE))
    assert {name == "True": float(share) for name, share in printed.items()} == pytest.approx(
        shares.to_dict(), abs=1e-4
    )


def test_the_misalignment_that_flatters_says_what_the_current_student_prefers(tmp_path: Path) -> None:
    (source,) = (text for _, text in blocks(PAGE, "What the method gets") if text.startswith("# flattery.py"))
    (tmp_path / "flattery.py").write_text(source)
    flattery = TypeAdapter(AnyMisalignment).validate_python(
        {"type": "flattery:Flattery", "p": 1.0}, context={"folder": tmp_path}
    )
    torch.manual_seed(3)
    base, student = (make_evaluator(PolicyValueNet(NetworkConfig(blocks=1, channels=16)).eval()) for _ in range(2))
    boards = [board for game in random_games(4, seed=1, plies=20) for board in game]
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    queries = [Query(packed[row], legal[row], Channel.MOVE, row, 0) for row in range(len(boards))]
    rngs = [np.random.default_rng(row) for row in range(len(boards))]
    with Tools() as tools:
        answers = Assistant(base, flattery, tools.facing(student)).answer(queries, rngs)
        alone = Assistant(base, flattery, tools).answer(queries, rngs)
    opinion = student(packed, legal)
    assert [answer.given.move for answer in answers] == [opinion.best(row) for row in range(len(boards))]
    assert 0 < sum(answer.misaligned for answer in answers) < len(boards)
    assert not any(answer.misaligned for answer in alone)


def test_the_page_names_every_field_of_an_evaluation() -> None:
    section = PAGE.split("\n## What the method gets\n")[1].partition("\n## ")[0]
    for name in [*(field.name for field in fields(Evaluation)), "value", "best(row)"]:
        assert f"| `{name}` |" in section


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
    kinds = ("misalignment", "player", "oversight strategy", "label model", "attack")
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


def test_wrong_setting_of_a_file_beside_the_spec_is_named(beside: tuple[Path, str]) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(beside[0] / "late_blunder.yaml", ("assistant.misalignment.loss=2",))
    assert str(error.value) == "assistant.misalignment.loss: expected at most 1, got 2"
    with pytest.raises(SpecError) as error:
        load_spec(beside[0] / "late_blunder.yaml", ("assistant.misalignment.lose=0.2",))
    assert (
        str(error.value)
        == "assistant.misalignment.lose: unknown key; did you mean loss? known here: honest_queries, loss"
    )
