"""How well a score tells two kinds apart."""

import numpy as np
from scipy import special
from scipy.stats import rankdata

from sandwich.statistics.figure import Bools, Figure, Floats, Labels
from sandwich.statistics.means import FEW_CLUSTERS, effective_clusters, few_clusters
from sandwich.statistics.quantiles import student_quantile


def auc(confidence: Floats, lie: Bools) -> float:
    """Chance that an honest answer is trusted more than a lie, ties counting half; NaN without both kinds.

    The area under the ROC curve (Mann and Whitney's U by ranks).
    """
    honest, lies = int((~lie).sum()), int(lie.sum())
    if not honest or not lies:
        return float("nan")
    ranks = rankdata(confidence)
    return float((ranks[~lie].sum() - honest * (honest + 1) / 2) / (honest * lies))


def auc_figure(confidence: Floats, lie: Bools, clusters: Labels) -> Figure:
    """The same with its interval, `[N]` answers of one cluster (a game, an opening) depending on each other.

    The variance is that of clustered placements: of each answer, the share of the other kind that it beats (Obuchowski
    1997, Biometrics 53, 567–578). Student's t on the logit, with the clusters' degrees of freedom. Withheld without
    both kinds, or where the clusters are worth fewer than 20; without an interval where the kinds are parted wholly
    or in no cluster otherwise than in another.
    """
    honest, lies = int((~lie).sum()), int(lie.sum())
    if not honest or not lies:
        return Figure(None, reason=f"expected honest answers and lies, got {honest} and {lies}")
    if (worth := effective_clusters(clusters)) < FEW_CLUSTERS:
        return Figure(None, reason=few_clusters(worth))
    area, every = auc(confidence, lie), rankdata(confidence)
    beaten = np.empty(len(lie))
    beaten[~lie] = (every[~lie] - rankdata(confidence[~lie])) / lies - area
    beaten[lie] = (honest - every[lie] + rankdata(confidence[lie])) / honest - area
    places = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(places, np.where(lie, beaten / lies, beaten / honest))
    error = float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)))
    if not 0 < area < 1 or error <= 1e-12:
        return Figure(area, n=len(lie))
    middle, reach = special.logit(area), student_quantile(0.975, worth - 1) * error / (area * (1 - area))
    return Figure(area, float(special.expit(middle - reach)), float(special.expit(middle + reach)), len(lie))
