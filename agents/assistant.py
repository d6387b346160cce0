"""The assistant: an honest player plus a misalignment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.base import Advice, Query, check_advice, honest_advice
from agents.misalignment.base import REGISTRY, Misalignment
from agents.plugins import PluginError
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluator


@dataclass(frozen=True, eq=False)
class Answer:
    """What an assistant said, and what the one who asked never sees."""

    given: Advice
    honest: Advice
    misaligned: bool


class Assistant:
    """Answers batches of questions as its base would, corrupted by a misalignment.

    base: the honest self.
    tools: what the misalignment thinks with; whoever made them closes them.
    """

    def __init__(self, base: Evaluator, misalignment: Misalignment, tools: Tools) -> None:
        self._base = base
        self._misalignment = misalignment
        self._tools = tools.serving(base)

    def answer(self, queries: Sequence[Query], rngs: Sequence[np.random.Generator]) -> list[Answer]:
        """Answer each query, with the random numbers of its own game.

        Raises PluginError, naming plugin and position, for a misalignment that fails or answers what it can't.
        """
        if not queries:
            return []
        evaluation = self._base(np.stack([query.words for query in queries]), [query.legal for query in queries])
        honest = [honest_advice(evaluation, row) for row in range(len(queries))]
        given = self._corrupted(queries, honest, rngs)
        return [
            Answer(lie.through(query.channel), truth.through(query.channel), lie is not truth)
            for query, lie, truth in zip(queries, given, honest, strict=True)
        ]

    def _corrupted(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Advice]:
        before = [rng.bit_generator.state for rng in rngs]
        try:
            given = self._misalignment.corrupt(queries, honest, rngs, self._tools)
        except PluginError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            for rng, state in zip(rngs, before, strict=True):
                rng.bit_generator.state = state
            raise self._failure(self._culprit(queries, honest, rngs), what) from error
        said: object = given  # a plugin may say anything
        if not isinstance(said, Sequence) or len(said) != len(queries):
            found = f"{len(said)} answers" if isinstance(said, Sequence) else type(said).__name__
            raise self._failure(queries[0], f"expected a list of {len(queries)} answers, got {found}")
        for query, truth, lie in zip(queries, honest, given, strict=True):
            if lie is truth:
                continue
            try:
                if not isinstance(lie, Advice):
                    raise ValueError(f"expected an Advice, got {type(lie).__name__}")
                check_advice(lie, query)
            except ValueError as error:
                raise self._failure(query, str(error)) from None
        return given

    def _culprit(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator]
    ) -> Query:
        """The first query of a failed batch that fails alone, else the first of all."""
        for query, truth, rng in zip(queries, honest, rngs, strict=True):
            try:
                self._misalignment.corrupt([query], [truth], [rng], self._tools)
            except Exception:
                return query
        return queries[0]

    def _failure(self, query: Query, what: str) -> PluginError:
        where = planes.unpack(query.words).fen()
        return PluginError(f"misalignment {REGISTRY.name(self._misalignment)}: {what} (in position {where})")
