"""Figures against published and hand-worked ones, and their intervals against simulated experiments."""

import json
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from sandwich.statistics import (
    ENOUGH,
    Figure,
    Floats,
    Reached,
    Sprt,
    break_rate_figure,
    clustered_share_figure,
    elo,
    elo_figure,
    expected_score,
    kendall_figure,
    mean_figure,
    pgr_difference_figure,
    pgr_figure,
    pgr_seeds_figure,
    quotient_figure,
    rare_share_figure,
    ratio_figure,
    score_figure,
    seeds_figure,
    share_figure,
    stratified_figure,
    survival_curve,
    survival_figure,
    tau_b,
)

RNG = np.random.default_rng


def pairs(*scores: float) -> Floats:
    """Pair scores as an array."""
    return np.array(scores, np.float64)


def bounds(figure: Figure) -> tuple[float, float]:
    """Both ends of an interval that is there."""
    assert figure.low is not None and figure.high is not None
    return figure.low, figure.high


# A figure


def test_a_figure_without_value_says_why_and_one_with_value_does_not() -> None:
    with pytest.raises(ValueError, match="reason"):
        Figure(None)
    with pytest.raises(ValueError, match="reason"):
        Figure(0.5, reason="too few")


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure(0.5, 0.25, 0.75, 10), {"value": 0.5, "low": 0.25, "high": 0.75, "n": 10}),
        (Figure(-3.0, None, -3.0, 8), {"value": -3.0, "low": None, "high": -3.0, "n": 8}),
        (Figure(None, reason="no engine"), {"value": None, "reason": "no engine"}),
        (Figure(0.0, 0.0, 0.0, 4), {"value": 0.0, "low": 0.0, "high": 0.0, "n": 4}),  # 0 is a value
    ],
)
def test_a_figure_goes_to_json_and_back(figure: Figure, expected: dict[str, object]) -> None:
    assert figure.json() == expected
    assert Figure.from_json(figure.json()) == figure


# Elo


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.5, 0.0),
        (10 / 11, 400.0),  # ten to one
        (1 / 11, -400.0),
        (0.75, 190.8485),
        (0.64, 99.9510),
    ],
)
def test_elo_of_a_score(score: float, expected: float) -> None:
    assert float(elo(score)) == pytest.approx(expected, abs=1e-4)


def test_expected_score_is_the_reverse_of_elo() -> None:
    scores = np.array([0.01, 0.25, 0.5, 0.9])
    assert expected_score(elo(scores)) == pytest.approx(scores)


def pentanomial(ll: int, ld: int, wl: int, dd: int, wd: int, ww: int) -> Floats:
    """Pair scores in fastchess's order of counts: both lost, lost and drawn, won and lost, both drawn, …"""
    return np.repeat([0, 0.25, 0.5, 0.75, 1], (ll, ld, wl + dd, wd, ww))


@pytest.mark.parametrize(
    ("counts", "difference", "error"),
    [  # fastchess, app/tests/elo_test.cpp, EloPentanomial 1 to 3, within 1 % as there
        ((34, 54, 31, 32, 64, 75), 55.58, 27.65),
        ((332, 433, 457, 41, 333, 334), -8.64, 10.33),
        ((7895, 8757, 5485, 200, 568, 9999), -21.04, 2.95),
    ],
)
def test_elo_is_that_of_fastchess(counts: tuple[int, ...], difference: float, error: float) -> None:
    figure = elo_figure(pentanomial(*counts))
    low, high = bounds(figure)
    assert figure.value == pytest.approx(difference, rel=0.01)
    assert (high - low) / 2 == pytest.approx(error, rel=0.01)
    assert figure.n == 2 * sum(counts)


FEW = pairs(1, 0.5, 0.5, 0.75, 0.25, 0.75)
"""Mean 0.625, variance 0.06875."""


def test_elo_from_many_pairs_has_the_normal_interval() -> None:
    figure = elo_figure(np.tile(FEW, 10))
    error = 1.959964 * math.sqrt(0.06875 * 50 / 59 / 60)
    low, high = (-400 * math.log10(1 / (0.625 + side * error) - 1) for side in (-1, 1))
    assert figure.value == pytest.approx(-400 * math.log10(0.6), abs=1e-9)
    assert bounds(figure) == pytest.approx((low, high), abs=1e-4)
    assert figure.n == 120


@pytest.mark.parametrize(
    "scores",
    [
        FEW,  # few pairs
        np.repeat([0, 0.25, 0.5], (285, 14, 1)),  # 300 pairs, four points
        np.repeat([1, 0.5], (99, 1)),
        pairs(1, 1, 1, 0.5),
    ],
)
def test_a_score_from_few_pairs_or_points_has_the_interval_of_wilson(scores: Floats) -> None:
    figure = score_figure(scores)
    n, s = len(scores), scores.mean()
    effective = s * (1 - s) / scores.var(ddof=1) * n
    t = stats.t.ppf(0.975, n - 1)
    for end in bounds(figure):  # just as far away as t of the standard errors that it would have there
        assert 0 < end < 1
        assert abs(s - end) == pytest.approx(t * math.sqrt(end * (1 - end) / effective))
    assert bounds(elo_figure(scores)) == pytest.approx([float(elo(end)) for end in bounds(figure)])


def test_elo_turns_its_sign_with_the_players() -> None:
    one, other = elo_figure(FEW), elo_figure(1 - FEW)
    assert one.value and other.value
    assert other.value == pytest.approx(-one.value)
    assert bounds(other) == pytest.approx([-bound for bound in bounds(one)[::-1]])


@pytest.mark.parametrize("n", [2, 10, 400])
def test_a_player_that_won_everything_has_a_lower_bound_alone(n: int) -> None:
    figure = elo_figure(np.ones(n))
    share = stats.binomtest(n, n, alternative="greater").proportion_ci(0.95, method="exact").low
    assert figure.low == figure.value == pytest.approx(float(elo(share)))
    assert figure.high is None
    assert figure.n == 2 * n


