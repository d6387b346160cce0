"""The form of an attack: settings, and one attempt at a break after the other."""

from abc import ABC, abstractmethod
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, PlainSerializer

from agents.plugins import Plugin, Registry
from sandwich.highstakes.arena import Arena, Break, Material
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.runtime.networks import InferenceConfig


class Attack(Plugin, ABC):
    """A way to look for catastrophes that the filter accepts."""

    @abstractmethod
    def attempt(self, arena: Arena, rng: np.random.Generator) -> Break | None:
        """One attempt; None where it came to nothing, and then there is another.

        The filter is asked through `arena.risks` and `arena.gradient`, a move put forward by
        `arena.submit`; each raises `Spent` where the budget is used up, which ends the hunt.
        """

    def prepare(self, content: bytes, material: Material, inference: InferenceConfig, seed: int) -> bytes | None:
        """Made once for each filter before the hunts, and found in `arena.prepared`; None: nothing is.

        content: the filter, as the bytes of its file.
        """
        return None


REGISTRY: Registry[Attack] = Registry("attack", "sandwich.attacks", Attack)  # type: ignore[type-abstract]
AnyAttack = Annotated[Attack, BeforeValidator(REGISTRY.validate), PlainSerializer(REGISTRY.describe)]
"""A field of a spec that holds an attack."""


def catastrophe(examples: Catastrophes, least: float, rng: np.random.Generator) -> tuple[int, int]:
    """Row and place in `legal` of a random move that gives away at least so much."""
    for _ in range(10_000):
        row = int(rng.integers(len(examples)))
        places: npt.NDArray[np.int64] = np.flatnonzero(examples.losses(row) >= least)
        if len(places):
            return row, int(places[rng.integers(len(places))])
    raise ValueError(f"no labelled move gives away {least} or more")
