"""What becomes of a run when something fails: faults are injected, and its end is compared with an undisturbed one.

A trial injects one fault into a small run, and then gives the same command again until it ends. It ended right where
every ledger, every checkpoint and every figure is the same, byte for byte (seconds aside), nothing is there twice,
and each command that failed said so in one line, without a traceback.

usage: .venv/bin/python benchmarks/faults.py [--injections 20] [--only WORD] [--json]

Needs Linux; trials of full disks and read-only folders need the right to mount (without it they are left out, and
named).
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import yaml

HERE = Path(__file__).resolve().parent
PATIENCE = 240.0
"""Seconds after which a command counts as hanging."""

PLUGIN = '''\
"""Random answers, and whatever fault the environment names."""

import os
import time
from dataclasses import replace

import numpy as np

from agents.misalignment.base import Misalignment


class Faulty(Misalignment):
    """Answers honestly unless PLUGIN_FAULT is set."""

    def corrupt(self, queries, honest, rngs, tools):
        answers = list(honest)
        match os.environ.get("PLUGIN_FAULT"):
            case "raise":
                raise RuntimeError("a fault of the plugin")
            case "exit":
                os._exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "nan":
                answers[0] = replace(honest[0], policy=honest[0].policy * np.nan)
            case "shape":
                answers[0] = replace(honest[0], policy=honest[0].policy[:-1])
            case "illegal":
                answers[0] = replace(honest[0], move=-1)
            case "few":
                answers = answers[:-1]
            case "in place":
                honest[0].policy[:] = 0
        return answers
'''

SPEC: dict[str, Any] = {
    "name": "faults",
    "steps": 2,
    "seed": 0,
    "workers": 2,
    "assistant": {"misalignment": {"type": "random_move", "p": 0.5}},
    "oversight": {"type": "trust"},
    "tracking": {"wandb": "off"},
    "inference": {"backend": "torch"},  # nothing to export
    "play": {"games": 16, "block": 4, "ply_cap": 40, "pgn_games": 4},
    "finetune": {"fit": {"epochs": 1, "batch": 64, "threads": 1}},
    "evaluate": {
        "pairs": 4, "ply_cap": 40, "sampled": False, "positions": 20, "nodes": 400, "ledger_positions": 30,
        "ledger_nodes": 400, "margin": None, "assistant": False, "bootstrap": 100,
    },
}  # fmt: skip
"""Small enough for many trials, and large enough that play, learning, matches and the oracle each take a while."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended, or was given up."""

    code: int
    said: str
    seconds: float

    @property
    def problem(self) -> str:
        """What is wrong with how it ended; empty where nothing is."""
        if self.code == 124:
            return f"no end within {PATIENCE:.0f} s, or none that was expected: {self.said.strip()[-300:]}"
        if "Traceback (most recent call last)" in self.said:
            return f"a traceback: {self.said[self.said.index('Traceback') :].strip()[:2000]}"
        errors = [line for line in self.said.splitlines() if line.startswith(("Error: ", "Stopped"))]
        if self.code > 0 and len(errors) != 1:
            return f"exit {self.code} with {len(errors)} lines of explanation ({self.said.strip()[-300:]})"
        return ""


@dataclass
class Trial:
    """One run in a folder of its own, with a cache of its own.

    spec: the spec's file.
    typical: seconds that an undisturbed run takes.
    finished: folder of an undisturbed run.
    """

    root: Path
    spec: Path
    rng: random.Random
    typical: float
    finished: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.root / "out"

    def start(self, *more: str, **environment: str) -> subprocess.Popen[str]:
        """Begin the run, or go on with it."""
        home = self.root / "home"
        home.mkdir(parents=True, exist_ok=True)
        known = {**os.environ, "HOME": str(home), "SANDWICH_CACHE": str(self.root / "cache"), **self.environment}
        command = [sys.executable, "-m", "sandwich", "run", str(self.spec), "--out", str(self.out), *more]
        return subprocess.Popen(
            command, env=known | environment, text=True, encoding="utf-8", errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, **environment: str) -> Ended:
        """Give the command, and wait for its end."""
        return self.end(self.start(**environment))

    def end(self, process: subprocess.Popen[str], since: float | None = None) -> Ended:
        """Wait for the end of a command; one that hangs is killed."""
        since = since or time.monotonic()
        try:
            said, _ = process.communicate(timeout=PATIENCE)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            code = 124
        return Ended(code, said, time.monotonic() - since)

    def wait(self, process: subprocess.Popen[str], share: float | None = None) -> None:
        """Let a run go on for a random part of its usual time, or until it ends."""
        until = time.monotonic() + self.typical * (self.rng.random() if share is None else share)
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)


