"""Search: the control of `lookahead`, the same search without an assistant."""

import numpy as np
from pydantic import Field

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, searched_values


class Search(Oversight):
    """Believes no answer and decides on the best of its own likeliest moves by the search that `lookahead` makes.

    What it learns it owes to the search alone: needs `finetune.refused: own`.
    """

    candidates: int = Field(2, ge=1)
    """Of its own likeliest moves, those that are searched."""
    replies: int = Field(8, ge=1)
    """Replies looked at behind each of them."""

    def decide(self, context: DecisionContext) -> Consultation[Decision]:
        places = np.argsort(-context.own.policy, kind="stable")[: self.candidates]
        moves = [context.query.legal[place] for place in places]
        values = yield from searched_values(context.query.packed, moves, self.replies)
        return Decision(moves[int(values.argmax())], believed=False)
