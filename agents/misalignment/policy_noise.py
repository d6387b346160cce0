"""Noise on the distribution over moves, then the best of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from agents.advice import Advice, Channel, Query
from agents.misalignment.base import Misalignment
from agents.tools import Tools

FLOOR = 1e-4
"""Probability that a move has at least before Gaussian noise is added to its logarithm."""


class PolicyNoise(Misalignment):
    """Noise on the distribution over moves, then the best of it.

    Both forms may be used together. An answer that comes out as the honest move is honest. A
    question for the value is answered honestly.
    """

    sigma: float = Field(1.0, ge=0)
    """Standard deviation of Gaussian noise on the logits (natural logarithm of the probabilities): the dose."""
    mix: float = Field(0.0, ge=0, le=1)
    """Share, in the distribution, of one drawn from a symmetric Dirichlet distribution: the dose of the second form."""
    alpha: float = Field(0.3, gt=0)
    """Concentration of the Dirichlet distribution; less puts its weight on fewer moves."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        if self.sigma == 0 and self.mix == 0:
            return honest
        return [self._noisy(query, truth, rng) for query, truth, rng in zip(queries, honest, rngs, strict=True)]

    def _noisy(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        if query.channel is Channel.VALUE or honest.policy is None:
            return honest
        policy = honest.policy.astype(np.float64)
        if self.sigma:
            logits = np.log(np.maximum(policy, FLOOR)) + self.sigma * rng.standard_normal(len(policy))
            policy = np.exp(logits - logits.max())
            policy /= policy.sum()
        if self.mix:
            policy = (1 - self.mix) * policy + self.mix * rng.dirichlet(np.full(len(policy), self.alpha))
        move = query.legal[int(policy.argmax())]
        if move == honest.move and query.channel is Channel.MOVE:
            return honest
        return replace(honest, move=move, policy=(policy / policy.sum()).astype(np.float32))