def test_a_player_that_lost_everything_has_an_upper_bound_alone() -> None:
    won, lost = elo_figure(np.ones(10)), elo_figure(np.zeros(10))
    assert won.value
    assert lost.value == lost.high == pytest.approx(-won.value)
    assert lost.low is None


@pytest.mark.parametrize("score", [0.25, 0.5, 0.75])
def test_pairs_that_all_ended_alike_leave_room_for_others(score: float) -> None:
    other = stats.binomtest(0, 20, alternative="less").proportion_ci(0.95, method="exact").high  # 14 %
    figure = score_figure(np.full(20, score))
    assert figure.value == score
    assert bounds(figure) == pytest.approx((score - other * score, score + other * (1 - score)))
    assert bounds(elo_figure(np.full(20, score))) == pytest.approx([float(elo(end)) for end in bounds(figure)])


@pytest.mark.parametrize("make", [elo_figure, score_figure])
@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_are_no_measurement(make: Callable[..., Figure], n: int) -> None:
    figure = make(np.ones(n))
    assert figure.value is None
    assert f"got {n}" in figure.reason


# Scores, shares, means


@pytest.mark.parametrize("n", [2, 10, 400])
def test_a_score_of_nothing_but_wins_or_losses_has_the_exact_bound(n: int) -> None:
    share = stats.binomtest(n, n, alternative="greater").proportion_ci(0.95, method="exact").low
    won, lost = score_figure(np.ones(n)), score_figure(np.zeros(n))
    assert (won.value, won.high, won.n) == (1, 1, 2 * n)
    assert won.low == pytest.approx(share)
    assert (lost.value, lost.low, lost.n) == (0, 0, 2 * n)
    assert lost.high == pytest.approx(1 - share)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 7), (1, 2000), (1, 1)])
def test_a_share_has_the_exact_interval(hits: int, n: int) -> None:
    figure = share_figure(hits, n)
    low = stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    assert figure.value == hits / n
    assert bounds(figure) == pytest.approx((low, high), abs=1e-9)
    assert figure.n == n


def test_no_failure_in_n_bounds_the_rate_by_about_3_7_in_n() -> None:
    assert bounds(share_figure(0, 1000))[1] == pytest.approx(3.7e-3, abs=2e-5)


def test_no_failure_in_n_bounds_the_rate_by_about_3_in_n_on_one_side() -> None:
    upper, lower = share_figure(0, 1000, "upper"), share_figure(1000, 1000, "lower")
    assert (upper.low, lower.high) == (None, None)
    assert upper.high == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert upper.high == pytest.approx(3.0e-3, abs=1e-5)
    assert lower.low == pytest.approx(0.05 ** (1 / 1000))


@pytest.mark.parametrize("rate", [0.001, 0.03, 0.5, 0.97])
@pytest.mark.parametrize("n", [5, 40, 300])
def test_the_interval_of_a_share_covers_at_least_95_percent(rate: float, n: int) -> None:
    chance = stats.binom.pmf(np.arange(n + 1), n, rate)
    both = [bounds(share_figure(k, n)) for k in range(n + 1)]
    upper = np.array([share_figure(k, n, "upper").high for k in range(n + 1)])
    lower = np.array([share_figure(k, n, "lower").low for k in range(n + 1)])
    assert chance @ np.array([low <= rate <= high for low, high in both]) >= 0.95
    assert chance @ (rate <= upper) >= 0.95
    assert chance @ (lower <= rate) >= 0.95


def test_a_share_of_nothing_is_no_measurement() -> None:
    assert share_figure(0, 0) == Figure(None, reason="nothing to count")
    assert clustered_share_figure(np.zeros(0, np.bool_), np.zeros(0)).reason == "nothing to count"


def test_a_mean_of_even_values_has_the_interval_of_student() -> None:
    values = pairs(3, 1, 4, 1.5, 5, -1, 2, 0.5, -5, -0.5, -2, -4, -3, 1, -1, -1.5)
    values = np.append(values, -values)  # no skewness
    figure = mean_figure(values)
    interval = stats.t.interval(0.95, 31, loc=values.mean(), scale=stats.sem(values))
    assert figure.value == values.mean()
    assert bounds(figure) == pytest.approx(interval)
    assert figure.n == 32
    one = mean_figure(values[:1])
    assert one.value is None
    assert "got 1" in one.reason


def hall(figure: Figure, deviations: Floats, degrees: float) -> None:
    """Checks an interval against Hall (1992): at its ends the transformed t statistic is ±t."""
    count = len(deviations)
    error = math.sqrt((deviations**2).sum() / count / (count - 1))
    a = stats.skew(deviations) / math.sqrt(count)
    assert figure.value is not None
    low, high = bounds(figure)
    for end, t in ((low, stats.t.ppf(0.975, degrees)), (high, stats.t.ppf(0.025, degrees))):
        away = (figure.value - end) / error
        assert away + a * away**2 / 3 + a**2 * away**3 / 27 + a / 6 == pytest.approx(t)


def test_a_mean_of_skewed_values_reaches_further_up() -> None:
    values = RNG(1).exponential(size=60)
    figure = mean_figure(values)
    hall(figure, values - values.mean(), 59)
    low, high = bounds(figure)
    assert high - values.mean() > 1.3 * (values.mean() - low)


def test_values_that_repeat_within_their_cluster_count_once() -> None:
    values = RNG(1).exponential(size=40)
    once, often = mean_figure(values), mean_figure(np.repeat(values, 5), np.repeat(np.arange(40), 5))
    assert often.value == pytest.approx(once.value)
    assert bounds(often) == pytest.approx(bounds(once))
    assert (once.n, often.n) == (40, 200)


def test_a_mean_over_clusters_of_unequal_size_by_leaving_each_out() -> None:
    rng = RNG(2)
    names = np.array([f"game {number}" for number in range(40)])
    labels = rng.permutation(np.repeat(names, rng.integers(1, 12, 40)))
    values = rng.exponential(size=len(labels))
    without = np.array([values[labels != name].mean() for name in names])
    sizes = np.array([(labels == name).sum() for name in names])
    hall(mean_figure(values, labels), 39 * (without.mean() - without), sizes.sum() ** 2 / (sizes**2).sum() - 1)


