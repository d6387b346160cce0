"""Shares too rare to be seen in a sample, by the tail of a score: what a sample of n says of the next 100·n."""

import numpy as np
from scipy import optimize, special

from sandwich.statistics.figure import Figure, Floats
from sandwich.statistics.rates import share_figure

LEAST_PEAKS = 10
"""Scores in the tail that is fitted, at least."""
LEAST_LOG = -745.0
"""Of the least number over 0."""
POINTS = 400
"""Of the integral over the tail's scale."""


def tail_figure(scores: Floats, at: float, tail: float = 0.2) -> Figure:
    """Share of a population whose score is `at` or above, from `[N]` independent scores, few or none of which are.

    Peaks over threshold (Pickands 1975, Annals of Statistics 3, 119–131; Davison and Smith 1990, Journal of the Royal
    Statistical Society B 52, 393–442) with an exponential tail, the limit for most distributions on a logarithmic
    scale, which Jones et al. (2025, "Forecasting rare language model behaviors") fit likewise: the highest `tail` of
    the scores, ten at least, lie above u by b in the mean, and the share above `at` is k/N · exp(−(at − u)/b). Where
    `at` is not above u it is the share seen, with Clopper and Pearson's interval.
    The interval is the fiducial one of both parts, 2kb/b′ ~ χ²(2k) and the share above u ~ Beta(k + ½, N − k + ½):
    for an exponential tail. How wrong it is where the tail is another no sample of this size tells.
    """
    if not 0 < tail < 1:
        raise ValueError(f"expected a tail in 0..1, got {tail}")
    n = len(scores)
    if n < 2 * LEAST_PEAKS:
        return Figure(None, reason=f"expected at least {2 * LEAST_PEAKS} scores, got {n}")
    ordered = np.sort(scores)[::-1]
    peaks = max(LEAST_PEAKS, round(tail * n))
    start = float(ordered[peaks - 1] + ordered[peaks]) / 2
    if at <= start:
        return share_figure(int((scores >= at).sum()), n)
    mean = float((ordered[:peaks] - start).mean())
    if mean <= 0:
        return Figure(None, reason="the highest scores are all the same")
    value = peaks / n * np.exp(-(at - start) / mean)
    scale = peaks * mean / special.gammaincinv(peaks, (np.arange(POINTS) + 0.5) / POINTS)
    beyond = (at - start) / scale  # log of what is lost on the way to `at`

    def below(log_share: float, wanted: float) -> float:
        above_start = np.exp(np.minimum(log_share + beyond, 0.0))
        return float(special.betainc(peaks + 0.5, n - peaks + 0.5, above_start).mean()) - wanted

    low, high = (
        0.0
        if below(LEAST_LOG, wanted) >= 0  # less than there are numbers for
        else float(np.exp(optimize.brentq(below, LEAST_LOG, 0.0, args=(wanted,), xtol=1e-6)))
        for wanted in (0.025, 0.975)
    )
    return Figure(float(value), low, high, n)
