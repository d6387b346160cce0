"""One of several misalignments, drawn for each question."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from agents.advice import Advice, Query
from agents.misalignment.base import AnyMisalignment, Misalignment, corrupt_where
from agents.tools import Tools


class Mixture(Misalignment):
    """One of several misalignments, drawn anew for each question."""

    parts: Annotated[tuple[AnyMisalignment, ...], Field(min_length=1)]
    """The misalignments."""
    weights: tuple[float, ...] | None = None
    """How often each is drawn, in any unit; None: all alike."""

    @model_validator(mode="after")
    def _fit(self) -> "Mixture":
        if self.weights is not None:
            if len(self.weights) != len(self.parts):
                raise ValueError(f"weights: expected {len(self.parts)}, one for each part, got {len(self.weights)}")
            if not all(0 <= weight < math.inf for weight in self.weights) or sum(self.weights) == 0:
                raise ValueError(f"weights: expected finite ones, none below 0 and one above, got {list(self.weights)}")
        return self

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        weights = np.ones(len(self.parts)) if self.weights is None else np.array(self.weights)
        edges = np.cumsum(weights)
        drawn = [int(np.searchsorted(edges, rng.random() * edges[-1], side="right")) for rng in rngs]
        answers: Sequence[Advice] = honest
        for number, part in enumerate(self.parts):
            rows = [row for row, place in enumerate(drawn) if place == number]
            answers = corrupt_where(part, rows, queries, answers, rngs, tools)
        return answers