def test_a_share_over_clusters_by_hand() -> None:
    hits = np.repeat(np.arange(40) < 12, 5)  # 12 games of 40, whole
    figure = clustered_share_figure(hits, np.repeat(np.arange(40), 5))
    effective = 39 * (stats.t.ppf(0.975, 199) / stats.t.ppf(0.975, 39)) ** 2  # p(1 − p) over its variance, p(1 − p)/39
    ends = (
        stats.beta.ppf(0.025, 0.3 * effective, 0.7 * effective + 1),
        stats.beta.ppf(0.975, 0.3 * effective + 1, 0.7 * effective),
    )
    assert figure.value == pytest.approx(0.3)
    assert bounds(figure) == pytest.approx(ends)
    assert figure.n == 200


def test_a_share_is_never_surer_than_of_independent_observations() -> None:
    hits = np.tile([True, False], 100)  # each game has one of each: less spread than chance
    low, high = bounds(clustered_share_figure(hits, np.repeat(np.arange(100), 2)))
    assert (low, high) != (0.5, 0.5)
    assert high - low >= np.subtract(*bounds(share_figure(100, 200))[::-1])


@pytest.mark.parametrize("games", [0, 1, 9])
def test_where_few_clusters_have_a_hit_each_counts_once(games: int) -> None:
    labels = np.repeat(np.arange(200), 10)
    hits = (labels < games) & (np.arange(2000) % 10 < 5)  # five positions of ten
    figure, missed = clustered_share_figure(hits, labels), clustered_share_figure(~hits, labels)
    low, high = bounds(figure)
    assert (figure.value, figure.n) == (games / 400, 2000)
    assert low == pytest.approx(stats.beta.ppf(0.025, games / 2, 201 - games / 2) if games else 0)
    assert high == pytest.approx(stats.beta.ppf(0.975, games / 2 + 1, 200 - games / 2))
    assert bounds(missed) == pytest.approx((1 - high, 1 - low))
    assert clustered_share_figure(hits, labels, "upper").low is None


@pytest.mark.parametrize("games", [0, 1, 9])
def test_a_share_of_fractions_that_few_clusters_hold_is_that_of_whole_ones(games: int) -> None:
    labels = np.repeat(np.arange(200), 10)
    hits = (labels < games) & (np.arange(2000) % 10 < 5)
    whole = clustered_share_figure(hits, labels)
    figure = rare_share_figure(np.where(np.arange(200) < games, 5.0, 0.0), np.full(200, 10.0))
    assert figure is not None
    assert (figure.value, figure.n) == (whole.value, whole.n)
    assert bounds(figure) == pytest.approx(bounds(whole))


def test_a_share_of_little_is_no_surer_than_of_so_many_observations() -> None:
    sizes = np.full(300, 0.1)  # thirty observations, in three hundred clusters
    figure = rare_share_figure(np.zeros(300), sizes)
    assert figure is not None
    assert bounds(figure) == pytest.approx(bounds(share_figure(0, 30)))
    traces = rare_share_figure(np.full(300, 1e-6), sizes)  # what is next to nothing is no hit
    assert traces is not None and traces.high is not None and traces.high > 0.1
    assert rare_share_figure(np.tile([0.0, 0.05], 150), sizes) is None  # enough have one, and enough have none
    empty = rare_share_figure(np.zeros(3), np.zeros(3))
    assert empty is not None and empty.reason == "nothing to count"


def test_few_clusters_are_no_measurement() -> None:
    values = RNG(1).random(200)
    labels = np.repeat(np.arange(19), [*([10] * 18), 20])  # 19 clusters worth 18.2
    for figure in (mean_figure(values, labels), clustered_share_figure(values < 0.5, labels)):
        assert figure.value is None
        assert "at least 20 clusters of one size, or worth as many, got 18.2" in figure.reason
    with pytest.raises(ValueError, match=r"a cluster for each value, got shapes \(3,\) and \(200,\)"):
        mean_figure(values, np.arange(3))


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])  # rounding makes a spread of 14 times 0.1
def test_a_mean_of_equal_values_is_without_interval(value: float) -> None:
    assert mean_figure(np.full(14, value)) == Figure(value, None, None, 14)


def test_a_mean_over_clusters_that_are_all_alike_is_without_interval() -> None:
    figure = mean_figure(np.tile([0.1, 0.7, 0.4], 30), np.repeat(np.arange(30), 3))
    assert figure.value == pytest.approx(0.4)
    assert (figure.low, figure.high, figure.n) == (None, None, 90)


# The performance gap recovered


def alternating(n: int, low: float, high: float) -> Floats:
    """`n` pair scores, half of them `low` and half `high`."""
    return np.tile(pairs(low, high), n // 2)


def test_pgr_by_hand() -> None:
    start, end = alternating(400, 0, 0.5), alternating(400, 0.25, 0.5)  # ¼ and ⅜: −190.85 and −88.74 Elo
    figure = pgr_figure(start, end, 500, RNG(1))
    assert figure.value == pytest.approx((-88.7395 + 190.8485) / 190.8485, abs=1e-5)
    low, high = bounds(figure)
    assert low < 0.535 < high
    assert high - low < 0.1
    assert figure.n == 800


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (alternating(400, 0, 0.5), 0.0),  # nothing learned
        (alternating(400, 0.5, 0.5), 1.0),  # as strong as the expert
        (alternating(400, 0, 0.25), -0.7713),  # worse than before: never clipped
        (alternating(400, 0.5, 1), 2.0),  # beyond the expert by as much
    ],
)
def test_pgr_is_0_at_the_start_1_at_the_expert_and_never_clipped(end: Floats, expected: float) -> None:
    figure = pgr_figure(alternating(400, 0, 0.5), end, 500, RNG(1))
    assert figure.value == pytest.approx(expected, abs=1e-3)