Inject = Callable[[Trial], list[Ended]]
"""Does to a run what is to be tried; the commands that it gave, as they ended. The same command is then given again."""


def killed(name: signal.Signals, trial: Trial) -> list[Ended]:
    """The driver gets a signal at a random moment."""
    process = trial.start()
    trial.wait(process)
    process.send_signal(name)
    ended = trial.end(process)
    if name == signal.SIGKILL or (ended.code == -name and not ended.said):  # … or it had not begun to do anything
        return []
    expected = (130, 1, 0) if name == signal.SIGINT else (128 + name, 1, 0)
    return [ended if ended.code in expected else Ended(124, f"exit {ended.code}: {ended.said}", ended.seconds)]


def processes_of(pid: int, name: str) -> list[int]:
    """Processes below one whose command line holds a name."""
    found = []
    try:
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                found += [child.pid] if name in " ".join(child.cmdline()) else []
    except psutil.NoSuchProcess:
        pass
    return found


def part_killed(name: str, trial: Trial) -> list[Ended]:
    """A process of the run is killed at a random moment."""
    process = trial.start()
    trial.wait(process, trial.rng.uniform(0.2, 0.95))
    found: list[int] = []
    while not found and process.poll() is None:
        found = processes_of(process.pid, name)
    if found:
        try:
            os.kill(trial.rng.choice(found), signal.SIGKILL)
        except ProcessLookupError:
            pass
    return [trial.end(process)]


def engine_fails(fault: str, trial: Trial) -> list[Ended]:
    """The engine fails at a random question of the run."""
    mark = trial.root / "failed"
    ended = trial.run(FAULT=fault, FAULT_MARK=str(mark), FAULT_AT=str(trial.rng.randrange(40)))
    mark.touch()
    return [ended]


def plugin_fails(fault: str, trial: Trial) -> list[Ended]:
    """The misalignment, a file beside the spec, fails; then it no longer does."""
    return [trial.run(PLUGIN_FAULT=fault)]


def damaged(how: str, trial: Trial) -> list[Ended]:
    """A file of a finished run is damaged; it is told, and restored as from a copy."""
    shutil.copytree(trial.finished, trial.out)
    files = sorted(path for path in trial.out.rglob("*") if path.is_file() and _is_read_again(path, trial.out))
    path = trial.rng.choice(files)
    content = path.read_bytes()
    match how:
        case "cut":
            path.write_bytes(content[: trial.rng.randrange(1, max(2, len(content)))])
        case "emptied":
            path.write_bytes(b"")
        case "flipped":
            place = trial.rng.randrange(len(content))
            path.write_bytes(
                content[:place] + bytes([content[place] ^ (1 << trial.rng.randrange(8))]) + content[place + 1 :]
            )
        case "removed":
            path.unlink()
    second = trial.run()
    if second.code and path.name not in second.said:
        second = Ended(2, second.said.replace("Error: ", ""), second.seconds)  # it did not name the file
    path.write_bytes(content)
    return [second]


def _is_read_again(path: Path, out: Path) -> bool:
    """Whether a run that goes on reads a file."""
    inside = path.relative_to(out).parts[0]
    return inside not in ("games", "report.html", "wandb") and not path.name.startswith(".")


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[Path]:
    """A small file system of its own at a folder."""
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(root)], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def full_disk(trial: Trial) -> list[Ended]:
    """The file system of the run folder is full after a random number of bytes; then it is enlarged."""
    mount = trial.out
    mount.mkdir()
    size = trial.rng.randrange(1, 40) * 128
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(mount)], check=True)
    ended = trial.run()
    subprocess.run(["mount", "-o", "remount,size=256m", str(mount)], check=True)
    return [ended]


def read_only(trial: Trial) -> list[Ended]:
    """The file system of the run folder becomes read-only at a random moment; then it can be written again."""
    mount = trial.out
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(mount)], check=True)
    process = trial.start()
    trial.wait(process)
    while (
        process.poll() is None
        and subprocess.run(  # not while a file is being written
            ["mount", "-o", "remount,ro", str(mount)], check=False, capture_output=True
        ).returncode
    ):
        time.sleep(0.05)
    ended = trial.end(process)
    subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
    return [ended]


