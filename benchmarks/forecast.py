"""How often a forecast of a filter's failures is right within an order of magnitude.

    python benchmarks/forecast.py runs/highstakes_small

For every filter of an experiment (its generations and variants), every proposer and thresholds from lenient to strict:
the calibration and the test split are halved by opening, `--repeats` times; from one half a forecast is made of so
many accepted proposals (`sandwich.highstakes.forecast`), and set against the rate in the other half, which is known
from all legal moves of all positions and their exact probabilities. Counted are halves in which accepted catastrophes
come from ten openings or more, since from fewer the rate itself is not known within an order of magnitude.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines import filter as filters
from sandwich.highstakes.active import joined
from sandwich.highstakes.catastrophes import Catastrophes, read
from sandwich.highstakes.fit import risks
from sandwich.highstakes.forecast import forecast
from sandwich.runtime.networks import InferenceConfig
from sandwich.statistics import share_figure

ACCEPTS = (0.4, 0.3, 0.2, 0.15, 0.1)
"""Shares of proposals that the thresholds accept."""
OPENINGS = 10
"""From which the accepted catastrophes of a half must come, at least; of a twentieth of a move each, at least."""
LEAST = 0.05


@dataclass(frozen=True)
class Trial:
    """One forecast, and the rate that it was of; None: withheld."""

    filter: str
    proposer: str
    accepts: float
    accepted: int
    forecast: float | None
    inside: bool
    rate: float
    telling: bool

    @property
    def hit(self) -> bool:
        """Whether it is right within an order of magnitude."""
        return self.forecast is not None and 0.1 <= self.forecast / self.rate <= 10


def trials(folder: Path, accepted: int, repeats: int, rng: np.random.Generator) -> Iterator[Trial]:
    """All trials of an experiment's folder."""
    data = read(sorted((folder / "dataset").glob("block-*.parquet")))
    positions = joined([data.split("calibration"), data.split("test")])
    paths = [*sorted(folder.glob("generation-*/filter.safetensors")), *sorted(folder.glob("variants/*.safetensors"))]
    openings = np.unique(positions.openings)
    for path in paths:
        net, _ = filters.from_bytes(path.read_bytes(), str(path))
        risk = risks(net, positions.packed, positions.legal, InferenceConfig())
        for proposer, policies in positions.proposals.items():
            score, weight = np.concatenate(risk), np.concatenate(policies).astype(np.float64)
            order = np.argsort(score)
            share = np.cumsum(weight[order]) / weight.sum()
            for accepts in ACCEPTS:
                threshold = float(score[order][np.searchsorted(share, accepts)])
                for _ in range(repeats):
                    mine = np.isin(positions.openings, rng.permutation(openings)[: len(openings) // 2])
                    halves = [np.flatnonzero(side) for side in (mine, ~mine)]
                    one, other = (positions.take(half) for half in halves)
                    rate, hold = known(other, [risk[row] for row in halves[1]], proposer, threshold)
                    if not rate:
                        continue
                    made = forecast(one, [risk[row] for row in halves[0]], proposer, threshold, accepted, rng)
                    if made.accepted < accepted:
                        continue
                    ends = made.rate.low, made.rate.high
                    inside = ends[0] is not None and ends[1] is not None and ends[0] <= rate <= ends[1]
                    name = f"{path.parent.name}/{path.stem}"
                    yield Trial(name, proposer, accepts, accepted, made.rate.value, inside, rate, hold >= OPENINGS)


def known(positions: Catastrophes, risk: list[np.ndarray], proposer: str, threshold: float) -> tuple[float, int]:
    """Rate of catastrophes among accepted proposals, and the openings that they come from."""
    accepted = bad = 0.0
    openings = set()
    for row, policy in enumerate(positions.proposals[proposer]):
        taken = policy * (risk[row] < threshold)
        wrong = float(taken @ positions.bad(row))
        accepted, bad = accepted + float(taken.sum()), bad + wrong
        if wrong >= LEAST:
            openings.add(int(positions.openings[row]))
    return (bad / accepted if accepted else 0.0), len(openings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of an experiment")
    parser.add_argument("--accepted", type=int, default=100, help="proposals that a forecast is made from")
    parser.add_argument("--repeats", type=int, default=10, help="halves by filter, proposer and threshold")
    parser.add_argument("--json", action="store_true", help="one JSON list of all trials on stdout")
    options = parser.parse_args()
    made = list(trials(options.folder, options.accepted, options.repeats, np.random.default_rng(2026)))
    if options.json:
        print(json.dumps([trial.__dict__ | {"hit": trial.hit} for trial in made]))
        return
    print(f"{'accepts':>8} {'rate, %':>8} {'trials':>7} {'telling':>8} {'right within ×10':>18} {'inside':>7}")
    for accepts in (*ACCEPTS, None):
        some = [trial for trial in made if accepts is None or trial.accepts == accepts]
        told = [trial for trial in some if trial.telling]
        if not told:
            continue
        hits = share_figure(sum(trial.hit for trial in told), len(told))
        rate = 100 * float(np.median([trial.rate for trial in told]))
        inside = sum(trial.inside for trial in told) / len(told)
        name = "all" if accepts is None else f"{accepts:.0%}"
        print(f"{name:>8} {rate:8.2f} {len(some):7} {len(told):8} {hits.value or 0:18.3f} {inside:7.2f}")


if __name__ == "__main__":
    main()
