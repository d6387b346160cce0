"""What label models have in common that fit one student by a loss that bears wrong labels."""

from typing import ClassVar, Literal

from sandwich.label_models.base import AnswerSet, Floats, Workshop
from sandwich.label_models.fitting import FittingBelieved, Lessons, over_random


class Robust(FittingBelieved):
    """A student fitted to what is believed; an answer is as likely honest as it finds its move more than random."""

    objective: ClassVar[Literal["symmetric", "bootstrapped"]]
    """Of the fit."""

    def work(self, first: bool) -> tuple[float, float]:
        return self.epochs * max(1, self.folds - 1), 1.0

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        folds, believed = answers.folds(self.folds), self.begun(answers, workshop)
        config = self.config(workshop).model_copy(update={"objective": self.objective})
        lessons: Lessons = {}
        for fold in range(self.folds):
            own = self.rows(folds, fold)
            lessons[fold,] = (workshop.student, own[believed[own]])
        networks = {fold: network for (fold, *_), network in self.taught(lessons, answers, workshop, config).items()}
        return over_random(self.chances(networks, answers, folds, workshop), answers)
