"""Random search: what the proposer proposes in play, until the filter lets a catastrophe through."""

import numpy as np

from sandwich.highstakes.attacks.base import Attack
from sandwich.highstakes.environment import AdversarialExample, AttackEnvironment


class Sample(Attack):
    """Draws positions from play and proposals from the proposer's policy; the random baseline."""

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        play = environment.data.play
        row = int(rng.integers(len(play)))
        policy = play.proposals[environment.data.proposer][row].astype(np.float64)
        place = int(rng.choice(len(policy), p=policy / policy.sum()))
        risk = environment.risks(play.packed[row : row + 1], [play.legal[row]])[0][place]
        return environment.submit(play.packed[row], play.legal[row][place], float(risk))
