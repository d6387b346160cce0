"""A run and a sweep on hosts that share nothing but a network, come and go, and are cut off in between."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.hosts import Host, network

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

SMALL = (
    "steps=1", "play.games=48", "play.block=4", "play.ply_cap=60", "evaluate.pairs=8", "evaluate.positions=10",
    "evaluate.nodes=null", "evaluate.ledger_positions=null", "evaluate.bootstrap=200",
    "evaluate.sampled=false", "evaluate.assistant=false",
    "tracking.wandb=off", "workers=2",
)  # fmt: skip
"""A run of some seconds."""
NOTICED_SOON = {"RAY_health_check_failure_threshold": "2", "RAY_health_check_timeout_ms": "2000"}
"""What has Ray notice within some ten seconds, and not in a minute, that a machine is off the network."""
CELLS = """
run:
  steps: 1
  expert: expert.safetensors
  student: weak.safetensors
  assistant: {base: expert.safetensors, misalignment: {type: random_move}}
  oversight: {type: trust}
  play: {games: 64, block: 8, ply_cap: 60, pgn_games: 2}
  finetune: {max_examples: 1000, fit: {epochs: 1, batch: 64, threads: 1}}
  evaluate: {pairs: 8, ply_cap: 12, positions: 4, nodes: null, ledger_positions: null, margin: null, assistant: false, bootstrap: 100}
  inference: {backend: torch}
  tracking: {wandb: "off"}
over: {assistant.misalignment.p: [0, 0.5, 1], seed: [0, 1, 2, 3]}
workers: 1
"""  # noqa: E501
"""A sweep of twelve runs of seconds, between players whose files lie on one host alone."""
PLAYERS = "from pathlib import Path; from tests.helpers.small_players import written; written(Path({name!r}), {seed})"
INTRUDER = """
import sys, ray
ray.init(address=sys.argv[1], logging_level="CRITICAL", log_to_driver=False)
print("let in")
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Host]]:
    """Three, of which the first two have a Ray node each; the first one's is the cluster's head."""
    with network(["alpha", "beta", "gamma"]) as made:
        head, other, _ = made
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


def until_it_does(host: Host, work: str) -> None:
    """Wait until a piece of work has come to a host."""
    until = time.monotonic() + 120
    while not host.says("pgrep", "--full", f"ray::{work}"):
        assert time.monotonic() < until, f"no {work} came to {host.name}"
        time.sleep(0.1)


def doors(host: Host) -> dict[str, set[str]]:
    """What listens on a host to others than itself: for each program its ports, `?` for those drawn at its start."""
    found: dict[str, set[str]] = {}
    for line in host.run("ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes").splitlines():
        address, port = line.split()[3].rsplit(":", 1)
        if not address.startswith(("127.", "[::1]")):
            (program,) = re.findall(r'"([^"]+)"', line)
            found.setdefault(program.split("::")[0], set()).add(port if port == "6379" else "?")
    return found


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
    head, other, _ = hosts

    def unplug(work: str) -> None:
        until_it_does(other, work)
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
    until_it_does(hosts[1], "play_block")
    assert doors(hosts[0]) == {"gcs_server": {"6379"}, "raylet": {"?"}, "ray": {"?"}, "sandwich": {"?"}}
    assert doors(hosts[1]) == {"raylet": {"?"}, "ray": {"?"}}
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


def test_twelve_cells_on_hosts_that_come_and_go_are_those_of_an_undisturbed_sweep(
    hosts: list[Host], cut: Callable[[str], None]
) -> None:
    head, other, third = hosts
    for seed, name in enumerate(("expert.safetensors", "weak.safetensors"), 1):
        head.run("python", "-c", PLAYERS.format(name=name, seed=seed))
    head.run("sh", "-c", 'printf %s "$0" > cells.yaml', CELLS)
    process = begin(head, "sweep", "cells.yaml", "--out", "disturbed")
    until_it_does(other, "play_block")
    join(third, head)
    until_it_does(third, "play_block")
    third.run("pkill", "--signal", "KILL", "raylet")  # its machine fails
    cut("play_block")
    join(third, head)
    told = [line for line in ended(process).splitlines() if "lost" in line]
    assert sorted(told) == [
        f"lost the machine {name}: what it was at is done again on others"
        for name in ("beta (10.77.0.2)", "gamma (10.77.0.3)")
    ]
    assert head.run("sandwich", "sweep", "status", "disturbed").splitlines()[-1] == "12 done"
    head.run("sandwich", "sweep", "cells.yaml", "--out", "undisturbed")
    made = sums(head, "disturbed")
    assert len(made) >= 24
    assert made == sums(head, "undisturbed")


def test_who_has_no_token_is_not_let_in(hosts: list[Host]) -> None:
    head, other, _ = hosts
    stranger = other.start(
        "timeout", "20", "python", "-c", INTRUDER, f"{head.address}:6379", environment={"RAY_AUTH_TOKEN": "0" * 64}
    )
    assert "let in" not in stranger.communicate()[0]
    address = {"RAY_ADDRESS": f"{head.address}:6379"}
    refused = head.start("sandwich", "run", "quick", environment={**address, "RAY_AUTH_MODE": "disabled"})
    assert "asks for a token; sandwich cluster token makes one" in refused.communicate()[1]
