"""The page about writing an oversight strategy, done word by word."""

import hashlib
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest

from engines import moves
from engines.inference import make_evaluator
from engines.network import load_network
from engines.positions import successors
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Ask, Evaluate
from sandwich.protocol import ledger
from sandwich.spec.run_spec import load_spec
from tests.helpers.doc_pages import commands, follow, page, tiny_overrides
from tests.helpers.fakes import pack_board
from tests.helpers.project import ROOT

pytestmark = pytest.mark.timeout(900)

PAGE = page("tutorials/writing-an-oversight-strategy.md")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the page's commands leave, and what they said."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("experiments", "benchmarks"):
        (checkout / name).symlink_to(ROOT / name)
    (checkout / "players").mkdir()
    environment = commands(checkout / "bin", Path(sys.executable), tiny_overrides(checkout / "players"))
    folder, first = follow(PAGE, "One file beside the spec", checkout, environment)
    folder, second = follow(PAGE, "A comparison", folder, environment)
    return folder, first + second


def asked(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a run in which something was asked."""
    rows: list[dict[str, Any]] = ledger.read(folder / "runs" / name).to_pylist()
    return [row for row in rows if row["asked"]]


@pytest.mark.parametrize(("name", "tolerance"), [("second_look", 0.05), ("lenient", 0.2)])
@pytest.mark.slow
def test_the_strategy_of_the_page_believes_what_holds_up(beside: tuple[Path, str], name: str, tolerance: float) -> None:
    folder, _ = beside
    assistant = make_evaluator(load_network(folder.parent / "players" / "expert.safetensors"), backend="torch")
    rows = asked(folder, name)
    honest = 0
    for row in rows:
        board = chess.Board(row["fen"])
        advised = moves.encode(chess.Move.from_uci(row["advised"]), board.turn)
        behind = successors(pack_board(board)[None], [advised])
        over = not np.isnan(behind.score[0])
        worth = behind.score[0] if over else assistant(behind.packed, behind.legal).value[0]
        honest += abs(1 - worth - row["own_value"] - row["confidence"]) < 1e-5
        assert row["questions"] == (1 if over else 2)
        assert row["believed"] == (row["confidence"] >= -tolerance)
        assert row["decided"] == (row["advised"] if row["believed"] else row["own_move"])
    assert 0.25 < honest / len(rows) < 0.75  # of the second answers too about half are lies


@pytest.mark.slow
def test_runs_of_the_comparison_ask_equally_often(beside: tuple[Path, str]) -> None:
    folder, said = beside
    for name in ("trust", "second_look", "lenient"):
        rows = ledger.read(folder / "runs" / name).to_pandas()
        turns = rows[rows["student"]].groupby(["step", "game"]).agg(n=("asked", "size"), asked=("questions", "sum"))
        assert (turns["asked"] <= turns["n"]).all()
        assert (turns["asked"] >= turns["n"] - (0 if name == "trust" else 2)).all()
    for label in ("trust", "second look", "lenient"):
        assert f"| {label} |" in said
    assert (folder / "compared.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_the_page_prints_how_lies_and_truth_are_told_apart(beside: tuple[Path, str]) -> None:
    folder, said = beside
    rows = asked(folder, "second_look")
    for lied in (False, True):
        believed = [row["believed"] for row in rows if row["misaligned"] == lied]
        line = next(line for line in said.splitlines() if line.startswith(str(lied)))
        assert float(line.split()[1]) == pytest.approx(np.mean(believed), abs=1e-4)


@pytest.mark.slow
def test_the_strategy_of_the_page_is_kept_with_its_run(beside: tuple[Path, str]) -> None:
    folder, _ = beside
    text = (folder / "second_look.py").read_bytes()
    for name, tolerance in (("second_look", 0.05), ("lenient", 0.2)):
        run_folder = folder / "runs" / name
        assert (run_folder / "second_look.py").read_bytes() == text
        provenance = json.loads((run_folder / "provenance.json").read_text())
        assert provenance["beside_the_spec"] == {"second_look.py": [hashlib.sha256(text).hexdigest()]}
        again = load_spec(run_folder / "spec.yaml").oversight.model_dump()
        assert again == {"tolerance": tolerance}


def test_the_page_names_everything_that_a_strategy_is_given_and_may_do() -> None:
    tables = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    listed = " ".join(tables)
    assert all(f"`{field.name}`" in listed for field in fields(DecisionContext))
    assert all(f"- `{field.name}`" in PAGE for field in fields(Decision))
    assert all(f"`{kind.__name__.lower()}(" in listed for kind in (Ask, Evaluate))
    for name in ("questions", "ground_truth_budget", "advisors", "study", "weigh", "decide"):
        assert hasattr(Oversight, name)
        assert f"`{name}" in PAGE
