"""Power: a difference of the size that is told is seen as often as is told."""

import numpy as np
import pytest

from sandwich.statistics import POWER, Components, components, pooled
from sandwich.statistics.recovered import _student


@pytest.mark.parametrize("seeds", [3, 5, 12])
@pytest.mark.parametrize(("training", "own", "shared"), [(0.01, 0, 0), (0.002, 0.003, 0.002), (0, 0.001, 0.01)])
def test_a_visible_difference_is_seen_in_four_of_five_experiments(
    seeds: int, training: float, own: float, shared: float
) -> None:
    rng = np.random.default_rng(1)
    made = Components(training, own, shared, 300)
    least = made.visible(seeds, 300)
    luck = rng.normal(0, np.sqrt(training + own), (4000, seeds)) + rng.normal(0, np.sqrt(shared), (4000, 1))
    found = [_student(least + values, shared) for values in luck]
    seen = np.mean([figure.low is not None and figure.low > 0 for figure in found])
    assert POWER - 0.025 < seen < POWER + 0.025


def test_more_seeds_or_games_show_less_and_a_smaller_difference_needs_more() -> None:
    made = Components(0.01, 0.004, 0.002, 300)
    assert made.visible(3, 300) > made.visible(5, 300) > made.visible(5, 600) > 0
    few, more = made.seeds_for(0.3, 300), made.seeds_for(0.15, 300)
    assert few is not None and more is not None and 3 <= few < more
    assert made.visible(more, 300) <= 0.15 < made.visible(more - 1, 300)
    assert made.seeds_for(-0.15, 300) == more
    assert made.seeds_for(0.01, 300, most=50) is None  # what the openings have in common does not go away


def test_components_are_those_that_scores_were_made_with() -> None:
    rng = np.random.default_rng(2)
    seeds, pairs = 40, 300

    def arm(mean: float, sd: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        means = np.clip(rng.normal(mean, sd, (seeds, 1)), 0.05, 0.95)
        return rng.binomial(4, np.broadcast_to(means, (seeds, pairs))) / 4

    starts = np.broadcast_to(rng.binomial(4, 0.1, (1, pairs)) / 4, (seeds, pairs))
    still = components(starts, arm(0.3, 0), arm(0.3, 0), 2000, np.random.default_rng(1))
    moving = components(starts, arm(0.3, 0.06), arm(0.3, 0.06), 2000, np.random.default_rng(1))
    assert isinstance(still, Components) and isinstance(moving, Components)
    assert moving.training > 5 * still.training
    assert still.own == pytest.approx(moving.own, rel=0.5)
    assert still.pairs == pairs
    assert "expected at least 3 seeds" in str(components(starts[:2], starts[:2], starts[:2], 100, rng))


def test_components_are_pooled_at_the_openings_of_the_first() -> None:
    one, other = Components(0.01, 0.004, 0.002, 300), Components(0.03, 0.008, 0.004, 150)
    both = pooled([one, other])
    assert (both.training, both.own, both.shared, both.pairs) == pytest.approx((0.02, 0.004, 0.002, 300))
