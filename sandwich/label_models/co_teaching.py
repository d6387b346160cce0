"""Co-teaching: two students, each taught what the other finds easy."""

import numpy as np
from pydantic import Field

from sandwich.label_models.base import AnswerSet, Floats, Integers, Workshop
from sandwich.label_models.fitting import FittingBelieved, Lessons


class CoTeaching(FittingBelieved):
    """Two students teach each other those answers that each finds easiest (Han et al. 2018, Co-teaching).

    They begin with a random half of what is believed each. In every round a student picks the answers to which it
    gives the highest probability, and the other is fitted to these; the share that is left out grows to `forgotten`.
    An answer is as likely honest as the share of the two that would pick it in the end. Selection is by whole passes,
    where the paper selects in each batch. What is easiest is what most answers have in common: where most are lies,
    that is theirs.
    """

    forgotten: float = Field(0.5, gt=0, lt=1)
    """Share of the answers that is left out in the end: about the share of lies."""
    rounds: int = Field(4, ge=1)
    """Rounds, over which the share that is left out grows evenly."""

    def work(self, first: bool) -> tuple[float, float]:
        passes = 2 * self.epochs * max(1, self.folds - 1)
        return passes * (0.5 + self.rounds * (1 - self.forgotten / 2)), 2.0 * (1 + self.rounds)

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        folds, believed, config = answers.folds(self.folds), self.begun(answers, workshop), self.config(workshop)
        rows = [self.rows(folds, fold) for fold in range(self.folds)]
        lessons: Lessons = {}
        for fold, there in enumerate(rows):
            half = workshop.rng(fold).random(len(there)) < 0.5
            for student in (0, 1):
                lessons[0, fold, student] = (workshop.student, there[(half ^ bool(student)) & believed[there]])
        networks = self.taught(lessons, answers, workshop, config)
        for number in range(1, self.rounds + 1):
            kept, lessons = 1 - self.forgotten * number / self.rounds, {}
            for (_, fold, student), network in networks.items():
                other = networks[number - 1, fold, 1 - student]
                easy = _easiest(workshop.chances(other, answers, rows[fold]), kept)
                lessons[number, fold, student] = (network, rows[fold][easy])
            networks = self.taught(lessons, answers, workshop, config)
        pupils = [{fold: networks[self.rounds, fold, student] for fold in range(self.folds)} for student in (0, 1)]
        found = [_easiest(self.chances(pupil, answers, folds, workshop), 1 - self.forgotten) for pupil in pupils]
        return np.asarray(np.mean([np.bincount(rows, minlength=len(answers)) for rows in found], 0))


def _easiest(chances: Floats, share: float) -> Integers:
    """Places of so large a share of the moves, those with the highest probability."""
    return np.sort(np.argsort(-chances, kind="stable")[: round(share * len(chances))])
