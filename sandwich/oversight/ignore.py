"""Ignore: no answer is believed; the control that learns from its own moves."""

from sandwich.oversight.base import Decision, Oversight, Question


class Ignore(Oversight):
    """Plays its own move whatever it is told, and learns from as many of these as it would from answers."""

    def decide(self, question: Question) -> Decision:
        return Decision(question.own.move, believed=False)
