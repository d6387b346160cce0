"""Mixture: several voices speak through the assistant, each consistent in itself."""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import special

from sandwich.label_models.base import AnswerSet, Bools, Fit, Floats, Integers, Spread, Workshop
from sandwich.label_models.fitting import FittingBelieved
from sandwich.label_models.honest_voice import OneHonest

SURE = 0.8
"""Probability of being honest that a believed answer begins with; a refused one begins with what is left."""
OFTENER = 0.7
"""Probability of being the first voice's that the move begins with which came oftener of two."""
LEAST = 1e-5
"""Probability that a voice gives to a move at least."""
SHARE_ROUNDS = 30
"""Rounds in which the shares of the voices are found, their policies being given."""


class Mixture(OneHonest, FittingBelieved):
    """Voices, one of them honest, by expectation and maximisation (Dempster, Laird and Rubin 1977).

    Each voice is a network's policy. A round fits every voice to the moves said, weighted by how likely each move is
    the voice's; then it says anew how likely that is: the share of the voice times the probability that it gives to the
    move, of all voices' (Bayes). What judges a move was fitted to games from other openings. The shares are estimated.
    The first round begins with what a strategy believes, or with what came oftener of the same question; a voice goes
    on from the network that it was the round before, and from step to step. Of two moves said of one position one is
    taken for each voice's.
    """

    begin: Literal["decisions", "repeats"] = "decisions"
    """What the first round begins with: the decisions of `start`, or what came oftener and what more rarely where a
    position was asked about several times (by `vote`, say), which needs no judgement at all."""
    rounds: int = Field(4, ge=1)
    """Rounds in the first step."""
    later_rounds: int = Field(2, ge=1)
    """Rounds in a later step, in which the voices go on from the step before."""
    voices: int = Field(2, ge=2)
    """The honest one and the others."""
    evidence: float = Field(0.5, ge=0, le=1)
    """How much it counts in every round whether an answer was believed to begin with, beside what the voices say: 1 is
    as if that were independent of them. How often each voice is believed is estimated. Not where it begins with
    `repeats`."""

    def work(self, first: bool) -> tuple[float, float]:
        rounds = self.rounds if first else self.later_rounds
        return rounds * self.voices * self.epochs * max(1, self.folds - 1), (rounds + (not first)) * self.voices

    def heard(self, answers: AnswerSet, workshop: Workshop) -> tuple[Spread, Floats]:
        spread, warm = answers.spread(), bool(workshop.memory)
        folds = spread.answers.folds(self.folds)
        believed = self.begun(spread.answers, workshop) if self.begin == "decisions" else None
        likely = self._begun(spread, believed, workshop)  # [U, V]
        if warm:  # what the voices of the step before say of everything
            likely = self._heard(spread, believed, workshop, folds, likely)
        for number in range(self.later_rounds if warm else self.rounds):
            self._fit(spread, workshop, folds, likely, number)
            likely = self._heard(spread, believed, workshop, folds, likely)
        return spread, likely

    def _begun(self, spread: Spread, believed: Bools | None, workshop: Workshop) -> Floats:
        """How likely each move is each voice's before a network says, `[U, V]`."""
        if believed is None:
            first, second = spread.pairs, spread.pairs + 1
            more = np.sign(spread.count[first] - spread.count[second]) * (OFTENER - 0.5)
            honest = np.full(len(spread.owner), 0.5)
            honest[first], honest[second] = 0.5 + more, 0.5 - more
        else:
            honest = np.where(believed, SURE, 1 - SURE)
        others = workshop.rng(0).dirichlet(np.ones(self.voices - 1), len(honest))
        return np.concatenate([honest[:, None], (1 - honest)[:, None] * others], 1)

    def _fit(self, spread: Spread, workshop: Workshop, folds: Integers, likely: Floats, number: int) -> None:
        """Fit every voice of every fold to the moves that are likely its own, and remember it."""
        config, fits = self.config(workshop), {}
        weight = likely * (spread.count / spread.answers.said.sizes)[:, None]
        for fold in range(self.folds):
            rows = self.rows(folds, fold)
            telling = rows[np.ptp(likely[rows], 1) > 0]  # what may be anyone's teaches all alike
            for voice in range(self.voices):
                own = telling[weight[telling, voice] >= IGNORED]
                if len(own):
                    name = f"voice-{voice}-{fold}"
                    start = workshop.memory.get(name, workshop.student)
                    examples = spread.answers.examples(own, weight[own, voice])
                    fits[name] = Fit(start, examples, config, (number, fold, voice))
        workshop.memory.update(zip(fits, workshop.fitted(list(fits.values())), strict=True))

    def _heard(
        self, spread: Spread, believed: Bools | None, workshop: Workshop, folds: Integers, likely: Floats
    ) -> Floats:
        """How likely each move is each voice's, by networks that were fitted to other folds, `[U, V]`."""
        chances = np.empty_like(likely)
        for voice in range(self.voices):
            networks = {
                fold: workshop.memory.get(f"voice-{voice}-{fold}", workshop.student) for fold in range(self.folds)
            }
            chances[:, voice] = np.maximum(self.chances(networks, spread.answers, folds, workshop), LEAST)
        for _ in range(SHARE_ROUNDS):
            shares, seen = np.average(likely, 0, spread.count), chances
            if believed is not None:
                often = likely.T @ (spread.count * believed) / np.maximum(likely.T @ spread.count, LEAST)
                often = np.clip(often, LEAST, 1 - LEAST)  # how often each voice is believed
                seen = chances * np.where(believed[:, None], often, 1 - often) ** self.evidence
            joint = shares * seen
            likely = joint / joint.sum(1, keepdims=True)
            if self.voices == 2:
                _apart(likely, seen, shares, spread)
        return likely


IGNORED = 0.02
"""Probability under which a move is not learned by a voice."""


def _apart(likely: Floats, chances: Floats, shares: Floats, spread: Spread) -> None:
    """Of two moves said of one position one is each voice's: how likely which is which, put into `likely`, `[U, 2]`.

    By the chances that both voices give to both moves, and by how often each move came (binomial).
    """
    first, second = spread.pairs, spread.pairs + 1
    oftener = (spread.count[first] - spread.count[second]) * np.log(shares[0] / shares[1])
    straight = np.log(chances[first, 0] * chances[second, 1]) + oftener
    crossed = np.log(chances[first, 1] * chances[second, 0])
    likely[first, 0] = likely[second, 1] = special.expit(straight - crossed)
    likely[first, 1] = likely[second, 0] = special.expit(crossed - straight)
