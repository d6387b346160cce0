"""Voices: a discriminator learned from positions in which the assistant was heard to say two things."""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import optimize, special

from sandwich.label_models.base import AnswerSet, Fit, Floats, Integers, Spread, Workshop
from sandwich.label_models.honest_voice import OneHonest
from sandwich.training.examples import Examples

TELLING = 0.02
"""How far from a half the probability of a pair is at least, for the pair to be learned from."""
MOST = 0.99
"""Share of the voice that comes oftener, at most."""


class Voices(OneHonest):
    """Where a position was asked about several times (by `vote`, say) and two moves came, one is each voice's.

    Which of the two came oftener is a noisy label of its voice, without bias from what the student thinks of the moves,
    unless the voices come equally often. A network learns to tell the first voice's move from the other's in such
    pairs, and with its answers and the counts the pairs of other openings are labelled anew (self-training, Yarowsky
    1995), round after round. In the end it judges every answer, those asked once too. The first voice is the one that
    comes oftener; `good` says which of the two is honest.
    """

    epochs: float = Field(2.0, gt=0)
    """Passes over the pairs of a fit."""
    rounds: int = Field(4, ge=1)
    """Rounds in the first step."""
    later_rounds: int = Field(2, ge=1)
    """Rounds in a later step, in which the networks go on from the step before."""
    good: Literal["start", "results", "values", "audits"] = "results"
    """Which voice is the honest one: that which came oftener (`start`); or that whose moves went with the better
    results where they were played (`results`), seem better than its own to the student of now one ply later (`values`),
    or were oftener the expert's where a strategy had the expert asked (`audits`)."""

    def work(self, first: bool) -> tuple[float, float]:
        """Of answers in each of which two moves were said."""
        rounds = self.rounds if first else self.later_rounds
        return rounds * self.epochs * max(1, self.folds - 1), 2.0 * (rounds + (not first)) + 1

    def heard(self, answers: AnswerSet, workshop: Workshop) -> tuple[Spread, Floats]:
        spread, warm = answers.spread(), bool(workshop.memory)
        folds, pairs = spread.answers.folds(self.folds), Pairs(spread)
        first = pairs.oftener * OFTENER  # log odds that the first of each pair is the first voice's
        if warm:
            first = self._apart(pairs, workshop, folds)
        for number in range(self.later_rounds if warm else self.rounds):
            self._fit(pairs, workshop, folds, first, number)
            first = self._apart(pairs, workshop, folds)
        odds = self._verdicts(spread.answers, np.arange(len(folds)), workshop, folds)
        odds += special.logit(pairs.share(special.expit(first))) * spread.count
        odds[pairs.first], odds[pairs.first + 1] = first, -first
        return spread, np.stack([special.expit(odds), special.expit(-odds)], 1)

    def _fit(self, pairs: "Pairs", workshop: Workshop, folds: Integers, odds: Floats, number: int) -> None:
        """Fit the network of every fold to tell the first voice's move from the other's, and remember it."""
        config, fits = self.config(workshop).model_copy(update={"objective": "judge"}), {}
        telling = np.abs(special.expit(odds) - 0.5) >= TELLING
        for fold in range(self.folds):
            chosen = np.flatnonzero(telling & np.isin(pairs.first, self.rows(folds, fold)))
            if len(chosen):
                start = workshop.memory.get(f"judge-{fold}", workshop.student)
                fits[f"judge-{fold}"] = Fit(start, pairs.examples(chosen, odds[chosen]), config, (number, fold))
        workshop.memory.update(zip(fits, workshop.fitted(list(fits.values())), strict=True))

    def _apart(self, pairs: "Pairs", workshop: Workshop, folds: Integers) -> Floats:
        """Log odds that the first of each pair is the first voice's, by networks of other folds and by the counts."""
        answers = pairs.spread.answers
        heard = [self._verdicts(answers, rows, workshop, folds) for rows in (pairs.first, pairs.first + 1)]
        apart = heard[0] - heard[1]
        share = pairs.share(special.expit(apart))
        return np.asarray(apart + pairs.oftener * special.logit(share))

    def _verdicts(self, answers: AnswerSet, rows: Integers, workshop: Workshop, folds: Integers) -> Floats:
        """`[K]` log odds that the moves of these rows are the first voice's, by networks of other folds."""
        out = np.zeros(len(rows))
        for fold in range(self.folds):
            own = np.flatnonzero(folds[rows] == fold)
            if f"judge-{fold}" in workshop.memory:
                out[own] = workshop.verdicts(workshop.memory[f"judge-{fold}"], answers, rows[own])
        return out


OFTENER = float(special.logit(0.6))
"""Log odds, for each time that a move came oftener than the other, that it is the first voice's to begin with."""


class Pairs:
    """Positions of which exactly two moves were said.

    first: `[P]` places of the first of both; the other is the next. oftener: `[P]` how much oftener the first was said.
    """

    def __init__(self, spread: Spread) -> None:
        self.spread, self.first = spread, spread.pairs
        self._counts = np.stack([spread.count[self.first], spread.count[self.first + 1]], 1)
        self.oftener = (self._counts[:, 0] - self._counts[:, 1]).astype(np.float64)

    def examples(self, chosen: Integers, odds: Floats) -> Examples:
        """Some pairs `[C]` for the objective `judge`; odds: `[C]` log odds that the first move is the first voice's."""
        first, sure = self.first[chosen], np.tanh(odds / 2)  # 2p − 1
        answers = self.spread.answers
        moves = np.stack([answers.advised[first], answers.advised[first + 1]], 1).astype(np.int16)
        policy = np.stack([sure, -sure], 1).astype(np.float32)
        nothing = np.zeros((len(chosen), 3), np.float32)
        return Examples(answers.packed[first], moves, policy, nothing, np.abs(sure).astype(np.float32))

    def share(self, first: Floats) -> float:
        """Share of the first voice, at least ½, from how likely the first of each pair is its move.

        The greatest likelihood of the counts, given that both voices were heard: a binomial without its two ends.
        """
        times = self._counts.sum(1)
        if not (times > 2).any():
            return 0.5
        own = float((first * self._counts[:, 0] + (1 - first) * self._counts[:, 1]).sum())
        asked, positions = np.unique(times, return_counts=True)

        def surprise(share: float) -> float:
            heard = 1 - share**asked - (1 - share) ** asked
            return float(
                -own * np.log(share) - (times.sum() - own) * np.log(1 - share) + (positions * np.log(heard)).sum()
            )

        return float(optimize.minimize_scalar(surprise, bounds=(0.5, MOST), method="bounded").x)
