"""The Python interface: what it takes, what it gives back, and what it does not import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest

import sandwich
from agents.misalignment.random_move import RandomMove
from engines.settings import SpecError
from sandwich.oversight.trust import Trust
from sandwich.protocol import ledger
from sandwich.spec.loading import spec_settings
from sandwich.spec.run_spec import RunSpec
from sandwich.spec.shipped import find_spec, shipped_specs
from sandwich.sweeps.sweep_spec import SweepSpec
from tests.helpers.doc_pages import register, tiny_overrides
from tests.helpers.project import ROOT

SPECS = ROOT / "experiments" / "specs"


def test_the_package_imports_nothing_heavy_before_it_is_needed() -> None:
    code = (
        "import sys, sandwich; [getattr(sandwich, name) for name in sandwich.__all__];"
        "sys.exit(', '.join({'torch', 'ray', 'pandas', 'pydantic', 'pyarrow', 'scipy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_name_of_the_interface_is_there() -> None:
    assert set(sandwich.__all__) <= set(dir(sandwich))
    assert all(getattr(sandwich, name) is not None for name in sandwich.__all__)
    with pytest.raises(AttributeError, match="module 'sandwich' has no attribute 'nothing'"):
        sandwich.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("source", ["default", SPECS / "default.yaml", str(SPECS / "default.yaml")], ids=repr)
def test_a_spec_is_loaded_by_name_and_by_path(source: str | Path) -> None:
    assert sandwich.load_spec(source).name == "default"


def test_a_spec_is_changed_in_every_way_alike(tmp_path: Path) -> None:
    typed = sandwich.load_spec("quick", "assistant.misalignment.p=0.5", "seed=2", "play.games=64")
    assert typed.assistant.misalignment == RandomMove(p=0.5)
    assert (typed.seed, typed.play.games, typed.play.block) == (2, 64, 32)
    assert sandwich.load_spec("quick", ("assistant.misalignment.p=0.5", "play.games=64"), seed=2) == typed
    assert sandwich.load_spec("quick", {"assistant.misalignment.p": 0.5, "play.games": 64}, seed=2) == typed
    assert (
        sandwich.load_spec("quick", {"assistant.misalignment": RandomMove(p=0.5), "seed": 2}, "play.games=64") == typed
    )
    assert sandwich.load_spec("quick", "seed=1", {"seed": 3}).seed == 3
    assert sandwich.load_spec("quick", student=tmp_path / "mine.safetensors").student == str(
        tmp_path / "mine.safetensors"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("play.gmes=1", "play.gmes: unknown key; did you mean games? known here: games, block"),
        ({"play.gmes": 1}, "play.gmes: unknown key; did you mean games? known here: games, block"),
        ({"play.games": 7}, "play.games: expected a multiple of 2, got 7"),
        ("nothing", "override 'nothing': expected key=value"),
    ],
)
def test_a_mistake_is_the_same_line_as_on_the_command_line(override: Any, message: str) -> None:
    with pytest.raises(SpecError) as error:
        sandwich.load_spec("default", override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_that_exists_wins_over_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quick").write_text("extends: quick\nsteps: 9")
    with pytest.raises(SpecError, match="^extends: expected the name of another file beside quick, not laid over it"):
        sandwich.load_spec("quick")
    Path("quick").write_text("extends: default\nsteps: 9")
    assert sandwich.load_spec("quick").steps == 9
    Path("quick").unlink()
    Path("quick").mkdir()
    assert find_spec("quick") == SPECS / "quick.yaml"


def test_a_file_can_extend_a_shipped_spec(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: quick\nsteps: 9")
    mine = sandwich.load_spec(tmp_path / "mine.yaml")
    assert mine == sandwich.load_spec("quick", name="mine", steps=9)


def test_a_plugin_of_a_shipped_spec_lies_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("from sandwich.oversight.trust import Trust\n\n\nclass Mine(Trust): ...\n")
    assert type(sandwich.load_spec("quick", "oversight.type=mine:Mine").oversight).__name__ == "Mine"


def test_shipped_specs_are_those_of_every_package(tmp_path: Path) -> None:
    package = tmp_path / "other"
    (package / "kept").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("other_run", "quick"):
        (package / "kept" / f"{name}.yaml").write_text("extends: default")
    register(tmp_path, "other", "1.0", "sandwich.specs", {"other": "other.kept"})
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import sandwich\n"
        "print(sandwich.load_spec('other_run').name, {'default', 'other_run'} <= set(sandwich.shipped_specs()))\n"
        "sandwich.load_spec('quick')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "other_run True\n"
    last = done.stderr.splitlines()[-1]
    assert "spec 'quick' is shipped more than once, give its path: " in last
    assert str(package / "kept" / "quick.yaml") in last and str(SPECS / "quick.yaml") in last


def test_every_spec_is_shipped() -> None:
    assert {name: list(paths) for name, paths in shipped_specs().items()} == {
        path.stem: [path] for path in sorted(SPECS.glob("*.yaml"))
    }
    assert sandwich.shipped_specs() == sorted(path.stem for path in SPECS.glob("*.yaml"))


def test_specs_made_in_python_have_a_name() -> None:
    made = RunSpec.model_validate({"assistant": {"misalignment": {"type": "random_move"}}, "oversight": Trust()})
    assert made.name == "run"
    assert SweepSpec(run="quick").name == "sweep"


def test_a_sweep_that_is_loaded_needs_no_other_file() -> None:
    assert sandwich.load_sweep("dose_smoke", "over.seed=[5]").run == spec_settings("quick")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides that make any run a matter of seconds."""
    return tiny_overrides(tmp_path_factory.mktemp("players"))


