"""Paraphrases: earlier adversarial examples, mirrored, shifted and changed a little."""

import numpy as np
from pydantic import Field

from engines import planes
from sandwich.highstakes.attacks.base import Attack, catastrophe
from sandwich.highstakes.attacks.unaided import edited, submitted
from sandwich.highstakes.edits import mirrored, shifted
from sandwich.highstakes.environment import AdversarialExample, AttackEnvironment


class Paraphrase(Attack):
    """Mirrors and shifts an earlier adversarial example and changes a piece of it; without any, a real catastrophe."""

    least: float = Field(0.25, gt=0, lt=1)
    """Expected score that the catastrophe it begins from gives away at least, where there is no adversarial example
    yet."""
    edits: int = Field(1, ge=0)
    """Pieces added, removed, exchanged or moved at most; how many is drawn."""

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        earlier, labelled = environment.data.earlier, environment.data.labelled
        if earlier:
            example = earlier[int(rng.integers(len(earlier)))]
            packed, move = np.array(example.packed, np.uint64), example.move
        else:
            row, place = catastrophe(labelled, self.least, rng)
            packed, move = labelled.packed[row], labelled.legal[row][place]
        original = packed
        if rng.random() < 0.5 and not packed[8]:
            packed, move = mirrored(packed, move)
        if rng.random() < 0.5 and (moved := shifted(packed, move, int(rng.choice([-1, 1])))):
            packed, move = moved
        count = int(rng.integers(self.edits + 1))
        changed: planes.Packed | None = edited(packed, move, count, rng) if count else packed
        return None if changed is None or (changed == original).all() else submitted(environment, changed, move)
