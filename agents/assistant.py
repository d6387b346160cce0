"""The assistant: an expert plus a misalignment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.base import Advice, Channel, Query, check_advice
from agents.misalignment.base import Misalignment
from engines.inference import Evaluation, Evaluator


@dataclass(frozen=True, eq=False)
class Answer:
    """What an assistant said, and what the one who asked never sees."""

    given: Advice
    honest: Advice
    misaligned: bool


class Assistant:
    """Answers batches of questions with an expert's evaluator, corrupted by a misalignment."""

    def __init__(self, expert: Evaluator, misalignment: Misalignment) -> None:
        self._expert = expert
        self._misalignment = misalignment

    def answer(self, queries: Sequence[Query], rngs: Sequence[np.random.Generator]) -> list[Answer]:
        """Answer each query, with the random numbers of its own game; ValueError for a plugin's bad advice."""
        if not queries:
            return []
        evaluation = self._expert(np.stack([query.words for query in queries]), [query.legal for query in queries])
        answers = []
        for row, (query, rng) in enumerate(zip(queries, rngs, strict=True)):
            honest = honest_advice(evaluation, row, query.channel)
            given = self._misalignment.corrupt(query, honest, rng)
            if given is not honest:
                check_advice(given, query, type(self._misalignment).__name__)
            answers.append(Answer(given, honest, given is not honest))
        return answers


def honest_advice(evaluation: Evaluation, row: int, channel: Channel) -> Advice:
    """What a network that hides nothing answers."""
    if channel is Channel.VALUE:
        return Advice(value=float(np.clip(evaluation.value[row], 0, 1)))
    policy = evaluation.policy[row] if channel is Channel.DISTRIBUTION else None
    return Advice(move=evaluation.best(row), policy=policy)