@pytest.fixture(scope="module")
def run_folder(cluster: object, tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    final = sandwich.run(sandwich.load_spec("quick", tiny), str(folder))
    assert final == json.loads((folder / "result.json").read_text())
    return folder


def test_a_finished_run_is_only_read(run_folder: Path, tiny: tuple[str, ...]) -> None:
    before = (run_folder / "metrics.jsonl").stat().st_mtime_ns
    sandwich.run(sandwich.load_spec("quick", tiny), run_folder)
    assert (run_folder / "metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(SpecError, match="holds a run with seed=0, not 1"):
        sandwich.run(sandwich.load_spec("quick", tiny, seed=1), run_folder)


def test_ledger_and_metrics_are_data_frames(run_folder: Path) -> None:
    whole = sandwich.read_ledger(str(run_folder))
    assert whole["step"].unique().tolist() == [0, 1]
    assert len(whole) == ledger.read(run_folder).num_rows
    assert list(sandwich.read_ledger(run_folder, ["game", "asked"]).columns) == ["step", "game", "asked"]
    assert [str(whole[name].dtype) for name in ("misaligned", "believed")] == ["boolean", "boolean"]
    assert (whole["misaligned"].isna() == ~whole["asked"]).all()
    assert whole["asked"].dtype == bool
    assert "step" not in sandwich.read_ledger(str(run_folder / "ledger" / "step-000.parquet"))
    metrics = sandwich.read_metrics(str(run_folder))
    assert metrics["step"].tolist() == [0, 1, 2]
    assert np.isnan(metrics["win_loss"]).all()  # no oracle was asked
    asked = whole[whole["asked"]].groupby("step").size()
    assert metrics["play/queries"].tolist()[1:] == asked.tolist() and np.isnan(metrics["play/queries"][0])


@pytest.mark.slow
def test_controls_are_run_beside_a_run(cluster: object, tiny: tuple[str, ...], tmp_path: Path) -> None:
    spec = sandwich.load_spec("quick", tiny, steps=1)
    final = sandwich.run(spec, tmp_path / "run", controls=True)
    assert set(final["controls"]) == {"own_moves", "honest", "honest_only", "always_misaligned"}
    assert final["controls"]["honest"]["misaligned_queries"] == 0
    assert len(sandwich.read_metrics(tmp_path / "run" / "controls" / "honest")) == 2


def test_a_sweep_comes_back_as_a_row_for_each_cell(cluster: object, tiny: tuple[str, ...], tmp_path: Path) -> None:
    run = json.loads(sandwich.load_spec("quick", tiny, "steps=1").model_dump_json(exclude={"name", "workers"}))
    spec = SweepSpec(run=run, over={"oversight.type": ["trust", "ignore"]})
    cells = sandwich.sweep(spec, str(tmp_path / "sweep"))
    assert cells["oversight.type"].tolist() == ["trust", "ignore"]
    assert cells["state"].tolist() == ["done", "done"] and cells["steps"].tolist() == [1, 1]
    assert sandwich.read_sweep(str(tmp_path / "sweep")).equals(cells)
    compared = sandwich.evaluate_oversight(str(tmp_path / "sweep"), than="ignore")
    assert compared["strategy"].tolist() == ["trust", "ignore"]
    assert compared["believed_lies"].tolist() == [1, 0]
    with pytest.raises(SpecError, match="than veto: no such strategy in .*; expected one of trust; ignore"):
        sandwich.evaluate_oversight(tmp_path / "sweep", than="veto")


def test_a_match_has_elo_score_and_games(cluster: object) -> None:
    played = sandwich.play_match("expert", "weak", pairs=4, ply_cap=30)
    assert played.score.value == pytest.approx(played.pairs.mean())
    assert played.elo.n == played.score.n
    board = chess.Board(played.games[0][0].opening)
    for move in played.games[0][0].moves:
        board.push_uci(move)
    with pytest.raises(SpecError, match="pairs: expected 2 to [0-9]+, the openings of the book, got 1"):
        sandwich.play_match("expert", "weak", pairs=1)
