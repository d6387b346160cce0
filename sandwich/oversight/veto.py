"""Veto: believes what the student's own value does not speak against."""

from collections.abc import Sequence

from pydantic import Field

from engines import planes
from sandwich.oversight.base import Decision, Oversight, Question
from sandwich.oversight.consult import Consultation, Floats, own_values


class Veto(Oversight):
    """Believes a move unless by its own value it loses more than `delta` against the move it would make itself.

    Two evaluations a decision, of the positions behind both moves; a value that is told is believed.
    """

    delta: float = Field(0.0, ge=0, le=1)
    """Expected score that the move advised may seem to lose, 0..1."""

    def decide(self, question: Question) -> Decision | Consultation[Decision]:
        return Decision(question.own.move, believed=True) if question.advised is None else self._judge(question)

    def _judge(self, question: Question) -> Consultation[Decision]:
        advised, best = question.advised, question.own.best(question.query)
        assert advised is not None
        if advised == best:
            return Decision(advised, believed=True, trust=0.0)
        mine, theirs = yield from self._values(question.query.packed, [best, advised])
        believed = bool(theirs >= mine - self.delta)
        return Decision(advised if believed else question.own.move, believed, trust=float(theirs - mine))

    def _values(self, packed: planes.Packed, moves: Sequence[int]) -> Consultation[Floats]:
        """What moves of one position `[10]` are worth to it, `[K]`."""
        return own_values(packed, moves)
