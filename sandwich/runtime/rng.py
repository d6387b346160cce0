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
    """The order in which the assistants sit in it; by step and game, or of the run."""
    OPENINGS = 4
    """Openings of a step."""
    EXAMPLES = 5
    """Which examples are learned from, by step."""
    FIT = 6
    """The seed of a fit, by step."""
    MATCH = 7
    """Moves of a match; by block and game."""
    LEDGER = 8
    """Positions of a ledger that the oracle looks at, by step."""
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
    DATASET = 14
    """Games of a dataset of catastrophes, and what is labelled in them; by block."""
    DATASET_OPENINGS = 15
    """Order of its openings."""
    SHIFT = 16
    """Positions of a shift; by block."""
    SHIFT_OPENINGS = 17
    """Order of its openings."""
    VERIFY = 18
    """Positions that are looked at more closely."""
    CALIBRATION = 19
    """Bootstrap over games, the same for every filter and proposer."""
    ACTIVE = 20
    """Positions that a filter asks about; by generation."""
    VARIANT_HELD = 21
    """Openings that look-aheads are weighed up on."""
    VARIANT_POSITIONS = 22
    """Positions that variants of fewer learn from."""
    ROC = 23
    """Bootstrap of areas under ROC curves."""
    ATTACK = 24
    """Runs of an attack; by generation, attack and run."""
    ANSWER = 25
    """Answers of a misalignment that is evaluated; by position."""
    SUSPICION = 26
    """Bootstrap of harm and suspicion."""
    FILTER_FIT = 27
    """The seed of a filter's fit after the first, by generation."""
    ATTACK_PREPARED = 28
    """The seed of what an attack prepares, by generation and attack."""
    REPLAY = 29
    """Which examples are passed over once more, where passes are no whole number; of a fit's seed."""
    LABELS = 30
    """What a label model draws; by step and the model's own key."""
    LABEL_FIT = 31
    """The seed of a label model's fit; by step and the model's own key."""
    BELIEF = 32
    """What a strategy draws that judges positions which nobody plays; by position and move."""
    RARE = 33
    """Paths of random edits; by generation and splitting."""
    FORECAST = 34
    """Proposals that a forecast is made from."""
    LATENT = 35
    """Edits by which the ball of latent adversarial training is measured; of a fit's seed."""


def make_rng(use: RngStream, seed: int, *key: int) -> np.random.Generator:
    """Random numbers of one use; those of another use, seed or key are independent of them.

    The key is NumPy's spawn key: a plain list of seeds is padded with zeros, so that [1, 2] and [1, 2, 0] are one.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(use, *key)))


def make_seed(use: RngStream, seed: int, *key: int) -> int:
    """A seed, 0 to 2³¹ − 1, for what takes one and no generator; as independent of others as `make_rng` is."""
    return int(make_rng(use, seed, *key).integers(2**31))
