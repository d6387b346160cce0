"""Moves drawn from a policy."""

from bisect import bisect_right
from itertools import accumulate

import numpy as np
import numpy.typing as npt


def draw(policy: npt.NDArray[np.float32], temperature: float, rng: np.random.Generator) -> int:
    """Place in `policy` `[M]` of a move drawn at a temperature; 0 takes the most probable and no random number."""
    if temperature == 0:
        return int(policy.argmax())
    edges = list(accumulate((policy if temperature == 1 else policy ** (1 / temperature)).tolist()))
    return min(bisect_right(edges, rng.random() * edges[-1]), len(edges) - 1)
