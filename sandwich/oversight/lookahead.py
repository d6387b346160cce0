"""Lookahead: believes what a short search with the student's own network does not refute."""

from pydantic import Field

from sandwich.oversight.base import Decision, Oversight, Question
from sandwich.oversight.consult import Consultation, searched_values


class Lookahead(Oversight):
    """Believes a move unless a search of two plies behind it finds that it loses more than `delta`.

    The search answers the move advised, and the move it would make itself, with the opponent's likeliest replies, and
    values what is on the board then: at most 2 · (1 + `replies`) evaluations a decision. A value is believed.
    """

    delta: float = Field(0.0, ge=0, le=1)
    """Expected score that the move advised may seem to lose, 0..1."""
    replies: int = Field(8, ge=1)
    """Replies looked at behind each of the two moves."""

    def decide(self, question: Question) -> Decision | Consultation[Decision]:
        return Decision(question.own.move, believed=True) if question.advised is None else self._judge(question)

    def _judge(self, question: Question) -> Consultation[Decision]:
        advised, best = question.advised, question.own.best(question.query)
        assert advised is not None
        if advised == best:
            return Decision(advised, believed=True, trust=0.0)
        mine, theirs = yield from searched_values(question.query.words, [best, advised], self.replies)
        believed = bool(theirs >= mine - self.delta)
        return Decision(advised if believed else question.own.move, believed, trust=float(theirs - mine))
