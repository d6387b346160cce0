"""Vote: asks the same question several times and believes the majority."""

import numpy as np
from pydantic import Field

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, ask


class Vote(Oversight):
    """Believes the move, or the median value, that most of `answers` to the same question name.

    Noise averages out; who lies more often than not, and always alike, wins the vote. Of moves with as many votes the
    one named first is taken.
    """

    answers: int = Field(3, ge=2)
    """How often it asks."""
    quorum: float = Field(0.5, gt=0, le=1)
    """Share of the answers that the move must have to be believed."""

    @property
    def questions(self) -> int:
        return self.answers

    def decide(self, context: DecisionContext) -> Consultation[Decision]:
        again = self.answers - 1
        packed = np.repeat(context.query.packed[None], again, axis=0)
        more = yield from ask(packed, [context.query.legal] * again, context.query.channel)
        answers = [context.advice, *more]
        if context.advised is None:
            ranked = sorted(answers, key=lambda advice: advice.value or 0.0)
            return Decision(context.own.move, believed=True, answer=ranked[len(ranked) // 2])
        named = [advice.move for advice in answers]
        winner = max(named, key=named.count)  # the first of those with as many
        share = named.count(winner) / len(named)
        assert winner is not None
        believed = share >= self.quorum
        return Decision(
            winner if believed else context.own.move, believed, confidence=share, answer=answers[named.index(winner)]
        )
