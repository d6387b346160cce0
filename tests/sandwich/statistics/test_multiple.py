"""p-values that agree with their intervals, and their correction for many comparisons."""

import numpy as np
import pytest
from scipy import stats

from sandwich.statistics import Figure, holm, pgr_difference_figure, pgr_run_difference_figure
from sandwich.statistics.figure import Floats
from sandwich.statistics.recovered import LEAST_P, _student


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02], [0.02]),
        ([], []),
        ([0.5, 0.5, 0.9], [1, 1, 1]),
        ([0.001, 0.001], [0.002, 0.002]),
    ],
)
def test_holms_correction_by_hand(p: list[float], corrected: list[float]) -> None:
    assert holm(p) == pytest.approx(corrected)


def test_all_is_well_in_95_percent_of_experiments_without_a_difference() -> None:
    p = np.random.default_rng(1).random((4000, 8))
    assert 0.03 < np.mean([min(holm(list(row))) < 0.05 for row in p]) < 0.07


def scores(mean: float, pairs: int, rng: np.random.Generator) -> Floats:
    return rng.choice([0, 0.25, 0.5, 0.75, 1], size=pairs, p=stats.binom.pmf(range(5), 4, mean))


def excludes(figure: Figure) -> bool:
    assert figure.low is not None and figure.high is not None
    return figure.low > 0 or figure.high < 0


@pytest.mark.parametrize("seed", range(20))
def test_p_is_under_5_percent_where_the_interval_excludes_0_and_only_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts, ends, others = (np.stack([scores(mean, 60, rng) for _ in range(3)]) for mean in (0.1, 0.3, 0.27))
    over = pgr_difference_figure(starts, ends, others, 2000, np.random.default_rng(1))
    within = pgr_run_difference_figure(starts[0], ends[0], others[0], 2000, np.random.default_rng(1))
    for figure in (over, within):
        assert figure.p is not None and LEAST_P <= figure.p <= 1
        assert (figure.p < 0.05) == excludes(figure)


def test_p_over_seeds_alone_is_that_of_students_test() -> None:
    values = np.array([0.1, 0.3, 0.25])
    assert _student(values, 0.0).p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert _student(-values, 0.0).p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_p_of_what_is_shared_alone_is_that_of_the_normal_test() -> None:
    p = _student(np.array([0.2, 0.2 + 1e-9, 0.2]), 0.01).p
    assert p == pytest.approx(2 * stats.norm.sf(2), rel=1e-4)


def test_a_mean_of_nothing_and_one_beyond_all_doubt() -> None:
    assert _student(np.array([-1.0, 0.0, 1.0]), 0.1).p == 1
    assert _student(np.array([1.0, 1.0 + 1e-12, 1.0]), 0.0).p == LEAST_P
    assert "p" not in _student(np.array([1.0, 2.0, 3.0]), 0.1).json()
