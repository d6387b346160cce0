"""What fewer bits cost: how many moves stay the same, and how many Elo are lost against fp32.

For each shipped network and each precision: the share of positions in which the most probable move is that of fp32
(the positions of `sandwich.data.openings.positions`, or those of a file of FEN lines), how far the policies and the
values lie apart there, and a match of the network against itself in fp32, each opening with both colours. Moves are
drawn at a temperature, so that games differ; the two games of a pair are drawn with the same noise, and go apart where
the precision moves something, which leaves less to chance.

usage: .venv/bin/python benchmarks/precision.py [--pairs 600] [--positions FILE] [--only int8] [--json]
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from agents.checkpoint_files import load_player
from engines.inference import Evaluator, make_evaluator
from engines.positions import GameBatch
from sandwich.data.openings import book, positions
from sandwich.statistics.elo import elo_figure
from sandwich.statistics.rates import share_figure

NETWORKS = ("expert", "weak", "adversary")
PRECISIONS: tuple[Literal["bf16", "int8"], ...] = ("bf16", "int8")
BATCH = 256


def agreement(one: Evaluator, other: Evaluator, fens: list[str]) -> dict[str, Any]:
    """How near two views of the same positions are."""
    same: list[bool] = []
    apart: list[float] = []
    values: list[float] = []
    for first in range(0, len(fens), BATCH):
        batch = GameBatch(fens[first : first + BATCH], 10)
        games = batch.active
        packed, legal = batch.packed(games), batch.legal(games)
        a, b = one(packed, legal), other(packed, legal)
        same += [bool(p.argmax() == q.argmax()) for p, q in zip(a.policy, b.policy, strict=True)]
        apart += [float(np.abs(p - q).sum() / 2) for p, q in zip(a.policy, b.policy, strict=True)]
        values += np.abs(a.value - b.value).tolist()
    return {
        "same_moves": share_figure(sum(same), len(same)).json(),
        "total_variation": float(np.mean(apart)),
        "value_difference": float(np.mean(values)),
    }


def match(
    one: Evaluator, other: Evaluator, openings: list[str], seed: int, temperature: float
) -> npt.NDArray[np.float64]:
    """Scores of the first in pairs of games, each opening with both colours, `[N]`."""
    batch = GameBatch([fen for fen in openings for _ in range(2)], 200)
    noise = [np.random.default_rng([seed, game // 2]) for game in range(len(batch))]
    white = [game % 2 == 0 for game in range(len(batch))]  # whether the first has White
    while active := batch.active:
        chosen: dict[int, int] = {}
        turns = dict(zip(active, batch.turns(active), strict=True))
        for player, evaluate in enumerate((one, other)):
            games = [game for game in active if (turns[game] == white[game]) == (player == 0)]
            for first in range(0, len(games), BATCH):
                part = games[first : first + BATCH]
                seen = evaluate(batch.packed(part), batch.legal(part))
                for game, policy, legal in zip(part, seen.policy, seen.legal, strict=True):
                    scores = np.log(policy + 1e-9) / temperature + noise[game].gumbel(size=len(legal))
                    chosen[game] = legal[int(scores.argmax())]
        batch.apply(active, [chosen[game] for game in active])
    points = [result.score(side) if result else 0.5 for result, side in zip(batch.results, white, strict=True)]
    pairs: npt.NDArray[np.float64] = np.array(points).reshape(-1, 2).mean(1)
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=600, help="pairs of games")
    parser.add_argument("--positions", type=Path, help="file of FEN lines")
    parser.add_argument("--only", choices=PRECISIONS, help="one precision")
    parser.add_argument("--temperature", type=float, default=0.3)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    try:
        fens = options.positions.read_text(encoding="utf-8").splitlines() if options.positions else list(positions())
    except OSError as error:
        parser.error(f"--positions: {options.positions}: {error.strerror}")
    if options.pairs < 1 or not fens or options.temperature <= 0:
        parser.error("expected a pair and a position at least, and a temperature above 0")
    torch.set_num_threads(1)
    openings = [book("measure")[number % len(book("measure"))] for number in range(options.pairs)]
    found: dict[str, Any] = {}
    for name in NETWORKS:
        net = load_player(name)
        exact = make_evaluator(net, device="cpu")
        for precision in PRECISIONS if options.only is None else (options.only,):
            begun = time.perf_counter()
            reduced = make_evaluator(net, device="cpu", precision=precision)
            opened = time.perf_counter() - begun
            near = agreement(reduced, exact, fens)
            scores = match(reduced, exact, openings, 0, options.temperature)
            found[f"{name} {precision}"] = {**near, "elo": elo_figure(scores).json(), "seconds_to_open": opened}
            print(f"{name} {precision}: {found[f'{name} {precision}']}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(found))
        return
    print("| network | same moves | policies apart | values apart | Elo |\n| --- | --- | --- | --- | --- |")
    for name, row in found.items():
        same, elo = row["same_moves"], row["elo"]
        print(
            f"| {name} | {same['value']:.4f} [{same['low']:.4f}, {same['high']:.4f}] | {row['total_variation']:.4f} | "
            f"{row['value_difference']:.4f} | {elo['value']:+.1f} [{elo['low']:+.1f}, {elo['high']:+.1f}] |"
        )


if __name__ == "__main__":
    main()
