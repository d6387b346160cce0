"""None: the student learns from what it decided in play."""

import numpy as np

from sandwich.label_models.base import AnswerSet, LabelModel, Labels, Workshop


class NoModel(LabelModel):
    """The student learns from what it decided in play, each answer judged alone and once."""

    @property
    def judges(self) -> bool:
        return False

    def label(self, answers: AnswerSet, workshop: Workshop) -> Labels:
        return Labels(answers.believed.astype(np.float64), answers.believed, np.ones(len(answers)))
