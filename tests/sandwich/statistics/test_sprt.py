"""The sequential test: its bounds, its likelihood ratio, and what has been reached."""

import math

import numpy as np
import pytest
from scipy import optimize

from sandwich.statistics import (
    Floats,
    Reached,
    Sprt,
    expected_score,
)
from tests.helpers.figures import RNG, pairs


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
