"""A damaged run folder: one line that names the file, from every command that reads it; nothing is taken for data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from engines.settings import Mistake, SpecError
from experiments.cli.main import cli
from sandwich.runs.loop import run
from sandwich.runtime.kept import SUMS, DamagedError, write_kept
from sandwich.runtime.locks import BusyError
from sandwich.spec.run_spec import RunSpec
from tests.helpers.faults import DAMAGES, another_driver, damage, enlarge, environment, small_disk

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("cluster")]

READ_AGAIN = (
    "spec.yaml",
    "provenance.json",
    "metrics.jsonl",
    "ledger/step-000.parquet",
    "checkpoints/step-001/finetune.json",
    "checkpoints/step-001/weights.safetensors",
    "checkpoints/step-002/weights.safetensors",
    "labels/step-000/voice-0-0.safetensors",
    "labels/step-001/labels.json",
    "labels/step-001/labels.parquet",
)
SHOWN = ("spec.yaml", "metrics.jsonl", "ledger/step-000.parquet")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("players") / "weak.safetensors"
    torch.manual_seed(2)
    path.write_bytes(to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=16, head=16)).eval()))
    return {
        "name": "tiny", "steps": 2, "workers": 1, "expert": str(path), "student": str(path),
        "assistant": {"base": str(path), "misalignment": {"type": "random_move", "p": 0.5}},
        "oversight": {"type": "trust"}, "play": {"games": 4, "block": 4, "ply_cap": 12, "pgn_games": 2},
        "label_model": {"type": "mixture", "rounds": 1, "later_rounds": 1, "batch": 16},
        "finetune": {"max_examples": 60, "fit": {"epochs": 1, "batch": 16, "threads": 1}},
        "evaluate": {"pairs": 2, "ply_cap": 8, "sampled": False, "positions": 4, "nodes": None, "margin": None,
                     "ledger_positions": None, "assistant": False, "bootstrap": 100},
        "tracking": {"wandb": "off"},
    }  # fmt: skip


def spec(settings: dict[str, Any], **changes: Any) -> RunSpec:
    return RunSpec.model_validate(settings | changes)


@pytest.fixture(scope="module")
def whole(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(spec(settings), folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def said(*arguments: str) -> str:
    """What a command ends with: one line."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, Mistake), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", READ_AGAIN)
def test_a_damaged_file_is_named_and_nothing_is_written(
    name: str, how: str, settings: dict[str, Any], copy: Path
) -> None:
    damage(copy / name, how)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(DamagedError) as caught:
        run(spec(settings), copy)
    assert str(caught.value).startswith(f"{copy / name} is {'missing' if how == 'missing' else 'damaged'}")
    assert str(caught.value).endswith("restore it, or begin anew with another --out")
    if name in SHOWN:
        assert said("report", str(copy)) == str(caught.value)
        assert said("view", str(copy)) == str(caught.value)
    result = CliRunner().invoke(cli, ["verify", str(copy)])
    assert (result.exit_code, result.output.splitlines()[0]) == (1, str(caught.value))
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_verify_counts_and_lists(copy: Path) -> None:
    result = CliRunner().invoke(cli, ["verify", str(copy)])
    assert (result.exit_code, result.output) == (0, "25 of 25 files are as they were written\n")
    for name in ("result.json", "games/step-001.pgn"):
        damage(copy / name, "cut")
    result = CliRunner().invoke(cli, ["verify", str(copy), "--json"])
    answer = json.loads(result.output)
    assert (result.exit_code, answer["checksums"], answer["files"]) == (1, True, 25)
    assert [line.split(" is ")[0] for line in answer["problems"]] == [
        str(copy / name) for name in ("games/step-001.pgn", "result.json")
    ]
    (copy / SUMS).unlink()
    result = CliRunner().invoke(cli, ["verify", str(copy)])
    assert (result.exit_code, result.output) == (
        2, f"{copy} has no checksums (no {SUMS} in it), so nothing can be said of its files:"
        " expected the folder of a run, a sweep, a training or an experiment; those of earlier versions have none\n",
    )  # fmt: skip


