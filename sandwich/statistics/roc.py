"""How well a score tells two kinds apart."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.stats import rankdata

from sandwich.statistics.figure import Bools, Figure, Floats, Labels
from sandwich.statistics.means import FEW_CLUSTERS, effective_clusters, few_clusters
from sandwich.statistics.quantiles import student_quantile


@dataclass(frozen=True, eq=False)
class Ranking:
    """Things of two kinds, good and bad, in the order of a score, equal scores together.

    place: `[N]` of each, the lowest score first. bad: `[N]`. Weights `[N]` say how often each counts.
    """

    place: npt.NDArray[np.int64]
    bad: Bools

    @classmethod
    def of(cls, score: Floats, bad: Bools) -> "Ranking":
        return cls(np.unique(score, return_inverse=True)[1], bad)

    def roc(self, weight: Floats | None = None) -> tuple[Floats, Floats] | None:
        """Shares of the good and of the bad that are refused, `[K]` each, from none to all, the lowest score first.

        A point behind every score that occurs. None without both kinds.
        """
        every = np.ones(len(self.bad)) if weight is None else weight
        sums = [np.cumsum(np.bincount(self.place, np.where(kind, every, 0.0))) for kind in (~self.bad, self.bad)]
        if not len(self.bad) or any(total[-1] <= 0 for total in sums):
            return None
        good, bad = (np.append(0.0, total / total[-1]) for total in sums)
        return good, bad

    def area(self, weight: Floats | None = None) -> float:
        """Area under that curve: the chance that a good one has more than a bad one, ties counting half.

        NaN without both kinds.
        """
        curve = self.roc(weight)
        return float("nan") if curve is None else float(np.trapezoid(curve[1], curve[0]))


def auc(confidence: Floats, lie: Bools) -> float:
    """Chance that an honest answer is trusted more than a lie, ties counting half; NaN without both kinds."""
    return Ranking.of(confidence, lie).area()


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
