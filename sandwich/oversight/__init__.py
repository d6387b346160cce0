"""What the student believes: one file per strategy, found by the entry-point group `sandwich.oversight`.

What a strategy of one's own needs is here; docs on writing one explain it.
"""

from sandwich.oversight.base import Decision, DecisionContext, Oversight, OwnView
from sandwich.oversight.consult import (
    Consultation,
    answered,
    ask,
    ask_expert,
    evaluate,
    own_values,
    risks,
    searched_values,
)

__all__ = [
    "Consultation",
    "Decision",
    "DecisionContext",
    "Oversight",
    "OwnView",
    "answered",
    "ask",
    "ask_expert",
    "evaluate",
    "own_values",
    "risks",
    "searched_values",
]
