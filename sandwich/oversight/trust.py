"""Trust: every answer is believed."""

import numpy as np

from agents.base import Advice, Query
from sandwich.oversight.base import Decision, Oversight, OwnView


class Trust(Oversight):
    """Plays every move advised and believes every value."""

    def decide(self, query: Query, own: OwnView, advice: Advice, rng: np.random.Generator) -> Decision:
        return Decision(own.move if advice.move is None else advice.move, believed=True)
