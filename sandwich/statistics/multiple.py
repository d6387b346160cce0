"""Many comparisons at once."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the same order (Holm 1979, Scandinavian Journal of Statistics 6, 65–70).

    To call a difference real where its corrected value is under α is wrong for any of them with probability α at most,
    however they depend on each other.
    """
    order = np.argsort(p, kind="stable")
    scaled = np.array(p, np.float64)[order] * np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return [float(one) for one in out]
