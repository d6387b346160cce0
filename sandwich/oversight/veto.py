"""Veto: believes what the student's own value does not speak against."""

from collections.abc import Sequence

from pydantic import Field

from engines import planes
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, Floats, own_values


class Veto(Oversight):
    """Believes a move unless by its own value it loses more than `delta` against the move it would make itself.

    Two evaluations a decision, of the positions behind both moves; a value is believed.
    """

    delta: float = Field(0.0, ge=0, le=1)
    """Expected score that the move advised may seem to lose, 0..1."""

    def decide(self, context: DecisionContext) -> Decision | Consultation[Decision]:
        return Decision(context.own.move, believed=True) if context.advised is None else self._judge(context)

    def _judge(self, context: DecisionContext) -> Consultation[Decision]:
        advised, best = context.advised, context.own.best(context.query)
        assert advised is not None
        if advised == best:
            return Decision(advised, believed=True, confidence=0.0)
        own, other = yield from self._values(context.query.packed, [best, advised])
        believed = bool(other >= own - self.delta)
        return Decision(advised if believed else context.own.move, believed, confidence=float(other - own))

    def _values(self, packed: planes.Packed, moves: Sequence[int]) -> Consultation[Floats]:
        """What moves of one position `[10]` are worth to it, `[K]`."""
        return own_values(packed, moves)