def test_pgr_draws_both_scores_of_an_opening_together() -> None:
    scores = alternating(400, 0, 0.5)
    low, high = bounds(pgr_figure(scores, scores, 500, RNG(1)))  # one opening hard for both: no doubt is left
    assert (low, high) == pytest.approx((0, 0), abs=1e-12)
    low, high = bounds(pgr_figure(scores, 0.5 - scores, 500, RNG(1)))
    assert high - low > 0.1


def test_pgr_repeats_with_its_random_numbers() -> None:
    start, end = RNG(1).choice([0, 0.25, 0.5], (2, 200))
    assert pgr_figure(start, end, 500, RNG(2)) == pgr_figure(start, end, 500, RNG(2))


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (np.zeros(50), alternating(50, 0, 0.5), "every game"),
        (alternating(50, 0, 0.5), np.zeros(50), "every game"),
        (alternating(50, 0, 0.5), np.ones(50), "every game"),
        (alternating(10, 0, 0.75), alternating(10, 0.5, 0.5), "under five standard errors"),
        (alternating(50, 0.5, 1), alternating(50, 0.5, 0.5), "under five standard errors"),  # W_0 above the expert
        (np.full(50, 0.5), np.full(50, 0.5), "under five standard errors"),  # W_0 is the expert
        (np.full(50, 0.25), alternating(50, 0, 0.5), "no standard error"),
        (pairs(0.25), pairs(0.25), "at least 2 openings, got 1"),
        (pairs(), pairs(), "at least 2 openings, got 0"),
    ],
)
def test_pgr_is_withheld(
    start: Floats,
    end: Floats,
    reason: str,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = pgr_figure(start, end, 500, RNG(1))
    assert figure.value is None
    assert reason in figure.reason


def test_pgr_reaches_a_little_further_than_the_percentiles() -> None:
    start, end = RNG(1).choice([0, 0.25, 0.5], (2, 200))
    draws = RNG(3).integers(0, 200, (50_000, 200))
    ratios = 1 - elo(end[draws].mean(1)) / elo(start[draws].mean(1))
    tail = 100 * stats.norm.cdf(-math.sqrt(200 / 199) * stats.t.ppf(0.975, 199))  # Hesterberg (2015): 2.4, not 2.5
    assert 2.3 < tail < 2.45
    figure = pgr_figure(start, end, 50_000, RNG(2))
    assert bounds(figure) == pytest.approx(np.percentile(ratios, [tail, 100 - tail]), abs=0.005)


def test_pgr_is_withheld_where_a_draw_of_the_openings_has_no_gap() -> None:
    start = np.repeat([0.25, 1], [20, 1])  # of 100,000 draws of 21 some have the one win seven times
    figure = pgr_figure(start, start, 100_000, RNG(1))
    assert figure.value is None
    assert "none in some draws of the openings" in figure.reason


# Across seeds


def test_seeds_have_the_interval_of_student() -> None:
    figure = seeds_figure([Figure(value, 0, 1, 600) for value in (0.40, 0.46, 0.55)])
    interval = stats.t.interval(0.95, 2, loc=0.47, scale=stats.sem([0.40, 0.46, 0.55]))
    assert figure.value == pytest.approx(0.47)
    assert bounds(figure) == pytest.approx(interval)
    assert figure.n == 3
    assert seeds_figure([Figure(0.5, 0, 1, 9)] * 3) == Figure(0.5, None, None, 3)  # no width of 0


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ([Figure(0.4), Figure(0.5)], "at least 3 seeds, got 2"),
        ([Figure(0.4), Figure(0.5), Figure(None, reason="no gap")], "seed 2 of 3: no gap"),
        ([], "at least 3 seeds, got 0"),
    ],
)
def test_seeds_are_withheld(figures: list[Figure], reason: str) -> None:
    assert seeds_figure(figures).reason.endswith(reason)


