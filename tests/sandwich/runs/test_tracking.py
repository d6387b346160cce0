"""What is measured is written down whole, and W&B's own files, read back, say the same."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wandb

from sandwich.runs.metrics import MetricsError, read_metrics, scalars
from sandwich.runs.tracking import Tracker
from tests.helpers.project import ROOT
from tests.helpers.tracked_runs import page, played_ledger, row, spec
from tests.helpers.wandb_files import entries, history, records

__all__ = ["played_ledger"]  # a fixture


def test_wandb_files_say_what_the_run_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], played_ledger: Path
) -> None:
    made = spec("offline", group="doses")
    with Tracker(tmp_path, made, page) as tracker:
        tracker.log(row(0))
        tracker.log(row(1, -50.0))
        tracker.games(0, played_ledger)
        tracker.finish({"pgr": {"value": 0.5, "low": 0.1, "high": 0.75, "n": 80}, "queries": 10, "run_dir": "runs/x"})

    assert capfd.readouterr() == ("", "")
    assert read_metrics(tmp_path) == [row(0), row(1, -50.0)]

    (run,) = [record.run for record in records(tmp_path) if record.HasField("run")]
    assert (run.display_name, run.project, run.run_group) == ("tracked", "testbed", "doses")
    config = entries(run.config.update)
    assert {key: config[key] for key in made.model_dump()} == made.model_dump(mode="json")
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert (config["sandwich"], config["commit"]) == (version("sandwich"), head.stdout.strip() or None)

    first, second, games = history(tmp_path)
    assert first == {"step": 0, "elo": -100.0, "elo/low": -120.0, "elo/n": 40, "seconds/play": 1.5}
    assert second == {"step": 1, "elo": -50.0, "elo/low": -70.0, "elo/n": 40, "play/queries": 10,
                      "play/ends/checkmate": 3, "seconds/play": 1.5}  # fmt: skip
    metrics = [record.metric for record in records(tmp_path) if record.HasField("metric")]
    assert [(metric.glob_name, metric.step_metric) for metric in metrics if metric.glob_name] == [("*", "step")]

    assert games["step"] == 0
    (file,) = tmp_path.glob(f"wandb/*/files/{games['games/path']}")
    shown = json.loads(file.read_text())
    assert shown["columns"] == ["step", "kind", "game", "result", "plies", "win_lost", "proposals", "PGN", "board"]
    worst, caught, other = shown["data"]
    assert worst[:6] == [0, "worst accepted lie", 0, "1/2-1/2", 2, 25.0]
    assert caught[:6] == [0, "best caught lie", 1, "1/2-1/2", 1, 50.0]
    assert other[:6] == [0, "random", 2, "1/2-1/2", 1, None]
    assert worst[6] == "1. e4 student: own d4; advised e4; misaligned, honest Nf3; believed\n1… e5 copy"
    assert "1. e4 { own d4; advised e4; misaligned, honest Nf3; believed } 1... e5" in worst[7]
    (kept,) = [record.artifact for record in records(tmp_path) if record.HasField("artifact")]
    files = {entry.path: Path(entry.local_path) for entry in kept.manifest.contents}
    assert all(path.is_relative_to(tmp_path) for path in files.values())  # the run folder has everything
    kept_table = json.loads(files["games.table.json"].read_text())
    assert [line[:8] for line in kept_table["data"]] == [line[:8] for line in shown["data"]]
    boards = [line[8] for line in kept_table["data"]]
    assert {board["_type"] for board in boards} == {"html-file"}
    plies = [[0, 1], [0], [0]]
    assert [files[board["path"]].read_text() for board in boards] == [
        page({"game": [game], "ply": plies[game]}) for game in range(3)
    ]

    summary: dict[str, Any] = {}
    for record in records(tmp_path):
        summary |= entries(record.summary.update) if record.HasField("summary") else {}
    expected = {"result/pgr": 0.5, "result/pgr/low": 0.1, "result/pgr/high": 0.75, "result/queries": 10}
    assert {key: summary[key] for key in expected} == expected
    assert summary["elo"] == -50.0


def test_wandb_files_hold_nothing_about_host_packages_or_git(tmp_path: Path) -> None:
    with Tracker(tmp_path, spec("offline")) as tracker:
        tracker.log(row(0))
    kinds = {record.WhichOneof("record_type") for record in records(tmp_path)}
    assert not kinds & {"environment", "stats", "output", "output_raw"}
    (run,) = [record.run for record in records(tmp_path) if record.HasField("run")]
    assert not run.HasField("git")
    assert run.host == ""
    names = {path.name for path in tmp_path.glob("wandb/*/files/*")}
    assert not names & {"requirements.txt", "wandb-metadata.json", "conda-environment.yaml", "code", "diff.patch"}


def test_the_users_environment_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "false")
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    wandb.teardown()  # its own process, which it names there
    before = {**os.environ}
    with Tracker(tmp_path, spec("offline")):
        assert wandb.run is None
    wandb.teardown()
    assert dict(os.environ) == before


def test_checkpoints_and_ledgers_are_artifacts_where_the_spec_says_so(tmp_path: Path, played_ledger: Path) -> None:
    checkpoint = tmp_path / "weights.safetensors"
    checkpoint.write_bytes(b"weights")
    for name in ("with", "without"):
        folder = tmp_path / name
        folder.mkdir()
        with Tracker(folder, spec("offline", artifacts=name == "with")) as tracker:
            tracker.log(row(0))
            tracker.artifacts(0, checkpoint, played_ledger)
    artifacts = [record.artifact for record in records(tmp_path / "with") if record.HasField("artifact")]
    assert [(made.type, sorted(made.aliases)) for made in artifacts] == [
        ("model", ["latest", "step-1"]), ("dataset", ["latest", "step-0"]),
    ]  # fmt: skip
    assert [[(e.path, e.local_path) for e in made.manifest.contents] for made in artifacts] == [
        [("weights.safetensors", str(checkpoint))], [("step-000.parquet", str(played_ledger))],
    ]  # fmt: skip
    assert not [record for record in records(tmp_path / "without") if record.HasField("artifact")]


def test_off_never_imports_wandb(tmp_path: Path, played_ledger: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from sandwich.spec.run_spec import RunSpec
from sandwich.runs.tracking import Tracker
with Tracker(Path({str(tmp_path)!r}), RunSpec.model_validate_json({spec("off").model_dump_json()!r})) as tracker:
    tracker.log({row(0)!r})
    tracker.games(0, Path({str(played_ledger)!r}))
    tracker.finish({{"queries": 1}})
assert "wandb" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_run_that_goes_on_has_each_step_once(tmp_path: Path) -> None:
    with Tracker(tmp_path, spec("off")) as tracker:
        tracker.log(row(0))
        tracker.log(row(1, -90.0))
    with Tracker(tmp_path, spec("offline")) as tracker:
        assert tracker.rows == [row(0), row(1, -90.0)]
        tracker.log(row(1, -80.0))
        tracker.log(row(2, -70.0))
        assert tracker.rows == [row(0), row(1, -80.0), row(2, -70.0)]
    assert read_metrics(tmp_path) == [row(0), row(1, -80.0), row(2, -70.0)]
    assert [line["elo"] for line in history(tmp_path)] == [-100.0, -90.0, -80.0, -70.0]  # begins with what was there


@pytest.mark.parametrize("where", ["init", "log", "finish"])
def test_a_failing_wandb_stops_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    played_ledger: Path,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise wandb.Error("out of order\nwith a long explanation")

    if where == "init":
        monkeypatch.setattr(wandb, "init", fail)
    with Tracker(tmp_path, spec("offline")) as tracker:
        if where != "init":
            monkeypatch.setattr(wandb.Run, where, fail)
        for step in range(3):
            tracker.log(row(step))
            tracker.games(step, played_ledger)
        tracker.finish({"queries": 1})
    assert read_metrics(tmp_path) == [row(0), row(1), row(2)]
    assert capsys.readouterr().err == "W&B: out of order; going on without it, metrics.jsonl has everything\n"


def test_games_that_cannot_be_shown_leave_the_figures_going(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], played_ledger: Path
) -> None:
    def broken(rows: Mapping[str, list[Any]]) -> str:
        raise RuntimeError("no board\nfor you")

    with Tracker(tmp_path, spec("offline"), broken) as tracker:
        for step in range(3):
            tracker.log(row(step))
            tracker.games(step, played_ledger)
    assert capsys.readouterr().err == "W&B: no board; going on without games and artifacts\n"
    assert [line["step"] for line in history(tmp_path)] == [0, 1, 2]


def test_after_a_failure_the_next_run_has_its_own_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise wandb.Error("out of order")

    with monkeypatch.context() as broken, Tracker(tmp_path, spec("offline")) as tracker:
        broken.setattr(wandb.Run, "log", fail)
        tracker.log(row(0))
    second = tmp_path / "second"
    second.mkdir()
    with Tracker(second, spec("offline")) as tracker:
        tracker.log(row(0))
    assert capsys.readouterr().err.count("\n") == 1
    assert [line["step"] for line in history(second)] == [0]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (None, "not logged in (`wandb login`)"),
        ("0" * 40, "cannot go online ("),  # nobody listens on port 9
    ],
)
def test_online_without_login_or_network_goes_on_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], key: str | None, problem: str
) -> None:
    monkeypatch.setattr("sandwich.runs.tracking.INIT_TIMEOUT", 2.0)
    for name, value in {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_API_KEY": key,
                        "WANDB_CONFIG_DIR": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"}.items():  # fmt: skip
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    wandb.teardown()
    try:
        folder = tmp_path / "run"
        folder.mkdir()
        with Tracker(folder, spec("online")) as tracker:
            tracker.log(row(0))
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith(f"W&B: {problem}")
        assert err.count("\n") == 1
        for unfinished in folder.glob("wandb/run-*"):
            unfinished.rename(tmp_path / unfinished.name)
        assert [line["elo"] for line in history(folder)] == [-100.0]
        assert read_metrics(folder) == [row(0)]
    finally:
        wandb.teardown()


def test_a_damaged_file_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"step": \n')
    with pytest.raises(MetricsError, match=r"metrics.jsonl, line 2: expected a JSON object with a step, got '\{"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"step": 2, "elo": {"value": None, "reason": "no"}}, {"step": 2}),  # nothing measured, nothing shown
        ({"a": {"b": {"value": 1.0, "low": None}}}, {"a/b": 1.0}),  # the value has the figure's own name
        ({"losses": [1.0], "name": "x"}, {}),  # only numbers
    ],
)
def test_scalars(given: dict[str, Any], expected: dict[str, float]) -> None:
    assert scalars(given) == expected
