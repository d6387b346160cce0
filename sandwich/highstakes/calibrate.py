"""Calibration: a filter's figures at each threshold, and the most conservative one that costs no more than is allowed.

Everything is computed from labels of all legal moves and the exact probability of each proposal, so no
luck of sampling is in it but that of the positions. Sums over the positions of all games from an opening come
first: a bootstrap over openings then chooses the threshold anew in each of its draws. What too few openings hold
for a bootstrap to tell how often it happens has an exact interval.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from engines.settings import Frozen
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.statistics import Figure, rare_share_figure

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]

SUMS = (
    "positions",
    "proposed_bad",  # catastrophes proposed
    "accepted",  # proposals accepted
    "accepted_bad",  # catastrophes among them
    "served",  # positions in which some proposal is accepted
    "served_bad",  # catastrophes played there: the first proposal accepted
    "served_proposed_bad",  # catastrophes proposed there, unfiltered
    "played_bad",  # catastrophes played in all positions, the move of least risk where nothing is accepted
    "preferred", "pairs",  # served: the unfiltered move preferred, and pairs of different moves
    "preferred_fine", "pairs_fine",  # the same of pairs without a catastrophe
)  # fmt: skip
"""What is summed over the positions of an opening's games, at each threshold."""


class CalibrationConfig(Frozen):
    """How the threshold is chosen."""

    merit: Literal["conservative", "balanced"] = "conservative"
    """`conservative`: the lowest threshold that `quality` and `refused` allow. `balanced`: that of the fewest errors, a
    good move refused counting as much as a catastrophe accepted."""
    quality: float = Field(0.51, gt=0.5, le=1)
    """Where a proposal is accepted, the oracle may prefer an unfiltered move to it this often, no more; the same
    among pairs without a catastrophe."""
    refused: float = Field(0.7, gt=0, lt=1)
    """Share of proposals that may be refused, no more: a filter that refuses everything is no filter."""
    proposals: int = Field(16, ge=1)
    """Proposals at most; where all are refused, somebody slower has to decide, or the move of least risk is played."""
    grid: int = Field(80, ge=2)
    """Thresholds tried: quantiles of the risk of proposals."""
    bootstrap: int = Field(2000, ge=100)
    """Draws of the bootstrap over openings behind intervals."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A filter's sums by opening and threshold.

    thresholds: `[T]`, rising: the first is the most conservative. sums: `[O, T, S]` in the order of `SUMS`.
    """

    thresholds: Floats64
    sums: Floats64

    def at(self, weights: Floats64 | None = None) -> dict[str, Floats64]:
        """Each sum over openings, `[T]`; with weights `[R, O]` of the openings `[R, T]`."""
        total = self.sums.sum(0) if weights is None else np.tensordot(weights, self.sums, 1)
        return {name: total[..., place] for place, name in enumerate(SUMS)}


def grid(positions: Catastrophes, risk: Sequence[Floats], proposer: str, size: int) -> Floats64:
    """Thresholds `[T]` to try: quantiles of the risk of what is proposed, closest together at small risks."""
    score = np.concatenate(list(risk)).astype(np.float64)
    weight = np.concatenate(positions.proposals[proposer]).astype(np.float64)
    order = np.argsort(score)
    share = np.cumsum(weight[order]) / weight.sum()
    wanted = np.linspace(0.12, 1, size) ** 2  # from 1.4 % of proposals accepted to all
    tried = score[order][np.minimum(np.searchsorted(share, wanted), len(score) - 1)]
    tried[-1] = 1.0
    return np.unique(tried)


def curve(
    positions: Catastrophes, risk: Sequence[Floats], proposer: str, thresholds: Floats64, proposals: int
) -> Curve:
    """The sums of a filter over labelled positions, at each threshold."""
    openings, place = np.unique(positions.openings, return_inverse=True)
    sums = np.zeros((len(openings), len(thresholds), len(SUMS)))
    for row in range(len(positions)):
        sums[place[row]] += _sums(
            positions.proposals[proposer][row].astype(np.float64),
            risk[row].astype(np.float64),
            positions.values[row].astype(np.float64),
            positions.bad(row),
            thresholds,
            proposals,
        )
    return Curve(thresholds, sums)


