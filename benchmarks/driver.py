"""How many workers the driver of a run can serve: what it does for a block of games, beside what a worker does.

A block is played once. Then pretended workers give it back at once, many under way together, so that nothing is left
but the driver's part: to hand out jobs, to receive blocks, to count them; and at the end of a step to join them, to
write the ledger, to read it again and to choose what is learned. Seconds are the driver's own processor time.

usage: .venv/bin/python benchmarks/driver.py [SPEC] [--workers 256] [--blocks 512] [--json]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pyarrow as pa

from agents.checkpoint_files import read_checkpoints
from sandwich.protocol import ledger
from sandwich.protocol.finetuning import training_view
from sandwich.protocol.selfplay import Played, play_block
from sandwich.runs.loop import roles, step_blocks
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.spec.run_spec import load_spec

PROCESSES = 2
"""Processes that pretend to be the workers."""
T = TypeVar("T")


def given_back(block: Played, job: int) -> Played:
    """What a pretended worker does."""
    return block


def took(work: Callable[[], T]) -> tuple[float, float, T]:
    """Processor time of this process, time on the clock, and what came of some work."""
    processor, clock = time.process_time(), time.monotonic()
    made = work()
    return time.process_time() - processor, time.monotonic() - clock, made


def measured(spec_name: str, workers: int, blocks: int) -> dict[str, Any]:
    spec = load_spec(spec_name)
    checkpoints = read_checkpoints(spec)
    (first, *_) = step_blocks(spec, 0)
    play, _, block = took(lambda: play_block(roles(spec, checkpoints[spec.student], checkpoints), first))
    games, before = len(block.ends), psutil.Process().memory_info().rss
    with Cluster(PROCESSES) as cluster, tempfile.TemporaryDirectory() as folder:
        cluster.start()
        cluster.workers = workers  # as many jobs are under way at once
        handed, clock, received = took(lambda: cluster.map(given_back, block, range(blocks)))
        held = psutil.Process().memory_info().rss - before
        path = Path(folder) / "ledger.parquet"
        joined, _, rows = took(lambda: pa.concat_tables([one.rows for one in received]))
        wrote, _, size = took(lambda: path.write_bytes(parquet_bytes(rows)))
        read, _, there = took(lambda: ledger.read(path))
        examples = make_rng(RngStream.EXAMPLES, spec.seed, 0)
        chose, _, _ = took(lambda: training_view([there], spec.finetune, examples))
    end = joined + wrote + read + chose
    return {
        "games a block": games, "plies a block": block.plies, "worker seconds a block": play,
        "driver seconds a block": handed / blocks, "blocks a second": blocks / clock,
        "driver seconds at the end of a step, a block": end / blocks,
        "ledger bytes a game": size / blocks / games, "driver bytes a game": held / blocks / games,
        "workers that one driver can serve": play / (handed / blocks),
        "workers, the end of the step included": play / ((handed + end) / blocks),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", default="default", help="run spec")
    parser.add_argument("--workers", type=int, default=256, help="pretended workers [default: 256]")
    parser.add_argument("--blocks", type=int, default=512, help="blocks that they give back [default: 512]")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measured(options.spec, options.workers, options.blocks)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:46}{value:14,.4g}" if value < 1000 else f"{name:46}{value:14,.0f}")


if __name__ == "__main__":
    main()
