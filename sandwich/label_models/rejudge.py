"""Rejudge: a strategy's own evidence, with the student of now."""

import numpy as np

from sandwich.label_models.base import AnswerSet, Floats, Probabilistic, Workshop
from sandwich.oversight.base import AskingOnce
from sandwich.oversight.plausible import Plausible


class Rejudge(Probabilistic):
    """Every answer is judged again at every step, as a strategy judges it with the student of now.

    A strategy that asks a second question can't be had, since nobody answers here. The probability is 1 or 0.
    """

    strategy: AskingOnce = Plausible()
    """The oversight strategy: `type` and the settings of that."""

    def work(self, first: bool) -> tuple[float, float]:
        return 0.0, 1.0

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        believed, _ = workshop.decisions(self.strategy, answers)
        return believed.astype(np.float64)
