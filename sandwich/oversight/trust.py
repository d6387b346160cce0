"""Trust: every answer is believed."""

from sandwich.oversight.base import Decision, DecisionContext, Oversight


class Trust(Oversight):
    """Plays every move advised and believes every value."""

    def decide(self, context: DecisionContext) -> Decision:
        return Decision(context.own.move if context.advised is None else context.advised, believed=True)