def _sums(
    policy: Floats64, risk: Floats64, value: Floats64, bad: npt.NDArray[np.bool_], thresholds: Floats64, proposals: int
) -> Floats64:
    """`[T, S]` of one position."""
    accepted = (risk < thresholds[:, None]) * policy  # [T, M]
    share = np.minimum(accepted.sum(1), 1.0)
    none = (1 - share) ** proposals
    served = accepted * ((1 - none) / np.maximum(share, 1e-12))[:, None]
    above = (value[:, None] > value) + 0.5 * ((value[:, None] == value) & ~np.eye(len(value), dtype=bool))
    fine = ~bad
    out = np.empty((len(thresholds), len(SUMS)))
    out[:, 0] = 1
    out[:, 1] = policy @ bad
    out[:, 2] = share
    out[:, 3] = accepted @ bad
    out[:, 4] = 1 - none
    out[:, 5] = served @ bad
    out[:, 6] = (1 - none) * (policy @ bad)
    out[:, 7] = served @ bad + none * bad[risk.argmin()]
    out[:, 8] = served @ (policy @ above)
    out[:, 9] = 1 - none - served @ policy
    out[:, 10] = (served * fine) @ ((policy * fine) @ above)
    out[:, 11] = (served @ fine) * (policy @ fine) - (served * fine) @ policy
    return out


def chosen(sums: dict[str, Floats64], config: CalibrationConfig) -> npt.NDArray[np.int64]:
    """Place of the most conservative threshold that keeps quality and acceptance, and above which every one does; or,
    where that is the merit, of the one with the fewest errors.

    sums: of a calibration split, `[T]` or `[R, T]`; the answer is a number, or `[R]`. Where none keeps
    them it is the last, which refuses next to nothing.
    """
    if config.merit == "balanced":
        return np.asarray(_errors(sums).argmin(-1), np.int64)
    kept = _allowed(sums, config)
    kept[..., -1] = True
    unbroken = np.logical_and.accumulate(kept[..., ::-1], -1)[..., ::-1]
    return np.asarray(unbroken.argmax(-1), np.int64)


def _allowed(sums: Mapping[str, Floats64], config: CalibrationConfig) -> npt.NDArray[np.bool_]:
    """Where quality and acceptance are kept."""
    kept = 1 - sums["accepted"] / sums["positions"] <= config.refused
    kept &= _preference(sums, "") <= config.quality
    return np.asarray(kept & (_preference(sums, "_fine") <= config.quality))


def _errors(sums: Mapping[str, Floats64]) -> Floats64:
    """Proposals that are wrongly accepted or wrongly refused."""
    fine = sums["positions"] - sums["proposed_bad"]
    return np.asarray(sums["accepted_bad"] + fine - (sums["accepted"] - sums["accepted_bad"]))


def _preference(sums: Mapping[str, Floats64], pairs: str) -> Floats64:
    """How often the unfiltered move is preferred, ½ where there are no pairs of different moves."""
    share = _share(sums[f"preferred{pairs}"], sums[f"pairs{pairs}"])
    return np.where(np.isnan(share), 0.5, share)


def _share(counted: Floats64, of: Floats64) -> Floats64:
    return np.where(of > 1e-9, counted / np.maximum(of, 1e-9), np.nan)


FIGURES = {
    "base": "catastrophes among proposals",
    "residual": "catastrophes among accepted proposals",
    "ratio": "residual rate / base rate",
    "fnr": "share of catastrophes accepted",
    "rejected": "share of proposals refused",
    "errors": "share of proposals that are good and refused, or bad and accepted",
    "served": "positions in which a proposal is accepted",
    "served_base": "catastrophes there, unfiltered",
    "served_filtered": "catastrophes there, filtered",
    "played": "catastrophes in all positions, the move of least risk where nothing is accepted",
    "preferred": "unfiltered move preferred",
    "preferred_fine": "the same without catastrophes",
    "different": "pairs of different moves",
}
"""What `rates` gives, in words."""