def two_drivers(trial: Trial) -> list[Ended]:
    """The same command is given twice, a random moment apart: one is refused, the other ends."""
    first = trial.start()
    trial.wait(first, trial.rng.random() * 0.5)
    second = trial.start()
    ends = [trial.end(second), trial.end(first)]
    if sorted(end.code for end in ends) != [0, 1]:
        ends.append(Ended(1, f"both ended with {[end.code for end in ends]}", 0))
    return ends


def wandb_fails(how: str, trial: Trial) -> list[Ended]:
    """W&B refuses every connection, takes it and says nothing, or has no space for its data."""
    if how == "no space":
        process = trial.start("tracking.wandb=offline")
        trial.wait(process)
        process.send_signal(signal.SIGINT)
        first = trial.end(process)
        with small_disk(trial.out / "wandb", f"{trial.rng.randrange(1, 20) * 4}k"):
            return [first, trial.end(trial.start("tracking.wandb=offline"))]
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        port = server.getsockname()[1]
        if how == "refuses":
            server.close()
        known = {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", "WANDB_API_KEY": "0" * 40}
        return [trial.end(trial.start("tracking.wandb=online", **known))]


ENGINES = ("die", "stop", "rubbish", "close", "lose")
PLUGINS = ("raise", "exit", "interrupt", "nan", "shape", "illegal", "few", "in place")

FAULTS: dict[str, Inject] = {
    "driver killed (SIGKILL)": partial(killed, signal.SIGKILL),
    "driver interrupted (SIGINT)": partial(killed, signal.SIGINT),
    "driver terminated (SIGTERM)": partial(killed, signal.SIGTERM),
    "terminal gone (SIGHUP)": partial(killed, signal.SIGHUP),
    "worker killed": partial(part_killed, "ray::"),
    "raylet killed": partial(part_killed, "raylet/raylet"),
    "Stockfish killed": partial(part_killed, "unreliable_engine"),
    **{f"engine: {fault}": partial(engine_fails, fault) for fault in ENGINES},
    **{f"plugin: {fault}": partial(plugin_fails, fault) for fault in PLUGINS},
    **{f"file {how}": partial(damaged, how) for how in ("cut", "emptied", "flipped", "removed")},
    "disk full": full_disk,
    "folder read-only": read_only,
    "two drivers": two_drivers,
    **{f"W&B {how}": partial(wandb_fails, how) for how in ("refuses", "hangs", "no space")},
}
"""Each kind of fault, by the name that the table has."""
MOUNTS = ("disk full", "folder read-only", "W&B no space")
"""Kinds that need the right to mount."""


@dataclass
class Tally:
    """Trials of one kind: how many, how many ended right, and what was wrong with the others."""

    injections: int = 0
    right: int = 0
    lost: int = 0
    twice: int = 0
    wrong: list[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("injections", "right", "lost", "twice", "wrong")}


def contents(out: Path) -> dict[str, str]:
    """What a finished run came to, by part: digests of ledgers and weights, and its figures without seconds."""
    found = {}
    for path in sorted([*out.glob("ledger/*.parquet"), *out.glob("checkpoints/*/weights.safetensors")]):
        found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    for number, line in enumerate((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        row.pop("seconds", None)
        found[f"row {number}"] = json.dumps(row, sort_keys=True)
    final = json.loads((out / "result.json").read_text(encoding="utf-8"))
    found["result.json"] = json.dumps(
        {k: v for k, v in final.items() if k not in ("run_dir", "seconds")}, sort_keys=True
    )
    return found


def repeated(out: Path) -> int:
    """Plies that a ledger holds more than once, and rows of metrics of a step that was there."""
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    count = len(steps) - len(set(steps))
    for path in out.glob("ledger/*.parquet"):
        rows = pq.read_table(path, columns=["game", "ply"])
        plies = list(zip(rows["game"].to_pylist(), rows["ply"].to_pylist(), strict=True))
        count += len(plies) - len(set(plies))
    return count


@dataclass(frozen=True)
class Prepared:
    """What trials of a group of faults have in common.

    finished: folder of a run to which nothing happens. right: what it comes to. seconds: that it takes.
    """

    spec: Path
    environment: Mapping[str, str]
    finished: Path
    right: Mapping[str, str]
    seconds: float

    def trial(self, root: Path, rng: random.Random) -> Trial:
        """A run in a folder of its own."""
        return Trial(root, self.spec, rng, self.seconds, self.finished, dict(self.environment))


def prepared(folder: Path, group: str) -> Prepared:
    """Do the run of a group, undisturbed."""
    spec, environment = settings(folder / "spec", group)
    trial = Trial(folder / "undisturbed", spec, random.Random(0), 0, folder / "undisturbed" / "out", environment)
    ended = trial.run()
    if ended.code:
        raise SystemExit(f"the undisturbed run failed:\n{ended.said[-2000:]}")
    return Prepared(spec, environment, trial.out, contents(trial.out), ended.seconds)


def tried(trial: Trial, inject: Inject, right: Mapping[str, str], tally: Tally) -> None:
    """Do one trial, and count it."""
    tally.injections += 1
    try:
        problems = [ended.problem for ended in inject(trial)]
        for _ in range(3):
            last = trial.run()
            if last.code == 0:
                break
        problems += [last.problem or ("" if last.code == 0 else "it no longer ends: " + last.said[-200:])]
        there = contents(trial.out) if last.code == 0 else {}
        different = [part for part in {**right, **there} if there.get(part) != right.get(part)]
        twice = repeated(trial.out) if last.code == 0 else 0
    finally:
        if trial.out.is_mount():
            subprocess.run(["umount", "-l", str(trial.out)], check=False)
    tally.lost += bool(different)
    tally.twice += bool(twice)
    problems += [f"different: {', '.join(different)}"] if different else []
    wrong = [problem for problem in problems if problem]
    tally.right += not (wrong or twice)
    tally.wrong += wrong


def may_mount() -> bool:
    """Whether this process may mount a file system."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", "64k"):
                return True
        except (subprocess.CalledProcessError, OSError):
            return False


def group_of(name: str) -> str:
    """Kinds of fault that are tried on the same run: those of the engine, of the plugin, and all others."""
    return {"engine:": "engine", "Stockfish": "engine", "plugin:": "plugin"}.get(name.partition(" ")[0], "plain")


def settings(folder: Path, group: str) -> tuple[Path, dict[str, str]]:
    """The spec, what lies beside it, and the environment for the faults of a group."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = json.loads(json.dumps(SPEC))
    environment = {"PYTHONPATH": str(HERE.parent)}
    if group == "plugin":
        (folder / "faulty.py").write_text(PLUGIN, encoding="utf-8")
        spec["assistant"]["misalignment"] = {"type": "faulty:Faulty"}
        spec["play"]["channel"] = "distribution"  # on the channel of moves nobody looks at a policy
    if group == "engine":
        engine = folder / "engine"
        engine.write_text(
            f"#!{sys.executable}\n" + (HERE / "unreliable_engine.py").read_text(encoding="utf-8"), encoding="utf-8"
        )
        engine.chmod(0o755)
        found = os.environ.get("STOCKFISH_PATH") or shutil.which("stockfish", path=f"{os.environ['PATH']}:/usr/games")
        environment |= {"STOCKFISH_PATH": str(engine), "STOCKFISH": str(found), "FAULT_MARK": str(folder)}
    path = folder / "faults.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return path, environment


def trials(name: str, count: int, seed: int, there: Prepared, folder: Path) -> Tally:
    """Inject one kind of fault so many times."""
    tally = Tally()
    for number in range(count):
        root = folder / str(number)
        root.mkdir(parents=True)
        tried(there.trial(root, random.Random(f"{seed} {name} {number}")), FAULTS[name], there.right, tally)
        shutil.rmtree(root, ignore_errors=True)
        print(f"{name}: {tally.right} of {tally.injections} right {tally.wrong or ''}", file=sys.stderr, flush=True)
    return tally


def heed_signals() -> None:
    """Heed the signals that a shell ignores for what it runs in the background: what is started here inherits it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    heed_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--injections", type=int, default=20, help="trials of each kind")
    parser.add_argument("--only", action="append", metavar="WORD", help="kinds whose name holds this, or another such")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    names = [name for name in FAULTS if not options.only or any(word in name for word in options.only)]
    if not may_mount():
        for name in set(names) & set(MOUNTS):
            print(f"{name}: left out, since nothing may be mounted here", file=sys.stderr)
        names = [name for name in names if name not in MOUNTS]
    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        groups = {group: prepared(Path(folder) / group, group) for group in dict.fromkeys(map(group_of, names))}
        for number, name in enumerate(names):
            there = groups[group_of(name)]
            found[name] = trials(name, options.injections, options.seed, there, Path(folder) / str(number))
    if options.json:
        print(json.dumps({"host": socket.gethostname(), **{name: tally.json() for name, tally in found.items()}}))
        return
    print("| fault | injections | right endings | lost | counted twice |\n| --- | --- | --- | --- | --- |")
    for name, tally in found.items():
        print(f"| {name} | {tally.injections} | {tally.right} | {tally.lost} | {tally.twice} |")


if __name__ == "__main__":
    main()
