"""Mixture: several voices speak through the assistant, each consistent in itself."""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import special

from sandwich.label_models.base import AnswerSet, Bools, Fit, Floats, Integers, Spread, Workshop
from sandwich.label_models.fitting import Fitting
from sandwich.oversight.veto import Veto

SURE = 0.8
"""Probability of being honest that a believed answer begins with; a refused one begins with what is left."""
OFTENER = 0.7
"""Probability of being the first voice's that the move begins with which came oftener of two."""
LEAST = 1e-5
"""Probability that a voice gives to a move at least."""
LOOKED = 6000
"""Answers at most behind which the student looks to find which voice is honest."""
SHARE_ROUNDS = 30
"""Rounds in which the shares of the voices are found, their policies being given."""


class Mixture(Fitting):
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
    good: Literal["start", "results", "values", "audits"] = "start"
    """Which voice is the honest one: that which began with what was believed, or came oftener (`start`); or that whose
    moves went with the better results where they were played (`results`), seem better than its own to the student of
    now one ply later (`values`), or were oftener the expert's where a strategy had the expert asked (`audits`)."""

    def work(self, first: bool) -> tuple[float, float]:
        rounds = self.rounds if first else self.later_rounds
        return rounds * self.voices * self.epochs * max(1, self.folds - 1), (rounds + (not first)) * self.voices

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        spread, warm = answers.spread(), bool(workshop.memory)
        folds = spread.answers.folds(self.folds)
        likely = self._begun(spread, workshop)  # [U, V]
        if warm:  # what the voices of the step before say of everything
            likely = self._heard(spread, workshop, folds, likely)
        for number in range(self.later_rounds if warm else self.rounds):
            self._fit(spread, workshop, folds, likely, number)
            likely = self._heard(spread, workshop, folds, likely)
        found = likely[spread.advised]
        return found[:, self._honest(answers, found, workshop)]

    def _begun(self, spread: Spread, workshop: Workshop) -> Floats:
        """How likely each move is each voice's before a network says, `[U, V]`."""
        if self.begin == "repeats":
            first, second = spread.pairs, spread.pairs + 1
            more = np.sign(spread.count[first] - spread.count[second]) * (OFTENER - 0.5)
            honest = np.full(len(spread.owner), 0.5)
            honest[first], honest[second] = 0.5 + more, 0.5 - more
        else:
            honest = np.where(self.begun(spread.answers, workshop), SURE, 1 - SURE)
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

    def _heard(self, spread: Spread, workshop: Workshop, folds: Integers, likely: Floats) -> Floats:
        """How likely each move is each voice's, by networks that were fitted to other folds, `[U, V]`."""
        chances = np.empty_like(likely)
        for voice in range(self.voices):
            networks = {
                fold: workshop.memory.get(f"voice-{voice}-{fold}", workshop.student) for fold in range(self.folds)
            }
            chances[:, voice] = np.maximum(self.chances(networks, spread.answers, folds, workshop), LEAST)
        shares = np.average(likely, 0, spread.count)
        for _ in range(SHARE_ROUNDS):
            joint = shares * chances
            new: Floats = joint / joint.sum(1, keepdims=True)
            if self.voices == 2:
                _apart(new, chances, shares, spread)
            shares = np.average(new, 0, spread.count)
        return new

    def _honest(self, answers: AnswerSet, likely: Floats, workshop: Workshop) -> int:
        if self.good == "start":
            return 0
        advised = np.array(answers.rows["advised"])
        if self.good == "results":
            return int(np.argmax(results(answers, likely, np.array(answers.rows["played"]) == advised)))
        if self.good == "values":
            rows = np.sort(workshop.rng(2).permutation(len(answers))[:LOOKED])
            _, gain = workshop.decisions(Veto(), answers.take(rows))
            return int(np.argmax(correlations(likely[rows], gain)))
        truth = answers.rows["ground_truth"]
        rows = np.flatnonzero(truth.is_valid())
        return int(np.argmax(correlations(likely[rows], (np.array(truth)[rows] == advised[rows]).astype(np.float64))))


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


def results(answers: AnswerSet, likely: Floats, played: Bools) -> Floats:
    """How each voice's moves, where they were played, go with the student's results: correlation over games, `[V]`.

    Of a game counts which share of the moves played were likely the voice's.
    """
    result = np.array(answers.rows["result"], np.float64)
    game = answers.game[played]
    moves = np.bincount(game)
    there = moves > 0
    score = np.bincount(game, result[played])[there] / moves[there]
    shares = [np.bincount(game, voice)[there] / moves[there] for voice in likely[played].T]
    return correlations(np.stack(shares, 1), score)


def correlations(likely: Floats, score: Floats) -> Floats:
    """How each voice, by how likely moves are its own `[K, V]`, goes with a score `[K]`: correlation, `[V]`, or 0."""
    if len(score) < 2 or score.std() == 0:
        return np.zeros(likely.shape[1])
    return np.array([float(np.corrcoef(one, score)[0, 1]) if one.std() else 0.0 for one in likely.T])
