"""Row 0 of runs that begin alike is measured once, and of others anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.checkpoint_files import read_checkpoints
from sandwich.evaluation.oracle import Oracle
from sandwich.runs import first_row as module
from sandwich.runs.first_row import first_row
from sandwich.runs.provenance import made_here
from sandwich.runtime.progress import Row
from sandwich.spec.run_spec import RunSpec, load_spec

NO_ORACLE = Oracle(None)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDWICH_CACHE", str(tmp_path / "cache"))


def puzzles(folder: Path, text: str) -> str:
    (folder / "puzzles.csv").write_text(text, encoding="utf-8")
    return str(folder / "puzzles.csv")


def asked(spec: RunSpec, answer: float = 0.25) -> tuple[Row, int]:
    """The row, and how often something was measured for it."""
    calls = []

    def measure() -> Row:
        calls.append(1)
        return {"step": 0, "elo": {"value": answer}}

    return first_row(spec, read_checkpoints(spec), NO_ORACLE, measure), len(calls)


@pytest.mark.parametrize(
    "same",
    [
        {"assistant.misalignment.p": 0.5},
        {"assistant.misalignment": "engine_worst"},
        {"oversight": "ignore"},
        {"finetune.fit.epochs": 3},
        {"play.games": 64},
        {"evaluate.ledger_positions": None, "evaluate.assistant": False},
        {"name": "other", "workers": 1},
    ],
)
def test_what_the_students_beginning_does_not_depend_on_measures_nothing_anew(same: dict[str, Any]) -> None:
    first = asked(load_spec("default", {"evaluate.nodes": None}))
    again = asked(load_spec("default", {"evaluate.nodes": None}, same), answer=0.75)
    assert first == ({"step": 0, "elo": {"value": 0.25}}, 1)
    assert again == (first[0], 0)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"evaluate.pairs": 299},
        {"evaluate.sampled": False},
        {"evaluate.nodes": 100},
        {"student": "adversary"},
        {"expert": "weak"},
        {"inference.precision": "fp32"},
        {"inference.threads": 2},
    ],
)
def test_what_it_depends_on_does(other: dict[str, Any]) -> None:
    asked(load_spec("default", {"evaluate.nodes": None}))
    changed = load_spec("default", {"evaluate.nodes": None}, other)
    assert asked(changed, answer=0.75) == ({"step": 0, "elo": {"value": 0.75}}, 1)


def test_puzzles_count_by_what_is_in_them(tmp_path: Path) -> None:
    path = puzzles(tmp_path, "some")
    spec = load_spec("default", {"evaluate.nodes": None, "evaluate.puzzles": path})
    assert [asked(spec)[1], asked(spec)[1]] == [1, 0]
    puzzles(tmp_path, "others")
    assert asked(spec)[1] == 1


def test_other_code_of_the_program_measures_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec("default", {"evaluate.nodes": None})
    asked(spec)
    monkeypatch.setattr(module, "made_here", lambda: made_here() | {"source": "another"})
    assert asked(spec)[1] == 1


def test_another_engine_measures_anew() -> None:
    spec = load_spec("default", {"evaluate.nodes": None})
    checkpoints, oracle = read_checkpoints(spec), Oracle(None)
    rows = []
    for name in (None, "Engine 1", "Engine 2"):
        oracle.identity = name
        rows.append(first_row(spec, checkpoints, oracle, lambda: {"by": name}))  # noqa: B023
    assert rows == [{"by": None}, {"by": "Engine 1"}, {"by": "Engine 2"}]


def test_an_expert_that_is_no_network_is_never_remembered() -> None:
    spec = load_spec("default", {"evaluate.nodes": None, "expert": "mcts:network=expert,simulations=8"})
    assert [asked(spec)[1], asked(spec)[1]] == [1, 1]


@pytest.mark.parametrize("damage", ["cut", "other", "empty", "list"])
def test_a_damaged_memory_is_measured_again_and_mended(damage: str, tmp_path: Path) -> None:
    spec = load_spec("default", {"evaluate.nodes": None})
    asked(spec)
    (file,) = (tmp_path / "cache" / module.FOLDER).iterdir()
    whole = file.read_text(encoding="utf-8")
    changed = {"cut": whole[:-9], "other": whole.replace("0.25", "0.26"), "empty": "", "list": json.dumps([1])}[damage]
    file.write_text(changed, encoding="utf-8")
    assert asked(spec) == ({"step": 0, "elo": {"value": 0.25}}, 1)
    assert file.read_text(encoding="utf-8") == whole
    assert asked(spec)[1] == 0


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    spec = load_spec("default", {"evaluate.nodes": None})
    assert [asked(spec)[1], asked(spec)[1]] == [1, 1]
