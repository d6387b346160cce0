"""Symmetric: a student that is not drawn far by answers that it finds unlikely."""

from sandwich.label_models.base import AnswerSet, Floats, Workshop
from sandwich.label_models.fitting import Fitting, Lessons, over_random


class Symmetric(Fitting):
    """A student is fitted to what is believed by the symmetric cross-entropy (Wang et al. 2019); an answer is as likely
    honest as that student finds that its move is its own and not a random one.

    Beside the cross-entropy that loss has the reverse one, in which the answer is judged by the student: an answer that
    the student finds impossible then draws it less than one that it half expects.
    """

    def work(self, first: bool) -> tuple[float, float]:
        return self.epochs * max(1, self.folds - 1), 1.0

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        folds, believed = answers.folds(self.folds), self.begun(answers, workshop)
        config = self.config(workshop).model_copy(update={"objective": "symmetric"})
        lessons: Lessons = {}
        for fold in range(self.folds):
            own = self.rows(folds, fold)
            lessons[fold,] = (workshop.student, own[believed[own]])
        networks = {fold: network for (fold, *_), network in self.taught(lessons, answers, workshop, config).items()}
        return over_random(self.chances(networks, answers, folds, workshop), answers)