def some_seeds(shared: bool, seeds: int = 4, n: int = 400) -> tuple[Floats, Floats]:
    """Pair scores of W_0 and W_t, of one W_0 or of one for each seed."""
    rng = RNG(7)
    starts = rng.choice([0, 0.25, 0.5], (1 if shared else seeds, n), p=[0.74, 0.23, 0.03])
    return np.repeat(starts, seeds // len(starts), 0), rng.choice([0, 0.25, 0.5], (seeds, n), p=[0.45, 0.4, 0.15])


def test_seeds_that_share_nothing_have_the_interval_of_student_and_hardly_more() -> None:
    starts, ends = some_seeds(shared=False)
    joint = pgr_seeds_figure(starts, ends, 2000, RNG(1))
    alone = seeds_figure([pgr_figure(start, end, 200, RNG(1)) for start, end in zip(starts, ends, strict=True)])
    assert joint.value == pytest.approx(alone.value)
    assert joint.n == alone.n == 4
    width, narrower = (np.subtract(*bounds(figure)[::-1]) for figure in (joint, alone))
    assert narrower <= width < 1.05 * narrower


def test_a_start_that_seeds_share_adds_its_own_luck() -> None:
    starts, ends = some_seeds(shared=True)
    joint = pgr_seeds_figure(starts, ends, 20_000, RNG(1))
    values = 1 - elo(ends.mean(1)) / elo(starts.mean(1))
    # By the delta method: how much PGR moves with each opening's scores, in each run.
    before, after = starts.mean(1, keepdims=True), ends.mean(1, keepdims=True)
    slopes = [400 / math.log(10) / (score * (1 - score)) for score in (before, after)]
    moves = elo(after) / elo(before) ** 2 * slopes[0] * (starts - before) - slopes[1] * (ends - after) / elo(before)
    together = moves @ moves.T / 400**2
    shared = 1.959964**2 * (together.sum() - np.trace(together)) / (4 * 3)
    own = stats.t.ppf(0.975, 3) ** 2 * values.var(ddof=1) / 4
    low, high = bounds(joint)
    assert (high - low) / 2 == pytest.approx(math.sqrt(own + shared), rel=0.05)
    assert joint.value == pytest.approx(values.mean())


def test_seeds_and_openings_are_withheld() -> None:
    starts, ends = some_seeds(shared=True)
    for figure, reason in (
        (pgr_seeds_figure(starts[:2], ends[:2], 100, RNG(1)), "at least 3 seeds, got 2"),
        (pgr_seeds_figure(starts[:, :1], ends[:, :1], 100, RNG(1)), "at least 2 openings, got 1"),
        (pgr_seeds_figure(starts, np.vstack([ends[:3], np.zeros((1, 400))]), 100, RNG(1)), "seed 3 of 4: a player won"),
        (pgr_seeds_figure(starts[:, :8], 0.25 + ends[:, :8], 100, RNG(1)), "seed 0 of 4: the gap of"),
    ):
        assert figure.value is None
        assert reason in figure.reason
    with pytest.raises(ValueError, match=r"scores \[seeds, openings\], got shapes \(4, 400\) and \(4, 399\)"):
        pgr_seeds_figure(starts, ends[:, 1:], 100, RNG(1))


def test_a_difference_of_two_arms_is_that_of_their_means_and_turns_round() -> None:
    starts, ends = some_seeds(shared=True)
    others = np.minimum(ends, RNG(8).permuted(ends, axis=1))
    apart = pgr_difference_figure(starts, ends, others, 2000, RNG(1))
    back = pgr_difference_figure(starts, others, ends, 2000, RNG(1))
    values = (elo(others.mean(1)) - elo(ends.mean(1))) / elo(starts.mean(1))
    assert apart.value == pytest.approx(values.mean())
    assert apart.n == 4
    assert bounds(apart) == pytest.approx([-end for end in reversed(bounds(back))], abs=1e-3)  # other draws
    assert bounds(apart)[0] > 0  # half of the scores of the one are taken from the other


def test_what_two_arms_owe_to_the_openings_cancels_out() -> None:
    starts, ends = some_seeds(shared=True)
    ends = np.repeat(ends[:1], 4, 0)  # runs that learn the same, measured on the same openings
    worse = np.clip(ends - 0.05, 0, 1)
    width, both = (
        np.subtract(*bounds(figure)[::-1])
        for figure in (
            pgr_difference_figure(starts, ends, worse, 2000, RNG(1)),
            pgr_seeds_figure(starts, ends, 2000, RNG(1)),
        )
    )
    assert 0 < width < both


def test_a_difference_of_two_arms_is_withheld() -> None:
    starts, ends = some_seeds(shared=True)
    lost = np.vstack([ends[:3], np.zeros((1, 400))])
    for figure, reason in (
        (pgr_difference_figure(starts[:2], ends[:2], ends[:2], 100, RNG(1)), "at least 3 seeds, got 2"),
        (pgr_difference_figure(starts[:, :1], ends[:, :1], ends[:, :1], 100, RNG(1)), "at least 2 openings, got 1"),
        (pgr_difference_figure(starts, ends, lost, 100, RNG(1)), "seed 3 of 4: a player won"),
    ):
        assert figure.value is None
        assert reason in figure.reason
    with pytest.raises(ValueError, match=r"got shapes \(4, 400\), \(4, 400\) and \(4, 399\)"):
        pgr_difference_figure(starts, ends, ends[:, 1:], 100, RNG(1))


# The same on means over positions


def test_ratio_by_hand() -> None:
    start, end, goal = pairs(0.3, 0.5, 0.4, 0.4), pairs(0.2, 0.35, 0.25, 0.2), pairs(0.1, 0.2, 0.1, 0.1)
    figure = ratio_figure(start, end, goal, 500, RNG(1))
    assert figure.value == pytest.approx((0.25 - 0.4) / (0.125 - 0.4))
    low, high = bounds(figure)
    assert low <= 6 / 11 <= high
    assert figure.n == 4


@pytest.mark.parametrize("sign", [1, -1])  # more is better, or less is
def test_ratio_is_0_at_the_start_and_1_at_the_goal(sign: int) -> None:
    start = sign * RNG(1).random(100)
    goal = start + sign * (1 + 0.1 * RNG(2).random(100))
    assert ratio_figure(start, start, goal, 500, RNG(3)).value == 0
    reached = ratio_figure(start, goal, goal, 500, RNG(3))
    assert reached.value == 1
    assert bounds(reached) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("start", "goal", "reason"),
    [
        (np.zeros(100), np.tile([1.0, -1.0], 50), "under five standard errors"),
        (np.zeros(100), np.zeros(100), "the same in all 100 positions"),
        (np.zeros(100), np.full(100, 0.1), "the same in all 100 positions"),
        (np.zeros(10), np.tile([0.0, 1.0], 5), "under five standard errors"),  # 3 of them
        (np.zeros(1), np.ones(1), "at least 2 positions, got 1"),
        (np.zeros(0), np.ones(0), "at least 2 positions, got 0"),
    ],
)
def test_ratio_is_withheld(
    start: Floats,
    goal: Floats,
    reason: str,
) -> None:
    figure = ratio_figure(start, start, goal, 500, RNG(1))
    assert figure.value is None
    assert reason in figure.reason


def test_a_quotient_is_that_of_the_means() -> None:
    above, below = RNG(1).random((2, 300))
    figure = quotient_figure(above, 1 + below, 2000, RNG(2))
    assert figure.value == pytest.approx(above.mean() / (1 + below).mean())
    expected = stats.bootstrap(
        (above, 1 + below), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True, method="percentile", rng=RNG(3)
    ).confidence_interval
    assert bounds(figure) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_a_gap_of_just_five_standard_errors_is_not_enough() -> None:
    gaps = np.tile([0.0, 1.0], 13)  # mean ½, standard error 0.1: five of them
    assert gaps.mean() / (gaps.std(ddof=1) / np.sqrt(26)) == pytest.approx(ENOUGH)
    wider = np.append(gaps, [1.0, 1.0])
    assert ratio_figure(0 * gaps, gaps, gaps - 1e-6, 500, RNG(1)).value is None
    assert ratio_figure(0 * wider, wider, wider, 500, RNG(1)).value == 1


