"""Online, against a stand-in for W&B's server: what arrives is what was measured; a broken W&B stops nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wandb

from sandwich.runs import tracking
from sandwich.runs.metrics import read_metrics, scalars
from sandwich.runs.tracking import Tracker
from sandwich.runtime.environment import environment
from tests.helpers.project import ROOT
from tests.helpers.tracked_runs import page, played_ledger, row, spec
from tests.helpers.wandb_stub import WandbStub

__all__ = ["played_ledger"]  # a fixture

pytestmark = pytest.mark.timeout(300)

LATE = 20.0
"""Seconds by which a loaded machine may be late."""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbStub]:
    """The stand-in, where W&B's client goes to; nothing of the user's is read or written."""
    with WandbStub() as server:
        for name, value in client(server, tmp_path).items():
            monkeypatch.setenv(name, value)
        wandb.teardown()
        yield server
        server.manner = "serve"
        server.released.set()
    wandb.teardown()


def client(stub: WandbStub, home: Path) -> dict[str, str]:
    """Environment in which W&B's client knows the stand-in and nobody else."""
    return {
        "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": stub.url, "HOME": str(home), "NETRC": str(home / "netrc"),
        "WANDB_CONFIG_DIR": str(home / "config"), "WANDB_CACHE_DIR": str(home / "cache"), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def test_what_arrives_is_what_was_measured(
    stub: WandbStub, folder: Path, played_ledger: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = spec("online", group="doses", artifacts=True)
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"weights" * 100)
    with Tracker(folder, made, page) as tracker:
        tracker.log(row(0))
        for step in range(2):
            tracker.log(row(step + 1, -50.0 + step))
            tracker.games(step, played_ledger)
            tracker.artifacts(step, weights, played_ledger)
        tracker.finish({"pgr": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 80}})
    assert capfd.readouterr() == ("", "")

    # The run: one, in its group, with the whole config, ended well.
    ((name, run),) = stub.runs.items()
    assert (run["groupName"], run["project"], run["displayName"]) == ("doses", "testbed", "tracked")
    config = {key: entry["value"] for key, entry in json.loads(run["config"]).items()}
    assert {key: config[key] for key in made.model_dump()} == made.model_dump(mode="json")
    assert stub.complete == [0]

    # Figures: every number of metrics.jsonl, and the result in the summary.
    rows = stub.rows()
    assert [line for line in rows if "games" not in line] == [scalars(line) for line in read_metrics(folder)]
    assert {key: value for key, value in stub.summary().items() if key.startswith("result/")} == {
        "result/pgr": 0.5, "result/pgr/low": 0.25, "result/pgr/high": 0.75, "result/pgr/n": 80,
    }  # fmt: skip
    assert stub.summary()["elo"] == -49.0

    # Games: a table for each step, with pages that were uploaded whole.
    assert [line["step"] for line in rows if "games" in line] == [0, 1]
    kept = {number: made for number, made in stub.artifacts.items() if made["artifactTypeName"] == "run_table"}
    assert len(kept) == 2
    for number in kept:
        table = json.loads(stub.uploads[f"artifact/{number}/games.table.json"])
        assert [line[1] for line in table["data"]] == ["worst accepted lie", "best caught lie", "random"]
        pages = [stub.uploads[f"artifact/{number}/{line[8]['path']}"].decode() for line in table["data"]]
        assert pages == [page({"game": [game], "ply": plies}) for game, plies in enumerate([[0, 1], [0], [0]])]

    # Artifacts: each file as it is on the disk.
    files = {f"checkpoint-{name}": weights, f"ledger-{name}": played_ledger}
    for collection, path in files.items():
        versions = [n for n, made in stub.artifacts.items() if made["artifactCollectionName"] == collection]
        assert len(versions) == 2
        for number in versions:
            assert stub.uploads[f"artifact/{number}/{path.name}"] == path.read_bytes()
    aliases = [{alias["alias"] for alias in made["aliases"]} for made in stub.artifacts.values()]
    assert all({"latest", f"step-{step}"} in aliases for step in (0, 1, 2))
    assert all(made["committed"] for made in stub.artifacts.values())


def service(number: int, parent: int | None = None) -> None:
    """Send a signal to the W&B process that this process has, or `parent`."""
    command = ["pgrep", "-P", str(parent or os.getpid()), "wandb-core"]
    (core,) = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(core), number)


def begun(stub: WandbStub) -> None:
    """Wait until the stand-in has heard of a run."""
    until = time.monotonic() + 30
    while not stub.runs and time.monotonic() < until:
        time.sleep(0.05)
    assert stub.runs


def hang(stub: WandbStub) -> None:
    stub.manner = "hang"


def refuse(stub: WandbStub) -> None:
    stub.manner = "refuse"


@pytest.mark.timing
@pytest.mark.parametrize("when", ["before the run", "after a step"])
@pytest.mark.parametrize(
    "what",
    [
        hang,
        refuse,
        WandbStub.die,
        pytest.param(lambda stub: service(signal.SIGSTOP), id="its process hangs"),
        pytest.param(lambda stub: service(signal.SIGKILL), id="its process dies"),
    ],
)
def test_a_broken_wandb_slows_and_stops_nothing(
    stub: WandbStub, folder: Path, played_ledger: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], what: Callable[[WandbStub], None], when: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(tracking, "INIT_TIMEOUT", 2.0)
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT", 1.5)
    monkeypatch.setattr(tracking, "END_WAIT", 3.0)
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"weights")
    if when == "before the run":
        with environment(tracking._variables(folder)):
            wandb.setup()
        what(stub)
    start = time.monotonic()
    with Tracker(folder, spec("online", artifacts=True), page) as tracker:
        assert time.monotonic() - start < tracking.START_WAIT + LATE
        for step in range(4):
            if step == 1 and when == "after a step":
                begun(stub)
                what(stub)
            start = time.monotonic()
            tracker.log(row(step))
            tracker.games(step, played_ledger)
            tracker.artifacts(step, weights, played_ledger)
            assert time.monotonic() - start < LATE
            time.sleep(0.1)
        start = time.monotonic()
    assert time.monotonic() - start < tracking.END_WAIT + tracking.TEARDOWN_WAIT + LATE
    assert read_metrics(folder) == [row(step) for step in range(4)]
    lines = capfd.readouterr().err.splitlines()
    assert lines and all(line.startswith("W&B: ") for line in lines), lines
    assert len(lines) <= 3


@pytest.mark.parametrize("broken", ["hang", "stop"])
def test_a_process_ends_soon_after_a_run_whose_wandb_hangs(
    stub: WandbStub, folder: Path, tmp_path: Path, broken: str
) -> None:
    script = f"""
import sys, time
from pathlib import Path
from sandwich.runs import tracking
from tests.helpers.tracked_runs import row, spec
tracking.FINISH_TIMEOUT, tracking.END_WAIT = 1.5, 3.0
with tracking.Tracker(Path({str(folder)!r}), spec("online")) as tracker:
    tracker.log(row(0))
    print("begun", flush=True)
    sys.stdin.readline()
    tracker.log(row(1))
print("over", flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=ROOT, env=os.environ | client(stub, tmp_path) | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdin and child.stdout and child.stderr
    assert child.stdout.readline() == "begun\n"
    begun(stub)
    if broken == "hang":
        hang(stub)
    else:
        service(signal.SIGSTOP, child.pid)
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "over\n"
    assert child.wait(timeout=60) == 0
    lines = child.stderr.read()
    assert lines.count("\n") == 1
    assert "going on without it, metrics.jsonl has everything" in lines
    assert read_metrics(folder) == [row(0), row(1)]
