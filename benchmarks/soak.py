"""Whether a run can go on for hours: memory, open files and engine processes of a loop with many small steps.

Starts a run that would take a day, looks at its processes every ten seconds, and stops it. What counts is
how far memory and open files have moved since the first tenth of the time, or since ten minutes if that is less.

usage: .venv/bin/python benchmarks/soak.py [--minutes 120] [--picture soak.svg] [--json]

Linux only, where the memory that a process shares is known.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

SETTLED = 600.0
"""Seconds after which memory should no longer grow."""
EVERY = 10.0
WORKERS = 2
SPEC: dict[str, Any] = {
    "name": "soak",
    "steps": 2_000,
    "workers": WORKERS,
    "assistant": {"misalignment": {"type": "engine_worst", "p": 0.5, "nodes": 200}},
    "oversight": {"type": "trust"},
    "tracking": {"wandb": "off"},
    "play": {"games": 16, "block": 8, "ply_cap": 60, "pgn_games": 4},
    "finetune": {"max_examples": 2000, "fit": {"epochs": 1, "batch": 128, "threads": 1}},
    "evaluate": {
        "pairs": 8, "ply_cap": 60, "sampled": False, "positions": 20, "nodes": 400, "ledger_positions": 30,
        "ledger_nodes": 400, "margin": None, "assistant": False, "bootstrap": 100,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What the processes of a run held at a moment.

    seconds: since the start. driver_mib, workers_mib: resident memory that is not shared, of the workers together.
    files: open files of driver and workers. engines: Stockfish processes. steps: rows in metrics.jsonl.
    """

    seconds: float
    driver_mib: float
    workers_mib: float
    files: int
    engines: int
    steps: int


def own_mib(process: psutil.Process) -> float:
    """Resident memory of a process less what it shares, in MiB; 0 for one that has ended."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0
    return float(memory.rss - memory.shared) / 2**20


def open_files(process: psutil.Process) -> int:
    """Open files of a process; 0 for one that has ended."""
    try:
        return process.num_fds()
    except psutil.Error:
        return 0


def look(pid: int, seconds: float, metrics: Path) -> Look:
    """What a run holds now."""
    driver = psutil.Process(pid)
    workers, engines = [], 0
    for child in driver.children(recursive=True):
        with suppress(psutil.Error):
            line = child.cmdline()
            if line and line[0].startswith("ray::"):
                workers.append(child)
            engines += bool(line) and "stockfish" in line[0]
    steps = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
    files = sum(map(open_files, [driver, *workers]))
    return Look(seconds, own_mib(driver), sum(map(own_mib, workers)), files, engines, steps)


def watch(minutes: float) -> list[Look]:
    """Let a run go on for so long, and look at it; a run that ends by itself is an error."""
    looks: list[Look] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        (folder / "soak.yaml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
        command = [sys.executable, "-m", "sandwich", "run", str(folder / "soak.yaml"), "--out", str(folder / "out")]
        with (folder / "log").open("wb") as log:
            environment = os.environ | {"SANDWICH_CACHE": str(folder / "cache")}
            run = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            start = time.monotonic()
            try:
                while (now := time.monotonic() - start) < 60 * minutes:
                    if run.poll() is not None:
                        raise SystemExit(
                            f"the run ended: {(folder / 'log').read_text(encoding='utf-8', errors='replace')[-1000:]}"
                        )
                    looks.append(look(run.pid, now, folder / "out" / "metrics.jsonl"))
                    if len(looks) % 60 == 0:
                        print(looks[-1], file=sys.stderr, flush=True)
                    time.sleep(EVERY)
            finally:
                if run.poll() is None:
                    run.terminate()
                    run.wait(120)
    return looks


def summary(looks: list[Look]) -> dict[str, Any]:
    """By how much each kind moved from after the start to the end: medians of the first and the last tenth."""
    begin = min(SETTLED, looks[-1].seconds / 10)
    settled = [one for one in looks if one.seconds >= begin]
    tenth = max(1, len(settled) // 10)
    moved = {}
    for key in ("driver_mib", "workers_mib", "files"):
        first, last = (
            statistics.median(getattr(one, key) for one in part) for part in (settled[:tenth], settled[-tenth:])
        )
        moved[key] = {"first": first, "last": last, "change": last / first - 1 if first else None}
    return {
        "minutes": looks[-1].seconds / 60,
        "steps": looks[-1].steps,
        "engines_at_most": max(one.engines for one in looks),
        "workers": WORKERS,
        **moved,
    }


def picture(looks: list[Look], path: Path) -> None:
    """Memory and open files over time."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    memory, files = figure.subplots(1, 2)
    minutes = [one.seconds / 60 for one in looks]
    memory.plot(minutes, [one.driver_mib for one in looks], label="driver")
    memory.plot(minutes, [one.workers_mib for one in looks], label=f"{WORKERS} workers together")
    memory.set_ylabel("memory of its own, MiB")
    files.plot(minutes, [one.files for one in looks], label="open files")
    files.plot(minutes, [one.engines for one in looks], label="engine processes")
    for axes in (memory, files):
        axes.set_xlabel("minutes")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--picture", type=Path, help="where to draw the curve")
    parser.add_argument("--looks", type=Path, help="where to write every look, as JSON lines")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    looks = watch(options.minutes)
    if options.picture:
        picture(looks, options.picture)
    if options.looks:
        options.looks.write_text("".join(json.dumps(asdict(one)) + "\n" for one in looks), encoding="utf-8")
    found = summary(looks)
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{found['steps']} steps in {found['minutes']:.0f} minutes; at most {found['engines_at_most']} engine processes"
    )
    for key in ("driver_mib", "workers_mib", "files"):
        there = found[key]
        change = "" if there["change"] is None else f" ({there['change']:+.1%})"
        print(f"{key}: {there['first']:.0f} after the start, {there['last']:.0f} at the end{change}")


if __name__ == "__main__":
    main()
