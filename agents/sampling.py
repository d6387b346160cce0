"""Moves drawn from a policy."""

import numpy as np
import numpy.typing as npt


def draw(policy: npt.NDArray[np.float32], temperature: float, rng: np.random.Generator) -> int:
    """Place in `policy` `[M]` of a move drawn at a temperature; 0 takes the most probable and no random number."""
    if temperature == 0:
        return int(policy.argmax())
    chances = policy if temperature == 1 else policy ** (1 / temperature)
    edges = chances.cumsum()
    return min(int(edges.searchsorted(rng.random() * edges[-1], side="right")), len(policy) - 1)
