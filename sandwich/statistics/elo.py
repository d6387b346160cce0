"""Strength from colour-swapped pairs of games: the mean score and its Elo."""

import numpy as np
from scipy import special

from sandwich.statistics.figure import Figure, Floats

FEW_PAIRS = 20
FEW_POINTS = 5.0
"""Pairs, and points of either player, from which on the normal interval covers."""


def elo(score: float | Floats) -> Floats:
    """Logistic Elo difference of an expected score in (0, 1): −400·log10(1/s − 1)."""
    return np.asarray(-400 * np.log10(1 / np.asarray(score) - 1))


def expected_score(difference: float | Floats) -> Floats:
    """Expected score in 0..1 of an Elo difference; the reverse of `elo`."""
    return np.asarray(1 / (1 + 10 ** (-np.asarray(difference) / 400)))


def elo_figure(pairs: Floats) -> Figure:
    """Elo difference from the scores of `[N]` colour-swapped pairs, each 0, ¼, ½, ¾ or 1.

    The interval is that of the mean score over pairs, carried to Elo (fastchess
    `elo_pentanomial.cpp`); see `score_figure`. Where all were won or lost there is a one-sided bound
    (exact, 95 %), given as `low` or `high` with the value at that bound.
    """
    n = len(pairs)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 pairs of games, got {n}")
    low, high = _interval(pairs)
    below = float(elo(low)) if low > 0 else None
    above = float(elo(high)) if high < 1 else None
    s = float(pairs.mean())
    value = below if s == 1 else above if s == 0 else float(elo(s))
    return Figure(value, below, above, 2 * n)


def score_figure(pairs: Floats) -> Figure:
    """Mean score in 0..1 of `[N]` colour-swapped pairs, each 0, ¼, ½, ¾ or 1.

    The interval is the normal one, s ± 1.96·√(var/N), where both players made five points or more in
    at least 20 pairs. Elsewhere that one misses too often on the side of ½, and Wilson's takes its
    place, with Student's t, and with s(1 − s)/var·N in place of the number of trials (the effective
    sample size; Franco, Little, Louis and Slud 2019, Journal of Survey Statistics and Methodology 7).
    Where every pair ended alike there is no variance: the share of pairs that would end otherwise is
    under 1 − 0.05^(1/N) (exact, 95 %), and the interval has room for that share at 0 and at 1.
    """
    n = len(pairs)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 pairs of games, got {n}")
    return Figure(float(pairs.mean()), *_interval(pairs), 2 * n)


def score_quantiles(pairs: Floats, shares: Floats) -> Floats:
    """Quantiles of the confidence distribution of the mean score of `[N]` pairs, at `shares` in (0, 1), in their shape.

    It is the distribution whose 2.5 and 97.5 % quantiles are the ends of `score_figure` (Xie and Singh 2013,
    International Statistical Review 81, 3–39). Draws of it are what an interval of a function of several mean scores
    is made of: where every pair ended alike a bootstrap would draw the same again and again, as if that were certain.
    """
    n, s = len(pairs), float(pairs.mean())
    if pairs.min() == pairs.max():
        other = 1 - (2 * np.minimum(shares, 1 - shares)) ** (1 / n)
        return np.asarray(s * (1 - other) + np.where(shares < 0.5, 0, other))
    variance = float(pairs.var(ddof=1))
    if n >= FEW_PAIRS and n * min(s, 1 - s) >= FEW_POINTS:
        return np.asarray(np.clip(s + special.ndtri(shares) * np.sqrt(variance / n), 0, 1))
    # Wilson: the scores μ with |s − μ| ≤ t·√(μ(1 − μ)/effective)
    effective, t = s * (1 - s) / variance * n, special.stdtrit(n - 1, shares)
    spread = t * np.sqrt(s * (1 - s) / effective + t**2 / (4 * effective**2))
    return np.asarray((s + t**2 / (2 * effective) + spread) / (1 + t**2 / effective))


def _interval(pairs: Floats) -> tuple[float, float]:
    """Interval of the mean score, inside 0..1."""
    low, high = score_quantiles(pairs, np.array([0.025, 0.975])).tolist()
    return low, high