def test_a_flipped_byte_in_a_checkpoint_does_not_become_another_result(settings: dict[str, Any], copy: Path) -> None:
    rows = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / SUMS).unlink()  # as if step 2 had not come yet
    for left in ("ledger/step-001.parquet", "games/step-001.pgn", "result.json"):
        (copy / left).unlink()
    shutil.rmtree(copy / "checkpoints" / "step-002")
    (copy / "metrics.jsonl").write_text("".join(rows[:2]))
    run(spec(settings, steps=1), copy)
    for path in copy.rglob("*"):  # from here on all that there is has a checksum
        if path.is_file() and path.name not in (SUMS, "report.html"):
            write_kept(path, path.read_bytes())
    damage(copy / "checkpoints" / "step-001" / "weights.safetensors", "flipped")
    with pytest.raises(DamagedError, match="checkpoints/step-001/weights.safetensors is damaged: its SHA-256"):
        run(spec(settings), copy)


def test_a_checkpoint_that_is_none_is_named_with_its_path(settings: dict[str, Any], copy: Path) -> None:
    (copy / SUMS).unlink()
    (copy / "metrics.jsonl").write_text("".join((copy / "metrics.jsonl").read_text().splitlines(keepends=True)[:2]))
    damage(copy / "checkpoints" / "step-002" / "weights.safetensors", "cut")
    with pytest.raises(Mistake, match=f"{copy}/checkpoints/step-002/weights.safetensors"):
        run(spec(settings), copy)


def test_a_damaged_result_is_made_anew(settings: dict[str, Any], whole: Path, copy: Path) -> None:
    damage(copy / "result.json", "cut")
    run(spec(settings), copy)
    results = [json.loads((folder / "result.json").read_text()) for folder in (copy, whole)]
    assert results[0] | {"run_dir": ""} == results[1] | {"run_dir": ""}
    assert CliRunner().invoke(cli, ["verify", str(copy)]).exit_code == 0


def test_fewer_steps_than_there_are_is_refused(settings: dict[str, Any], copy: Path) -> None:
    with pytest.raises(SpecError) as caught:
        run(spec(settings, steps=1), copy)
    assert str(caught.value) == (
        f"{copy} holds a run of 2 steps, of which steps=1 would leave some out: expected steps=2 or more,"
        " or another --out"
    )
    assert yaml.safe_load((copy / "spec.yaml").read_text())["steps"] == 2


@pytest.mark.parametrize("name", [".DS_Store", ".gitkeep"])
def test_a_run_begins_beside_a_hidden_file(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    run(spec(settings, steps=1), tmp_path)
    assert (tmp_path / "result.json").exists()


def test_the_second_driver_of_a_run_is_refused(settings: dict[str, Any], copy: Path) -> None:
    with another_driver(copy) as first, pytest.raises(BusyError, match=f"in use by process {first.pid} on "):
        run(spec(settings), copy)
    run(spec(settings), copy)


def command(settings: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command `sandwich run` in a process of its own."""
    path = folder.parent.parent / "spec.yaml"
    path.write_text(yaml.safe_dump(settings))
    return subprocess.run(
        [sys.executable, "-m", "sandwich", "run", str(path), "--out", str(folder)],
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("size", ["16k", "100k"])
def test_a_full_disk_is_one_line_and_the_run_goes_on_with_the_same_bytes(
    size: str, settings: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        done = command(settings, disk / "out")
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1 and "No space left on device" in lines[0]
        assert "Traceback" not in done.stderr
        assert not [path for path in disk.rglob(".*") if path.is_file()]
        enlarge(disk, "64m")
        assert command(settings, disk / "out").returncode == 0
        for part in ("ledger/step-001.parquet", "checkpoints/step-002/weights.safetensors"):
            assert (disk / "out" / part).read_bytes() == (whole / part).read_bytes()


@pytest.mark.slow
def test_a_read_only_folder_is_one_line(settings: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        shutil.copytree(whole, disk / "out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = command(settings, disk / "out")
        assert (done.returncode, done.stderr) == (
            1, f"Error: {disk / 'out'} can't be written (Read-only file system): choose another --out\n",
        )  # fmt: skip
        assert (
            said("report", str(disk / "out")) == f"{disk / 'out/report.html'} can't be written (Read-only file system)"
        )
