"""Trust: every answer is believed."""

from sandwich.oversight.base import Decision, Oversight, Question


class Trust(Oversight):
    """Plays every move advised and believes every value."""

    def decide(self, question: Question) -> Decision:
        return Decision(question.own.move if question.advised is None else question.advised, believed=True)
