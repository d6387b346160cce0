"""Noise on the value function."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from agents.advice import Advice, Channel, Query, honest_advice, preferring
from agents.misalignment.base import Misalignment, answer_where
from agents.tools import Tools
from engines.lookahead import move_values
from engines.search import TreeSearch


class ValueNoise(Misalignment):
    """Noise on the value function, and the move that looks best by it.

    A base that searches is disturbed inside its search, at every leaf. Any other base looks one ply
    ahead with noise on the value behind every move (a network evaluation for each legal move). Without
    noise the honest move comes first: one that looks better counts for as much less as it looks better,
    so that little noise does little. A question for the value is answered with the noise. An answer
    that comes out as the honest one is honest.
    """

    sigma: float = Field(0.1, ge=0)
    """Standard deviation of the Gaussian noise, in expected score: the dose."""
    every: int = Field(1, ge=1)
    """Only every k-th question of a game is answered with noise, the first one included."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        rows = [row for row, query in enumerate(queries) if self.sigma and query.number % self.every == 0]
        rule = self._searched if isinstance(tools.base, TreeSearch) else self._looked
        return answer_where(rule, rows, queries, honest, rngs, tools)

    def _searched(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> list[Advice]:
        assert isinstance(tools.base, TreeSearch)
        packed, legal = np.stack([query.packed for query in queries]), [query.legal for query in queries]
        evaluation = tools.base.search(packed, legal, self.sigma, rngs)
        noisy = [honest_advice(evaluation, row) for row in range(len(queries))]
        return [_unless_same(*rows) for rows in zip(queries, honest, noisy, strict=True)]

    def _looked(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> list[Advice]:
        asked_moves = [row for row, query in enumerate(queries) if query.channel is not Channel.VALUE]
        behind = iter(
            move_values(
                tools.base,
                np.stack([queries[row].packed for row in asked_moves]),
                [queries[row].legal for row in asked_moves],
            )
            if asked_moves
            else []
        )
        answers = []
        for query, truth, rng in zip(queries, honest, rngs, strict=True):
            assert truth.move is not None and truth.value is not None
            value = float(np.clip(truth.value + self.sigma * rng.standard_normal(), 0, 1))
            if query.channel is Channel.VALUE:
                answers.append(replace(truth, value=value))
                continue
            values = next(behind)
            best = query.legal.index(truth.move)
            noise = rng.standard_normal(len(values))
            looks = self.sigma * noise - np.abs(values - values[best])
            move = query.legal[int(looks.argmax())]
            answers.append(_unless_same(query, truth, preferring(query, truth, move, value)))
        return answers


def _unless_same(query: Query, honest: Advice, noisy: Advice) -> Advice:
    """The noisy answer, or the honest one where the channel carries the same."""
    if query.channel is Channel.VALUE or noisy.move != honest.move:
        return noisy
    assert noisy.policy is not None and honest.policy is not None
    same = query.channel is Channel.MOVE or bool((noisy.policy == honest.policy).all())
    return honest if same else noisy
