"""Random moves: with probability p a uniformly random legal move, otherwise the expert's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agents.advice import Advice, Channel, Query
from agents.batches import Answers, Questions
from agents.misalignment.base import Occasional
from agents.tools import Tools
from engines.ragged import Policies


class RandomMove(Occasional):
    """With probability `p` answers with a uniformly random legal move.

    On channel `distribution` the honest probabilities are dealt out to the moves at random, so that
    a lie looks like the truth; on channel `value` a value is drawn uniformly from 0..1.
    """

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [self._lie(query, truth, rng) for query, truth, rng in zip(queries, honest, rngs, strict=True)]

    def lies_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Answers:
        if questions.channel is Channel.VALUE:
            return Answers(value=np.array([rng.random() for rng in rngs]))
        if questions.channel is Channel.DISTRIBUTION and honest.policy is not None:
            policy = Policies.of([rng.permutation(row) for row, rng in zip(honest.policy, rngs, strict=True)])
            return Answers(questions.legal.at(policy.best()), policy)
        places = [rng.integers(count) for count, rng in zip(questions.legal.sizes.tolist(), rngs, strict=True)]
        return Answers(questions.legal.at(np.array(places)))

    @staticmethod
    def _lie(query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        if query.channel is Channel.VALUE:
            return replace(honest, value=float(rng.random()))
        if query.channel is Channel.DISTRIBUTION and honest.policy is not None:
            policy = rng.permutation(honest.policy)
            return replace(honest, move=query.legal[int(policy.argmax())], policy=policy)
        return replace(honest, move=query.legal[int(rng.integers(len(query.legal)))])
