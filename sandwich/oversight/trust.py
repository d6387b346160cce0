"""Trust: every answer is believed."""

import numpy as np

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.batches import Contexts, Decisions


class Trust(Oversight):
    """Plays every move advised and believes every value."""

    def decide(self, context: DecisionContext) -> Decision:
        return Decision(context.own.move if context.advised is None else context.advised, believed=True)

    def decide_all(self, contexts: Contexts) -> Decisions:
        advised = contexts.advice.move
        return Decisions(contexts.own.move if advised is None else advised, np.ones(len(contexts.questions), np.bool_))
