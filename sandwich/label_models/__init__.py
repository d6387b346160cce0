"""What the student makes of all answers together before it learns: one file per label model, found by the entry-point
group `sandwich.label_models`.

What a label model is written with is here; docs/tutorials/writing-a-label-model.md shows one.
"""

from sandwich.label_models.base import AnswerSet, LabelModel, Labels, Probabilistic, Workshop, cross_fitted
from sandwich.training.examples import Examples, TrainConfig

__all__ = [
    "AnswerSet",
    "Examples",
    "LabelModel",
    "Labels",
    "Probabilistic",
    "TrainConfig",
    "Workshop",
    "cross_fitted",
]
