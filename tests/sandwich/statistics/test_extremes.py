"""The tail of a score: worked out by hand where that can be, and right about populations whose tail is known."""

import numpy as np
import pytest
from scipy import stats

from sandwich.statistics import share_figure, tail_figure


def test_an_exponential_tail_is_extended_by_its_mean_excess() -> None:
    scores = np.concatenate([np.zeros(40), np.arange(1.0, 11.0)])  # the highest ten lie above ½ by 5 in the mean
    figure = tail_figure(scores, 20.5)
    assert figure.value == pytest.approx(0.2 * np.exp(-20 / 5))
    assert figure.value is not None and figure.low is not None and figure.high is not None
    assert 0 < figure.low < figure.value < figure.high < 0.2
    assert figure.n == 50


def test_what_is_often_seen_is_counted() -> None:
    scores = np.arange(100.0)
    assert tail_figure(scores, 70.0) == share_figure(30, 100)


def test_what_lies_beyond_every_number_has_a_low_end_of_0() -> None:
    figure = tail_figure(np.random.default_rng(0).normal(-4, 0.01, 100), 1.0)
    assert (figure.value, figure.low) == (0, 0)
    assert figure.high is not None and 0 <= figure.high < 1e-100


def test_what_too_few_scores_say_is_withheld() -> None:
    assert tail_figure(np.arange(19.0), 30.0).reason == "expected at least 20 scores, got 19"
    assert tail_figure(np.zeros(50), 1.0).reason == "the highest scores are all the same"
    with pytest.raises(ValueError, match=r"expected a tail in 0\.\.1, got 1"):
        tail_figure(np.zeros(50), 1.0, tail=1.0)


KINDS = {"exponential": stats.expon(), "Gumbel": stats.gumbel_r(), "logistic": stats.logistic()}


@pytest.mark.parametrize("name", KINDS)
def test_a_share_ten_times_too_rare_for_the_sample_is_right_within_an_order_of_magnitude(name: str) -> None:
    kind, rng, truth = KINDS[name], np.random.default_rng(1), 0.1 / 200
    made = [tail_figure(kind.rvs(size=200, random_state=rng), float(kind.isf(truth))) for _ in range(200)]
    ends = np.array([(figure.low, figure.value, figure.high) for figure in made], np.float64)
    assert (np.abs(np.log10(ends[:, 1] / truth)) <= 1).mean() > 0.93
    assert ((ends[:, 0] <= truth) & (truth <= ends[:, 2])).mean() > 0.9


def test_a_farther_score_is_rarer() -> None:
    scores = np.random.default_rng(0).logistic(size=100)
    values = [tail_figure(scores, at).value or 0.0 for at in (4.0, 6.0, 8.0, 12.0)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4
    assert values[-1] > 0