def test_figures_of_different_openings_or_positions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same openings, got shapes \(4,\) and \(3,\)"):
        pgr_figure(np.full(4, 0.25), np.full(3, 0.25), 500, RNG(1))
    for shapes in ((4, 3, 4), (4, 4, 1), (1, 4, 4)):
        start, end, goal = (RNG(1).random(n) for n in shapes)
        with pytest.raises(ValueError, match="same positions, got shapes"):
            ratio_figure(start, end, goal, 500, RNG(1))


# The sequential test


@pytest.mark.parametrize(
    ("counts", "elo0", "elo1", "expected"),
    [  # fastchess, app/tests/sprt_test.cpp, "logistic pentanomial" 1 and 2; LL, LD, WL + DD, WD, WW
        ((223, 9863, 20279 + 1000, 10037, 246), 0.5, 2.5, -3.07),
        ((871, 26175, 55003 + 980, 26678, 821), 0, 2, -4.98),
    ],
)
def test_the_likelihood_ratio_is_that_of_fastchess(
    counts: tuple[int, ...], elo0: float, elo1: float, expected: float
) -> None:
    assert float(Sprt(elo0=elo0, elo1=elo1).llr(counts)) == pytest.approx(expected, abs=0.005)


def test_the_likelihood_ratio_of_won_and_lost_pairs_alone_is_that_of_a_binomial() -> None:
    scores = [float(expected_score(difference)) for difference in (30.0, -20.0)]
    won, lost = (math.log(a / b) for a, b in (scores, [1 - score for score in scores]))
    ratio = Sprt(elo0=-20, elo1=30).llr([40, 0, 0, 0, 55])
    assert float(ratio) == pytest.approx(55 * won + 40 * lost, abs=0.01)  # scores that no pair had weigh 1/1000


def test_the_likelihood_ratio_is_that_of_the_likeliest_distributions() -> None:
    counts, scores = np.array([3.0, 20, 41, 18, 5]), np.array([0, 0.25, 0.5, 0.75, 1])

    def unlikely(shares: Floats) -> float:
        return -float(counts @ np.log(shares))

    def likeliest(mean: float) -> float:
        constraint = optimize.LinearConstraint([np.ones(5), scores], [1, mean], [1, mean])
        found = optimize.minimize(
            unlikely, np.full(5, 0.2), method="SLSQP", bounds=[(1e-6, 1.0)] * 5, constraints=constraint,
            options={"ftol": 1e-12, "maxiter": 1000},
        )  # fmt: skip
        return -float(found.fun)

    test = Sprt(elo0=-50, elo1=0)
    assert float(test.llr(counts)) == pytest.approx(likeliest(0.5) - likeliest(float(expected_score(-50))), abs=1e-4)


def test_the_bounds_of_a_test_are_those_of_wald() -> None:
    test = Sprt(elo0=0, elo1=5)
    assert (test.low, test.high) == pytest.approx((-2.944, 2.944), abs=1e-3)  # as fastchess prints them: ±2.94
    assert Sprt(elo0=0, elo1=5, alpha=0.01, beta=0.1).high == pytest.approx(math.log(90))
    assert Sprt(elo0=0, elo1=5, alpha=0.01, beta=0.1).low == pytest.approx(math.log(10 / 99))


def test_a_test_turns_its_sign_with_the_players() -> None:
    counts = np.array([3, 20, 41, 18, 9])
    assert Sprt(elo0=-30, elo1=10).llr(counts) == pytest.approx(-Sprt(elo0=-10, elo1=30).llr(counts[::-1]))


def test_ratios_come_in_any_shape_and_are_finite() -> None:
    counts = RNG(1).multinomial(50, [0.7, 0.25, 0.05, 0, 0], (4, 3))
    test = Sprt(elo0=-50, elo1=0)
    ratios = test.llr(counts)
    assert ratios.shape == (4, 3)
    assert ratios[2, 1] == pytest.approx(float(test.llr(counts[2, 1])))
    for extreme in ([0, 0, 0, 0, 0], [1_000_000, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1_000_000, 0, 0]):
        assert np.isfinite(test.llr(extreme))
    assert float(test.llr([0, 0, 0, 0, 0])) == 0


def test_a_test_ends_at_the_first_bound_that_is_crossed() -> None:
    test = Sprt(elo0=-50, elo1=0)
    won = test(np.tile([0.5, 1.0], 50))
    assert won.state == "accepted"
    assert won.pairs < 100
    assert won.llr >= test.high > float(test.llr(np.bincount(np.tile([2, 4], 50)[: won.pairs - 1], minlength=5)))
    assert test(np.append(np.tile([0.5, 1.0], 50)[: won.pairs], np.zeros(500))) == won  # what follows is not looked at
    assert test(np.zeros(200)).state == "rejected"


def test_a_test_that_meets_no_bound_is_undecided() -> None:
    test = Sprt(elo0=-50, elo1=0)
    scores = np.tile([0.25, 0.5, 0.75, 0.25], 5)
    verdict = test(scores)
    assert (verdict.state, verdict.pairs, verdict.low, verdict.high) == ("undecided", 20, test.low, test.high)
    assert verdict.llr == pytest.approx(float(test.llr([0, 10, 5, 5, 0])))
    nothing = test(np.zeros(0))
    assert (nothing.state, nothing.llr, nothing.pairs) == ("undecided", 0, 0)


