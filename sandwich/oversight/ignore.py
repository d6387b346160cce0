"""Ignore: no answer is believed; the control that learns from its own moves."""

from sandwich.oversight.base import Decision, DecisionContext, Oversight


class Ignore(Oversight):
    """Plays its own move whatever the answer, and learns from as many of these as it would from answers."""

    def decide(self, context: DecisionContext) -> Decision:
        return Decision(context.own.move, believed=False)
