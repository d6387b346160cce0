"""What a sweep costs beside its runs: the same two cells one after the other, and as a sweep.

With as many workers as there are cores a sweep does one cell at a time: its overhead. With one worker
each, both at once: what that gains. Start-up is the time of a sweep's launch until its first cell begins.

usage: .venv/bin/python benchmarks/sweep.py [SPEC] [--games N] [--only "both at once"] [--json]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from sandwich.runs.loop import run
from sandwich.runtime.cluster import cores
from sandwich.sweeps.planning import plan
from sandwich.sweeps.sweep import run_sweep
from sandwich.sweeps.sweep_spec import SweepSpec

SPECS = Path(__file__).parent.parent / "experiments" / "specs"


def spec_of(run_spec: str, workers: int, games: int) -> SweepSpec:
    """Two cells of a run: one step of so many games."""
    fixed = {"finetune.fit.threads": 1, "tracking.wandb": "off", "steps": 1, "play.games": games}
    return SweepSpec(name="timed", run=run_spec, fixed=fixed, over={"seed": [0, 1]}, workers=workers)


def serial(sweep: SweepSpec, root: Path) -> float:
    """Seconds of the cells one after the other."""
    start = time.monotonic()
    for cell in plan(sweep, SPECS, root):
        run(cell.spec, cell.folder)
    return time.monotonic() - start


def swept(sweep: SweepSpec, root: Path) -> tuple[float, float]:
    """Seconds of the sweep, and those until its first cell began."""
    start, began = time.monotonic(), time.time()
    cells = plan(sweep, SPECS, root)
    run_sweep(sweep, SPECS, cells, root)
    first = min((cell.folder / "spec.yaml").stat().st_mtime for cell in cells)
    return time.monotonic() - start, first - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", default="quick.yaml", help="run spec in experiments/specs")
    parser.add_argument("--games", type=int, default=384, help="games of a cell [default: 384]")
    ways = {"one at a time": cores(), "both at once": 1}
    parser.add_argument("--only", choices=ways, help="one of the two ways to run them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {}
    for name in [options.only] if options.only else ways:
        workers = ways[name]
        sweep = spec_of(options.spec, workers, options.games)
        with tempfile.TemporaryDirectory() as folder:
            alone = serial(sweep, Path(folder) / "serial")
            together, startup = swept(sweep, Path(folder) / "sweep")
        found[name] = {"workers": workers, "serial": alone, "sweep": together, "startup": startup,
                       "ratio": together / alone, "ratio without startup": (together - startup) / alone}  # fmt: skip
        if not options.json:
            print(f"{name}, {workers} workers each: {alone:.1f} s serial, {together:.1f} s as a sweep"
                  f" ({startup:.1f} s of them until its first cell); ratio {together / alone:.2f},"
                  f" without start-up {(together - startup) / alone:.2f}", flush=True)  # fmt: skip
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
