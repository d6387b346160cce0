"""Filter: believes what a blunder filter lets through."""

from pydantic import Field

from agents.checkpoint_files import FILTER, FilterCheckpoint
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, risks


class Filter(Oversight):
    """Believes a move unless a blunder filter thinks it a catastrophe; one evaluation a decision.

    A value is believed.
    """

    filter: FilterCheckpoint = FILTER
    """`filter`, which is shipped, or the path of one (`sandwich highstakes`)."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Probability of a catastrophe from which on a move is refused; None: the one the filter was calibrated to."""

    def decide(self, context: DecisionContext) -> Decision | Consultation[Decision]:
        return Decision(context.own.move, believed=True) if context.advised is None else self._judge(context)

    def _judge(self, context: DecisionContext) -> Consultation[Decision]:
        query, advised = context.query, context.advised
        assert advised is not None
        (chances,), threshold = yield from risks(self.filter, query.packed[None], [query.legal])
        risk = float(chances[query.legal.index(advised)])
        believed = risk < (threshold if self.threshold is None else self.threshold)
        return Decision(advised if believed else context.own.move, believed, confidence=-risk)
