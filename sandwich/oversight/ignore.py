"""Ignore: no answer is believed; the control that learns from its own moves."""

import numpy as np

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.batches import Contexts, Decisions


class Ignore(Oversight):
    """Plays its own move whatever the answer, and learns from as many of these as it would from answers."""

    def decide(self, context: DecisionContext) -> Decision:
        return Decision(context.own.move, believed=False)

    def decide_all(self, contexts: Contexts) -> Decisions:
        return Decisions(contexts.own.move, np.zeros(len(contexts.questions), np.bool_))
