"""Ratings of many players on one scale, from the pairs of games that they played each other.

The Elo model: a player rated R higher than another is expected to score 1 / (1 + 10^(−R/400)). The
ratings are those under which the observed scores are most likely, a draw counting as half a win and
half a loss (Bradley and Terry's model, maximum likelihood). Their intervals are percentiles of the
ratings that follow from draws of each pairing's mean score (`sandwich.statistics.elo.score_quantiles`): those
of two players are the interval of their Elo.
"""

from collections.abc import Mapping

import numpy as np

from sandwich.statistics.elo import score_quantiles
from sandwich.statistics.figure import Figure, Floats

SCALE = np.log(10) / 400
PRIOR = 0.001
"""Games, drawn, that every pairing is thought to have besides: in a draw in which a player lost all it has a rating
still. What is said of a player does not depend on it."""


def _fit(scores: Floats, games: Floats, anchor: int) -> Floats:
    """Ratings `[P]` from scores and games `[P, P]` of the row's player against the column's (Newton's method)."""
    players = len(scores)
    rating = np.zeros(players)
    free = np.array([player for player in range(players) if player != anchor])
    for _ in range(100):
        expected = 1 / (1 + np.exp(-SCALE * (rating[:, None] - rating[None, :])))
        gradient = (scores - games * expected).sum(1)
        spread = games * expected * (1 - expected)
        curvature = np.diag(spread.sum(1)) - spread
        step = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free]) / SCALE
        rating[free] += np.clip(step, -400, 400)
        if np.abs(step).max() < 1e-6:
            break
    return rating


def rate(
    pairings: Mapping[tuple[int, int], Floats], players: int, anchor: int, draws: int, rng: np.random.Generator
) -> list[Figure]:
    """Elo of each player, that of `anchor` being 0.

    pairings: for two players the scores `[N]` of the first in each pair of games, 0 to 1; at least one
        pairing must join every player to the others.
    A rating has an upper end where points lead from the anchor to the player (the anchor scored against someone,
    who scored against someone, …, against the player), and a lower end where they lead back; without the one or the
    other the most likely rating is infinite (Ford 1957, American Mathematical Monthly 64, 28–33). Then the bound
    that there is (one-sided, 95 %) is the value too, as in `elo_figure`; without both there is none.
    Raises ValueError for players that no games join.
    """
    joined = _reached(anchor, [way for pairing in pairings for way in (pairing, pairing[::-1])])
    if len(joined) < players:
        raise ValueError(f"no games join player {min(set(range(players)) - joined)} to player {anchor}")
    means = {key: np.full(1, pairs.mean()) for key, pairs in pairings.items()}
    drawn_means = {key: score_quantiles(pairs, rng.random(draws)) for key, pairs in pairings.items()}

    def ratings(means: Mapping[tuple[int, int], Floats], draw: int) -> Floats:
        scores, games = np.zeros((players, players)), np.zeros((players, players))
        for (player, other), drawn in means.items():
            played = 2 * len(pairings[player, other])
            scores[player, other] += played * drawn[draw] + PRIOR / 2
            scores[other, player] += played * (1 - drawn[draw]) + PRIOR / 2
            games[player, other] += played + PRIOR
            games[other, player] += played + PRIOR
        return _fit(scores, games, anchor)

    value = ratings(means, 0)
    lows, highs = np.percentile([ratings(drawn_means, draw) for draw in range(draws)], [2.5, 97.5], axis=0)
    points = [key for key, pairs in pairings.items() if pairs.max() > 0]
    points += [key[::-1] for key, pairs in pairings.items() if pairs.min() < 1]
    bounded_above, bounded_below = _reached(anchor, points), _reached(anchor, [way[::-1] for way in points])
    out = []
    for player in range(players):
        n = sum(2 * len(pairs) for key, pairs in pairings.items() if player in key)
        low = float(lows[player]) if player in bounded_below else None
        high = float(highs[player]) if player in bounded_above else None
        if player == anchor:
            out.append(Figure(0.0, None, None, n))
        elif low is None and high is None:
            out.append(Figure(None, reason="no points lead from the anchor to this player, or back"))
        else:
            middle = float(value[player])
            out.append(Figure(high if low is None else low if high is None else middle, low, high, n))
    return out


def _reached(start: int, ways: list[tuple[int, int]]) -> set[int]:
    """Players to whom ways lead from one of them."""
    reached = {start}
    while new := {end for begin, end in ways if begin in reached} - reached:
        reached |= new
    return reached