def test_a_test_refuses_what_is_none() -> None:
    with pytest.raises(ValueError, match="elo0 under elo1, got 5 and 5"):
        Sprt(elo0=5, elo1=5)
    with pytest.raises(ValueError, match=r"in all under 1, got 0.5 and 0.5"):
        Sprt(elo0=0, elo1=5, alpha=0.5, beta=0.5)
    with pytest.raises(ValueError, match="alpha and beta over 0"):
        Sprt(elo0=0, elo1=5, alpha=0)
    with pytest.raises(ValueError, match=r"pair scores of 0.0, 0.25, 0.5, 0.75, 1.0, got \[0.3 0.5\]"):
        Sprt(elo0=0, elo1=5)(pairs(0.5, 0.3))
    with pytest.raises(ValueError, match=r"shape \(..., 5\), got \(3,\)"):
        Sprt(elo0=0, elo1=5).llr([1, 2, 3])


BEHIND, LEVEL, SHORT = np.zeros(100), np.tile([0.25, 0.75], 100), np.tile([0.25, 0.75], 2)


def test_reached_is_found_by_a_look_and_said_after_fresh_openings() -> None:
    start = Reached(margin=50)
    assert start.state == "not found"
    assert start.look(BEHIND) == start.look(SHORT) == start
    found = start.look(LEVEL)
    assert found.state == "to confirm"
    assert found.found == Sprt(elo0=-50, elo1=0)(LEVEL)
    assert found.look(BEHIND) == found
    assert found.confirm(LEVEL).state == "reached"


@pytest.mark.parametrize("fresh", [BEHIND, SHORT])  # refuted, or undecided: not shown either way
def test_reached_is_confirmed_once(fresh: Floats) -> None:
    refuted = Reached(margin=50).look(LEVEL).confirm(fresh)
    assert refuted.state == "not confirmed"
    assert refuted.look(LEVEL) == refuted
    with pytest.raises(ValueError, match="got one that is 'not confirmed'"):
        refuted.confirm(LEVEL)
    with pytest.raises(ValueError, match="got one that is 'not found'"):
        Reached(margin=50).confirm(LEVEL)


def test_a_margin_of_reached_is_over_0() -> None:
    with pytest.raises(ValueError, match="expected a margin over 0 Elo, got 0"):
        Reached(margin=0)


# Stratified rates

BIRTHS = np.array([327, 30_666, 123_419, 149_919, 104_088, 34_392])
CASES = np.array([0, 8, 63, 112, 262, 295])
STANDARD = np.array([63_986.6, 186_263.6, 157_302.2, 97_647.0, 47_572.6, 12_262.6])
"""Fleiss (1981), p. 249, birth order 5 and more by age of the mother; one of six strata has no case."""


def test_a_stratified_rate_is_that_of_fay_and_feuer() -> None:
    figure = stratified_figure(CASES, BIRTHS, STANDARD / STANDARD.sum())
    # Fay and Feuer (1997), table 1; with more digits in the vignette of the R package dsrTest.
    assert figure.value == pytest.approx(75.52901e-5, rel=1e-6)
    assert bounds(figure) == pytest.approx((67.70212e-5, 188.30017e-5), rel=1e-6)
    assert figure.n == BIRTHS.sum()


def test_a_single_stratum_has_the_interval_of_a_poisson_count() -> None:
    figure = stratified_figure(np.array([3]), np.array([1000]), np.ones(1))
    assert bounds(figure) == pytest.approx((stats.chi2.ppf(0.025, 6) / 2000, stats.chi2.ppf(0.975, 8) / 2000))


def test_without_any_failure_the_heaviest_stratum_bounds_the_rate() -> None:
    weights, n, none = np.array([0.9, 0.1]), np.array([3000, 50]), np.array([0, 0])
    both, upper = (stratified_figure(none, n, weights, side) for side in ("both", "upper"))
    assert both.value == both.low == 0
    assert both.high == pytest.approx(3.689 * 0.1 / 50, rel=1e-3)  # a sample there stands for most
    assert upper.low is None
    assert upper.high == pytest.approx(2.996 * 0.1 / 50, rel=1e-3)
    assert stratified_figure(np.array([2, 2]), np.array([2, 2]), np.array([0.5, 0.5])).high == 1


def test_a_stratum_without_samples_is_not_passed_over() -> None:
    none, some = np.array([0, 0]), np.array([10, 0])
    figure = stratified_figure(none, some, np.array([0.8, 0.2]))
    assert figure.value is None
    assert "no samples of stratum 1, which has a weight of 0.2" in figure.reason
    assert stratified_figure(none, some, np.array([1.0, 0.0])).value == 0  # nobody is there to sample
    for hits, weights in ((np.array([11, 0]), [1.0, 0.0]), (none, [0.5, 0.6]), (none, [1.5, -0.5])):
        with pytest.raises(ValueError, match="add up to 1"):
            stratified_figure(hits, some, np.array(weights))
    with pytest.raises(ValueError, match="as many hits"):
        stratified_figure(none, some, np.ones(1))


# Times to a break

LEUKAEMIA = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35], np.float64)
RELAPSE = np.isin(np.arange(21), [0, 1, 2, 4, 6, 9, 10, 14, 15])
"""Weeks in remission with 6-mercaptopurine, and whether they ended in a relapse (Freireich et al. 1963)."""


def test_survival_is_that_of_kaplan_and_meier() -> None:
    curve = survival_curve(LEUKAEMIA, RELAPSE)
    # Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data, section 1.4
    expected = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert [time for time, _ in curve] == list(expected)
    assert [figure.value for _, figure in curve] == pytest.approx(list(expected.values()), abs=5e-4)
    assert all(figure.n == 21 for _, figure in curve)
    later = survival_figure(LEUKAEMIA, RELAPSE, 12)  # two were given up since week 10
    assert (later.value, later.high) == (dict(curve)[10].value, dict(curve)[10].high)
    assert bounds(later)[0] < bounds(dict(curve)[10])[0]
    assert survival_figure(LEUKAEMIA, RELAPSE, 35).value == pytest.approx(0.448, abs=5e-4)


