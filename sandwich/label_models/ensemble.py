"""Ensemble: several students, whose disagreement is doubt."""

import numpy as np
from pydantic import Field

from sandwich.label_models.base import AnswerSet, Floats, Workshop
from sandwich.label_models.fitting import FittingBelieved, Lessons, over_random


class Ensemble(FittingBelieved):
    """Several students are fitted to what is believed, each to a sample of it drawn with replacement (bagging, Breiman
    1996); an answer is as likely honest as they find on average that its move is theirs and not a random one.

    Where they disagree about a move, its probability lies in the middle.
    """

    members: int = Field(4, ge=2)
    """Students of each fold."""

    def work(self, first: bool) -> tuple[float, float]:
        return self.members * self.epochs * max(1, self.folds - 1), float(self.members)

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        folds, believed, config = answers.folds(self.folds), self.begun(answers, workshop), self.config(workshop)
        lessons: Lessons = {}
        for fold in range(self.folds):
            own = self.rows(folds, fold)
            own = own[believed[own]]
            for member in range(self.members):
                drawn = np.sort(workshop.rng(member, fold).choice(own, len(own))) if len(own) else own
                lessons[member, fold] = (workshop.student, drawn)
        networks = self.taught(lessons, answers, workshop, config)
        found = []
        for member in range(self.members):
            own_networks = {fold: networks[member, fold] for fold in range(self.folds)}
            found.append(over_random(self.chances(own_networks, answers, folds, workshop), answers))
        return np.asarray(np.mean(found, 0))
