"""Two advisors: each criticises the other's move by its principal reply, and the student judges."""

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, answered, ask


class TwoAdvisors(Oversight):
    """A debate of two moves: needs the spec's `second` assistant; four questions for one decision.

    Where both assistants name the same move, it is believed. Else each is asked how it would answer the other's move,
    and the student believes the one behind whose move, so answered, its own network sees more. Which assistants these
    are, and who is first, is drawn (the spec's `seats`). A value is believed if the two are at most 0.1 apart.
    """

    @property
    def questions(self) -> int:
        return 4

    @property
    def advisors(self) -> int:
        return 2

    def decide(self, context: DecisionContext) -> Consultation[Decision]:
        query = context.query
        (other,) = yield from ask(query.packed[None], [query.legal], query.channel, advisor=1)
        if context.advised is None or other.move is None:
            assert context.advice.value is not None and other.value is not None
            apart = abs(context.advice.value - other.value)
            return Decision(context.own.move, believed=apart <= 0.1, confidence=-apart)
        if other.move == context.advised:
            return Decision(other.move, believed=True, confidence=1.0)
        worth = []
        for move, critic in ((context.advised, 1), (other.move, 0)):
            value, _ = yield from answered(query.packed, move, critic)
            worth.append(value)
        second = worth[1] > worth[0]
        return Decision(
            other.move if second else context.advised,
            believed=True,
            confidence=abs(worth[1] - worth[0]),
            answer=other if second else context.advice,
        )
