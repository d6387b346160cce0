"""Random moves: with probability p a uniformly random legal move, otherwise the expert's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agents.advice import Advice, Channel, Query
from agents.misalignment.base import Occasional
from agents.tools import Tools


class RandomMove(Occasional):
    """With probability `p` answers with a uniformly random legal move.

    On channel `distribution` the honest probabilities are dealt out to the moves at random, so that
    a lie looks like the truth; on channel `value` a value is drawn uniformly from 0..1.
    """

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [self._lie(query, truth, rng) for query, truth, rng in zip(queries, honest, rngs, strict=True)]

    @staticmethod
    def _lie(query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        if query.channel is Channel.VALUE:
            return replace(honest, value=float(rng.random()))
        if query.channel is Channel.DISTRIBUTION and honest.policy is not None:
            policy = rng.permutation(honest.policy)
            return replace(honest, move=query.legal[int(policy.argmax())], policy=policy)
        return replace(honest, move=query.legal[int(rng.integers(len(query.legal)))])
