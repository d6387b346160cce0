"""Times to an event that not all lived to see, such as an attacker's first break within its budget."""

import numpy as np

from sandwich.statistics.figure import Bools, Figure, Floats
from sandwich.statistics.quantiles import beta_quantile, chi2_quantile
from sandwich.statistics.rates import Side


def survival_figure(times: Floats, broken: Bools, at: float) -> Figure:
    """Share not broken at `at` or before, of attacks of which some ended without a break.

    times: `[N]` when each was broken or given up, in any unit. broken: `[N]` which of the two.
    The value is Kaplan and Meier's; the interval the beta product confidence procedure (Fay, Brittain
    and Proschan 2013, Biostatistics 14, 723–736; by its moments, Fay and Brittain 2016). It is Clopper
    and Pearson's where nobody gave up before `at`, covers at least 95 % at any one time, and needs no
    minimum of breaks. `survival_curve` joins such points: not a band for all times at once. Withheld
    behind the last attack that was given up.
    """
    if times.shape != broken.shape or times.ndim != 1:
        raise ValueError(f"expected a time and a flag for each attack, got shapes {times.shape} and {broken.shape}")
    n = len(times)
    if n == 0:
        return Figure(None, reason="nothing to count")
    last = float(times.max())
    if at > last and not broken[times == last].all():
        return Figure(None, reason=f"no attack went on until {at:g}: the longest was given up at {last:g}")
    from scipy import stats  # takes most of a second to import

    curve = stats.ecdf(stats.CensoredData(uncensored=times[broken], right=times[~broken])).sf
    breaks, died = np.unique(times[broken & (times <= at)], return_counts=True)
    at_risk = np.array([(times >= time).sum() for time in breaks], np.int64)
    left = int((times > at).sum())
    alive, dead = (at_risk - died + 1).astype(np.float64), died.astype(np.float64)
    high = _quantile(alive, dead, 0.975)
    low = _quantile(np.append(alive, left), np.append(dead, 1.0), 0.025) if left else 0.0
    return Figure(float(curve.evaluate(np.array(at))), low, high, n)


def survival_curve(times: Floats, broken: Bools) -> list[tuple[float, Figure]]:
    """`survival_figure` at each time of a break and each at which some were given up, where the lower end alone falls.

    Nothing changes between two of them. Empty where there was no break.
    """
    return [(float(at), survival_figure(times, broken, float(at))) for at in np.unique(times) if broken.any()]


def _quantile(a: Floats, b: Floats, share: float) -> float:
    """Quantile of a product of independent Beta(a, b), by the beta distribution with its two moments."""
    if len(a) == 0:
        return 1.0
    mean, square = np.prod(a / (a + b)), np.prod(a * (a + 1) / ((a + b) * (a + b + 1)))
    size = (mean - square) / (square - mean**2)
    return beta_quantile(share, float(mean * size), float((1 - mean) * size))


def break_rate_figure(times: Floats, broken: Bools, side: Side = "both") -> Figure:
    """Breaks per unit of time, if the chance of a break does not change with time (exponential).

    times, broken: as in `survival_figure`; `n` counts the attacks. Breaks over the time spent in all,
    with the χ² interval χ²(2k)/2T to χ²(2k + 2)/2T of k breaks in time T (Epstein and Sobel; NIST
    e-Handbook 8.4.5.1): at least 95 % where each attack has a fixed budget.
    """
    if times.shape != broken.shape or times.ndim != 1:
        raise ValueError(f"expected a time and a flag for each attack, got shapes {times.shape} and {broken.shape}")
    spent, count = float(times.sum()), int(broken.sum())
    if spent <= 0:
        return Figure(None, reason="no time was spent")
    tail = 0.025 if side == "both" else 0.05
    low = chi2_quantile(tail, 2 * count) / (2 * spent) if count else 0.0
    high = chi2_quantile(1 - tail, 2 * count + 2) / (2 * spent)
    return Figure(count / spent, None if side == "upper" else low, None if side == "lower" else high, len(times))
