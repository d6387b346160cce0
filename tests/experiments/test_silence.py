"""Nothing is sent anywhere: commands in a network of their own, whose name server only writes down what is asked."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.helpers.project import ROOT

pytestmark = pytest.mark.slow

SERVER = next(
    (line.split()[1] for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver")),
    "",
) if Path("/etc/resolv.conf").exists() else ""  # fmt: skip
"""The address that this machine asks for names."""

NAMES = """
import socket, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    message, sender = asked.recvfrom(2048)
    place, name = 12, []
    while message[place]:
        name.append(message[place + 1 : place + 1 + message[place]].decode())
        place += message[place] + 1
    print(".".join(name), flush=True)
    asked.sendto(message[:2] + b"\\x81\\x83" + message[4:6] + bytes(6) + message[12:], sender)  # no such name
"""

SPEC = {
    "steps": 1, "workers": 1, "assistant": {"misalignment": {"type": "random_move"}}, "oversight": {"type": "trust"},
    "play": {"games": 4, "block": 4, "ply_cap": 16, "pgn_games": 4},
    "finetune": {"fit": {"epochs": 1, "batch": 16, "threads": 1}},
    "evaluate": {"pairs": 2, "ply_cap": 16, "sampled": False, "positions": 4, "nodes": None,
                 "ledger_positions": None, "margin": None, "assistant": False, "bootstrap": 100},
    "tracking": {"wandb": "offline"},
}  # fmt: skip


def alone(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A shell script done in a network namespace of its own, whose loopback has the name server's address too."""
    setup = f"ip link set lo up && ip addr add {SERVER}/32 dev lo || exit 1; "
    values = {key: value for key, value in os.environ.items() if key not in ("CI", "SANDWICH_CACHE")}
    return subprocess.run(
        ["unshare", "-n", "bash", "-c", setup + script],
        env=values | environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.fixture(scope="module")
def permitted() -> None:
    """Skips where no network namespace can be made."""
    missing = [program for program in ("unshare", "ip", "bash") if not shutil.which(program)]
    if missing or ":" in SERVER or not SERVER:
        pytest.skip(f"needs {', '.join(missing) or 'a name server with an IPv4 address in /etc/resolv.conf'}")
    tried = alone("true")
    if tried.returncode:
        pytest.skip(f"no network namespace can be made here: {tried.stderr.strip()}")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home; afterwards nothing is in it but the cache of the project."""
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    made = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    assert {path.parts[:2] for path in made} <= {(".cache", "sandwich")}


def asked(home: Path, command: str) -> list[str]:
    """Names that were looked up while a command ran to its good end in an empty network."""
    seen = home.with_name("asked.txt")
    names = home.with_name("names.py")
    names.write_text(NAMES)
    script = (
        f"{sys.executable} {names} {SERVER} > {seen} 2> {seen}.err & names=$!;"
        f" until [ -s {seen} ]; do sleep 0.1; done;"
        f" {command}; code=$?; sleep 1; kill $names; exit $code"
    ).replace("PYTHON", f"{sys.executable} -m sandwich")
    done = alone(script, HOME=str(home), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    said = seen.read_text().split()
    assert said[0] == "ready"
    return said[1:]


def test_the_record_hears_of_a_name(permitted: None, home: Path) -> None:
    """What the tests below count on."""
    assert "example.org" in asked(home, "getent hosts example.org || true")


def test_run_report_and_view_ask_for_no_name(permitted: None, home: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SPEC))
    run = tmp_path / "run"
    said, page = tmp_path / "said", tmp_path / "page.html"
    fetch = "import sys, urllib.request as u; open(sys.argv[2], 'wb').write(u.urlopen(sys.argv[1]).read())"
    view = (
        f"PYTHON view {run} --port 0 > {said} 2>&1 & view=$!; until grep -q http {said}; do sleep 0.2; done;"
        f" {sys.executable} -c \"{fetch}\" $(grep -o 'http[^ ]*' {said}) {page}; kill $view; wait $view; [ -s {page} ]"
    )
    assert asked(home, f"PYTHON run {tmp_path}/tiny.yaml --out {run} && PYTHON report {run} || exit 1; {view}") == []
    assert (run / "report.html").exists()


@pytest.mark.long
def test_a_sweep_asks_for_no_name(permitted: None, home: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SPEC))
    sweep = {"run": "tiny.yaml", "over": {"seed": [0, 1]}, "workers": 1}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    assert asked(home, f"PYTHON sweep run {tmp_path}/sweep.yaml --out {tmp_path}/sweep") == []


def test_a_match_asks_for_no_name(permitted: None, home: Path) -> None:
    assert asked(home, "PYTHON match a=weak b=weak --pairs 2 --workers 1") == []
