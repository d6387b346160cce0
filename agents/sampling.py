"""Moves drawn from policies."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engines.ragged import Policies


def draw(policy: npt.NDArray[np.float32], temperature: float, rng: np.random.Generator) -> int:
    """Place in `policy` `[M]` of a move drawn at a temperature; 0 takes the most probable and no random number."""
    if temperature == 0:
        return int(policy.argmax())
    chances = policy if temperature == 1 else policy ** (1 / temperature)
    edges = chances.cumsum()
    return min(int(edges.searchsorted(rng.random() * edges[-1], side="right")), len(policy) - 1)


def draw_all(
    policies: Sequence[npt.NDArray[np.float32]], temperature: float, rngs: Sequence[np.random.Generator]
) -> list[int]:
    """`draw` from each policy with random numbers of its own: the same places, in less time."""
    if not len(policies):
        return []
    rows = Policies.of(policies)
    if temperature == 0:
        first: list[int] = rows.best().tolist()
        return first
    chances = rows.padded(0) if temperature == 1 else Policies(rows.flat ** (1 / temperature), rows.starts).padded(0)
    edges = chances.cumsum(1)
    drawn = np.array([rng.random() for rng in rngs], np.float32) * edges[:, -1]
    places: list[int] = np.minimum((edges <= drawn[:, None]).sum(1), rows.sizes - 1).tolist()
    return places
