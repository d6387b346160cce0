"""The benchmarks run, in small, and print the figures that they promise."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers.project import ROOT

pytestmark = pytest.mark.slow


def figures(name: str, *options: str) -> dict[str, Any]:
    """What a benchmark prints with --json."""
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *options, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_selfplay(precision: str) -> None:
    found = figures("selfplay", "--precision", precision, "--games", "16", "--rounds", "1", "--ply-cap", "12")
    assert found["precision"] == precision
    assert found["ratio"] > 0
    assert found["plies_per_s"] < found["evaluations_per_s"]


def test_selfplay_on_workers() -> None:
    found = figures("selfplay", "--workers", "2", "--games", "8", "--rounds", "1", "--ply-cap", "6")
    assert found["workers"] == 2
    assert found["evaluations_per_s"] > 0 and found["network_evaluations_per_s"] > 0


def test_peers_leave_out_what_is_not_installed() -> None:
    found = figures(
        "peers", "--seconds", "0.2", "--rounds", "1", "--only", "naive", "--only", "fp32", "--only", "rules"
    )
    assert {"python_chess_naive", "sandwich_fp32", "rules_sandwich"} <= found.keys()
    assert found["rules_sandwich"] > found["sandwich_fp32"] > 0


def test_a_gpu_or_what_stands_in_for_it() -> None:
    found = figures("gpu", "--small", "--no-run")
    assert found["training 64"]["trainer"] > 0 and found["training 64"]["bare"] > 0
    assert found["selfplay"]["games"] == 32 and found["selfplay"]["ratio"] > 0


def test_precision() -> None:
    found = figures("precision", "--pairs", "2", "--only", "bf16", "--temperature", "1")
    assert set(found) == {"expert bf16", "weak bf16", "adversary bf16"}
    for row in found.values():
        assert row["same_moves"]["value"] > 0.98
