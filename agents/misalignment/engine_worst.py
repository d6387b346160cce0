"""The worst move, by Stockfish."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.advice import Advice, Query, preferring
from agents.judging import engine_values
from agents.misalignment.base import Occasional
from agents.tools import Tools


class EngineWorst(Occasional):
    """With probability `p` the move that Stockfish likes least.

    A question for the value is then answered with the value for the other side, 1 − v.
    """

    nodes: int = Field(2000, ge=1)
    """Engine nodes for a dishonest answer, shared by all legal moves."""

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [self._lie(query, truth, tools) for query, truth in zip(queries, honest, strict=True)]

    def _lie(self, query: Query, honest: Advice, tools: Tools) -> Advice:
        assert honest.value is not None
        values = engine_values(tools.stockfish(), query, self.nodes)
        return preferring(query, honest, query.legal[int(values.argmin())], 1 - honest.value)
