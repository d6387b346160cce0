"""The performance gap recovered, and other ratios, with bootstrap intervals; within a run and across seeds."""

from collections.abc import Sequence

import numpy as np
from scipy import special
from scipy.optimize import brentq

from sandwich.statistics.elo import elo, score_quantiles
from sandwich.statistics.figure import Figure, Floats, Z
from sandwich.statistics.quantiles import student_quantile

ENOUGH = 5.0
"""The gap must be this many of its standard errors wide, or a ratio to it is withheld."""
LEAST_P = 1e-12
"""No p-value is said to be smaller."""
SEEDS = 3
"""Seeds under which nothing is said across them."""


def _resampled(values: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Bootstrap means `[draws, K]` of the columns of `[N, K]` values, rows drawn whole."""
    rows, counts = np.unique(values, axis=0, return_counts=True)  # pairs have few scores, and so few rows
    n, out = len(values), np.empty((draws, values.shape[1]))
    for first in range(0, draws, 1000):  # a thousand draws at a time: the weights of all would fill the memory
        weights = rng.multinomial(n, counts / n, size=min(1000, draws - first)) / n
        out[first : first + 1000] = weights @ rows
    return out


def _percentiles(draws: Floats, n: int) -> tuple[float, float]:
    """Percentile interval from bootstrap draws of `n` cases, widened for small n as Student's t is.

    The plain percentiles are too narrow by √((n − 1)/n), and by 1.96 in place of t (Hesterberg 2015,
    The American Statistician 69, 371–386, "expanded percentile interval").
    """
    tail = 100 * float(special.ndtr(-np.sqrt(n / (n - 1)) * student_quantile(0.975, n - 1)))
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def _percentile_p(draws: Floats, n: int) -> float:
    """The p-value of 0 by the same interval: that whose percentile lies at 0, at least that of a single draw."""
    beyond = (1 + min(int((draws <= 0).sum()), int((draws >= 0).sum()))) / (1 + len(draws))
    return min(1.0, 2 * float(special.stdtr(n - 1, special.ndtri(min(beyond, 0.5)) / np.sqrt(n / (n - 1)))))


def _percentile_figure(value: float, draws: Floats, n: int, count: int) -> Figure:
    """A value with the percentile interval of its draws, from `n` cases; `count` observations."""
    return Figure(value, *_percentiles(draws, n), count, p=_percentile_p(draws, n))


def pgr_figure(start: Floats, end: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """Performance gap recovered in Elo, within one training run, the expert standing at 0.

    start, end: `[N]` pair scores of W_0 and W_t against the expert, in the same order of openings.
    PGR = (Elo(W_t) − Elo(W_0)) / (0 − Elo(W_0)); the expert against itself scores ½ by symmetry.
    The interval comes from a joint bootstrap over the openings (both scores of an opening are drawn
    together) and leaves out the luck of training. Withheld where a score is 0 or 1, where the gap is
    under five standard errors or has none, or where a draw of the bootstrap has no gap.
    """
    if start.shape != end.shape:
        raise ValueError(f"expected pair scores of the same openings, got shapes {start.shape} and {end.shape}")
    n = len(start)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 openings, got {n}")
    elo_start, elo_end = _drawn_elos(start, [end], draws, rng)
    if reason := _unusable(start, end, elo_start):
        return Figure(None, reason=reason)
    return _percentile_figure(_pgr(start, end), 1 - elo_end / elo_start, n, 2 * n)


def pgr_run_difference_figure(
    start: Floats, end: Floats, other: Floats, draws: int, rng: np.random.Generator
) -> Figure:
    """PGR of one training run less that of another with the same W_0; within these two, as `pgr_figure` within one.

    start, end, other: `[N]` pair scores of W_0 and of either run's W_t against the expert, in the same order of
    openings; those of an opening are drawn together. `n` counts the games of one run.
    """
    if not start.shape == end.shape == other.shape:
        shapes = f"{start.shape}, {end.shape} and {other.shape}"
        raise ValueError(f"expected pair scores of the same openings, got shapes {shapes}")
    n = len(start)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 openings, got {n}")
    elo_start, elo_end, elo_other = _drawn_elos(start, [end, other], draws, rng)
    for reason in (_unusable(start, scores, elo_start) for scores in (end, other)):
        if reason:
            return Figure(None, reason=reason)
    return _percentile_figure(_pgr(start, end) - _pgr(start, other), (elo_other - elo_end) / elo_start, n, 2 * n)


def _drawn_elos(start: Floats, ends: Sequence[Floats], draws: int, rng: np.random.Generator) -> list[Floats]:
    """Bootstrap draws `[draws]` of the Elo of `start` and of each of `ends`, pair scores `[N]` on the same openings.

    A W_t that scored alike in every pair has the same mean in every draw, as if it were certain: its draws are those
    of `score_quantiles`.
    """
    scores = _resampled(np.stack([start, *ends], 1), draws, rng)
    for place, end in enumerate(ends, 1):
        if end.min() == end.max() and (end != start).any():
            scores[:, place] = score_quantiles(end, rng.random(draws))
    return list(_elos(scores, len(start)).T)


def _elos(scores: Floats, n: int) -> Floats:
    """Elo of mean scores of `n` pairs; one without a single half point counts as a quarter of one."""
    edge = 1 / (4 * n)
    return elo(np.clip(scores, edge, 1 - edge))


def _unusable(start: Floats, end: Floats, elo_start: Floats) -> str:
    """Why there is no PGR from these pair scores, with bootstrap draws of Elo(W_0); or nothing."""
    if not 0 < start.mean() < 1 or not 0 < end.mean() < 1:
        return "a player won or lost every game against the expert: Elo has no value there"
    gap, error = -float(elo(start.mean())), float(elo_start.std(ddof=1))
    if gap <= ENOUGH * error:  # neither has a width where W_0 is the expert
        return f"the gap of {gap:.0f} Elo is under five standard errors ({error:.0f} each)"
    if start.min() == start.max():
        return "W_0 scored alike in every pair: the gap has no standard error"
    if elo_start.max() >= 0:
        return f"the gap of {gap:.0f} Elo is none in some draws of the openings"
    return ""


def _pgr(start: Floats, end: Floats) -> float:
    return 1 - float(elo(end.mean())) / float(elo(start.mean()))


def few_figure(figures: Sequence[Figure]) -> Figure:
    """A figure of fewer than `SEEDS` training runs: of one its own, of two their mean, without an interval.

    Withheld where it is in one of the runs: the others would be a selection.
    """
    if len(figures) == 1:
        return figures[0]
    for number, figure in enumerate(figures):
        if figure.value is None:
            return Figure(None, reason=f"seed {number} of {len(figures)}: {figure.reason}")
    return Figure(float(np.mean([figure.value for figure in figures])), n=len(figures))


def seeds_figure(figures: Sequence[Figure]) -> Figure:
    """Mean over training runs of a figure of each, with Student's t over the runs; `n` counts them.

    Covers the luck of training, and of each run's own games. What the runs share (openings, a W_0
    measured once) is taken as it is: see `pgr_seeds_figure`. Withheld under three runs, and where it is
    withheld in one of them, since the others would be a selection.
    """
    if len(figures) < SEEDS:
        return Figure(None, reason=f"expected at least {SEEDS} seeds, got {len(figures)}")
    for number, figure in enumerate(figures):
        if figure.value is None:
            return Figure(None, reason=f"seed {number} of {len(figures)}: {figure.reason}")
    return _student(np.array([figure.value for figure in figures], np.float64), 0.0)


def _student(values: Floats, shared: float) -> Figure:
    """Mean of independent values with Student's t, all of them off by one error of known variance `shared`.

    The two half-widths add up as their squares do (Zou and Donner 2008, Statistics in Medicine 27,
    1693–1702). One t with Welch and Satterthwaite's degrees of freedom covers 92 % with three values.
    """
    n, mean = len(values), float(values.mean())
    if values.min() == values.max() and shared == 0:
        return Figure(mean, n=n)
    variance = float(values.var(ddof=1)) / n
    error = float(np.sqrt(student_quantile(0.975, n - 1) ** 2 * variance + Z**2 * shared))
    return Figure(mean, mean - error, mean + error, n, p=_student_p(mean, variance, n, shared))


def _student_p(mean: float, variance: float, n: int, shared: float) -> float:
    """The p-value of 0 by the same interval, that whose half-width is the mean's distance from 0."""

    def beyond(log_p: float) -> float:
        tail = 1 - np.exp(log_p) / 2
        return float(special.stdtrit(n - 1, tail) ** 2 * variance + special.ndtri(tail) ** 2 * shared - mean**2)

    least = np.log(LEAST_P)
    return 1.0 if mean == 0 else LEAST_P if beyond(least) <= 0 else float(np.exp(brentq(beyond, least, 0)))