def test_survival_has_the_interval_of_beta_products() -> None:
    rng, draws = RNG(1), np.ones((2, 200_000))
    at_risk = {6: (21, 3), 7: (17, 1), 10: (15, 1), 13: (12, 1), 16: (11, 1), 22: (7, 1), 23: (6, 1)}
    for time, (risk, relapses) in at_risk.items():
        draws *= rng.beta(risk - relapses + 1, relapses, draws.shape)
        left = np.count_nonzero(time < LEUKAEMIA)
        drawn = np.percentile(draws[0] * rng.beta(left, 1, 200_000), 2.5), np.percentile(draws[1], 97.5)
        assert bounds(survival_figure(LEUKAEMIA, RELAPSE, time)) == pytest.approx(drawn, abs=0.005)


@pytest.mark.parametrize(("at", "broken"), [(0.5, 0), (3, 3), (7.5, 7), (10, 10)])
def test_survival_of_those_who_all_went_on_is_a_share(at: float, broken: int) -> None:
    times = np.arange(1.0, 11)
    figure = survival_figure(times, np.ones(10, np.bool_), at)
    share = share_figure(10 - broken, 10)
    assert figure.value == pytest.approx(share.value)
    assert bounds(figure) == pytest.approx(bounds(share))


def test_survival_behind_the_last_attack_is_unknown() -> None:
    times, broken = pairs(1, 2, 5, 5), np.array([True, False, True, False])
    assert survival_figure(times, broken, 5).value is not None
    figure = survival_figure(times, broken, 5.5)
    assert figure.value is None
    assert "no attack went on until 5.5: the longest was given up at 5" in figure.reason
    assert survival_figure(times, np.array([True, False, True, True]), 6).value == 0  # all who were left broke it
    assert survival_figure(times[:0], broken[:0], 1).reason == "nothing to count"
    assert survival_curve(times, np.zeros(4, np.bool_)) == []
    with pytest.raises(ValueError, match="a time and a flag for each attack"):
        survival_figure(times, broken[:3], 1)


def test_without_a_break_survival_has_a_lower_bound() -> None:
    figure = survival_figure(np.full(30, 8.0), np.zeros(30, np.bool_), 4)
    assert figure.value == 1
    assert bounds(figure) == pytest.approx(bounds(share_figure(30, 30)))


def test_a_rate_of_breaks_is_that_of_nist() -> None:
    # NIST/SEMATECH e-Handbook 8.4.5.1: 800 hours, 2 failures; a mean time of 400, at 90 % from 127 to 2251
    times, broken = pairs(300, 200, 300), np.array([True, True, False])
    upper, lower, both = (break_rate_figure(times, broken, side) for side in ("upper", "lower", "both"))
    assert both.value == 1 / 400
    assert (upper.low, lower.high, both.n) == (None, None, 3)
    assert upper.high == pytest.approx(1 / 127, rel=1e-3)
    assert lower.low == pytest.approx(1 / 2251, rel=1e-3)
    assert bounds(both) == pytest.approx((stats.chi2.ppf(0.025, 4) / 1600, stats.chi2.ppf(0.975, 6) / 1600))


def test_no_break_bounds_the_rate() -> None:
    times, never = np.full(10, 20.0), np.zeros(10, np.bool_)
    assert bounds(break_rate_figure(times, never)) == pytest.approx((0, -math.log(0.025) / 200))  # 3.7 in 200
    assert break_rate_figure(times, never, "upper").high == pytest.approx(-math.log(0.05) / 200)  # 3.0
    assert break_rate_figure(0 * times, never).reason == "no time was spent"
    with pytest.raises(ValueError, match="a time and a flag for each attack"):
        break_rate_figure(times, never[:3])


# Agreement on values


def test_tau_is_that_of_kendall_with_ties() -> None:
    # Example of scipy.stats.kendalltau; by hand 2 pairs agree, 6 do not, and (2 − 6)/√((10 − 2)·(10 − 1)) = −0.4714
    assert tau_b(pairs(12, 2, 1, 12, 2), pairs(1, 4, 7, 1, 0)) == pytest.approx(-0.47140452)
    assert tau_b(pairs(0.1, 0.5, 0.3), pairs(0.2, 0.9, 0.4)) == 1


def test_tau_of_no_order_is_undefined() -> None:
    assert tau_b(pairs(0.5), pairs(0.4)) is None
    assert tau_b(pairs(0.5, 0.5), pairs(0.4, 0.3)) is None
    assert tau_b(pairs(0.4, 0.3), pairs(0.5, 0.5)) is None


def test_tau_is_of_values_and_not_of_places() -> None:
    values = pairs(0.1, 0.5, 0.3)
    with pytest.raises(ValueError, match="floating-point numbers, got int64: not ranks"):
        tau_b(values, np.argsort(values))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same moves"):
        tau_b(values, values[:2])


def test_tau_over_positions_leaves_out_those_without_order() -> None:
    ours = [pairs(0.1, 0.5, 0.3), pairs(0.5), pairs(0.2, 0.4), pairs(0.3, 0.6, 0.5, 0.1)]
    theirs = [pairs(0.2, 0.9, 0.4), pairs(0.4), pairs(0.4, 0.2), pairs(0.3, 0.6, 0.1, 0.5)]
    figure = kendall_figure(ours, theirs)
    assert figure == mean_figure(pairs(1, -1, 0))
    assert kendall_figure(ours[1:2], theirs[1:2]).value is None
    labels = np.array(["a"] * 4)
    assert "clusters" in kendall_figure(ours, theirs, labels).reason


# What is promised


@pytest.mark.timeout(900)
def test_intervals_and_tests_keep_their_promises_in_2000_simulated_experiments() -> None:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-W", "error", "benchmarks/coverage.py", "--short", "--json"]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert all(row["experiments"] == 2000 for row in rows)
    assert [row for row in rows if not row["holds"]] == []
    promised = {row["figure"].split(",")[0] for row in rows if row["promise"]}
    assert promised >= {
        "elo_figure", "Sprt", "pgr_figure", "pgr_seeds_figure", "pgr_difference_figure", "mean_figure",
        "clustered_share_figure", "share_figure", "stratified_figure", "survival_figure", "break_rate_figure",
    }  # fmt: skip
