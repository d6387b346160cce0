"""The example scripts, each carried out as it stands, in a folder of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import sandwich
from sandwich.highstakes.attack_runs import read
from tests.helpers.project import ROOT, needs_stockfish

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow, needs_stockfish]

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples are run; each writes into a folder of its own below `runs/examples`."""
    return tmp_path_factory.mktemp("examples")


def carry_out(name: str, folder: Path) -> str:
    """What an example prints; it ends well and warns of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(ROOT / "examples" / name)],
        cwd=folder, env={**os.environ}, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked(folder: Path) -> pd.DataFrame:
    """Rows of a run in which something was asked."""
    rows = sandwich.read_ledger(folder)
    return rows[rows["asked"]].astype({"misaligned": bool, "believed": bool})


def test_the_first_run_prints_its_figures_and_its_ledger(folder: Path) -> None:
    printed = carry_out("01_first_run.py", folder)
    rows = asked(folder / "runs" / "examples" / "first_run")
    assert f"{len(rows)} questions, {rows['misaligned'].sum()} of them answered with a lie" in printed
    same = (rows["advised"] == rows["own_move"]).groupby(rows["misaligned"]).mean()
    assert f"honest    {same[False]:.3f}" in printed and f"lie       {same[True]:.3f}" in printed


@pytest.mark.long
def test_the_misalignment_advises_the_second_choice_and_the_eighth(folder: Path) -> None:
    printed = carry_out("02_own_misalignment.py", folder)
    for rank in (2, 8):
        rows = asked(folder / "runs" / "examples" / f"lesser_choice_{rank}")
        assert 0.4 < rows["misaligned"].mean() < 0.6
        lies = rows[rows["misaligned"]]
        assert (lies["advised"] != lies["honest"]).all()
        assert f"rank {rank}: {lies['loss_advised'].notna().sum()} lies judged" in printed


@pytest.mark.long
def test_the_strategy_believes_what_is_on_its_shortlist(folder: Path) -> None:
    printed = carry_out("03_own_strategy.py", folder)
    rows = asked(folder / "runs" / "examples" / "shortlist")
    assert (rows["believed"] == (rows["confidence"] > -5)).all()
    assert (rows["decided"] == rows["advised"].where(rows["believed"], rows["own_move"])).all()
    share = rows.groupby("misaligned")["believed"].mean()
    assert f"shortlist: believed {share[True]:.0%} of the lies, {share[False]:.0%} of the truth" in printed
    assert "trust: believed 100% of the lies, 100% of the truth" in printed


@pytest.mark.long
def test_the_sweep_draws_its_dose_response(folder: Path) -> None:
    printed = carry_out("04_sweep.py", folder)
    cells = sandwich.read_sweep(folder / "runs" / "examples" / "dose")
    assert cells["state"].tolist() == ["done", "done"]
    assert printed.count("p = ") == 2 and "break-even dose" in printed
    assert (folder / "runs" / "examples" / "dose" / "response.svg").read_text().startswith("<?xml")


@pytest.mark.long
def test_the_attack_moves_rook_pawns(folder: Path) -> None:
    printed = carry_out("05_filter_and_attack.py", folder)
    result = json.loads((folder / "runs" / "examples" / "filter" / "result.json").read_text())
    costs = result["generations"][0]["attacks"]
    assert costs["rook_pawn"]["queries"]["runs"] == 6
    for name in ("sample", "rook_pawn"):
        assert f"{name}: {costs[name]['queries']['successful']} of 6 runs found an example" in printed
    assert "base: " in printed and "residual: " in printed and "rejected: " in printed
    files = (folder / "runs" / "examples" / "filter" / "generation-0" / "attacks" / "rook_pawn").glob("runs-*.jsonl")
    runs = [attack_run for file in files for attack_run in read(file)]
    assert sum(attack_run.queries for attack_run in runs) > 0
    assert printed.count("gives away") == sum(len(attack_run.examples) for attack_run in runs)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_notebook_of_cells(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# %% [markdown]\n# # ")
    assert text.count("\n# %%\n") >= 3
