"""How many runs and games a difference in PGR needs to be seen, from the variances of runs that are there."""

from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from sandwich.statistics.figure import Floats, Z
from sandwich.statistics.quantiles import student_quantile
from sandwich.statistics.recovered import SEEDS, difference_draws

POWER = 0.8
"""Chance with which a difference of this size is seen: its interval excludes 0."""
LEVELS = 400
"""Quantiles that stand for a distribution."""


@dataclass(frozen=True)
class Components:
    """Where the variance of a difference in PGR between two runs of one seed comes from.

    training: the luck of training and of the games that were learned from; of few runs it may come out under 0.
    own: of a pair of runs' own games of measurement, with `pairs` openings. shared: what the openings have in common.
    """

    training: float
    own: float
    shared: float
    pairs: int

    def visible(self, seeds: int, pairs: int) -> float:
        """The least difference that so many seeds and openings show with a chance of `POWER`.

        Over how wide `pgr_difference_figure`'s interval may come out: the variance over the seeds is estimated from
        them, as χ² has it.
        """
        fewer = self.pairs / pairs
        apart, together = (self.training + self.own * fewer) / seeds, self.shared * fewer
        estimated = apart * special.chdtri(seeds - 1, (np.arange(LEVELS) + 0.5) / LEVELS) / (seeds - 1)
        half = np.sqrt(student_quantile(0.975, seeds - 1) ** 2 * estimated + Z**2 * together)
        error = np.sqrt(apart + together)
        if error == 0:
            return 0.0

        def beyond(difference: float) -> float:
            return float(special.ndtr((difference - half) / error).mean()) - POWER

        return float(brentq(beyond, 0, half.max() + 5 * error))

    def seeds_for(self, difference: float, pairs: int, most: int = 1000) -> int | None:
        """The fewest seeds with which such a difference is seen; None where `most` are too few."""
        return next((s for s in range(SEEDS, most + 1) if self.visible(s, pairs) <= abs(difference)), None)


def components(starts: Floats, ends: Floats, others: Floats, draws: int, rng: np.random.Generator) -> Components | str:
    """Where the variance of the difference between two arms comes from, or why that is not known.

    starts, ends, others: `[S, N]` as for `pgr_difference_figure`.
    """
    found = difference_draws(starts, ends, others, draws, rng)
    if isinstance(found, str):
        return found
    values, drawn = found
    seeds = len(values)
    together = np.cov(drawn, rowvar=False)
    shared = max(0.0, float(together.sum() - np.trace(together)) / (seeds * (seeds - 1)))
    own = max(0.0, float(np.trace(together)) / seeds - shared)
    return Components(float(values.var(ddof=1)) - own, own, shared, starts.shape[1])


def pooled(parts: list[Components]) -> Components:
    """The mean of several, none of it under 0; what openings do to each is taken as of so many as the first had."""
    pairs = parts[0].pairs
    scaled = [(one.training, one.own * one.pairs / pairs, one.shared * one.pairs / pairs) for one in parts]
    training, own, shared = np.mean(scaled, 0).tolist()
    return Components(max(0.0, training), own, shared, pairs)
