"""Random search: what the proposer proposes in play, until the filter lets a catastrophe through."""

import numpy as np

from sandwich.highstakes.arena import Arena, Break
from sandwich.highstakes.attacks.base import Attack


class Sample(Attack):
    """Draws positions from play and proposals from the proposer's policy; the random baseline."""

    def attempt(self, arena: Arena, rng: np.random.Generator) -> Break | None:
        play = arena.material.play
        row = int(rng.integers(len(play)))
        policy = play.proposals[arena.material.proposer][row].astype(np.float64)
        place = int(rng.choice(len(policy), p=policy / policy.sum()))
        risk = arena.risks(play.packed[row : row + 1], [play.legal[row]])[0][place]
        return arena.submit(play.packed[row], play.legal[row][place], float(risk))
