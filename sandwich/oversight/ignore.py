"""Ignore: no answer is believed; the control that learns from its own moves."""

import numpy as np

from agents.base import Advice, Query
from sandwich.oversight.base import Decision, Oversight, OwnView


class Ignore(Oversight):
    """Plays its own move whatever it is told, and learns from as many of these as it would from answers."""

    def decide(self, query: Query, own: OwnView, advice: Advice, rng: np.random.Generator) -> Decision:
        return Decision(own.move, believed=False)
