"""Shares of failures: of plain samples, of clusters, and of samples stratified by a score."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from sandwich.statistics.figure import Bools, Figure, Floats, Labels
from sandwich.statistics.means import FEW_CLUSTERS, effective_clusters, few_clusters, jackknife
from sandwich.statistics.quantiles import beta_quantile, chi2_quantile, student_quantile

Side = Literal["both", "upper", "lower"]
"""An interval, or one 95 % bound alone; the end without a bound is then None."""
TELLING_CLUSTERS = 10
"""Clusters with a hit, and with a miss, from which on their dependence is estimated."""
LEAST_HIT = 0.01
"""Of an observation, what a cluster must have of hits, or of misses, for it to be one with a hit, or with a miss."""


def share_figure(hits: int, n: int, side: Side = "both") -> Figure:
    """A share with the exact interval of Clopper and Pearson: it covers at least 95 %, by construction more.

    0 failures in n are at most 3.7/n with `both` sides, 3.0/n with `upper` alone.
    """
    if n == 0:
        return Figure(None, reason="nothing to count")
    return Figure(hits / n, *_clopper_pearson(hits, n, side), n)


def clustered_share_figure(hits: Bools, clusters: Labels, side: Side = "both") -> Figure:
    """Share of `[N]` observations that are hits, those of one cluster depending on each other.

    clusters: `[N]` labels (the game that a position comes from).
    Clopper and Pearson's interval at the effective sample size, p(1 − p)/variance with the jackknife's
    variance over clusters, never more than N, and smaller by the squared ratio of Student's t at N − 1
    to that at the clusters' degrees of freedom (Korn and Graubard 1998, Survey Methodology 24). Where
    fewer than ten clusters have a hit, or fewer than ten a miss, they do not tell how much they depend
    on each other, and a cluster counts as one observation. Withheld where more do and the labels are
    worth fewer than 20 clusters of one size.
    """
    if clusters.shape != hits.shape:
        raise ValueError(f"expected a cluster for each observation, got shapes {clusters.shape} and {hits.shape}")
    n = len(hits)
    if n == 0:
        return Figure(None, reason="nothing to count")
    values = hits.astype(np.float64)
    share, effective = float(values.mean()), effective_clusters(clusters)
    if min(len(np.unique(clusters[hits])), len(np.unique(clusters[~hits]))) >= TELLING_CLUSTERS:
        if effective < FEW_CLUSTERS:
            return Figure(None, reason=few_clusters(effective))
        deviations, degrees = jackknife(values, clusters)
        variance = float((deviations**2).sum() / (len(deviations) * (len(deviations) - 1)))
        independent = min(float(n), share * (1 - share) / variance) if variance > 0 else float(n)
        effective = independent * (student_quantile(0.975, n - 1) / student_quantile(0.975, degrees)) ** 2
    return Figure(share, *_clopper_pearson(share * effective, effective, side), n)


def rare_share_figure(hits: Floats, sizes: Floats, side: Side = "both") -> Figure | None:
    """Share Σ hits/Σ sizes over `[G]` clusters, too few of which have a hit, or a miss, for them to tell its spread.

    hits, sizes: `[G]` of each cluster, which may be fractions (what is proposed with a probability).
    Clopper and Pearson's interval with a cluster counting as one observation, as in `clustered_share_figure`: the
    effective number is that of clusters, (Σ sizes)²/Σ sizes², and never more than Σ sizes. None where ten
    clusters have a hit and ten a miss.
    """
    if min((hits >= LEAST_HIT).sum(), (sizes - hits >= LEAST_HIT).sum()) >= TELLING_CLUSTERS:
        return None
    n = float(sizes.sum())
    if n <= 0:
        return Figure(None, reason="nothing to count")
    share, effective = min(1.0, max(0.0, float(hits.sum()) / n)), effective_clusters(np.arange(len(sizes)), sizes)
    effective = min(n, effective)
    return Figure(share, *_clopper_pearson(share * effective, effective, side), max(1, round(n)))


def _clopper_pearson(hits: float, n: float, side: Side) -> tuple[float | None, float | None]:
    tail = 0.025 if side == "both" else 0.05
    low = beta_quantile(tail, hits, n - hits + 1) if hits > 0 else 0.0
    high = beta_quantile(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    return None if side == "upper" else low, None if side == "lower" else high


def stratified_figure(
    hits: npt.NDArray[np.int64], n: npt.NDArray[np.int64], weights: Floats, side: Side = "both"
) -> Figure:
    """Rate Σ W_h·k_h/n_h of a population in `H` strata, from a sample of each.

    hits, n: `[H]` failures k_h among n_h samples. weights: `[H]` share of the population W_h, in all 1.
    The interval is the gamma one of Fay and Feuer (1997, Statistics in Medicine 16, 791–801): failures
    as Poisson counts, the upper end with one failure more in the stratum where it would weigh most. So
    strata without a failure still count with what they leave open, and without any failure the bound
    is that of the heaviest. It covers at least 95 %, more where rates are high. Withheld where a
    stratum with weight has no sample.
    """
    if not hits.shape == n.shape == weights.shape or weights.ndim != 1:
        raise ValueError(f"expected as many hits, samples and weights, got {hits.shape}, {n.shape}, {weights.shape}")
    if (hits > n).any() or (hits < 0).any() or (weights < 0).any() or not np.isclose(weights.sum(), 1):
        raise ValueError("expected hits of 0 to n, and weights of 0 or more that add up to 1")
    empty = np.flatnonzero((n == 0) & (weights > 0))
    if len(empty):
        return Figure(None, reason=f"no samples of stratum {empty[0]}, which has a weight of {weights[empty[0]]:.3g}")
    known = weights > 0
    hits, each = hits[known], weights[known] / n[known]
    rate, variance, most = float(each @ hits), float(each**2 @ hits), float(each.max())
    tail = 0.025 if side == "both" else 0.05
    low = variance / (2 * rate) * chi2_quantile(tail, 2 * rate**2 / variance) if rate > 0 else 0.0
    above, spread = rate + most, variance + most**2
    high = min(1.0, spread / (2 * above) * chi2_quantile(1 - tail, 2 * above**2 / spread))
    ends = None if side == "upper" else float(low), None if side == "lower" else float(high)
    return Figure(rate, *ends, int(n.sum()))
