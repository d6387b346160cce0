"""Rates that are rare, times to a break, and agreement on values, against published figures."""

import math

import numpy as np
import pytest
from scipy import stats

from sandwich.statistics import (
    break_rate_figure,
    kendall_figure,
    mean_figure,
    share_figure,
    stratified_figure,
    survival_curve,
    survival_figure,
    tau_b,
)
from tests.helpers.figures import RNG, bounds, pairs

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
    every = survival_curve(LEUKAEMIA, RELAPSE)
    assert [time for time, _ in every] == np.unique(LEUKAEMIA).tolist()
    curve = [(time, figure) for time, figure in every if time in LEUKAEMIA[RELAPSE]]
    # Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data, section 1.4
    expected = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert [time for time, _ in curve] == list(expected)
    assert [figure.value for _, figure in curve] == pytest.approx(list(expected.values()), abs=5e-4)
    assert all(figure.n == 21 for _, figure in curve)
    later = survival_figure(LEUKAEMIA, RELAPSE, 12)  # two were given up since week 10
    assert (later.value, later.high) == (dict(curve)[10].value, dict(curve)[10].high)
    assert bounds(later)[0] < bounds(dict(curve)[10])[0]
    assert dict(every)[11] == later  # when the last of them was
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
