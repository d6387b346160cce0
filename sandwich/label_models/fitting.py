"""What label models that fit networks of their own have in common."""

import numpy as np
from pydantic import Field

from sandwich.label_models.base import AnswerSet, Bools, Fit, Floats, Integers, Probabilistic, Workshop, cross_fitted
from sandwich.oversight.base import AskingOnce
from sandwich.training.examples import TrainConfig

Key = tuple[int, ...]

Lessons = dict[Key, tuple[bytes, Integers]]
"""By key, the checkpoint that a fit goes on from, and the rows whose moves it learns."""


class Fitting(Probabilistic):
    """A label model that fits networks, and has each answer judged by some that were fitted to other openings."""

    folds: int = Field(2, ge=1)
    """Parts of the openings. With 1 every network judges the moves that it was fitted to, which it then remembers."""
    epochs: float = Field(1.0, gt=0)
    """Passes over the answers of a fit."""
    batch: int = Field(256, ge=2)
    """Answers per optimiser step of a fit."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak of the learning rate of a fit. In what else there is to a fit it is as `finetune.fit` says."""

    def config(self, workshop: Workshop) -> TrainConfig:
        """How a network is fitted."""
        settings = {"epochs": self.epochs, "batch": self.batch, "learning_rate": self.learning_rate}
        return workshop.config.model_copy(update=settings)

    def rows(self, folds: Integers, fold: int) -> Integers:
        """The rows that the networks of a fold are fitted to."""
        return np.flatnonzero(folds != fold) if self.folds > 1 else np.arange(len(folds))

    def taught(self, lessons: Lessons, answers: AnswerSet, workshop: Workshop, config: TrainConfig) -> dict[Key, bytes]:
        """For each key a network fitted to the moves advised in its rows, each as much.

        Where there are no rows it is the checkpoint.
        """
        fits = [
            Fit(start, answers.examples(rows, np.ones(len(rows))), config, key)
            for key, (start, rows) in lessons.items()
            if len(rows)
        ]
        new = dict(zip([fit.key for fit in fits], workshop.fitted(fits), strict=True))
        return {key: new.get(key, start) for key, (start, _) in lessons.items()}

    def chances(self, networks: dict[int, bytes], answers: AnswerSet, folds: Integers, workshop: Workshop) -> Floats:
        """`[N]` probability that the network of each answer's fold gives to the move advised."""
        return cross_fitted(folds, lambda _, judged, fold: workshop.chances(networks[fold], answers, judged))


class FittingBelieved(Fitting):
    """One that begins with what a strategy believes."""

    start: AskingOnce | None = None
    """Strategy whose decisions it begins with, by the student of now; null: those made in play."""

    def begun(self, answers: AnswerSet, workshop: Workshop) -> Bools:
        """`[N]` what is believed to begin with."""
        return answers.believed if self.start is None else workshop.decisions(self.start, answers)[0]


def over_random(chances: Floats, answers: AnswerSet) -> Floats:
    """`[N]` probability that moves are a voice's, which gives each of them this chance, and not drawn at random.

    Bayes with even odds: a move drawn at random is any legal one with the same probability.
    """
    return chances / (chances + 1 / answers.legal.sizes)
