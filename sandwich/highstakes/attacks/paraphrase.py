"""Earlier breaks said in another way."""

import numpy as np
from pydantic import Field

from engines import planes
from sandwich.highstakes.arena import Arena, Break
from sandwich.highstakes.attacks.base import Attack, catastrophe
from sandwich.highstakes.attacks.unaided import edited, handed_in
from sandwich.highstakes.edits import mirrored, shifted


class Paraphrase(Attack):
    """Mirrors and shifts an earlier break and changes a piece of it; without breaks, a real catastrophe."""

    least: float = Field(0.25, gt=0, lt=1)
    """Expected score that the catastrophe it begins from gives away at least, where there is no break yet."""
    edits: int = Field(1, ge=0)
    """Pieces added, removed, exchanged or moved at most; how many is drawn."""

    def attempt(self, arena: Arena, rng: np.random.Generator) -> Break | None:
        breaks, examples = arena.material.breaks, arena.material.examples
        if breaks:
            old = breaks[int(rng.integers(len(breaks)))]
            packed, move = np.array(old.packed, np.uint64), old.move
        else:
            row, place = catastrophe(examples, self.least, rng)
            packed, move = examples.packed[row], examples.legal[row][place]
        same = packed
        if rng.random() < 0.5 and not packed[8]:
            packed, move = mirrored(packed, move)
        if rng.random() < 0.5 and (moved := shifted(packed, move, int(rng.choice([-1, 1])))):
            packed, move = moved
        count = int(rng.integers(self.edits + 1))
        changed: planes.Packed | None = edited(packed, move, count, rng) if count else packed
        return None if changed is None or (changed == same).all() else handed_in(arena, changed, move)
