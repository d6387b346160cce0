"""Ratings of many players on one scale, from the pairs of games that they played each other.

The Elo model: a player rated R higher than another is expected to score 1 / (1 + 10^(−R/400)). The
ratings are those under which the observed scores are most likely, a draw counting as half a win and
half a loss (Bradley and Terry's model, maximum likelihood). Their intervals are a bootstrap over the
pairs of games of each pairing.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sandwich.statistics import Figure

Floats = npt.NDArray[np.float64]
SCALE = np.log(10) / 400
PRIOR = 0.25
"""Games, drawn, that every pairing is thought to have besides: a player that lost all has a rating still."""


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
    Raises ValueError for players that no games join.
    """
    joined = {anchor}
    for _ in range(players):
        joined |= {side for pairing in pairings if joined & set(pairing) for side in pairing}
    if len(joined) < players:
        raise ValueError(f"no games join player {min(set(range(players)) - joined)} to player {anchor}")

    def tables(samples: Mapping[tuple[int, int], Floats]) -> tuple[Floats, Floats]:
        scores, games = np.zeros((players, players)), np.zeros((players, players))
        for (player, other), pairs in samples.items():
            scores[player, other] += 2 * pairs.sum() + PRIOR / 2
            scores[other, player] += 2 * (1 - pairs).sum() + PRIOR / 2
            games[player, other] += 2 * len(pairs) + PRIOR
            games[other, player] += 2 * len(pairs) + PRIOR
        return scores, games

    value = _fit(*tables(pairings), anchor)
    drawn = np.array([
        _fit(*tables({key: rng.choice(pairs, len(pairs)) for key, pairs in pairings.items()}), anchor)
        for _ in range(draws)
    ])  # fmt: skip
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    played = [sum(2 * len(pairs) for key, pairs in pairings.items() if player in key) for player in range(players)]
    return [
        Figure(0.0, None, None, played[player])
        if player == anchor
        else Figure(float(value[player]), float(low[player]), float(high[player]), played[player])
        for player in range(players)
    ]
