"""Probabilities too low to sample: adaptive multilevel splitting of a Markov chain's paths."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sandwich.statistics.figure import Figure, Floats
from sandwich.statistics.means import mean_figure

States = npt.NDArray[Any]
"""`[B, ...]` states of a chain, one a row."""
LEAST_SPLITTINGS = 20
"""Splittings under which an interval of their mean is withheld."""


class Chain(Protocol):
    """A Markov chain, and how near each state is to the event. What it draws, it draws from the generator alone."""

    def start(self, count: int, rng: np.random.Generator) -> States:
        """So many first states, each by itself."""

    def step(self, states: States, rng: np.random.Generator) -> States:
        """One step from each state, each by itself."""

    def levels(self, states: States) -> Floats:
        """`[B]`: the higher, the nearer."""


@dataclass(frozen=True)
class Splitting:
    """An estimate of one splitting.

    value: of the probability (times what the paths were worth), unbiased. reached: paths, of those at the end, that
    came to the level. scale: what each of them stands for, so that scale · reached is the probability itself.
    looked: states whose level was asked for.
    """

    value: float
    reached: int
    scale: float
    looked: int


def splitting(
    chain: Chain,
    steps: int,
    level: float,
    rng: np.random.Generator,
    *,
    paths: int = 200,
    discarded: int = 20,
    worth: Callable[[States], Floats] | None = None,
) -> Splitting:
    """Probability that a path of so many steps comes to `level` or above, at its start or behind any of its steps.

    paths: kept at a time. discarded: of those the lowest so many go in each round, and all that are as low; each is
    begun again from where another one, drawn from the rest, first rose above them (Cérou and Guyader 2007, Stochastic
    Analysis and Applications 25, 417–443; unbiased for any importance function and with ties: Bréhier, Gazeau,
    Goudenège, Lelièvre and Rousset 2016, Annals of Applied Probability 26, 3559–3601). Where all are equally low none
    is left, and the estimate is 0: that is what keeps it unbiased.
    worth: `[B]` of the states in which paths first came to the level; the estimate is then the mean over all paths of
    what they are worth, 0 for a path that does not come to it. None: 1.
    """
    if not 0 < discarded < paths:
        raise ValueError(f"expected 0 < discarded < paths, got {discarded} and {paths}")
    first = chain.start(paths, rng)
    states = np.empty((paths, steps + 1, *first.shape[1:]), first.dtype)
    levels = np.empty((paths, steps + 1))
    states[:, 0], levels[:, 0] = first, chain.levels(first)
    looked = paths + _grown(chain, states, levels, np.arange(paths), np.zeros(paths, np.int64), rng)
    share = 1.0
    while True:
        highest = levels.max(1)
        bar = float(np.partition(highest, discarded - 1)[discarded - 1])
        if bar >= level:
            break
        low = np.flatnonzero(highest <= bar)
        rest = np.flatnonzero(highest > bar)
        share *= len(rest) / paths
        if not len(rest):
            return Splitting(0.0, 0, 0.0, looked)
        parents = rng.choice(rest, len(low))
        rose = (levels[parents] > bar).argmax(1)
        states[low], levels[low] = states[parents], levels[parents]
        looked += _grown(chain, states, levels, low, rose, rng)
    there = np.flatnonzero(highest >= level)
    came = states[there, (levels[there] >= level).argmax(1)]
    total = float(len(there)) if worth is None else float(np.sum(worth(came)))
    return Splitting(share * total / paths, len(there), share / paths, looked)


def _grown(
    chain: Chain,
    states: States,
    levels: Floats,
    rows: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> int:
    """Draw what follows the `last` states of these paths, in place; how many states that are."""
    looked = 0
    for step in range(1, states.shape[1]):
        going = rows[last < step]
        if len(going):
            states[going, step] = chain.step(states[going, step - 1], rng)
            levels[going, step] = chain.levels(states[going, step])
            looked += len(going)
    return looked


def splitting_figure(estimates: Floats) -> Figure:
    """Mean of `[R]` independent splittings, with the interval of a skewed mean (`mean_figure`), its low end at least 0.

    Withheld of fewer than 20; and where none came to the level, since nothing then tells how much lower it is.
    """
    if len(estimates) < LEAST_SPLITTINGS:
        return Figure(None, reason=f"expected at least {LEAST_SPLITTINGS} splittings, got {len(estimates)}")
    if not estimates.any():
        return Figure(None, reason=f"none of {len(estimates)} splittings came to what is looked for")
    figure = mean_figure(estimates)
    return figure if figure.low is None else replace(figure, low=max(0.0, figure.low))
