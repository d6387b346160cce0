"""Mixture: several voices speak through the assistant, each consistent in itself."""

from typing import Literal

import numpy as np
from pydantic import Field

from sandwich.label_models.base import AnswerSet, Bools, Floats, Integers, Workshop
from sandwich.label_models.fitting import Fitting

SURE = 0.8
"""Probability of being honest that a believed answer begins with; a refused one begins with what is left."""
LEAST = 1e-5
"""Probability that a voice gives to a move at least."""
SHARE_ROUNDS = 30
"""Rounds in which the shares of the voices are found, their policies being given."""


class Mixture(Fitting):
    """Voices, one of them honest, by expectation and maximisation (Dempster, Laird and Rubin 1977).

    Each voice is a network's policy. A round fits every voice to the moves advised, weighted by how likely each move is
    the voice's; then it says anew how likely that is: the share of the voice times the probability that it gives to the
    move, of all voices' (Bayes). What judges a move was fitted to games from other openings. The shares are estimated.
    The first round begins with what a strategy believes; a voice goes on from the network that it was the round before,
    and from step to step.
    """

    rounds: int = Field(4, ge=1)
    """Rounds in the first step."""
    later_rounds: int = Field(2, ge=1)
    """Rounds in a later step, in which the voices go on from the step before."""
    voices: int = Field(2, ge=2)
    """The honest one and the others."""
    good: Literal["start", "results"] = "start"
    """Which voice is the honest one: that which began with what the strategy believed, or that whose moves, where they
    were played, went with the better results."""

    def work(self, first: bool) -> tuple[float, float]:
        rounds = self.rounds if first else self.later_rounds
        return rounds * self.voices * self.epochs * max(1, self.folds - 1), (rounds + (not first)) * self.voices

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        folds, warm = answers.folds(self.folds), bool(workshop.memory)
        likely = self._begun(answers, workshop)  # [N, V]
        if warm:  # what the voices of the step before say of everything
            likely = self._heard(answers, workshop, folds, likely)
        for number in range(self.later_rounds if warm else self.rounds):
            for fold in range(self.folds):
                self._fitted(answers, workshop, self.rows(folds, fold), likely, (number, fold))
            likely = self._heard(answers, workshop, folds, likely)
        return likely[:, self._honest(answers, likely)]

    def _begun(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        """How likely each answer is each voice's before a network says, `[N, V]`."""
        honest = np.where(self.begun(answers, workshop), SURE, 1 - SURE)
        others = workshop.rng(0).dirichlet(np.ones(self.voices - 1), len(answers))
        return np.concatenate([honest[:, None], (1 - honest)[:, None] * others], 1)

    def _fitted(
        self, answers: AnswerSet, workshop: Workshop, rows: Integers, likely: Floats, key: tuple[int, int]
    ) -> None:
        """Fit every voice of a fold to the moves that are likely its own, and remember it."""
        config = self.config(workshop)
        for voice in range(self.voices):
            own = rows[likely[rows, voice] >= IGNORED]
            if len(own):
                name = f"voice-{voice}-{key[1]}"
                examples = answers.examples(own, likely[own, voice])
                start = workshop.memory.get(name, workshop.student)
                workshop.memory[name] = workshop.fit(start, examples, config, *key, voice)

    def _heard(self, answers: AnswerSet, workshop: Workshop, folds: Integers, likely: Floats) -> Floats:
        """How likely each answer is each voice's, by networks that were fitted to other folds, `[N, V]`."""
        chances = np.empty_like(likely)
        for voice in range(self.voices):
            networks = {
                fold: workshop.memory.get(f"voice-{voice}-{fold}", workshop.student) for fold in range(self.folds)
            }
            chances[:, voice] = np.maximum(self.chances(networks, answers, folds, workshop), LEAST)
        shares = likely.mean(0)
        for _ in range(SHARE_ROUNDS):
            joint = shares * chances
            new: Floats = joint / joint.sum(1, keepdims=True)
            shares = new.mean(0)
        return new

    def _honest(self, answers: AnswerSet, likely: Floats) -> int:
        if self.good == "start":
            return 0
        played = np.array(answers.rows["played"]) == np.array(answers.rows["advised"])
        return int(np.argmax(results(answers, likely, played)))


IGNORED = 0.02
"""Probability under which a move is not learned by a voice."""


def results(answers: AnswerSet, likely: Floats, played: Bools) -> Floats:
    """How each voice's moves, where they were played, go with the student's results: correlation over games, `[V]`.

    Of a game counts which share of the moves played were likely the voice's.
    """
    result = np.array(answers.rows["result"], np.float64)
    game = answers.game[played]
    moves = np.bincount(game)
    there = moves > 0
    score = np.bincount(game, result[played])[there] / moves[there]
    out = []
    for voice in range(likely.shape[1]):
        share = np.bincount(game, likely[played, voice])[there] / moves[there]
        flat = len(share) < 2 or share.std() == 0 or score.std() == 0
        out.append(0.0 if flat else float(np.corrcoef(share, score)[0, 1]))
    return np.array(out)
