"""The performance gap recovered: within a run, across seeds, and on means over positions."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from sandwich.statistics import (
    ENOUGH,
    Figure,
    Floats,
    elo,
    pgr_difference_figure,
    pgr_figure,
    pgr_run_difference_figure,
    pgr_seeds_figure,
    quotient_figure,
    ratio_figure,
    retained_figure,
    retained_run_figure,
    seeds_figure,
)
from tests.helpers.figures import RNG, bounds, pairs

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


def test_a_student_that_drew_every_pair_is_not_surely_as_strong_as_the_expert() -> None:
    start = alternating(60, 0, 0.5)
    low, high = bounds(pgr_figure(start, np.full(60, 0.5), 2000, RNG(1)))
    # at most 1 − 0.05^(1/60) of the pairs end otherwise: ±17 Elo of 190.8
    assert (low, high) == pytest.approx((1 - 17.1 / 190.8, 1 + 17.1 / 190.8), abs=0.03)
    other = pgr_run_difference_figure(start, np.full(60, 0.5), start, 2000, RNG(1))
    assert bounds(other) == pytest.approx((low, high), abs=0.03)


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


def test_a_difference_of_two_runs_is_that_of_their_recovery_and_turns_round() -> None:
    (start, *_), (end, other, *_) = some_seeds(shared=True)
    apart = pgr_run_difference_figure(start, end, other, 2000, RNG(1))
    back = pgr_run_difference_figure(start, other, end, 2000, RNG(1))
    one, two = (pgr_figure(start, scores, 2000, RNG(1)) for scores in (end, other))
    assert one.value is not None and two.value is not None
    assert apart.value == pytest.approx(one.value - two.value)
    assert apart.n == 800
    assert bounds(apart) == pytest.approx([-bound for bound in reversed(bounds(back))], abs=5e-3)  # other draws
    same = pgr_run_difference_figure(start, end, end, 2000, RNG(1))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_what_a_run_retained_is_its_recovery_over_that_of_its_control() -> None:
    starts, ends = some_seeds(shared=True)
    less = np.minimum(ends, RNG(8).permuted(ends, axis=1))
    together = retained_figure(starts, less, ends, 2000, RNG(1))
    values = np.array([1 - elo(some.mean(1)) / elo(starts.mean(1)) for some in (less, ends)])
    assert together.value == pytest.approx(values[0].mean() / values[1].mean())
    assert together.n == 4
    low, high = bounds(together)
    assert low < values[0].mean() / values[1].mean() < high < 1
    one = retained_run_figure(starts[0], less[0], ends[0], 2000, RNG(1))
    assert one.value == pytest.approx(values[0, 0] / values[1, 0])
    assert bounds(one)[0] < values[0, 0] / values[1, 0] < bounds(one)[1] and one.n == 800
    same = retained_figure(starts, ends, ends, 2000, RNG(1))
    assert same.value == 1 and bounds(same) == pytest.approx((1, 1), abs=1e-6)


def test_fiellers_interval_is_that_of_the_plain_ratio_where_openings_share_nothing() -> None:
    """Worked out by hand from the runs' PGR: q is inside where mean(y - q x) is under t times its error."""
    starts, ends = some_seeds(shared=False)
    less = np.minimum(ends, RNG(8).permuted(ends, axis=1))
    low, high = bounds(retained_figure(starts, less, ends, 2000, RNG(1)))
    y, x = (1 - elo(some.mean(1)) / elo(starts.mean(1)) for some in (less, ends))
    t = stats.t.ppf(0.975, 3)
    for q, inside in ((low + 0.02, True), (low - 0.02, False), (high - 0.02, True), (high + 0.02, False)):
        rest = y - q * x
        assert (abs(rest.mean()) < t * rest.std(ddof=1) / 2) == inside


def test_what_is_retained_is_withheld_where_there_was_little_to_retain() -> None:
    starts, ends = some_seeds(shared=True)
    uneven = np.vstack([ends[:2], starts[2:]])
    for figure, reason in (
        (retained_figure(starts[:2], ends[:2], ends[:2], 100, RNG(1)), "at least 3 seeds, got 2"),
        (retained_figure(starts[:, :1], ends[:, :1], ends[:, :1], 100, RNG(1)), "at least 2 openings, got 1"),
        (retained_figure(starts, ends, uneven, 100, RNG(1)), "does not surely differ from 0"),
        (retained_figure(starts, ends, np.zeros((4, 400)), 100, RNG(1)), "seed 0 of 4: a player won or lost"),
        (retained_run_figure(starts[0], ends[0], starts[0], 100, RNG(1)), "the control's gain of 0 Elo is under"),
        (retained_run_figure(starts[0], ends[0], np.zeros(400), 100, RNG(1)), "a player won or lost every game"),
        (retained_run_figure(starts[0, :1], ends[0, :1], ends[0, :1], 100, RNG(1)), "at least 2 openings, got 1"),
    ):
        assert figure.value is None
        assert reason in figure.reason
    with pytest.raises(ValueError, match=r"got shapes \(4, 400\), \(4, 400\) and \(4, 399\)"):
        retained_figure(starts, ends, ends[:, 1:], 100, RNG(1))
    with pytest.raises(ValueError, match="same openings"):
        retained_run_figure(starts[0], ends[0], ends[0, 1:], 100, RNG(1))


def test_a_difference_of_two_runs_is_withheld() -> None:
    (start, *_), (end, *_) = some_seeds(shared=True)
    for figure, reason in (
        (pgr_run_difference_figure(start[:1], end[:1], end[:1], 100, RNG(1)), "at least 2 openings, got 1"),
        (pgr_run_difference_figure(start, end, np.zeros(400), 100, RNG(1)), "a player won or lost every game"),
        (pgr_run_difference_figure(start[:8], end[:8] + 0.25, end[:8], 100, RNG(1)), "the gap of"),
    ):
        assert figure.value is None
        assert reason in figure.reason
    with pytest.raises(ValueError, match=r"got shapes \(400,\), \(400,\) and \(399,\)"):
        pgr_run_difference_figure(start, end, end[1:], 100, RNG(1))


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


def test_a_gap_that_is_too_narrow_is_told_in_the_unit_and_with_the_sign_that_were_asked_for() -> None:
    losses, expert = np.tile([0.0, 0.4], 20), np.full(40, 0.15)  # less is better: the gap is 5 points
    reason = ratio_figure(losses, losses, expert, 500, RNG(1), scale=-100, unit="Win% points").reason
    assert reason == "the gap of 5 Win% points is under five standard errors (3.2 each)"
