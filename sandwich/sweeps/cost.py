"""How long a run will take, roughly: from the work in its spec and the speed of this machine."""

import time
from collections.abc import Sequence

import numpy as np

from agents.checkpoint_files import checkpoint_path
from engines.inference import make_evaluator
from engines.positions import GameBatch
from sandwich.data.openings import positions
from sandwich.runtime.cluster import cores
from sandwich.spec.run_spec import PlayConfig, RunSpec
from sandwich.spec.schedule import Chance, Every, Never, Unsure
from sandwich.sweeps.cells import Cell

PLIES = 75
"""Of a game, on average."""
SHARE = 0.9
"""Of the network's own speed that play reaches."""
LEARNED = 10
"""Evaluations that take as long as learning from one example, of one thread."""
NODES = 600_000
"""Nodes a second of one engine."""


def evaluations_per_second() -> float:
    """Of the shipped expert by one thread here, measured for half a second."""
    from engines.network import load_network  # loads torch, which a finished sweep need not wait for

    evaluator = make_evaluator(load_network(checkpoint_path("expert")), threads=1, precision="auto")
    batch = GameBatch(positions()[:256], ply_cap=1)
    games = range(len(batch))
    packed, legal = batch.packed(games), batch.legal(games)
    evaluator(packed, legal)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < 0.5:
        evaluator(packed, legal)
        done += len(batch)
    return done / (time.perf_counter() - start)


def _share(play: PlayConfig) -> float:
    """Of the student's turns, those on which it asks; a guess where that depends on the games."""
    match play.ask:
        case Every(n=n):
            share = 1 / n
        case Chance(q=q):
            share = q
        case Unsure(quantile=quantile):
            share = 0.5 if quantile is None else 1 - quantile
        case Never():
            return 0.0
    return min(share, play.queries_per_turn or 1.0)


def seconds(spec: RunSpec, speed: float) -> float:
    """Of a run, at so many evaluations a second of one thread; players other than networks take longer."""
    play, config, workers = spec.play, spec.evaluate, spec.worker_count
    asked = 0.5 * _share(play)
    played = spec.steps * play.games * PLIES * (1 + asked)
    matches = (
        (spec.steps + 1) * 2 * config.pairs * (1 + 2 * config.sampled) * PLIES
    )  # best moves, temperatures 0.5 and 1
    questions = play.games * PLIES * (0.5 if spec.finetune.examples == "student" else asked or 1.0)
    most, replay = spec.finetune.max_examples, spec.finetune.replay
    newest = spec.steps * min(most, questions)
    earlier = sum(min(most, step * questions) for step in range(1, spec.steps + 1)) - newest
    examples = newest + replay * earlier
    threads = min(spec.finetune.fit.threads, cores())
    learning = LEARNED * spec.finetune.fit.epochs * examples / threads
    for step in range(1, spec.steps + 1):  # a label model judges every answer so far
        fitted, looked = spec.label_model.work(step == 1)
        learning += step * questions * (LEARNED * fitted / threads + looked)
    nodes = (spec.steps + 1) * 2 * config.positions * (config.nodes or 0)
    nodes += spec.steps * 3 * (config.ledger_positions or 0) * config.ledger_nodes
    return (played + matches) / (SHARE * speed * workers) + learning / speed + nodes / (NODES * workers)


def estimate(cells: Sequence[Cell]) -> dict[str, float]:
    """Seconds that each unfinished cell will still take, by key; corrected by what the finished ones took."""
    speed = evaluations_per_second()
    expected = {cell.key: seconds(cell.spec, speed) for cell in cells}
    cells = [cell for cell in cells if not cell.problem]
    took = {cell.key: sum(sum(row["seconds"].values()) for row in cell.rows) for cell in cells}
    ratios = [took[cell.key] / expected[cell.key] for cell in cells if cell.done and took[cell.key]]
    factor = float(np.median(ratios)) if ratios else 1.0
    return {cell.key: factor * expected[cell.key] * _left(cell) for cell in cells if not cell.done}


def _left(cell: Cell) -> float:
    """Share of a run's rows that are still to be made."""
    return max(0.0, 1 - len(cell.rows) / (cell.spec.steps + 1))
