"""Ratings of many players on one scale, and their intervals."""

import numpy as np
import pytest

from sandwich.statistics import Figure, Floats, elo_figure
from sandwich.statistics.ratings import rate
from tests.helpers.figures import RNG, bounds, pairs

MIXED = np.array([0.5] * 20 + [1.0] * 30 + [0.25] * 10)


def rated(pairings: dict[tuple[int, int], Floats], players: int = 2, draws: int = 4000) -> list[Figure]:
    """Ratings with player 0 at 0."""
    return rate(pairings, players, 0, draws, RNG(0))


@pytest.mark.parametrize("scores", [MIXED, pairs(1, 1, 1, 0.5), pairs(0.5, 0.5), pairs(0.25, 0.25, 0.25, 0.25)])
def test_ratings_of_two_players_are_their_elo(scores: Floats) -> None:
    first, second = rated({(0, 1): 1 - scores})
    expected = elo_figure(scores)
    assert first == Figure(0.0, None, None, 2 * len(scores))
    assert second.n == 2 * len(scores)
    assert second.value == pytest.approx(expected.value, abs=0.1)
    assert bounds(second) == pytest.approx(bounds(expected), abs=15)  # of 4,000 draws


def test_who_lost_or_won_every_pair_has_the_bound_of_a_match() -> None:
    for scores in (np.ones(50), np.zeros(50)):
        second, expected = rated({(0, 1): 1 - scores})[1], elo_figure(scores)
        assert (second.low is None, second.high is None) == (expected.low is None, expected.high is None)
        assert second.value == pytest.approx(expected.value, abs=10)  # −484: more than 1 − 0.05^(1/50) is not known
        assert second.value in (second.low, second.high)


def test_a_few_pairs_that_all_ended_in_draws_leave_room() -> None:
    for rating in rated({key: pairs(0.5, 0.5) for key in ((0, 1), (0, 2), (1, 2))}, players=3)[1:]:
        low, high = bounds(rating)
        assert rating.value == pytest.approx(0, abs=1e-6)
        assert low < -100 and high > 100


def test_an_end_is_there_where_points_lead() -> None:
    beats = np.ones(20)
    # 1 beat everybody, 2 and the anchor drew, 3 lost to everybody
    ratings = rated({(1, 0): beats, (0, 2): MIXED, (0, 3): beats, (1, 2): beats, (1, 3): beats, (2, 3): beats}, 4)
    assert [(rating.low is None, rating.high is None) for rating in ratings[1:]] == [
        (False, True),
        (False, False),
        (True, False),
    ]
    for rating in (ratings[1], ratings[3]):
        assert rating.value in (rating.low, rating.high)


def test_points_lead_over_others() -> None:
    ratings = rated({(0, 1): MIXED, (1, 2): MIXED, (0, 2): np.ones(20)}, 3)  # 2 never scored against 0, but against 1
    assert bounds(ratings[2])[1] < 0


def test_two_who_lost_to_a_third_alone_can_not_be_compared() -> None:
    ratings = rated({(1, 0): np.ones(5), (1, 2): np.ones(5)}, 3)
    assert ratings[1].low is not None and ratings[1].high is None
    assert ratings[2].reason == "no points lead from the anchor to this player, or back"


def test_a_single_pair_is_enough_for_a_rating() -> None:
    low, high = bounds(rated({(0, 1): pairs(0.75)})[1])
    assert low < -400 and high > 400


def played(truth: list[float], count: int, rng: np.random.Generator) -> dict[tuple[int, int], Floats]:
    """Pairs of games whose mean score is the expected one, of everyone against everyone."""
    out = {}
    for first in range(len(truth)):
        for second in range(first + 1, len(truth)):
            chance = 1 / (1 + 10 ** ((truth[second] - truth[first]) / 400))
            out[first, second] = rng.binomial(4, chance, count) / 4
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("truth", "count"), [([0, -100, 150], 6), ([0, -350, 250], 10), ([0, -600, 100], 20)])
def test_intervals_of_few_pairs_hold_the_truth_in_95_percent(truth: list[float], count: int) -> None:
    rng, missed, experiments = RNG(1), np.zeros(2), 300
    for _ in range(experiments):
        for place, (rating, true) in enumerate(
            zip(rate(played(truth, count, rng), 3, 0, 200, rng), truth, strict=True)
        ):
            if place and rating.value is not None:
                below = rating.low is not None and true < rating.low
                missed[place - 1] += below or (rating.high is not None and true > rating.high)
    assert (missed / experiments <= 0.08).all()  # 5 % and two standard errors, which are 1.3 %


def test_ratings_find_the_strengths_behind_the_games() -> None:
    truth = [0.0, -120, 250, -600]
    games = played(truth, 400, RNG(3))
    del games[2, 3]
    for rating, true in list(zip(rated(games, 4, 200), truth, strict=True))[1:]:
        low, high = bounds(rating)
        assert low - 15 < true < high + 15


def test_players_that_no_games_join_are_named() -> None:
    with pytest.raises(ValueError, match="no games join player 2 to player 0"):
        rated({(0, 1): pairs(0.5, 0.5)}, 3, 10)
