"""The sequential probability ratio test on colour-swapped pairs, and "W has reached E" by it."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from sandwich.statistics.elo import expected_score
from sandwich.statistics.figure import Floats

SCORES = np.array([0, 0.25, 0.5, 0.75, 1])
EMPTY = 1e-3
"""A score that no pair had counts as so many pairs (fastchess `sprt.cpp`)."""


@dataclass(frozen=True)
class Verdict:
    """Where a test stands after `pairs` pairs.

    llr: logarithm of the likelihood ratio of `elo1` to `elo0`.
    low, high: the bounds between which it goes on.
    state: `accepted` where `elo1` was, `rejected` where `elo0` was.
    """

    state: Literal["accepted", "rejected", "undecided"]
    llr: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Sprt:
    """A test of `elo0` against `elo1`, two logistic Elo differences.

    alpha, beta: how often at most `elo1` is accepted at `elo0`, and `elo0` at `elo1` (Wald's
    approximation; measured in `benchmarks/coverage.py`).
    """

    elo0: float
    elo1: float
    alpha: float = 0.05
    beta: float = 0.05

    def __post_init__(self) -> None:
        if self.elo0 >= self.elo1:
            raise ValueError(f"expected elo0 under elo1, got {self.elo0} and {self.elo1}")
        if not (self.alpha > 0 and self.beta > 0 and self.alpha + self.beta < 1):
            raise ValueError(f"expected alpha and beta over 0, in all under 1, got {self.alpha} and {self.beta}")

    @property
    def low(self) -> float:
        """The log-likelihood ratio at which `elo0` is accepted: log(β/(1 − α))."""
        return float(np.log(self.beta / (1 - self.alpha)))

    @property
    def high(self) -> float:
        """The log-likelihood ratio at which `elo1` is accepted: log((1 − β)/α)."""
        return float(np.log((1 - self.beta) / self.alpha))

    def llr(self, counts: npt.ArrayLike) -> Floats:
        """Log-likelihood ratio `[...]` of `[..., 5]` counts of pairs that scored 0, ¼, ½, ¾ and 1.

        The generalised ratio of fastchess `sprt.cpp` (model "logistic"): of all distributions over
        the five scores with the mean that `elo0` or `elo1` expects, the likeliest stands for it (Van
        den Bergh, "Comments on Normalized Elo", proposition 1.1). 0 where there is no pair.
        """
        observed = np.asarray(counts, np.float64)
        if observed.shape[-1] != len(SCORES):
            raise ValueError(f"expected counts of shape (..., {len(SCORES)}), got {observed.shape}")
        filled = np.where(observed == 0, EMPTY, observed)
        total = filled.sum(-1, keepdims=True)
        shares = filled / total
        upper, lower = (_log_weights(shares, float(expected_score(e))) for e in (self.elo1, self.elo0))
        ratio = (filled * (upper - lower)).sum(-1)
        return np.where(observed.sum(-1) == 0, 0.0, ratio)

    def __call__(self, pairs: Floats) -> Verdict:
        """The test on `[N]` pair scores in the order of play; pairs behind a crossed bound do not count."""
        counts = np.cumsum(pairs[:, None] == SCORES, axis=0)
        if len(pairs) and counts[-1].sum() != len(pairs):
            raise ValueError(f"expected pair scores of {', '.join(map(str, SCORES))}, got {np.unique(pairs)}")
        ratios = self.llr(counts)
        outside = np.flatnonzero((ratios <= self.low) | (ratios >= self.high))
        used = int(outside[0]) + 1 if len(outside) else len(pairs)
        ratio = float(ratios[used - 1]) if used else 0.0
        state: Literal["accepted", "rejected", "undecided"] = (
            "accepted" if ratio >= self.high else "rejected" if ratio <= self.low else "undecided"
        )
        return Verdict(state, ratio, self.low, self.high, used)


def _log_weights(shares: Floats, score: float) -> Floats:
    """By how much (log) each score's probability `[..., 5]` changes so that their mean is `score`.

    The likeliest distribution is share/(1 + θ·(a − score)), with θ such that it adds up.
    """
    away = SCORES - score

    def unbalanced(theta: Floats, *shares: Floats) -> Floats:
        return np.asarray(sum(p * a / (1 + theta * a) for p, a in zip(shares, away, strict=True)))

    # No probability may pass 1: 1 + θ·a ≥ share, which at the outermost scores bounds θ.
    ends = ((shares[..., 4] - 1) / away[4], (shares[..., 0] - 1) / away[0])
    from scipy.optimize import elementwise  # takes most of a second to import

    theta: Floats = elementwise.find_root(unbalanced, ends, args=tuple(np.moveaxis(shares, -1, 0))).x
    return -np.log1p(theta[..., None] * away)


@dataclass(frozen=True)
class Reached:
    """Whether W has reached E: W is not `margin` Elo or more behind, said once and for good.

    A test of −margin against 0 with α = β = 0.05 (non-inferiority). W is looked at after every step,
    and one of many looks will say yes by luck; so the first yes is only `found`, and what counts is
    one test more, on openings that no look has used. Its α holds however many looks there were.
    """

    margin: float
    """Elo, over 0; set before the run."""
    found: Verdict | None = None
    """The first look that accepted."""
    confirmed: Verdict | None = None
    """The test on fresh openings, whatever it said."""

    def __post_init__(self) -> None:
        if self.margin <= 0:
            raise ValueError(f"expected a margin over 0 Elo, got {self.margin}")

    @property
    def test(self) -> Sprt:
        return Sprt(elo0=-self.margin, elo1=0)

    @property
    def state(self) -> Literal["not found", "to confirm", "reached", "not confirmed"]:
        if self.found is None:
            return "not found"
        if self.confirmed is None:
            return "to confirm"
        return "reached" if self.confirmed.state == "accepted" else "not confirmed"

    def look(self, pairs: Floats) -> "Reached":
        """After a look at `[N]` pair scores of W against E; one more changes nothing once it is found."""
        verdict = self.test(pairs)
        return replace(self, found=verdict) if self.found is None and verdict.state == "accepted" else self

    def confirm(self, fresh: Floats) -> "Reached":
        """After the one test on `[N]` pair scores from fresh openings."""
        if self.state != "to confirm":
            raise ValueError(f"expected a test to confirm, got one that is {self.state!r}")
        return replace(self, confirmed=self.test(fresh))
