"""How often the intervals and tests of `sandwich.statistics` hold what they promise.

Each row simulates experiments whose truth is known, and counts the intervals that have it inside. An
approximate 95 % interval should have it in 93 to 97 % of the cases (from little data in 93 % or more),
an exact one in 95 % or more, and a test should err in 5 % at most. `below` and `above` say on which side
of the interval the truth lay where it was missed. Rows without a promise show what the project does not
use, and where its figures are not to be trusted.

usage: .venv/bin/python benchmarks/coverage.py [--experiments 2000] [--short] [--json]
"""

import argparse
import dataclasses
import json
import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from sandwich.statistics import (
    Figure,
    Floats,
    Reached,
    Side,
    Sprt,
    auc_figure,
    break_rate_figure,
    clustered_share_figure,
    elo,
    elo_figure,
    expected_score,
    mean_figure,
    pgr_difference_figure,
    pgr_figure,
    pgr_run_difference_figure,
    pgr_seeds_figure,
    ratio_figure,
    retained_figure,
    retained_run_figure,
    seeds_figure,
    share_figure,
    splitting,
    splitting_figure,
    stratified_figure,
    survival_figure,
    tail_figure,
)

Promise = Literal["93 to 97 %", "93 % or more", "95 % or more", "5 % at most", ""]
"""Of the share; none where it is empty."""
SCORES = np.array([0, 0.25, 0.5, 0.75, 1])
DRAWS = 1000
"""Of each bootstrap; a run has ten times as many, and its intervals waver less."""


@dataclass(frozen=True)
class Row:
    """What came of the experiments of one setting.

    share: of the figures that were not withheld those that had the truth inside; of tests the errors.
    below, above: share of the figures that had the truth below their interval, or above it.
    withheld: share of the experiments.
    """

    figure: str
    setting: str
    promise: Promise
    share: float
    below: float
    above: float
    withheld: float
    experiments: int

    @property
    def holds(self) -> bool:
        """Whether the promise is kept, as far as so many experiments can tell."""
        luck = 2 * float(np.sqrt(0.05 * 0.95 / self.experiments))
        if self.promise.startswith("93"):
            return 0.93 <= self.share <= (0.97 if self.promise == "93 to 97 %" else 1)
        if self.promise == "95 % or more":
            return self.share >= 0.95 - luck
        return self.promise == "" or self.share <= 0.05 + luck


def covered(figure: str, setting: str, promise: Promise, truth: float, figures: Iterable[Figure]) -> Row:
    """The row of figures with intervals."""
    there = missed_low = missed_high = count = 0
    for one in figures:
        count += 1
        if one.low is None and one.high is None:
            continue
        there += 1
        missed_low += one.low is not None and truth < one.low
        missed_high += one.high is not None and truth > one.high
    below, above = missed_low / max(there, 1), missed_high / max(there, 1)
    return Row(figure, setting, promise, 1 - below - above, below, above, 1 - there / count, count)


# How pairs of games end


@dataclass(frozen=True)
class Games:
    """How two players' games end: BayesElo's model, with openings that favour a side.

    draw: Elo that a player must be ahead for as many wins as draws and losses together.
    bias: standard deviation over openings of what one colour gains, in Elo.
    favour: that of what the weaker player gains with either colour.
    """

    draw: float
    bias: float
    favour: float = 60

    def __str__(self) -> str:
        return f"draws to {self.draw:g} Elo"

    def ends(self, strength: npt.ArrayLike) -> Floats:
        """Probability `[..., 3]` of loss, draw and win."""
        ahead = np.asarray(strength, np.float64)
        win, loss = (expected_score(side * ahead - self.draw) for side in (1, -1))
        return np.stack([loss, 1 - win - loss, win], -1)

    def pairs(self, *strengths: float) -> Floats:
        """Probability of each pair score, `[5]`; of two strengths on one opening jointly, `[5, 5]`."""
        points, weights = np.polynomial.hermite_e.hermegauss(15)
        weights = weights / weights.sum()
        bias, favour = (part.ravel() for part in np.meshgrid(self.bias * points, self.favour * points))
        out: Floats = np.ones((len(bias), 1))
        for strength in strengths:
            white, black = (self.ends(strength + favour + side * bias) for side in (1, -1))
            both = np.zeros((len(bias), 5))
            for one in range(3):
                both[:, one : one + 3] += white[:, one : one + 1] * black
            out = (out[:, :, None] * both[:, None, :]).reshape(len(bias), -1)
        total: Floats = np.outer(weights, weights).ravel() @ out
        return np.asarray(total.reshape((5,) * len(strengths)) / total.sum(), np.float64)

    def score(self, strength: float) -> float:
        return float(self.pairs(strength) @ SCORES)

    def strength(self, score: float) -> float:
        """At which the mean score is this."""
        return float(brentq(lambda strength: self.score(strength) - score, -4000, 4000))

    def play(self, strength: Floats, opening: tuple[Floats, Floats], rng: np.random.Generator) -> Floats:
        """Pair scores in the shape of `strength`, on openings with these (bias, favour)."""
        bias, favour = opening
        total = np.zeros(np.broadcast_shapes(strength.shape, bias.shape))
        for side in (1, -1):
            ends = np.cumsum(self.ends(strength + favour + side * bias), -1)
            total += (rng.random(total.shape)[..., None] > ends[..., :2]).sum(-1) / 4
        return total