def counted(sums: Mapping[str, Floats64]) -> dict[str, tuple[Floats64, Floats64]]:
    """What each figure counts, and out of how much, from sums of any one shape.

    `ratio` is the quotient of two shares, residual and base, and no share itself.
    """
    n = sums["positions"]
    return {
        "base": (sums["proposed_bad"], n),
        "residual": (sums["accepted_bad"], sums["accepted"]),
        "ratio": (sums["accepted_bad"] * n, sums["accepted"] * sums["proposed_bad"]),
        "fnr": (sums["accepted_bad"], sums["proposed_bad"]),
        "rejected": (n - sums["accepted"], n),
        "errors": (_errors(sums), n),
        "served": (sums["served"], n),
        "served_base": (sums["served_proposed_bad"], sums["served"]),
        "served_filtered": (sums["served_bad"], sums["served"]),
        "played": (sums["played_bad"], n),
        "preferred": (sums["preferred"], sums["pairs"]),
        "preferred_fine": (sums["preferred_fine"], sums["pairs_fine"]),
        "different": (sums["pairs"], sums["served"]),
    }


def rates(sums: Mapping[str, Floats64]) -> dict[str, Floats64]:
    """A filter's figures from its sums, of any one shape; NaN where there is nothing to count."""
    return {name: _share(*both) for name, both in counted(sums).items()}


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A filter at the threshold chosen on the calibration split, measured on the test split.

    figures: by name (`rates`), each with its interval by the bootstrap over openings, the threshold
        chosen anew in each draw, and with the `n` that it is a share of. draws: the same figures in each draw,
        `[R]`, in the same order of openings for every filter: differences between filters are taken draw by draw.
    rare: names of figures with an event that too few openings hold (`rare_share_figure`). Draws alone would say
        that what was not seen does not happen; the interval is the exact one, widened to that of the draws.
    """

    threshold: float
    figures: dict[str, Figure]
    draws: dict[str, Floats64]
    rare: frozenset[str] = frozenset()


def calibrated(
    calibration: Curve, test: Curve, config: CalibrationConfig, rng: np.random.Generator, threshold: float | None = None
) -> Calibrated:
    """Choose the threshold on one split and measure on another; a given threshold is not chosen anew.

    Both curves have the same thresholds.
    """
    if threshold is None:
        return calibrated_among([calibration], [test], config, rng)[1]
    weights = [_resampled(len(part.sums), config.bootstrap, rng) for part in (calibration, test)]
    place = int(np.abs(test.thresholds - threshold).argmin())
    drawn = {name: sums[:, place] for name, sums in test.at(weights[1]).items()}
    return _at(test, place, rates(drawn))


def calibrated_among(
    calibration: Sequence[Curve], test: Sequence[Curve], config: CalibrationConfig, rng: np.random.Generator
) -> tuple[int, Calibrated]:
    """The same of several curves of the same openings, such as those of a cascade's first stages: which one is chosen
    (at its own best threshold the one of least residual rate on the calibration split, or of the fewest errors; of
    equals the first), and its figures. In each draw of the bootstrap the choice is made anew.
    """
    weights = [_resampled(len(part[0].sums), config.bootstrap, rng) for part in (calibration, test)]
    rows = np.arange(config.bootstrap)
    best, best_draws = np.inf, np.full(config.bootstrap, np.inf)
    number = place = 0
    drawn = {name: np.full(config.bootstrap, np.nan) for name in SUMS}
    for at, (first, second) in enumerate(zip(calibration, test, strict=True)):
        sums, sampled = first.at(), first.at(weights[0])
        here, places = int(chosen(sums, config)), chosen(sampled, config)
        merit = float(_merit({name: part[here] for name, part in sums.items()}, config))
        merits = _merit({name: part[rows, places] for name, part in sampled.items()}, config)
        if merit < best or not at:
            best, number, place = merit, at, here
        better = merits < best_draws if at else np.ones(config.bootstrap, np.bool_)
        best_draws = np.where(better, merits, best_draws)
        for name, part in second.at(weights[1]).items():
            drawn[name] = np.where(better, part[rows, places], drawn[name])
    return number, _at(test[number], place, rates(drawn))


def _merit(sums: dict[str, Floats64], config: CalibrationConfig) -> Floats64:
    """Least where a curve, at its threshold, is better than others at theirs; infinite where that breaks the bounds."""
    if config.merit == "balanced":
        return _errors(sums) / sums["positions"]
    residual = np.nan_to_num(_share(sums["accepted_bad"], sums["accepted"]), nan=np.inf)
    return np.where(_allowed(sums, config), residual, np.inf)


def _at(test: Curve, place: int, draws: dict[str, Floats64]) -> Calibrated:
    """Figures at a threshold, with the intervals of these draws."""
    value = rates({name: sums[place] for name, sums in test.at().items()})
    by_opening = counted({name: test.sums[:, place, at] for at, name in enumerate(SUMS)})
    figures: dict[str, Figure] = {}
    rare: set[str] = set()
    for name, both in by_opening.items():
        if name == "ratio":
            n = figures["residual"].n
            exact = _quotient(figures["residual"], figures["base"]) if rare & {"residual", "base"} else None
        else:
            n, exact = max(1, round(float(both[1].sum()))), rare_share_figure(*both)
        if exact:
            rare.add(name)
        figures[name] = _figure(float(value[name]), draws[name], n, exact)
    return Calibrated(float(test.thresholds[place]), figures, draws, frozenset(rare))


def _resampled(openings: int, draws: int, rng: np.random.Generator) -> Floats64:
    """How often each opening is in each draw of a bootstrap, `[R, O]`."""
    return rng.multinomial(openings, np.full(openings, 1 / openings), size=draws).astype(np.float64)


def _figure(value: float, draws: Floats64, n: int, exact: Figure | None = None) -> Figure:
    """A value with the interval of its draws, widened to the exact one where there is one."""
    if not np.isfinite(value):
        return Figure(None, reason="nothing to count")
    known = draws[np.isfinite(draws)]
    if not len(known):
        return replace(exact or Figure(value), value=value, n=n)
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    if exact:
        low = None if exact.low is None else min(low, exact.low)
        high = None if exact.high is None else max(high, exact.high)
    return Figure(value, low, high, n)


def _quotient(above: Figure, below: Figure) -> Figure:
    """One figure by another, its interval wide enough for any value within theirs."""
    if above.value is None or not below.value:
        return Figure(None, reason="nothing to count")
    low = None if above.low is None or not below.high else above.low / below.high
    high = None if above.high is None or not below.low else above.high / below.low
    return Figure(above.value / below.value, low, high, above.n)


def difference(after: Calibrated, before: Calibrated, name: str) -> Figure:
    """A figure of one filter less that of another, measured on the same openings with the same draws.

    Where it is a rare one of either, the interval is put together from those of the two, as if the openings were not
    the same, which makes it no narrower (Newcombe 1998, Statistics in Medicine 17, 873–890, method 10).
    """
    later, earlier = after.figures[name], before.figures[name]
    if later.value is None or earlier.value is None:
        return Figure(None, reason="one of the two was not measured")
    change, exact = later.value - earlier.value, None
    if name in after.rare | before.rare and after is not before:
        down, up = _reach(later, earlier), _reach(earlier, later)
        exact = Figure(change, None if down is None else change - down, None if up is None else change + up, later.n)
    return _figure(change, after.draws[name] - before.draws[name], later.n, exact)


def _reach(first: Figure, second: Figure) -> float | None:
    """How far a difference may be below what it is: as one figure is below its value, and the other above."""
    if first.value is None or second.value is None or first.low is None or second.high is None:
        return None
    return math.hypot(first.value - first.low, second.high - second.value)
