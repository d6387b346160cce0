"""How close self-play comes to what the network alone reaches.

Plays the sandwiching protocol (the student asks on each of its turns) with the shipped networks, 256 games in
lock-step, and compares the positions evaluated per second, all players', with the same networks evaluating batches of
the same sizes. In one process and on one core the two are timed in turns, so that a machine that changes its speed
changes both; with `--workers` as many processes of Ray each do both, all at the same time.

usage: .venv/bin/python benchmarks/selfplay.py [--precision fp32] [--workers 2] [--games 256] [--rounds 3] [--json]
"""

import argparse
import json
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from agents.assistant import Assistant
from agents.checkpoint_files import checkpoint_path
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluation, OnnxEvaluator, Precision, ReducedEvaluator
from engines.network import read
from engines.positions import GameBatch
from sandwich.data.openings import book
from sandwich.oversight.trust import Trust
from sandwich.protocol.selfplay import Block, play_episodes
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.spec.run_spec import PlayConfig

Network = OnnxEvaluator | ReducedEvaluator


class Recorder:
    """An evaluator that remembers how large its batches were."""

    def __init__(self, inner: Network) -> None:
        self.inner = inner
        self.sizes: list[int] = []

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        self.sizes.append(len(packed))
        return self.inner(packed, legal)


@dataclass(frozen=True)
class Round:
    """What is played once: `games` games of at most `ply_cap` plies."""

    number: int
    games: int
    ply_cap: int
    precision: Precision


@dataclass(frozen=True)
class Timed:
    """What came of it."""

    plies: int
    evaluations: int
    played_s: float
    sizes: tuple[tuple[int, ...], tuple[int, ...]]
    """Of the batches of the student and of the assistant."""


def network(name: str, precision: Precision) -> Network:
    """Evaluator of a shipped network on one core, opened once in each process."""
    torch.set_num_threads(1)
    opened = evaluator(read(checkpoint_path(name)), InferenceConfig(device="cpu", precision=precision))
    assert isinstance(opened, Network)
    return opened


def play(shared: None, once: Round) -> Timed:
    """Play once, and time it."""
    student, adviser = Recorder(network("weak", once.precision)), Recorder(network("expert", once.precision))
    config = PlayConfig(games=once.games, block=once.games, ply_cap=once.ply_cap, pgn_games=0)
    openings = book("play")[: once.games]
    block = Block(once.number, 0, 0, tuple(openings), config, RandomMove(p=0.25), Trust(), InferenceConfig())
    start = time.perf_counter()
    result = play_episodes(student, [Assistant(adviser, block.misalignment, Tools())], block)
    seconds = time.perf_counter() - start
    return Timed(result.plies, result.evaluations, seconds, (tuple(student.sizes), tuple(adviser.sizes)))


def alone(precision: Precision, sizes: tuple[tuple[int, ...], tuple[int, ...]]) -> float:
    """Seconds that the networks alone take for batches of these sizes, from ready planes to logits."""
    inputs = planes.planes(GameBatch(book("play")[: max(sizes[0])], 2).packed(range(max(sizes[0]))))
    start = time.perf_counter()
    for name, each in zip(("weak", "expert"), sizes, strict=True):
        opened = network(name, precision)
        for size in each:
            if isinstance(opened, OnnxEvaluator):
                opened.session.run(None, {"planes": inputs[:size]})
            else:
                opened.net.run(inputs[:size])
    return time.perf_counter() - start


def both(precision: Precision, once: Round) -> tuple[Timed, float]:
    """Play once, then let the networks do the same alone."""
    played = play(None, once)
    return played, alone(precision, played.sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=256, help="games in lock-step")
    parser.add_argument("--rounds", type=int, default=3, help="times that both are timed")
    parser.add_argument("--ply-cap", type=int, default=80, help="plies of a game at most")
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--workers", type=int, default=0, help="processes of Ray; 0: this process, on one core")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    if min(options.games, options.rounds, options.ply_cap) < 1 or options.games % 2 or options.workers < 0:
        parser.error("expected an even number of games, a round and a ply at least, and no fewer than 0 workers")
    several = max(1, options.workers)
    rounds = [Round(number, options.games, options.ply_cap, options.precision) for number in range(options.rounds)]
    if options.workers:
        with Cluster(options.workers) as cluster:
            # Each worker opens its networks first; then all play, and then all evaluate, at the same time.
            cluster.map(play, None, [Round(0, 8, 4, options.precision)] * 4 * several)
            start = time.perf_counter()
            played = cluster.map(play, None, rounds * several)
            played_s = time.perf_counter() - start
            start = time.perf_counter()
            cluster.map(alone, options.precision, [timed.sizes for timed in played])
            alone_s = time.perf_counter() - start
    else:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        play(None, Round(0, 8, 4, options.precision))
        results = [both(options.precision, once) for once in rounds]
        played = [timed for timed, _ in results]
        played_s, alone_s = sum(timed.played_s for timed in played), sum(seconds for _, seconds in results)
    evaluations = sum(timed.evaluations for timed in played)
    figures = {
        "precision": options.precision,
        "workers": options.workers,
        "plies_per_s": sum(timed.plies for timed in played) / played_s,
        "evaluations_per_s": evaluations / played_s,
        "network_evaluations_per_s": evaluations / alone_s,
        "ratio": alone_s / played_s,
    }
    if options.json:
        print(json.dumps(figures))
        return
    means = [np.mean([size for timed in played for size in timed.sizes[player]]) for player in (0, 1)]
    print(f"{options.games} games in lock-step, mean batch {means[0]:.0f} and {means[1]:.0f}", file=sys.stderr)
    print(f"self-play     {figures['evaluations_per_s']:8.0f} evaluations/s ({figures['plies_per_s']:.0f} plies/s)")
    print(f"network alone {figures['network_evaluations_per_s']:8.0f} evaluations/s")
    print(f"ratio         {figures['ratio']:8.2f}")


if __name__ == "__main__":
    main()
