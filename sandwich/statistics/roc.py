"""How well a score tells two kinds apart."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata


def auc(confidence: npt.NDArray[np.float64], lie: npt.NDArray[np.bool_]) -> float:
    """Chance that an honest answer is trusted more than a lie, ties counting half; NaN without both kinds.

    The area under the ROC curve (Mann and Whitney's U by ranks).
    """
    honest, lies = int((~lie).sum()), int(lie.sum())
    if not honest or not lies:
        return float("nan")
    ranks = rankdata(confidence)
    return float((ranks[~lie].sum() - honest * (honest + 1) / 2) / (honest * lies))
