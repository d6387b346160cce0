"""Rejudge: a strategy's own evidence, with the student of now."""

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from engines.settings import SpecError
from sandwich.label_models.base import AnswerSet, Floats, Probabilistic, Workshop
from sandwich.oversight.base import BUDGETS, REGISTRY, Oversight, budget_of
from sandwich.oversight.plausible import Plausible


def _asking_once(strategy: Oversight) -> Oversight:
    if any(budget_of(strategy, name) > least for name, least in BUDGETS.items()):
        raise SpecError(
            f"type: expected a strategy that asks once, got {REGISTRY.name(strategy)!r}: nobody answers here"
        )
    return strategy


Strategy = Annotated[
    Oversight,
    BeforeValidator(REGISTRY.validate), AfterValidator(_asking_once), PlainSerializer(REGISTRY.describe),
]  # fmt: skip
"""A setting that is an oversight strategy which asks no second question."""


class Rejudge(Probabilistic):
    """Every answer is judged again at every step, as a strategy judges it with the student of now.

    A strategy that asks a second question can't be had, since nobody answers here. The probability is 1 or 0.
    """

    strategy: Strategy = Plausible()
    """The oversight strategy: `type` and the settings of that."""

    def work(self, first: bool) -> tuple[float, float]:
        return 0.0, 1.0

    def judge(self, answers: AnswerSet, workshop: Workshop) -> Floats:
        believed, _ = workshop.decisions(self.strategy, answers)
        return believed.astype(np.float64)
