"""The random numbers of a run: one stream for each thing that draws."""

from enum import IntEnum

import numpy as np


class RngStream(IntEnum):
    """What a stream is for. The numbers are part of every run's results: a use that goes leaves a gap."""

    PLAYERS = 1
    """Moves of a game of the student's; by step and game."""
    ASSISTANT = 2
    """Answers in it; by step and game."""
    ORDER = 3
    """Which of two assistants answers first in it; by step and game."""
    OPENINGS = 4
    """Openings of a step."""
    EXAMPLES = 5
    """Which examples are learned from, by step."""
    FIT = 6
    """The seed of a fit, by step."""
    MATCH = 7
    """Moves of a match; by block and game."""
    LEDGER = 8
    """Positions of a ledger that the oracle looks at."""
    SHOWCASE = 9
    """The game that is shown of a step for no reason."""
    PGR = 10
    """Bootstrap of what was recovered in games."""
    PGR_WIN_LOSS = 11
    """Bootstrap of what was recovered in Win% lost."""
    PGR_PUZZLES = 12
    """Bootstrap of what was recovered in puzzles."""
    RATINGS = 13
    """Bootstrap of ratings."""


def make_rng(use: RngStream, seed: int, *key: int) -> np.random.Generator:
    """Random numbers of one use; those of another use, seed or key are independent of them.

    The key is NumPy's spawn key: a plain list of seeds is padded with zeros, so that [1, 2] and [1, 2, 0] are one.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(use, *key)))
