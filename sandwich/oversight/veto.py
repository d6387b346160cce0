"""Veto: believes what the student's own value does not speak against."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from engines import planes
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.batches import Contexts, Decisions
from sandwich.oversight.consult import Consultation, Floats, Integers, own_values


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

    def decide_all(self, contexts: Contexts) -> Decisions | Consultation[Decisions]:
        if contexts.advice.move is None:
            return Decisions(contexts.own.move, np.ones(len(contexts.questions), np.bool_))
        return self._judge_all(contexts, contexts.advice.move)

    def _judge_all(self, contexts: Contexts, advised: Integers) -> Consultation[Decisions]:
        best = contexts.own.best(contexts.questions)
        rows = np.flatnonzero(advised != best)
        gain = np.zeros(len(best))
        believed = np.ones(len(best), np.bool_)
        if len(rows):
            both, chosen = np.repeat(rows, 2), np.stack([best[rows], advised[rows]], 1).ravel()
            values = yield from self._values(contexts.questions.packed[both], chosen, both)
            own, other = values[::2], values[1::2]
            believed[rows] = other >= own - self.delta
            gain[rows] = other - own
        return Decisions(np.where(believed, advised, contexts.own.move), believed, gain)

    def _values(
        self, packed: planes.Packed, moves: Sequence[int] | Integers, rows: Integers | None = None
    ) -> Consultation[Floats]:
        """What moves of one position `[10]`, or a move of each of `[K, 10]`, are worth to it, `[K]`."""
        return own_values(packed, moves, rows)