def pgr_seeds_figure(starts: Floats, ends: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """Mean PGR over `S` training runs, for other seeds and for other openings; `n` counts the runs.

    starts, ends: `[S, N]` pair scores of W_0 and W_t of each run against the expert, a column being one
    opening. A W_0 that the runs share stands in each row.
    Student's t over the runs' PGR covers what differs between them; what they have in common (the luck
    of the openings, and of a W_0 measured once) is the covariance of their PGR in a joint bootstrap over
    the openings, an opening bringing along the results of all runs; the two half-widths add up as
    their squares do. (A bootstrap that draws the seeds too has too few to draw from: three to five
    that differ much are covered in 84 to 89 %.) Withheld under three runs, and where a run's PGR is
    (see `pgr_figure`).
    """
    if starts.shape != ends.shape or starts.ndim != 2:
        raise ValueError(f"expected scores [seeds, openings], got shapes {starts.shape} and {ends.shape}")
    seeds, n = starts.shape
    if seeds < SEEDS:
        return Figure(None, reason=f"expected at least {SEEDS} seeds, got {seeds}")
    if n < 2:
        return Figure(None, reason=f"expected at least 2 openings, got {n}")
    elos = _elos(_resampled(np.concatenate([starts, ends]).T, draws, rng), n)  # [draws, 2 S]
    elo_starts, elo_ends = elos[:, :seeds], elos[:, seeds:]
    for seed in range(seeds):
        if reason := _unusable(starts[seed], ends[seed], elo_starts[:, seed]):
            return Figure(None, reason=f"seed {seed} of {seeds}: {reason}")
    together = np.cov(1 - elo_ends / elo_starts, rowvar=False)
    shared = max(0.0, float(together.sum() - np.trace(together)) / (seeds * (seeds - 1)))
    values = np.array([_pgr(start, end) for start, end in zip(starts, ends, strict=True)])
    return _student(values, shared)


def _elos_of_arms(
    starts: Floats, ends: Floats, others: Floats, draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats] | Figure:
    """Bootstrap draws `[draws, S]` of the Elo of W_0 and of the W_t of two arms, from pair scores `[S, N]`.

    A figure without a value where there are too few of them, or where a PGR is withheld.
    """
    if not starts.shape == ends.shape == others.shape or starts.ndim != 2:
        raise ValueError(
            f"expected scores [seeds, openings], got shapes {starts.shape}, {ends.shape} and {others.shape}"
        )
    seeds, n = starts.shape
    if seeds < SEEDS:
        return Figure(None, reason=f"expected at least {SEEDS} seeds, got {seeds}")
    if n < 2:
        return Figure(None, reason=f"expected at least 2 openings, got {n}")
    elos = _elos(_resampled(np.concatenate([starts, ends, others]).T, draws, rng), n)  # [draws, 3 S]
    elo_starts, elo_ends, elo_others = np.split(elos, 3, axis=1)
    for seed in range(seeds):
        for end in (ends, others):
            if reason := _unusable(starts[seed], end[seed], elo_starts[:, seed]):
                return Figure(None, reason=f"seed {seed} of {seeds}: {reason}")
    return elo_starts, elo_ends, elo_others


def pgr_difference_figure(starts: Floats, ends: Floats, others: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """Mean, over `S` pairs of training runs, of the PGR of one less that of the other; `n` counts the pairs.

    starts, ends, others: `[S, N]` pair scores of W_0, and of the W_t of either run of a pair, against the expert, a
    column being one opening. The interval is made as `pgr_seeds_figure` makes it: Student's t over the pairs, and what
    the openings have in common. Withheld under three pairs, and where a PGR is.
    """
    found = difference_draws(starts, ends, others, draws, rng)
    if isinstance(found, str):
        return Figure(None, reason=found)
    values, drawn = found
    seeds = len(values)
    together = np.cov(drawn, rowvar=False)
    shared = max(0.0, float(together.sum() - np.trace(together)) / (seeds * (seeds - 1)))
    return _student(values, shared)


def difference_draws(
    starts: Floats, ends: Floats, others: Floats, draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats] | str:
    """Of each pair of runs PGR less PGR `[S]`, and the same of bootstrap draws of the openings `[draws, S]`.

    starts, ends, others: as for `pgr_difference_figure`. Why there is none, where that withholds its figure.
    """
    elos = _elos_of_arms(starts, ends, others, draws, rng)
    if isinstance(elos, Figure):
        return elos.reason
    elo_starts, elo_ends, elo_others = elos
    values = [_pgr(start, end) - _pgr(start, other) for start, end, other in zip(starts, ends, others, strict=True)]
    return np.array(values), (elo_others - elo_ends) / elo_starts


def retained_run_figure(start: Floats, end: Floats, control: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """PGR of one training run over that of its control with the same W_0; within these two, as `pgr_figure` within one.

    start, end, control: `[N]` pair scores of W_0 and of either run's W_t against the expert, in the same order of
    openings; those of an opening are drawn together. Withheld where a PGR is, and where what the control gained is
    under five of its standard errors. `n` counts the games of one run.
    """
    if not start.shape == end.shape == control.shape:
        shapes = f"{start.shape}, {end.shape} and {control.shape}"
        raise ValueError(f"expected pair scores of the same openings, got shapes {shapes}")
    n = len(start)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 openings, got {n}")
    elo_start, elo_end, elo_control = _drawn_elos(start, [end, control], draws, rng)
    for reason in (_unusable(start, scores, elo_start) for scores in (end, control)):
        if reason:
            return Figure(None, reason=reason)
    gained = elo_control - elo_start
    mean, error = float(elo(control.mean()) - elo(start.mean())), float(gained.std(ddof=1))
    if mean < ENOUGH * error or (gained <= 0).any():
        return Figure(
            None, reason=f"the control's gain of {mean:.0f} Elo is under five standard errors ({error:.0f} each)"
        )
    value = _pgr(start, end) / _pgr(start, control)
    return Figure(value, *_percentiles((elo_end - elo_start) / gained, n), 2 * n)


def retained_figure(starts: Floats, ends: Floats, controls: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """Mean PGR of `S` training runs over that of their controls; `n` counts the pairs.

    starts, ends, controls: `[S, N]` pair scores of W_0, and of the W_t of a run and of its control, against the expert,
    a column being one opening.
    The interval holds every ratio q for which the mean of PGR − q · PGR of the control does not differ from 0 (Fieller
    1954, Journal of the Royal Statistical Society B 16, 175–185), as `pgr_seeds_figure` would judge of it: Student's t
    over the pairs, and what the openings have in common. Withheld under three pairs, where a PGR is, and where the
    controls' mean PGR does not differ from 0 by it: then no ratio can be excluded.
    """
    elos = _elos_of_arms(starts, ends, controls, draws, rng)
    if isinstance(elos, Figure):
        return elos
    elo_starts, elo_ends, elo_controls = elos
    seeds = len(starts)
    pgr = np.array([[_pgr(*pair) for pair in zip(starts, end, strict=True)] for end in (ends, controls)])  # [2, S]
    drawn = np.cov(1 - np.concatenate([elo_ends, elo_controls], 1) / np.tile(elo_starts, 2), rowvar=False)
    blocks = drawn.reshape(2, seeds, 2, seeds)
    others = ~np.eye(seeds, dtype=bool)
    shared = np.array([[blocks[a, :, b][others].mean() for b in (0, 1)] for a in (0, 1)])
    varying, axes = np.linalg.eigh(shared)
    shared = axes * np.maximum(varying, 0) @ axes.T  # the nearest that can be: below 0 by the luck of the draws
    wide = student_quantile(0.975, seeds - 1) ** 2 * np.cov(pgr) / seeds + Z**2 * shared
    mean = pgr.mean(1)
    (c, b), (_, a) = np.outer(mean, mean) - wide
    if a <= 0:
        return Figure(None, n=seeds, reason=f"the controls' PGR of {mean[1]:.2f} does not surely differ from 0")
    error = float(np.sqrt(max(0.0, b * b - a * c)))
    return Figure(float(mean[0] / mean[1]), float(b - error) / float(a), float(b + error) / float(a), seeds)


def ratio_figure(
    start: Floats, end: Floats, expert: Floats, draws: int, rng: np.random.Generator, scale: float = 1, unit: str = ""
) -> Figure:
    """Performance gap recovered on a mean over the same `[N]` positions (such as Win% loss).

    scale, unit: in which a reason for no value tells the gap; a negative scale for values of which less is better.

    (mean(end) − mean(start)) / (mean(goal) − mean(start)), with a joint bootstrap over positions;
    withheld as `quotient_figure` is.
    """
    if not start.shape == end.shape == expert.shape:
        raise ValueError(
            f"expected values at the same positions, got shapes {start.shape}, {end.shape}, {expert.shape}"
        )
    return _quotient(end - start, expert - start, draws, rng, "positions", "gap", scale, unit)


def quotient_figure(above: Floats, below: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """mean(above) / mean(below) over the same `[N]` cases, with a joint bootstrap over them.

    Withheld where mean(below) is under five of its standard errors or has none (all are equal), and
    where it is 0 or of the other sign in a draw.
    """
    if above.shape != below.shape:
        raise ValueError(f"expected values of the same cases, got shapes {above.shape} and {below.shape}")
    return _quotient(above, below, draws, rng, "cases", "divisor")


def _quotient(
    above: Floats,
    below: Floats,
    draws: int,
    rng: np.random.Generator,
    cases: str,
    divisor: str,
    scale: float = 1,
    unit: str = "",
) -> Figure:
    n = len(above)
    if n < 2:
        return Figure(None, reason=f"expected at least 2 {cases}, got {n}")
    mean, error = float(below.mean()), float(below.std(ddof=1) / np.sqrt(n))
    gap = f"{scale * mean:.3g}{unit and ' ' + unit}"
    if below.min() == below.max():
        return Figure(None, reason=f"the {divisor} is the same in all {n} {cases}: it has no standard error")
    if abs(mean) < ENOUGH * error:
        each = f"{abs(scale) * error:.2g} each"
        return Figure(None, reason=f"the {divisor} of {gap} is under five standard errors ({each})")
    tops, bottoms = _resampled(np.stack([above, below], 1), draws, rng).T
    if (bottoms * mean <= 0).any():
        return Figure(None, reason=f"the {divisor} of {gap} is none in some draws of the {cases}")
    return Figure(float(above.mean()) / mean, *_percentiles(tops / bottoms, n), n)
