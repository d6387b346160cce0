"""Quantiles of the distributions behind the intervals; from scipy.special, since scipy.stats is slow to import."""

from scipy import special


def normal_quantile(share: float) -> float:
    """Of the standard normal distribution."""
    return float(special.ndtri(share))


def student_quantile(share: float, degrees: float) -> float:
    """Of Student's t."""
    return float(special.stdtrit(degrees, share))


def beta_quantile(share: float, a: float, b: float) -> float:
    """Of Beta(a, b)."""
    return float(special.betaincinv(a, b, share))


def chi2_quantile(share: float, degrees: float) -> float:
    """Of χ²."""
    return float(2 * special.gammaincinv(degrees / 2, share))
