"""How close self-play comes to what the network alone reaches.

Plays the sandwiching protocol (the student asks on each of its turns) with the shipped networks,
256 games in lock-step, one core, ONNX Runtime fp32, and compares the positions evaluated per second,
all players', with the same network evaluating batches of the same size in the same process. The two
are timed in turns, so that a machine that changes its speed changes both.

usage: .venv/bin/python benchmarks/selfplay.py [--games 256] [--rounds 3] [--ply-cap 80] [--json]
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Sequence

import numpy as np
import torch

from agents.assistant import Assistant
from agents.checkpoint_files import load_player
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluation, Evaluator, OnnxEvaluator
from engines.positions import GameBatch
from sandwich.data.openings import book
from sandwich.oversight.trust import Trust
from sandwich.protocol.selfplay import Block, play_episodes
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig


class Recorder:
    """An evaluator that remembers how large its batches were."""

    def __init__(self, inner: Evaluator) -> None:
        self.inner = inner
        self.sizes: list[int] = []

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        self.sizes.append(len(packed))
        return self.inner(packed, legal)


def network_seconds(evaluator: OnnxEvaluator, sizes: list[int], packed: planes.Packed) -> float:
    """Seconds that the network alone takes for batches of these sizes, from ready planes to logits."""
    inputs = planes.planes(packed)
    start = time.perf_counter()
    for size in sizes:
        evaluator.session.run(None, {"planes": inputs[:size]})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=256, help="games in lock-step")
    parser.add_argument("--rounds", type=int, default=3, help="times that both are timed")
    parser.add_argument("--ply-cap", type=int, default=80, help="plies of a game at most")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    weak, expert = OnnxEvaluator(load_player("weak")), OnnxEvaluator(load_player("expert"))
    openings = book("play")[: options.games]
    packed = GameBatch(openings, 2).packed(range(options.games))
    play = PlayConfig(games=options.games, block=options.games, ply_cap=options.ply_cap, pgn_games=0)
    plies = evaluations = 0
    played_seconds = alone_seconds = 0.0
    for number in range(options.rounds):
        block = Block(number, 0, 0, tuple(openings), play, RandomMove(p=0.25), Trust(), InferenceConfig())
        student, adviser = Recorder(weak), Recorder(expert)
        start = time.perf_counter()
        result = play_episodes(student, [Assistant(adviser, block.misalignment, Tools())], block)
        played_seconds += time.perf_counter() - start
        plies += result.plies
        evaluations += result.evaluations
        alone_seconds += network_seconds(weak, student.sizes, packed) + network_seconds(expert, adviser.sizes, packed)

    figures = {
        "plies_per_s": plies / played_seconds,
        "evaluations_per_s": evaluations / played_seconds,
        "network_evaluations_per_s": evaluations / alone_seconds,
        "ratio": alone_seconds / played_seconds,
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(
        f"{options.games} games in lock-step, mean batch {np.mean(student.sizes):.0f} and {np.mean(adviser.sizes):.0f}"
    )
    print(f"self-play     {figures['evaluations_per_s']:8.0f} evaluations/s ({figures['plies_per_s']:.0f} plies/s)")
    print(f"network alone {figures['network_evaluations_per_s']:8.0f} evaluations/s")
    print(f"ratio         {figures['ratio']:8.2f}")


if __name__ == "__main__":
    main()
