"""A run and a sweep on two hosts that share nothing but a network, which fails in between."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.hosts import Host, network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = (
    "steps=1", "play.games=48", "play.block=4", "play.ply_cap=60", "evaluate.pairs=8", "evaluate.positions=10",
    "evaluate.nodes=null", "evaluate.ledger_positions=null", "evaluate.bootstrap=200",
    "evaluate.sampled=false", "evaluate.assistant=false",
    "tracking.wandb=off", "workers=2",
)  # fmt: skip
"""A run of some seconds."""
NOTICED_SOON = {"RAY_health_check_failure_threshold": "2", "RAY_health_check_timeout_ms": "2000"}
"""What has Ray notice within some ten seconds, and not in a minute, that a machine is off the network."""
CELLS = (
    *(f"fixed.{setting}" for setting in SMALL if not setting.startswith(("steps", "play.games", "workers"))),
    "fixed.play.games=16", "over={seed: [0, 1]}", "workers=1",
)  # fmt: skip
"""A sweep of two smaller ones."""
INTRUDER = """
import sys, ray
ray.init(address=sys.argv[1], logging_level="CRITICAL", log_to_driver=False)
print("let in")
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Host]]:
    """Two with a Ray node each, the first of them the cluster's head."""
    with network(["alpha", "beta"]) as made:
        head, other = made
        head.run(
            "ray", "start", "--head", f"--node-ip-address={head.address}", "--port=6379", "--num-cpus=1",
            "--include-dashboard=false", "--object-store-memory=200000000", environment=NOTICED_SOON,
        )  # fmt: skip
        join(other, head)
        yield made


def join(host: Host, head: Host) -> None:
    host.run(
        "ray", "start", f"--address={head.address}:6379", f"--node-ip-address={host.address}", "--num-cpus=1",
        "--object-store-memory=200000000",
    )  # fmt: skip


def begin(head: Host, *words: str) -> "subprocess.Popen[str]":
    return head.start("sandwich", *words, environment={"RAY_ADDRESS": f"{head.address}:6379"})


def ended(process: "subprocess.Popen[str]") -> str:
    """What a command said that ended well."""
    _, error = process.communicate(timeout=400)
    assert process.returncode == 0, error
    return error


def sums(host: Host, folder: str) -> dict[str, str]:
    """SHA-256 of a folder's ledgers and weights."""
    lines = host.run("sh", "-c", f"cd {folder} && find . -name '*.parquet' -o -name '*.safetensors' | xargs sha256sum")
    return {name: digest for digest, name in map(str.split, lines.splitlines()) if "results" not in name}


@pytest.fixture
def cut(hosts: list[Host]) -> Iterator[Callable[[str], None]]:
    """Takes the second host off the network in the middle of a piece of work; at the end it is back, and joins anew."""
    head, other = hosts

    def unplug(work: str) -> None:
        until = time.monotonic() + 120
        while not other.says("pgrep", "--full", f"ray::{work}"):
            assert time.monotonic() < until, f"no {work} came to {other.name}"
            time.sleep(0.1)
        other.run("ip", "link", "set", "net", "down")

    yield unplug
    other.run("ray", "stop", "--force")
    other.run("ip", "link", "set", "net", "up")
    join(other, head)


@pytest.fixture(scope="module")
def alone(hosts: list[Host]) -> dict[str, str]:
    """Sums of the run on one of them, without the other."""
    hosts[0].run("sandwich", "run", "quick", *SMALL, "--out", "alone")
    return sums(hosts[0], "alone")


def test_a_run_on_two_hosts_gives_the_bytes_of_one(hosts: list[Host], alone: dict[str, str]) -> None:
    process = begin(hosts[0], "run", "quick", *SMALL, "--out", "both")
    until = time.monotonic() + 120
    while not hosts[1].says("pgrep", "--full", "ray::play_block"):  # part of it is done there
        assert time.monotonic() < until
        time.sleep(0.1)
    ended(process)
    assert len(alone) >= 2
    assert sums(hosts[0], "both") == alone


def test_what_a_host_was_at_that_is_cut_off_is_done_again_and_told(
    hosts: list[Host], alone: dict[str, str], cut: Callable[[str], None]
) -> None:
    process = begin(hosts[0], "run", "quick", *SMALL, "--out", "cut")
    cut("play_block")
    told = [line for line in ended(process).splitlines() if "lost" in line]
    assert told == ["lost the machine beta (10.77.0.2): what it was at is done again on others"]
    assert sums(hosts[0], "cut") == alone


def test_cells_come_home_from_a_host_that_sees_no_folder_and_is_cut_off(
    hosts: list[Host], cut: Callable[[str], None]
) -> None:
    head, _ = hosts
    process = begin(head, "sweep", "dose_smoke", *CELLS, "--out", "disturbed")
    cut("play_block")
    told = [line for line in ended(process).splitlines() if "lost" in line]
    assert told == ["lost the machine beta (10.77.0.2): what it was at is done again on others"]
    assert head.run("sandwich", "sweep", "status", "disturbed").splitlines()[-1] == "2 done"
    head.run("sandwich", "sweep", "dose_smoke", *CELLS, "--out", "undisturbed")
    made = sums(head, "disturbed")
    assert len(made) >= 4
    assert made == sums(head, "undisturbed")


def test_who_has_no_token_is_not_let_in(hosts: list[Host]) -> None:
    head, other = hosts
    stranger = other.start(
        "timeout", "20", "python", "-c", INTRUDER, f"{head.address}:6379", environment={"RAY_AUTH_TOKEN": "0" * 64}
    )
    assert "let in" not in stranger.communicate()[0]
    address = {"RAY_ADDRESS": f"{head.address}:6379"}
    refused = head.start("sandwich", "run", "quick", environment={**address, "RAY_AUTH_MODE": "disabled"})
    assert "asks for a token; sandwich cluster token makes one" in refused.communicate()[1]
