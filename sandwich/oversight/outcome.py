"""Outcome: believes every answer while the game goes on, and learns most from those that turned out well."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from sandwich.oversight.base import Decision, DecisionContext, Oversight


class Outcome(Oversight):
    """Weighs an answer by what came of it: the game's result, and the value gained until its own next turn.

    With v the student's own value at the question, v' that at its next turn (the result, if there is none) and r the
    result, the gain is `result` · (r − v) + (1 − `result`) · (v' − v), and the weight
    2 / (1 + exp(−`steepness` · gain)): 1 where nothing was gained or lost, never over 2.
    """

    result: float = Field(0.5, ge=0, le=1)
    """Share of the result in the gain; the rest is the value at the next turn."""
    steepness: float = Field(8.0, ge=0)
    """How fast the weight falls with what was lost."""

    def decide(self, context: DecisionContext) -> Decision:
        return Decision(context.own.move if context.advised is None else context.advised, believed=True)

    def weigh(self, game: Mapping[str, Sequence[Any]]) -> Sequence[float | None]:
        weights: list[float | None] = list(game["weight"])
        for ply, asked in enumerate(game["asked"]):
            if asked:
                weights[ply] = float(2 / (1 + np.exp(-self.steepness * self._gain(game, ply))))
        return weights

    def _gain(self, game: Mapping[str, Sequence[Any]], ply: int) -> float:
        value, score = game["own_value"][ply], game["result"][ply]
        following = game["own_value"][ply + 2] if ply + 2 < len(game["own_value"]) else score
        return float(self.result * (score - value) + (1 - self.result) * (following - value))
