"""Figures with intervals: Elo from pairs of games, shares, and the performance gap recovered.

Every figure is a `Figure`: a value with its 95 % interval and the number of observations, or no
value and the reason. Formulas and their sources stand in each function.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Z = float(stats.norm.ppf(0.975))
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A measured figure: value, 95 % interval and `n` observations; or None and the reason.

    A bound that the data do not give is None (a player that won every game has no upper Elo).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError("expected a reason where there is no value, and only there")

    def json(self) -> dict[str, Any]:
        """As the JSON of results has it."""
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    @classmethod
    def from_json(cls, figure: dict[str, Any]) -> "Figure":
        """The reverse of `json`."""
        return cls(**figure)


def elo(score: float | Floats) -> Floats:
    """Logistic Elo difference of an expected score in (0, 1): −400·log10(1/s − 1)."""
    return np.asarray(-400 * np.log10(1 / np.asarray(score) - 1))


def elo_figure(pairs: Floats) -> Figure:
    """Elo difference from the scores of `[N]` colour-swapped pairs, each 0, ¼, ½, ¾ or 1.

    The interval is that of the mean score over pairs, s ± 1.96·√(var/N), carried to Elo (fastchess
    `elo_pentanomial.cpp`). Where every pair ended alike there is no variance, and so no interval;
    where all were won or lost there is a one-sided bound (exact, 95 %), given as `low` or `high` with
    the value at that bound.
    """
    n = len(pairs)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 pairs of games, got {n}")
    s = float(pairs.mean())
    if s in (0.0, 1.0):
        bound = float(elo(_least_share(n)))
        return Figure(bound, bound, None, 2 * n) if s == 1 else Figure(-bound, None, -bound, 2 * n)
    error = Z * float(pairs.std(ddof=1)) / np.sqrt(n)
    if error == 0:
        return Figure(float(elo(s)), n=2 * n)
    low, high = s - error, s + error
    return Figure(
        float(elo(s)), float(elo(low)) if low > 0 else None, float(elo(high)) if high < 1 else None, 2 * n
    )  # fmt: skip


def _least_share(n: int) -> float:
    """Exact one-sided 95 % bound where all of `n` pairs were won: the share of won pairs is above this."""
    return float(0.05 ** (1 / n))


def score_figure(pairs: Floats) -> Figure:
    """Mean score of `[N]` pairs in 0..1 with its normal interval.

    Where every pair ended alike there is no variance, and so no interval; where all were won or lost
    one end is the one-sided bound of `elo_figure`, the other the value.
    """
    n = len(pairs)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 pairs of games, got {n}")
    s = float(pairs.mean())
    if s == 1:
        return Figure(s, _least_share(n), s, 2 * n)
    if s == 0:
        return Figure(s, s, 1 - _least_share(n), 2 * n)
    error = Z * float(pairs.std(ddof=1)) / np.sqrt(n)
    if error == 0:
        return Figure(s, n=2 * n)
    return Figure(s, max(0.0, s - error), min(1.0, s + error), 2 * n)


def share_figure(hits: int, n: int) -> Figure:
    """A share with the exact interval of Clopper and Pearson."""
    if n == 0:
        return Figure(None, reason="nothing to count")
    interval = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    return Figure(hits / n, float(interval.low), float(interval.high), n)


def mean_figure(values: Floats) -> Figure:
    """A mean with Student's t interval; the values are independent. Where all are equal there is none."""
    n = len(values)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 values, got {n}")
    if values.min() == values.max():
        return Figure(float(values[0]), n=n)
    error = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Figure(float(values.mean()), float(values.mean()) - error, float(values.mean()) + error, n)


ENOUGH = 5.0
"""The gap must be this many of its standard errors wide, or a ratio to it is withheld."""


def pgr_figure(start: Floats, end: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """Performance gap recovered in Elo, within one training run, the expert standing at 0.

    start, end: `[N]` pair scores of W_0 and W_t against the expert, in the same order of openings.
    PGR = (Elo(W_t) − Elo(W_0)) / (0 − Elo(W_0)); the expert against itself scores ½ by symmetry.
    The interval comes from a joint bootstrap over the openings (both scores of an opening are drawn
    together) and leaves out the luck of training. Withheld where a score is 0 or 1 or the gap is
    under five standard errors.
    """
    if start.shape != end.shape:
        raise ValueError(f"expected pair scores of the same openings, got shapes {start.shape} and {end.shape}")
    n = len(start)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 openings, got {n}")
    if not 0 < start.mean() < 1 or not 0 < end.mean() < 1:
        return Figure(None, reason="a player won or lost every game against the expert: Elo has no value there")
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n  # [draws, N]
    # A draw without a single half point would have infinite Elo; it counts as a quarter of one.
    edge = 1 / (4 * n)
    elo_start, elo_end = (elo(np.clip(weights @ scores, edge, 1 - edge)) for scores in (start, end))
    gap = -float(elo(start.mean()))
    error = float(elo_start.std(ddof=1))
    if gap <= ENOUGH * error:  # neither has a width where W_0 is the expert
        return Figure(None, reason=f"the gap of {gap:.0f} Elo is under five standard errors ({error:.0f} each)")
    low, high = np.percentile(1 - elo_end / elo_start, [2.5, 97.5])
    return Figure(1 + float(elo(end.mean())) / gap, float(low), float(high), 2 * n)


def ratio_figure(start: Floats, end: Floats, goal: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """Performance gap recovered on a mean over the same `[N]` positions (such as Win% loss).

    (mean(end) − mean(start)) / (mean(goal) − mean(start)), with a joint bootstrap over positions;
    withheld where the gap is under five standard errors.
    """
    if not start.shape == end.shape == goal.shape:
        raise ValueError(f"expected values at the same positions, got shapes {start.shape}, {end.shape}, {goal.shape}")
    n = len(start)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 positions, got {n}")
    gaps = goal - start
    error = float(gaps.std(ddof=1) / np.sqrt(n))
    if abs(gaps.mean()) < ENOUGH * error or error == 0:
        return Figure(None, reason=f"the gap of {gaps.mean():.3g} is under five standard errors ({error:.2g} each)")
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
    low, high = np.percentile((weights @ (end - start)) / (weights @ gaps), [2.5, 97.5])
    return Figure(float((end - start).mean() / gaps.mean()), float(low), float(high), n)


def quotient_figure(above: Floats, below: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """mean(above) / mean(below) over the same `[N]` cases, with a joint bootstrap over them.

    Withheld where mean(below) is under five of its standard errors.
    """
    if above.shape != below.shape:
        raise ValueError(f"expected values of the same cases, got shapes {above.shape} and {below.shape}")
    n = len(above)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 cases, got {n}")
    error = float(below.std(ddof=1) / np.sqrt(n))
    if abs(below.mean()) < ENOUGH * error or below.mean() == 0:
        return Figure(
            None, reason=f"the divisor of {below.mean():.3g} is under five standard errors ({error:.2g} each)"
        )
    tops, bottoms = np.empty(draws), np.empty(draws)
    for start in range(0, draws, 1000):  # a thousand draws at a time: the weights of all would fill the memory
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(1000, draws - start))
        tops[start : start + 1000], bottoms[start : start + 1000] = weights @ above, weights @ below
    low, high = np.percentile(tops / bottoms, [2.5, 97.5])
    return Figure(float(above.mean() / below.mean()), float(low), float(high), n)
