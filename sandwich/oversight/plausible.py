"""Plausible: believes what the student might have thought of itself."""

import math

import numpy as np
from pydantic import Field

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.batches import Contexts, Decisions


class Plausible(Oversight):
    """Believes a move to which its own policy gives at least the probability `least`.

    Costs no evaluation at all; what it can learn is only what it half knew. A value is believed.
    """

    least: float = Field(0.03, ge=0, le=1)
    """Probability by its own policy that the move advised must have."""

    def decide(self, context: DecisionContext) -> Decision:
        if context.advised is None:
            return Decision(context.own.move, believed=True)
        chance = context.own.chance(context.query, context.advised)
        believed = chance >= self.least
        move = context.advised if believed else context.own.move
        return Decision(move, believed, confidence=math.log(max(chance, 1e-9)))

    def decide_all(self, contexts: Contexts) -> Decisions:
        own, advised = contexts.own, contexts.advice.move
        if advised is None:
            return Decisions(own.move, np.ones(len(own.move), np.bool_))
        chance = own.policy.at(contexts.questions.legal.find(advised)).astype(np.float64)
        believed = chance >= self.least
        return Decisions(np.where(believed, advised, own.move), believed, np.log(np.maximum(chance, 1e-9)))
