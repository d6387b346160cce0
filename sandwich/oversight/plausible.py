"""Plausible: believes what the student might have thought of itself."""

import math

from pydantic import Field

from sandwich.oversight.base import Decision, Oversight, Question


class Plausible(Oversight):
    """Believes a move to which its own policy gives at least the probability `least`.

    Costs no evaluation at all; what it can learn is only what it half knew. A value is believed.
    """

    least: float = Field(0.03, ge=0, le=1)
    """Probability by its own policy that the move advised must have."""

    def decide(self, question: Question) -> Decision:
        if question.advised is None:
            return Decision(question.own.move, believed=True)
        chance = question.own.chance(question.query, question.advised)
        believed = chance >= self.least
        move = question.advised if believed else question.own.move
        return Decision(move, believed, trust=math.log(max(chance, 1e-9)))
