"""Which of several voices, once they are heard apart, is the honest one."""

from abc import abstractmethod
from typing import Literal

import numpy as np

from sandwich.label_models.base import AnswerSet, Bools, Floats, Labels, Spread, Workshop
from sandwich.label_models.fitting import Fitting
from sandwich.oversight.veto import Veto

LOOKED = 6000
"""Answers at most behind which the student looks to find which voice is honest."""


class OneHonest(Fitting):
    """A label model that tells voices apart, and then says which of them is honest."""

    good: Literal["start", "results", "values", "audits"] = "start"
    """Which voice is the honest one: that which began with what was believed, or came oftener (`start`); or that whose
    moves went with the better results where they were played (`results`), seem better than its own to the student of
    now one ply later (`values`), or were oftener the expert's where a strategy had the expert asked (`audits`)."""

    def label(self, answers: AnswerSet, workshop: Workshop) -> Labels:
        """Of what was said of each position the move is learned that is likeliest the honest voice's."""
        spread, likely = self._told(answers, workshop)
        advised, (move, learned) = likely[spread.advised], spread.likeliest(likely)
        return self.labels(advised, learned, move)

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        spread, likely = self._told(answers, workshop)
        return likely[spread.advised]

    def _told(self, answers: AnswerSet, workshop: Workshop) -> tuple[Spread, Floats]:
        """All moves said, and how likely each is the honest voice's `[U]`."""
        spread, likely = self.heard(answers, workshop)
        return spread, np.asarray(likely[:, self._honest(answers, likely[spread.advised], workshop)])

    @abstractmethod
    def heard(self, answers: AnswerSet, workshop: Workshop) -> tuple[Spread, Floats]:
        """All moves said, and how likely each is each voice's `[U, V]`."""

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
