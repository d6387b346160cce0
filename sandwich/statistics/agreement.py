"""How far two players value moves in the same order."""

from collections.abc import Sequence

import numpy as np

from sandwich.statistics.figure import Figure, Floats, Labels
from sandwich.statistics.means import mean_figure


def tau_b(ours: Floats, theirs: Floats) -> float | None:
    """Kendall's τ-b of the values of `[M]` moves by two players, −1..1; ties count as ties.

    None where one of the two values all moves alike, or there is one move. Of values, never of ranks or
    of an argsort, whose outputs are places and not values.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"expected values of the same moves, got shapes {ours.shape} and {theirs.shape}")
    for values in (ours, theirs):
        if not np.issubdtype(values.dtype, np.floating):
            raise ValueError(f"expected values of moves as floating-point numbers, got {values.dtype}: not ranks")
    if len(ours) < 2 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    from scipy import stats  # takes most of a second to import

    return float(stats.kendalltau(ours, theirs, variant="b").statistic)


def kendall_figure(ours: Sequence[Floats], theirs: Sequence[Floats], clusters: Labels | None = None) -> Figure:
    """Mean of `tau_b` over positions, those left out where it is undefined; `n` counts the others.

    ours, theirs: for each position the values `[M]` of its moves. clusters: labels of the positions,
    as in `mean_figure`, whose interval this is.
    """
    taus = [tau_b(a, b) for a, b in zip(ours, theirs, strict=True)]
    known = np.array([tau is not None for tau in taus], np.bool_)
    if not known.any():
        return Figure(None, reason="no position has two moves that both players value differently")
    values = np.array([tau for tau in taus if tau is not None])
    return mean_figure(values, None if clusters is None else clusters[known])
