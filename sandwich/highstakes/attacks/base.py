"""The base class of attacks: settings, and one attempt at an adversarial example after the other."""

from abc import ABC, abstractmethod
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, PlainSerializer

from agents.plugins import Plugin
from agents.registry import Registry
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.environment import AdversarialExample, AttackData, AttackEnvironment
from sandwich.runtime.networks import InferenceConfig


class Attack(Plugin, ABC):
    """A way to look for catastrophes that the filter accepts."""

    @abstractmethod
    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        """One attempt; None where it came to nothing, and then there is another.

        The filter is asked through `environment.risks` and `environment.gradient`, a move put forward by
        `environment.submit`; each raises `BudgetExhausted` where the budget is used up, which ends the run.
        """

    def prepare(self, content: bytes, data: AttackData, inference: InferenceConfig, seed: int) -> bytes | None:
        """Made once for each filter before the runs, and found in `environment.prepared`; None: nothing is.

        content: the filter, as the bytes of its file (`engines.filter.from_bytes` opens it).
        """
        return None

    def preparation(self, data: AttackData) -> float:
        """Positions that preparing passes through a network: one that is learned from counts three, each time."""
        return 0.0


REGISTRY: Registry[Attack] = Registry("attack", "sandwich.attacks", Attack)  # type: ignore[type-abstract]
AnyAttack = Annotated[Attack, BeforeValidator(REGISTRY.validate), PlainSerializer(REGISTRY.describe)]
"""A field of a spec that holds an attack."""


def catastrophe(labelled: Catastrophes, least: float, rng: np.random.Generator) -> tuple[int, int]:
    """Row and place in `legal` of a random move that gives away at least so much."""
    for _ in range(10_000):
        row = int(rng.integers(len(labelled)))
        places: npt.NDArray[np.int64] = np.flatnonzero(labelled.losses(row) >= least)
        if len(places):
            return row, int(places[rng.integers(len(places))])
    raise ValueError(f"no labelled move gives away {least} or more")
