"""What asking an assistant costs, against the expert's own inference on the same positions.

For each misalignment at its default dose: the same batches go through the expert alone and through an
assistant, in turns, one core, ONNX Runtime fp32. The ratio of the two times is the cost of asking.

usage: .venv/bin/python benchmarks/assistant.py [--batch 256] [--rounds 6] [--json]
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from typing import Any

import numpy as np
import torch

from agents.advice import Channel, Query
from agents.assistant import Assistant
from agents.checkpoint_files import load_player
from agents.misalignment.base import REGISTRY, Misalignment
from agents.tools import Tools
from engines.inference import OnnxEvaluator
from engines.positions import GameBatch
from sandwich.data.openings import book

INNER = {"type": "random_move"}
WRAPPERS: dict[str, dict[str, Any]] = {
    "schedule": {"inner": INNER, "every": 2},
    "trigger": {"inner": INNER, "when": ["can_capture"]},
    "mixture": {"parts": [INNER, {"type": "bias"}]},
}
"""Settings of the misalignments that have no default for what is inside them."""


def batches(size: int, count: int) -> list[list[Query]]:
    """Questions about positions some plies into random games from the book."""
    rng = np.random.default_rng(0)
    out = []
    for number in range(count):
        games = GameBatch(book("play")[number * size % 1000 :][:size], 200)
        for _ in range(4 * number):
            active = games.active
            games.apply(active, [int(rng.choice(legal)) for legal in games.legal(active)])
        active = games.active
        packed, legal = games.packed(active), games.legal(active)
        out.append([Query(packed[row], legal[row], Channel.MOVE, number, 8) for row in range(len(active))])
    return out


def cost(expert: OnnxEvaluator, misalignment: Misalignment, asked: list[list[Query]]) -> tuple[float, float]:
    """Seconds of the expert alone and of the assistant for the same questions."""
    alone = with_it = 0.0
    with Tools() as tools:
        assistant = Assistant(expert, misalignment, tools)
        rng = np.random.default_rng(1)
        assistant.answer(asked[0], [rng] * len(asked[0]))  # opens what it needs
        for queries in asked:
            start = time.perf_counter()
            expert(np.stack([query.packed for query in queries]), [query.legal for query in queries])
            alone += time.perf_counter() - start
            start = time.perf_counter()
            assistant.answer(queries, [rng] * len(queries))
            with_it += time.perf_counter() - start
    return alone, with_it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256, help="questions at a time")
    parser.add_argument("--rounds", type=int, default=6, help="batches")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    expert = OnnxEvaluator(load_player("expert"))
    asked = batches(options.batch, options.rounds)
    questions = sum(map(len, asked))
    figures = {}
    for name in REGISTRY.entries:
        alone, with_it = cost(expert, REGISTRY.parse({"type": name, **WRAPPERS.get(name, {})}), asked)
        figures[name] = {"ratio": with_it / alone, "ms_per_question": 1000 * with_it / questions}
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{questions} questions, {options.batch} at a time; the expert alone takes 1")
    for name, figure in figures.items():
        print(f"{name:16} {figure['ratio']:7.2f}  {figure['ms_per_question']:7.2f} ms per question")


if __name__ == "__main__":
    main()
