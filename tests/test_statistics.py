"""Figures against hand arithmetic and scipy, their intervals against simulated experiments."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sandwich.statistics import (
    ENOUGH,
    Figure,
    Floats,
    elo,
    elo_figure,
    mean_figure,
    pgr_figure,
    ratio_figure,
    score_figure,
    share_figure,
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


def test_elo_from_pairs_by_hand() -> None:
    figure = elo_figure(pairs(1, 0.5, 0.5, 0.75, 0.25, 0.75))  # mean 0.625, variance 0.06875
    error = 1.959964 * math.sqrt(0.06875 / 6)
    low, high = (-400 * math.log10(1 / (0.625 + side * error) - 1) for side in (-1, 1))
    assert figure.value == pytest.approx(-400 * math.log10(0.6), abs=1e-9)
    assert bounds(figure) == pytest.approx((low, high), abs=1e-4)
    assert figure.n == 12


def test_elo_turns_its_sign_with_the_players() -> None:
    scores = pairs(1, 0.5, 0.5, 0.75, 0.25, 0.75)
    one, other = elo_figure(scores), elo_figure(1 - scores)
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
    assert (lost.value, lost.low, lost.high) == (-won.value, None, -won.value)


def test_an_interval_beyond_certainty_is_open() -> None:
    high = elo_figure(pairs(1, 1, 1, 0.5))
    assert high.high is None
    assert high.low is not None and high.value is not None and high.low < high.value
    low = elo_figure(pairs(0, 0, 0, 0.5))
    assert low.low is None
    assert low.high is not None and low.value is not None and low.high > low.value


@pytest.mark.parametrize(("score", "expected"), [(0.5, 0.0), (0.75, 190.8485), (0.25, -190.8485)])
def test_pairs_that_all_ended_alike_have_no_interval(score: float, expected: float) -> None:
    figure = elo_figure(np.full(20, score))
    assert figure.value == pytest.approx(expected, abs=1e-4)
    assert (figure.low, figure.high, figure.n) == (None, None, 40)


@pytest.mark.parametrize("make", [elo_figure, score_figure])
@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_are_no_measurement(make: Callable[..., Figure], n: int) -> None:
    figure = make(np.ones(n))
    assert figure.value is None
    assert f"got {n}" in figure.reason


def draw_pairs(rng: np.random.Generator, count: int, n: int, strength: float) -> Floats:
    """Pair scores of `count` experiments of `n` openings, some of which favour a side."""
    bias = rng.normal(0, 0.7, (count, n))
    total = np.zeros((count, n))
    for side in (1, -1):
        win = 1 / (1 + np.exp(-(strength - 1.0 + side * bias)))
        loss = 1 / (1 + np.exp(strength + 1.0 + side * bias))
        chance = rng.random((count, n))
        total += np.where(chance < win, 0.5, np.where(chance < 1 - loss, 0.25, 0.0))
    return total


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.5])
def test_elo_intervals_cover(strength: float) -> None:
    rng = RNG(11)
    truth = float(elo(draw_pairs(rng, 1, 400_000, strength).mean()))
    figures = [elo_figure(scores) for scores in draw_pairs(rng, 300, 100, strength)]
    covered = np.mean([low <= truth <= high for low, high in map(bounds, figures)])
    assert 0.90 <= covered <= 0.99


# Scores, shares, means


def test_a_score_by_hand() -> None:
    figure = score_figure(pairs(1, 0.5, 0.5, 0.75, 0.25, 0.75))
    error = 1.959964 * math.sqrt(0.06875 / 6)
    assert figure.value == 0.625
    assert bounds(figure) == pytest.approx((0.625 - error, 0.625 + error), abs=1e-6)
    assert figure.n == 12
    assert bounds(score_figure(pairs(1, 1, 0)))[1] == 1
    assert bounds(score_figure(pairs(0, 0, 1)))[0] == 0


@pytest.mark.parametrize("n", [2, 10, 400])
def test_a_score_of_nothing_but_wins_or_losses_has_the_exact_bound(n: int) -> None:
    share = stats.binomtest(n, n, alternative="greater").proportion_ci(0.95, method="exact").low
    won, lost = score_figure(np.ones(n)), score_figure(np.zeros(n))
    assert (won.value, won.high, won.n) == (1, 1, 2 * n)
    assert won.low == pytest.approx(share)
    assert (lost.value, lost.low, lost.n) == (0, 0, 2 * n)
    assert lost.high == pytest.approx(1 - share)


@pytest.mark.parametrize("score", [0.25, 0.5, 0.75])
def test_a_score_that_every_pair_had_is_without_interval(score: float) -> None:
    assert score_figure(np.full(20, score)) == Figure(score, None, None, 40)


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


def test_a_share_of_nothing_is_no_measurement() -> None:
    assert share_figure(0, 0) == Figure(None, reason="nothing to count")


def test_a_mean_has_the_interval_of_student() -> None:
    values = pairs(3, 1, 4, 1, 5, 9, 2, 6)
    figure = mean_figure(values)
    interval = stats.t.interval(0.95, 7, loc=values.mean(), scale=stats.sem(values))
    assert figure.value == values.mean()
    assert bounds(figure) == pytest.approx(interval)
    assert figure.n == 8
    one = mean_figure(values[:1])
    assert one.value is None
    assert "got 1" in one.reason


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])  # rounding makes a spread of 14 times 0.1
def test_a_mean_of_equal_values_is_without_interval(value: float) -> None:
    assert mean_figure(np.full(14, value)) == Figure(value, None, None, 14)


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
    start, end = draw_pairs(RNG(1), 2, 200, -1.5)
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


def test_pgr_intervals_cover() -> None:
    rng = RNG(12)
    before, after = (float(elo(draw_pairs(rng, 1, 400_000, strength).mean())) for strength in (-1.5, -0.7))
    truth = 1 - after / before
    starts, ends = draw_pairs(rng, 300, 100, -1.5), draw_pairs(rng, 300, 100, -0.7)
    figures = [pgr_figure(start, end, 500, rng) for start, end in zip(starts, ends, strict=True)]
    covered = np.mean([low <= truth <= high for low, high in map(bounds, figures)])
    assert 0.90 <= covered <= 0.99


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
        (np.zeros(100), np.zeros(100), "under five standard errors"),
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


def test_ratio_intervals_cover() -> None:
    rng = RNG(13)
    starts = rng.exponential(0.10, (300, 100))
    goals = 0.3 * starts + rng.exponential(0.01, (300, 100))
    ends = 0.6 * starts + rng.exponential(0.02, (300, 100))
    truth = (0.08 - 0.10) / (0.04 - 0.10)
    figures = [ratio_figure(*some, 500, rng) for some in zip(starts, ends, goals, strict=True)]
    covered = np.mean([low <= truth <= high for low, high in map(bounds, figures)])
    assert 0.90 <= covered <= 0.99


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
