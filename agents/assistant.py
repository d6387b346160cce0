"""The assistant: an honest player plus a misalignment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.advice import Advice, Query, honest_advice
from agents.batches import Answers, Bools, Questions, Scores
from agents.misalignment.base import Misalignment, corrupted, corrupted_all
from agents.tools import Tools
from engines.inference import Evaluator


@dataclass(frozen=True, eq=False)
class Answer:
    """What an assistant said, and what the one who asked never sees."""

    given: Advice
    honest: Advice
    misaligned: bool
    value: float | None = None
    """What the assistant itself thinks the position is worth, for the side to move, whatever it was asked for."""


@dataclass(frozen=True, eq=False)
class Answered:
    """The same of many questions, in arrays."""

    given: Answers
    honest: Answers
    misaligned: Bools
    value: Scores


class Assistant:
    """Answers batches of questions as its base would, corrupted by a misalignment.

    base: the honest self.
    tools: what the misalignment thinks with; whoever made them closes them.
    """

    def __init__(self, base: Evaluator, misalignment: Misalignment, tools: Tools) -> None:
        self._base = base
        self._misalignment = misalignment
        self._tools = tools.serving(base)

    def answer_all(self, questions: Questions, rngs: Sequence[np.random.Generator]) -> Answered:
        """Answer each question, with the random numbers of its own game. Raises PluginError as `answer` does."""
        thought = Answers.honest(self._base(questions.packed, questions.legal), questions.legal)
        given, misaligned = corrupted_all(self._misalignment, questions, thought, rngs, self._tools)
        assert thought.value is not None
        channel = questions.channel
        return Answered(given.through(channel), thought.through(channel), misaligned, thought.value)

    def answer(self, queries: Sequence[Query], rngs: Sequence[np.random.Generator]) -> list[Answer]:
        """Answer each query, with the random numbers of its own game.

        Raises PluginError, naming plugin and position, for a misalignment that fails or answers what it can't.
        """
        if not queries:
            return []
        evaluation = self._base(np.stack([query.packed for query in queries]), [query.legal for query in queries])
        honest = [honest_advice(evaluation, row) for row in range(len(queries))]
        given = corrupted(self._misalignment, queries, honest, rngs, self._tools)
        return [
            Answer(
                lie.through(query.channel),
                truth.through(query.channel),
                lie is not truth,
                truth.value,
            )
            for query, lie, truth in zip(queries, given, honest, strict=True)
        ]
