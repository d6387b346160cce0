"""Figures against published and hand-worked ones, and their intervals against simulated experiments."""

import json
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sandwich.statistics import (
    Figure,
    Floats,
    auc,
    auc_figure,
    clustered_share_figure,
    elo,
    elo_figure,
    expected_score,
    mean_figure,
    rare_share_figure,
    score_figure,
    share_figure,
)
from tests.helpers.figures import RNG, bounds, pairs
from tests.helpers.project import ROOT

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


# What is promised


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_intervals_and_tests_keep_their_promises_in_2000_simulated_experiments() -> None:
    root = ROOT
    command = [sys.executable, "-W", "error", "benchmarks/coverage.py", "--short", "--json"]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert all(row["experiments"] == 2000 for row in rows)
    assert [row for row in rows if not row["holds"]] == []
    promised = {row["figure"].split(",")[0] for row in rows if row["promise"]}
    assert promised >= {
        "elo_figure", "Sprt", "pgr_figure", "pgr_seeds_figure", "pgr_difference_figure", "pgr_run_difference_figure",
        "mean_figure", "clustered_share_figure", "share_figure", "stratified_figure", "survival_figure",
        "break_rate_figure", "retained_figure", "retained_run_figure", "splitting_figure", "tail_figure",
    }  # fmt: skip


def test_an_area_under_the_roc_has_the_interval_of_its_placements() -> None:
    rng = RNG(5)
    lie = rng.random(400) < 0.6
    confidence = np.round(rng.normal(size=400) - lie, 1)  # some alike
    figure = auc_figure(confidence, lie, np.arange(400))
    wins = np.sign(confidence[~lie][:, None] - confidence[lie]) / 2 + 0.5
    assert figure.value == pytest.approx(auc(confidence, lie)) == pytest.approx(wins.mean())
    delong = math.sqrt(wins.mean(1).var(ddof=1) / (~lie).sum() + wins.mean(0).var(ddof=1) / lie.sum())
    low, high = bounds(figure)
    assert high - low == pytest.approx(2 * 1.966 * delong, rel=0.01)
    twice = auc_figure(np.repeat(confidence, 2), np.repeat(lie, 2), np.repeat(np.arange(400), 2))
    assert bounds(twice) == pytest.approx(bounds(figure))


def test_an_area_under_the_roc_is_withheld_where_it_says_nothing() -> None:
    lie = np.arange(60) % 2 > 0
    assert "got 60 and 0" in auc_figure(np.zeros(60), np.zeros(60, np.bool_), np.arange(60)).reason
    assert "worth as many, got 10.0" in auc_figure(np.zeros(60), lie, np.arange(60) % 10).reason
    assert auc_figure(np.where(lie, 0.0, 1.0), lie, np.arange(60)) == Figure(1.0, n=60)
    assert auc_figure(np.zeros(60), lie, np.arange(60)) == Figure(0.5, n=60)
