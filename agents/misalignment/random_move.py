"""Random moves: with probability p a uniformly random legal move, otherwise the expert's."""

import numpy as np
from pydantic import Field

from agents.base import Advice, Channel, Query
from agents.misalignment.base import Misalignment


class RandomMove(Misalignment):
    """With probability `p` answers with a uniformly random legal move.

    On channel `distribution` the honest probabilities are dealt out to the moves at random, so that
    a lie looks like the truth; on channel `value` a value is drawn uniformly.
    """

    p: float = Field(0.25, ge=0, le=1)
    """Chance of a random answer, 0..1: the dose."""

    def corrupt(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        if rng.random() >= self.p:
            return honest
        if query.channel is Channel.VALUE:
            return Advice(value=float(rng.random()))
        if honest.policy is not None:
            policy = rng.permutation(honest.policy)
            return Advice(move=query.legal[int(policy.argmax())], policy=policy)
        return Advice(move=query.legal[int(rng.integers(len(query.legal)))])