AS_W0 = Games(draw=300, bias=50)
"""The shipped W_0 against E: many draws among the few points."""
DECISIVE = Games(draw=150, bias=100)


def draw_pairs(probability: Floats, n: int, experiments: int, rng: np.random.Generator) -> Iterator[Floats]:
    for counts in rng.multinomial(n, probability, experiments):
        yield np.repeat(SCORES, counts)


def draw_two(
    probability: Floats, n: int, experiments: int, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    first, second = (np.repeat(SCORES, 5), np.tile(SCORES, 5))
    for counts in rng.multinomial(n, probability.ravel(), experiments):
        yield np.repeat(first, counts), np.repeat(second, counts)


# The figures


def strength_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Elo of a match, and the mean score by fastchess's interval."""
    settings = [(AS_W0, 0.0717, 300), (DECISIVE, 0.2, 300), (AS_W0, 0.07, 32), (AS_W0, 0.02, 100)]
    if not short:
        sizes = (10, 32, 100, 300, 1000)
        settings += [(DECISIVE, score, n) for score in (0.01, 0.036, 0.07, 0.2, 0.5, 0.93) for n in sizes]
    for games, score, n in settings:
        scores = list(draw_pairs(games.pairs(games.strength(score)), n, experiments, rng))
        setting = f"score {score:.3g}, {n} pairs, {games}"
        points = n * min(score, 1 - score)
        promise: Promise = "93 to 97 %" if points >= 5 else "93 % or more"
        yield covered("elo_figure", setting, promise, float(elo(score)), map(elo_figure, scores))
        if points < 5:
            yield covered("(s ± 1.96·√(var/N))", setting, "", score, map(normal, scores))


def normal(values: Floats) -> Figure:
    """What fastchess gives: s ± 1.96·√(var/N)."""
    error = 1.959964 * values.std() / np.sqrt(len(values))
    return Figure(float(values.mean()), float(values.mean() - error), float(values.mean() + error), len(values))


def student(values: Floats) -> Figure:
    error = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Figure(float(values.mean()), float(values.mean() - error), float(values.mean() + error), len(values))


def sequential_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Errors of the sequential test, looked at after every pair, and of "reached"."""
    settings = [(AS_W0, 50.0), (DECISIVE, 100.0)]
    if not short:
        settings += [(AS_W0, 20.0), (DECISIVE, 20.0), (DECISIVE, 50.0)]
    for games, margin in settings:
        test = Sprt(elo0=-margin, elo1=0)
        for truth, wrong, name in ((-margin, 1, "elo0, accepted"), (0.0, -1, "elo1, rejected")):
            probability = games.pairs(games.strength(float(expected_score(truth))))
            ends, used = decide(test, probability, experiments, 100_000, rng)
            setting = f"margin {margin:g}, {games}, W at {name}; {used.mean():.0f} pairs"
            yield errors("Sprt", setting, "5 % at most", ends == wrong)
    if short:
        return
    margin, looks = 100.0, 20
    test, setting = Reached(margin).test, f"margin {margin:g}, W that far behind, {looks} looks"
    probability = DECISIVE.pairs(DECISIVE.strength(float(expected_score(-margin))))
    found = (decide(test, probability, experiments * looks, 300, rng)[0] == 1).reshape(-1, looks).any(1)
    confirmed = found & (decide(test, probability, experiments, 300, rng)[0] == 1)
    yield errors("(Reached, found by a look)", setting, "", found)
    yield errors("Reached, confirmed", setting, "5 % at most", confirmed)


def errors(figure: str, setting: str, promise: Promise, wrong: npt.NDArray[np.bool_]) -> Row:
    """The row of a test."""
    return Row(figure, setting, promise, float(wrong.mean()), 0, 0, 0, len(wrong))


def decide(
    test: Sprt, probability: Floats, experiments: int, most: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """1 accepted, −1 rejected, 0 neither, of tests of at most so many pairs; and the pairs that each took."""
    ends, used = np.zeros(experiments, np.int64), np.full(experiments, most)
    going, counts, played = np.arange(experiments), np.zeros((experiments, 5), np.int64), 0
    while played < most and len(going):
        new = rng.choice(5, (len(going), min(50, most - played)), p=probability)
        course = counts[:, None] + np.cumsum(new[..., None] == np.arange(5), axis=1)
        ratio = test.llr(course)
        state = np.where(ratio >= test.high, 1, np.where(ratio <= test.low, -1, 0))
        first = np.argmax(state != 0, axis=1)
        end = state[np.arange(len(going)), first]
        ends[going], used[going[end != 0]] = end, played + first[end != 0] + 1
        going, counts, played = going[end == 0], course[end == 0, -1], played + new.shape[1]
    return ends, used


def recovered_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """PGR within one run and across seeds."""
    settings = [(0.0717, 0.2, 300), (0.07, 0.08, 32), (0.4, 0.45, 300), (0.45, 0.47, 300)]
    if not short:
        settings += [(0.0717, 0.0717, 300), (0.036, 0.04, 300), (0.07, 0.2, 32), (0.07, 0.45, 100), (0.02, 0.1, 100)]
        settings += [(0.3, 0.4, 100), (0.45, 0.47, 1000), (0.2, 0.3, 20)]
    for start, end, n in settings:
        probability = DECISIVE.pairs(DECISIVE.strength(start), DECISIVE.strength(end))
        truth = 1 - float(elo(end) / elo(start))
        setting = f"gap {-float(elo(start)):.0f} Elo, PGR {truth:.2f}, {n} pairs"
        figures = [pgr_figure(*scores, DRAWS, rng) for scores in draw_two(probability, n, experiments, rng)]
        row = covered("pgr_figure", setting, "93 to 97 %", truth, figures)
        if row.withheld < 0.1:
            yield row
            continue
        # The few that are shown have a gap that looked wider than it is: by chance, and so not at 95 %.
        yield dataclasses.replace(row, figure="(pgr_figure, where it is shown)", promise="")
        missed = np.array(
            [one.low is not None and one.high is not None and not one.low <= truth <= one.high for one in figures]
        )
        yield errors("pgr_figure, shown and wrong", setting, "5 % at most", missed)
    runs = [(20.0, 3, 100, True), (60.0, 5, 100, False)]
    if not short:
        runs += [(5, 3, 300, True)]
        runs += [(20, 3, 300, True), (60, 3, 300, True), (20, 5, 300, True), (60, 5, 300, True), (20, 10, 300, True)]
        runs += [(20, 3, 300, False), (60, 5, 300, False)]
    for spread, seeds, n, shared in runs:
        yield from seed_rows(spread, seeds, n, shared, experiments, short, rng)
    for n in (100,) if short else (100, 300):
        yield from two_runs_rows(n, experiments, rng)


def two_runs_rows(n: int, experiments: int, rng: np.random.Generator) -> Iterator[Row]:
    """Two runs of one W_0 that learn otherwise: their difference, and the one as a share of the other."""
    strengths = np.array([[AS_W0.strength(score)] for score in (0.0717, 0.2, 0.12)])
    starts, ends, others = (float(elo(AS_W0.score(strength))) for (strength,) in strengths)
    figures, shares = [], []
    for _ in range(experiments):
        opening = (AS_W0.bias * rng.normal(size=n), AS_W0.favour * rng.normal(size=n))
        start, end, other = AS_W0.play(strengths, opening, rng)
        figures.append(pgr_run_difference_figure(start, end, other, DRAWS, rng))
        shares.append(retained_run_figure(start, other, end, DRAWS, rng))
    setting = f"two runs, the better one's PGR {1 - ends / starts:.2f}, {n} pairs"
    yield covered("pgr_run_difference_figure", setting, "93 to 97 %", (others - ends) / starts, figures)
    yield covered("retained_run_figure", setting, "93 to 97 %", (others - starts) / (ends - starts), shares)


def seed_rows(
    spread: float, seeds: int, n: int, shared: bool, experiments: int, short: bool, rng: np.random.Generator
) -> Iterator[Row]:
    """Runs that differ by `spread` Elo in what they learn, and in W_0 where it is not shared."""
    games, before, after, less = AS_W0, AS_W0.strength(0.0717), AS_W0.strength(0.2), AS_W0.strength(0.12)
    grid = np.linspace(before - 500, after + 500, 101)
    known = elo(np.array([games.score(strength) for strength in grid]))
    points, weights = np.polynomial.hermite_e.hermegauss(15)
    weights = weights / weights.sum()
    ends = np.interp(after + spread * points, grid, known)
    starts = np.interp(before + (0 if shared else spread) * points, grid, known)
    others = np.interp(less + spread * points, grid, known)
    truth = 1 - float(weights @ ends) * float(weights @ (1 / starts))
    between = float(weights @ (others - ends)) * float(weights @ (1 / starts))
    both: list[Figure] = []
    alone: list[Figure] = []
    apart: list[Figure] = []
    kept: list[Figure] = []
    drawn: list[Figure] = []
    for _ in range(experiments):
        opening = (games.bias * rng.normal(size=n), games.favour * rng.normal(size=n))
        of_start = np.full((1, 1), before) if shared else before + spread * rng.normal(size=(seeds, 1))
        start = np.broadcast_to(games.play(of_start, opening, rng), (seeds, n))
        end = games.play(after + spread * rng.normal(size=(seeds, 1)), opening, rng)
        both.append(pgr_seeds_figure(start, end, DRAWS // 4, rng))
        other = games.play(less + spread * rng.normal(size=(seeds, 1)), opening, rng)
        apart.append(pgr_difference_figure(start, end, other, DRAWS // 4, rng))
        kept.append(retained_figure(start, other, end, DRAWS // 4, rng))
        alone.append(seeds_figure([Figure(float(value)) for value in 1 - elo(end.mean(1)) / elo(start.mean(1))]))
        if not short:
            drawn.append(seeds_drawn(start, end, DRAWS // 4, rng))
    setting = f"PGR {truth:.2f} ± {spread / 445:.2f}, {seeds} seeds, {n} pairs, {'one W_0' if shared else 'a W_0 each'}"
    joint: Promise = "93 % or more" if shared and seeds == 3 else "93 to 97 %"  # two half-widths that add up are wide
    yield covered("pgr_seeds_figure", setting, joint, truth, both)
    about = setting.replace("PGR", "two arms, the better one's PGR")
    yield covered("pgr_difference_figure", about, "93 to 97 %", between, apart)
    yield covered("retained_figure", about, "93 to 97 %", (truth - between) / truth, kept)
    name: tuple[str, Promise] = ("(seeds_figure)", "") if shared else ("seeds_figure", "93 to 97 %")
    yield covered(name[0], setting, name[1], truth, alone)
    if not short:
        yield covered("(bootstrap of seeds and pairs)", setting, "", truth, drawn)


def seeds_drawn(starts: Floats, ends: Floats, draws: int, rng: np.random.Generator) -> Figure:
    """Percentiles of a bootstrap that draws seeds as well as openings."""
    seeds, n = starts.shape
    openings, runs = (rng.multinomial(size, np.full(size, 1 / size), draws) / size for size in (n, seeds))
    edge = 1 / (4 * n)
    before, after = (elo(np.clip(openings @ scores.T, edge, 1 - edge)) for scores in (starts, ends))
    low, high = np.percentile(((1 - after / before) * runs).sum(1), [2.5, 97.5])
    return Figure(0.0, float(low), float(high), seeds)


LOST = float(np.exp(-(0.5**2) / 2) / np.sqrt(2 * np.pi) - 0.5 * stats.norm.sf(0.5))
"""Mean of `lost`."""


def lost(normal: Floats) -> Floats:
    """Skewed values as Win% losses are: two of three moves lose nothing."""
    return np.maximum(0, normal - 0.5)


def mean_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Means of skewed values, and ratios of such means."""
    for n in (50,) if short else (20, 50, 200, 1000):
        losses = lost(rng.normal(size=(experiments, n)))
        setting = f"{n} moves, two of three without a loss"
        yield covered(
            "mean_figure", setting, "93 to 97 %" if n >= 50 else "93 % or more", LOST, map(mean_figure, losses)
        )
        yield covered("(Student's t)", setting, "", LOST, map(student, losses))
    for n in () if short else (50, 200):
        start = rng.exponential(0.10, (experiments, n))
        expert = 0.3 * start + rng.exponential(0.01, (experiments, n))
        end = 0.6 * start + rng.exponential(0.02, (experiments, n))
        figures = (ratio_figure(*one, DRAWS, rng) for one in zip(start, end, expert, strict=True))
        yield covered("ratio_figure", f"loss 10 to 8, goal 4, {n} moves", "93 to 97 %", 1 / 3, figures)


def cluster_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Means and shares of positions that come from the same games."""
    settings = [(50, 0.3, "1 to 29")]
    if not short:
        settings = [(games, alike, "1 to 29") for games in (30, 100) for alike in (0.0, 0.1, 0.5)]
        settings += [(30, 0.5, "10"), (100, 0.5, "1 to 80, most few"), (300, 0.5, "1 to 80, most few")]
    for games, alike, sizes in settings:
        labels, hidden = zip(*(clustered(games, alike, sizes, rng) for _ in range(experiments)), strict=True)
        setting = f"{games} games of {sizes} positions, correlation {alike:g}"
        few = sizes == "1 to 80, most few"
        values = [lost(one) for one in hidden]
        name = "(mean_figure, clusters)" if few else "mean_figure, clusters"
        yield covered(name, setting, "" if few else "93 to 97 %", LOST, map(mean_figure, values, labels))
        if alike > 0.1 and not few:
            yield covered("(mean_figure, no clusters)", setting, "", LOST, map(mean_figure, values))
        for rate in (0.1,) if short or few else (0.02, 0.1, 0.5):
            hits = [one < stats.norm.ppf(rate) for one in hidden]
            figures = map(clustered_share_figure, hits, labels)
            yield covered("clustered_share_figure", f"{rate:.0%}, {setting}", "95 % or more", rate, figures)
        if not few and games > 30:
            lies = [rng.random(len(one)) < 0.6 for one in hidden]
            areas = (
                auc_figure(one - 1.5 * lie, lie, label) for one, lie, label in zip(hidden, lies, labels, strict=True)
            )
            yield covered("auc_figure", setting, "93 to 97 %", float(stats.norm.cdf(1.5 / np.sqrt(2))), areas)


def weighted_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Means over a step's positions where lies are drawn more often (`sandwich.evaluation.label_losses`)."""
    for games, share, budget in ((200, 0.1, 300),) if short else ((60, 0.25, 100), (200, 0.1, 300), (600, 0.02, 1000)):
        setting = f"{budget} of {games} games' positions, {share:.0%} lies"
        found = (drawn_by_kind(games, share, budget, rng) for _ in range(experiments))
        yield covered("mean_figure, weights", setting, "93 to 97 %", LOST, (mean_figure(*one) for one in found))


def drawn_by_kind(
    games: int, share: float, budget: int, rng: np.random.Generator
) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Values, games and weights of positions drawn in equal number from lies and from the others.

    A lie loses 1 more; the values are less by what that comes to on average, so that their mean is that of `lost`.
    """
    labels, hidden = clustered(games, 0.1, "1 to 29", rng)
    lies = rng.random(len(labels)) < share
    kinds = [np.flatnonzero(lies), np.flatnonzero(~lies)]
    drawn = [rng.choice(kind, min(len(kind), budget // 2), replace=False) for kind in kinds]
    rows = np.concatenate(drawn)
    weights = np.concatenate(
        [np.full(len(some), len(kind) / len(some)) for some, kind in zip(drawn, kinds, strict=True)]
    )
    return lost(hidden[rows]) + lies[rows] - lies.mean(), labels[rows], weights


def clustered(games: int, alike: float, sizes: str, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Floats]:
    """Labels and normal values, of which those of one game have this correlation."""
    if sizes == "10":
        each = np.full(games, 10)
    elif sizes == "1 to 29":
        each = rng.integers(1, 30, games)
    else:
        each = np.minimum(1 + rng.geometric(0.1, games), 80)
    labels = np.repeat(np.arange(games), each)
    return labels, np.sqrt(alike) * rng.normal(size=games)[labels] + np.sqrt(1 - alike) * rng.normal(size=len(labels))


def rate_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Shares and stratified rates."""
    sides: tuple[Side, ...] = ("both", "upper")
    for rate, n in ((0.003, 1000),) if short else ((0.0001, 1000), (0.003, 1000), (0.02, 100), (0.3, 20), (0.5, 300)):
        hits = rng.binomial(n, rate, experiments)
        for side in sides:
            figures = [share_figure(int(k), n, side) for k in hits]
            yield covered(f"share_figure, {side}", f"rate {rate:g}, {n} samples", "95 % or more", rate, figures)
    strata = {
        "a filter": ((0.9, 0.08, 0.015, 0.005), (2000, 1000, 500, 500), (1e-5, 1e-3, 0.02, 0.2)),
        "all rare": ((0.9, 0.08, 0.015, 0.005), (3000, 1000, 500, 500), (1e-6, 1e-5, 1e-4, 1e-3)),
        "five alike": ((0.2,) * 5, (50,) * 5, (0.01, 0.02, 0.03, 0.04, 0.05)),
        "few samples": ((0.7, 0.2, 0.1), (20, 20, 20), (0.02, 0.2, 0.6)),
    }
    for name, (weights, sizes, rates) in list(strata.items())[: 1 if short else None]:
        shares, samples = np.array(weights), np.array(sizes)
        truth = float(shares @ rates)
        hits = rng.binomial(samples, rates, (experiments, len(samples)))
        setting = f"{name}: rate {truth:.2g}, {samples @ rates:.1f} failures"
        figures = [stratified_figure(k, samples, shares) for k in hits]
        yield covered("stratified_figure", setting, "95 % or more", truth, figures)


def time_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Times to a break, given up at a budget or at a time of their own."""
    settings = [(20, 0.8, False)]
    if not short:
        settings = [(n, left, budget) for n in (10, 50) for left in (0.95, 0.5, 0.1) for budget in (True, False)]
    for n, left, budget in settings:
        at = -float(np.log(left))
        breaks = rng.exponential(size=(experiments, n))
        given_up = np.full(breaks.shape, 1.5 * at) if budget else rng.uniform(0, 2 * at + 0.05, breaks.shape)
        times, broken = np.minimum(breaks, given_up), breaks <= given_up
        setting = f"{left:.0%} unbroken, {n} attacks, {'one budget' if budget else 'given up at various times'}"
        figures = [survival_figure(t, b, at) for t, b in zip(times, broken, strict=True)]
        yield covered("survival_figure", setting, "95 % or more", left, figures)
        if not budget:
            yield covered(
                "(Greenwood, log-log)",
                setting,
                "",
                left,
                [greenwood(t, b, at) for t, b in zip(times, broken, strict=True)],
            )
    for n, most in ((20, 0.2),) if short else ((10, 1.0), (10, 0.2), (20, 2.0), (50, 0.05), (100, 1.0)):
        breaks = rng.exponential(size=(experiments, n))
        times, broken = np.minimum(breaks, most), breaks <= most
        setting = f"{n} attacks, budget {most:g} of the mean time"
        figures = [break_rate_figure(t, b) for t, b in zip(times, broken, strict=True)]
        yield covered("break_rate_figure", setting, "95 % or more", 1.0, figures)


class Walk:
    """A random walk of normal steps, which begins one step from 0."""

    def start(self, count: int, rng: np.random.Generator) -> Floats:
        return rng.normal(size=count)

    def step(self, states: Floats, rng: np.random.Generator) -> Floats:
        return np.asarray(states + rng.normal(size=states.shape))

    def levels(self, states: Floats) -> Floats:
        return states


class Lattice(Walk):
    """The same in whole steps: paths that are equally high."""

    def start(self, count: int, rng: np.random.Generator) -> Floats:
        return self.step(np.zeros(count), rng)

    def step(self, states: Floats, rng: np.random.Generator) -> Floats:
        return np.asarray(states + rng.choice([-1.0, 0.0, 1.0], states.shape, p=[0.4, 0.3, 0.3]))


def walk_reaches(level: float, steps: int) -> float:
    """Probability that `Walk` comes to a level within so many steps, on a grid."""
    at = np.linspace(level - 40, level, 8001)
    width = np.full(len(at), at[1] - at[0])
    width[[0, -1]] /= 2
    onward = stats.norm.pdf(at[:, None] - at)
    below = stats.norm.pdf(at)
    for _ in range(steps):
        below = onward @ (below * width)
    return 1 - float(below @ width)


def lattice_reaches(level: int, steps: int) -> float:
    at, reached = {0: 1.0}, 0.0
    for _ in range(steps + 1):
        after: dict[int, float] = {}
        for state, chance in at.items():
            for move, share in ((-1, 0.4), (0, 0.3), (1, 0.3)):
                after[state + move] = after.get(state + move, 0) + chance * share
        reached += after.pop(level, 0.0)
        at = after
    return reached


def rare_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Splittings of random walks; each experiment is thirty of a few thousand that are made."""
    settings: list[tuple[Walk, int, int]] = [(Walk(), 5, 8)]
    if not short:
        settings = [(Walk(), 5, 6), (Walk(), 5, 8), (Walk(), 5, 10), (Lattice(), 11, 7), (Lattice(), 11, 10)]
    for chain, steps, level in settings:
        exact = lattice_reaches if isinstance(chain, Lattice) else walk_reaches
        truth = exact(level, steps)
        made = np.array([splitting(chain, steps, level, rng).value for _ in range(1000 if short else 3000)])
        figures = (splitting_figure(rng.choice(made, 30)) for _ in range(experiments))
        setting = f"{'whole' if isinstance(chain, Lattice) else 'normal'} steps, probability {truth:.2g}"
        yield covered("splitting_figure", setting, "93 to 97 %", truth, figures)


def tail_rows(experiments: int, short: bool, rng: np.random.Generator) -> Iterator[Row]:
    """Shares by the tail of a score; a normal one falls off faster than is fitted, and gets no promise."""
    sizes = ((100, 0.1),) if short else ((50, 1.0), (50, 0.1), (100, 0.1), (300, 0.1), (100, 0.01))
    kinds: dict[str, Any] = {"exponential": stats.expon(), "Gumbel": stats.gumbel_r(), "normal": stats.norm()}
    if short:
        del kinds["Gumbel"], kinds["normal"]
    for name, kind in kinds.items():
        for n, expected in sizes:
            truth = expected / n
            at = float(kind.isf(truth))
            figures = (tail_figure(kind.rvs(size=n, random_state=rng), at) for _ in range(experiments))
            promise: Promise = "" if name == "normal" else "93 to 97 %"
            yield covered("tail_figure", f"{name} scores, {n}; share {truth:.2g}", promise, truth, figures)


def greenwood(times: Floats, broken: npt.NDArray[np.bool_], at: float) -> Figure:
    """What scipy gives; no interval before the first break."""
    curve = stats.ecdf(stats.CensoredData(uncensored=times[broken], right=times[~broken])).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interval = curve.confidence_interval(0.95, method="log-log")
    low, high = (float(end.evaluate(np.array(at))) for end in interval)  # type: ignore[attr-defined]
    return Figure(0.0) if np.isnan(low) or low == high else Figure(0.0, low, high)


PARTS: tuple[Callable[[int, bool, np.random.Generator], Iterator[Row]], ...] = (
    strength_rows, sequential_rows, recovered_rows, mean_rows, cluster_rows, weighted_rows, rate_rows, time_rows,
    rare_rows, tail_rows,
)  # fmt: skip


def rows(experiments: int, short: bool) -> Iterator[Row]:
    """All rows, each part with random numbers of its own."""
    for number, part in enumerate(PARTS):
        yield from part(experiments, short, np.random.default_rng([2026, number]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=2000, help="of each row")
    parser.add_argument("--short", action="store_true", help="a few rows of each kind")
    parser.add_argument("--json", action="store_true", help="one JSON list on stdout")
    options = parser.parse_args()
    if options.json:
        done = rows(options.experiments, options.short)
        print(json.dumps([dataclasses.asdict(row) | {"holds": row.holds} for row in done]))
        return
    print(f"{'':2}{'figure':32}{'setting':66}{'promise':14}{'share':>7}{'below':>7}{'above':>7}{'withheld':>9}")
    for row in rows(options.experiments, options.short):
        mark = "" if row.holds else "!"
        print(
            f"{mark:2}{row.figure:32}{row.setting:66}{row.promise:14}"
            f"{row.share:7.1%}{row.below:7.1%}{row.above:7.1%}{row.withheld:9.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
