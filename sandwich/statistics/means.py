"""Means of values that are skewed, or that come in clusters."""

import numpy as np

from sandwich.statistics.figure import Figure, Floats, Labels
from sandwich.statistics.quantiles import student_quantile

FEW_CLUSTERS = 20
"""Clusters (all of one size, or worth as many) under which a mean or a share over them is withheld."""


def mean_figure(values: Floats, clusters: Labels | None = None, weights: Floats | None = None) -> Figure:
    """Mean of `[N]` values with an interval that allows for skewness and for clusters.

    clusters: `[N]` labels; values of one label (positions of one game) may depend on each other. None:
    all are independent, and each is a cluster of its own.
    weights: `[N]`, over 0: of how many cases each value was drawn to stand for; None: of equally many.
    Those of one weight are one stratum, whose share of the cases is known and does not vary.
    The interval is Student's t on the jackknife over the clusters, after Hall's transformation, which
    removes the skewness (Hall 1992, Journal of the Royal Statistical Society B 54, 221–228); for
    independent values without skewness it is Student's. Clusters of unequal weight count as
    (Σw)²/Σw². Where all values are equal, or all clusters alike, there is no interval; withheld where
    labels were given and are worth fewer than 20 clusters.
    """
    n = len(values)
    for name, given in (("cluster", clusters), ("weight", weights)):
        if given is not None and given.shape != values.shape:
            raise ValueError(f"expected a {name} for each value, got shapes {given.shape} and {values.shape}")
    if weights is not None and not (weights > 0).all():
        raise ValueError(f"expected weights over 0, got {weights.min()}")
    if n < 2:
        return Figure(None, reason=f"expected at least 2 values, got {n}")
    if clusters is not None and (worth := effective_clusters(clusters, weights)) < FEW_CLUSTERS:
        return Figure(None, reason=few_clusters(worth))
    if values.min() == values.max():
        return Figure(float(values[0]), n=n)
    mean, size = float(np.average(values, weights=weights)), np.abs(values).max()
    if weights is not None:
        strata = np.unique(weights, return_inverse=True)[1]
        values = values - (np.bincount(strata, values) / np.bincount(strata))[strata]
    deviations, degrees = jackknife(values, clusters, weights)
    if np.abs(deviations).max() <= 1e-9 * size:
        return Figure(mean, n=n)
    return Figure(mean, *_hall(mean, deviations, degrees), n)


def jackknife(values: Floats, clusters: Labels | None = None, weights: Floats | None = None) -> tuple[Floats, float]:
    """What each of `G` clusters does to the weighted mean of `[N]` values, and the degrees of freedom.

    (G − 1)·(mean − mean without it), `[G]`, less their mean: for clusters of one value its deviation.
    """
    if clusters is None and weights is None:
        return values - values.mean(), len(values) - 1.0
    labels = np.arange(len(values)) if clusters is None else clusters
    weight = np.ones(len(values)) if weights is None else weights
    places = np.unique(labels, return_inverse=True)[1]
    sums, sizes = np.bincount(places, weight * values), np.bincount(places, weight)
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    return -(len(sizes) - 1) * (without - without.mean()), effective_clusters(labels, weight) - 1


def effective_clusters(clusters: Labels, weights: Floats | None = None) -> float:
    """How many clusters of one size `[N]` labels are worth: (Σw)²/Σw², a cluster weighing what its cases do."""
    sizes = np.bincount(np.unique(clusters, return_inverse=True)[1], weights)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def few_clusters(worth: float) -> str:
    return f"expected at least {FEW_CLUSTERS} clusters of one size, or worth as many, got {worth:.1f}"


def _hall(mean: float, deviations: Floats, degrees: float) -> tuple[float, float]:
    """Interval of a mean from the `[G]` deviations of what it is made of."""
    count = len(deviations)
    error = float(np.sqrt((deviations**2).sum() / (count * (count - 1))))
    skew = float((deviations**3).mean() / (deviations**2).mean() ** 1.5 / np.sqrt(count))
    t = student_quantile(0.975, degrees)

    def turned(x: float) -> float:
        """T where T + skew·T²/3 + skew²·T³/27 + skew/6 = x; the left side is a cube and so has one solution."""
        root = np.cbrt(1 + skew * (x - skew / 6))
        return float(3 * (x - skew / 6) / (root**2 + root + 1))

    return mean - error * turned(t), mean - error * turned(-t)
