"""The form of a misalignment.

A misalignment is a frozen record whose fields are its settings, with one method, `corrupt`. It is
registered by an entry point of the group `sandwich.misalignment`, whose name is its `type` in a spec:

    [project.entry-points."sandwich.misalignment"]
    late_blunder = "my_package.late_blunder:LateBlunder"
"""

from abc import ABC, abstractmethod

import numpy as np

from agents.base import Advice, Query
from agents.plugins import Registry
from engines.settings import Frozen


class Misalignment(Frozen, ABC):
    """How an assistant's answers differ from its honest ones."""

    @abstractmethod
    def corrupt(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        """Answer given in place of `honest`.

        Return `honest` itself to be honest this time; any other object counts as misaligned, even if
        it happens to say the same. The answer has the form of the honest one (the fields that are
        None stay None), or it would give itself away. `rng` belongs to the game of the query: all
        randomness comes from it.
        """


REGISTRY: Registry[Misalignment] = Registry("misalignment", "sandwich.misalignment")
