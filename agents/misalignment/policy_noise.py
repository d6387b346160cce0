"""Noise on the distribution over moves, then the best of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agents.advice import Advice, Channel, Query
from agents.batches import Answers, Bools, Questions
from agents.misalignment.base import Misalignment
from agents.tools import Tools
from engines.ragged import Policies, Ragged

FLOOR = 1e-4
"""Probability that a move has at least before Gaussian noise is added to its logarithm."""

Floats = npt.NDArray[np.float64]
NOTHING: Floats = np.empty(0)


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

    def corrupt_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> tuple[Answers, Bools]:
        truth = honest.policy
        if (self.sigma == 0 and self.mix == 0) or questions.channel is Channel.VALUE or truth is None:
            return honest, np.zeros(len(questions), np.bool_)
        policy, sizes, starts = truth.flat.astype(np.float64), truth.sizes, truth.starts[:-1]
        # Of each game the noise of its logits comes before that of its distribution, as in `_noisy`.
        drawn = [self._drawn(size, rng) for size, rng in zip(sizes.tolist(), rngs, strict=True)]
        if self.sigma:
            noise = np.concatenate([normal for normal, _ in drawn])
            logits = np.log(np.maximum(policy, FLOOR)) + self.sigma * noise
            policy = np.exp(logits - np.repeat(np.maximum.reduceat(logits, starts), sizes))
            policy /= np.repeat(np.add.reduceat(policy, starts), sizes)
        if self.mix:
            policy = (1 - self.mix) * policy + self.mix * np.concatenate([dirichlet for _, dirichlet in drawn])
        move = questions.legal.at(Ragged(policy, truth.starts).best())
        if questions.channel is Channel.MOVE:
            return Answers(move), move != honest.move
        said = (policy / np.repeat(np.add.reduceat(policy, starts), sizes)).astype(np.float32)
        return Answers(move, Policies(said, truth.starts)), np.ones(len(questions), np.bool_)

    def _drawn(self, size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """The noise on the logits of `size` moves, and the distribution to mix in; empty where there is none."""
        normal = rng.standard_normal(size) if self.sigma else NOTHING
        return normal, rng.dirichlet(np.full(size, self.alpha)) if self.mix else NOTHING

    def _noisy(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        if query.channel is Channel.VALUE or honest.policy is None:
            return honest
        policy = honest.policy.astype(np.float64)
        normal, dirichlet = self._drawn(len(policy), rng)
        if self.sigma:
            logits = np.log(np.maximum(policy, FLOOR)) + self.sigma * normal
            policy = np.exp(logits - logits.max())
            policy /= policy.sum()
        if self.mix:
            policy = (1 - self.mix) * policy + self.mix * dirichlet
        move = query.legal[int(policy.argmax())]
        if move == honest.move and query.channel is Channel.MOVE:
            return honest
        return replace(honest, move=move, policy=(policy / policy.sum()).astype(np.float32))
