"""Random edits of catastrophes, made without looking at the filter."""

import numpy as np
from pydantic import Field

from engines import moves, planes
from sandwich.highstakes.attacks.base import Attack, catastrophe
from sandwich.highstakes.edits import edits, legal_board, squares_of
from sandwich.highstakes.environment import AdversarialExample, AttackEnvironment


class Unaided(Attack):
    """Changes a real catastrophe by a few random edits and puts it forward."""

    least: float = Field(0.25, gt=0, lt=1)
    """Expected score that the catastrophe it begins from gives away at least."""
    edits: int = Field(3, ge=1)
    """Edits at most; how many is drawn."""

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        labelled = environment.data.labelled
        row, place = catastrophe(labelled, self.least, rng)
        move = labelled.legal[row][place]
        packed = edited(labelled.packed[row], move, int(rng.integers(1, self.edits + 1)), rng)
        return None if packed is None else submitted(environment, packed, move)


def edited(packed: planes.Packed, move: int, count: int, rng: np.random.Generator) -> planes.Packed | None:
    """A position after so many random edits that leave the move legal; None where there are none."""
    for _ in range(count):
        options = edits(packed, squares_of(move, packed))
        for place in rng.permutation(len(options))[:20]:
            if legal_board(options.packed[place], move):
                packed = options.packed[place]
                break
        else:
            return None
    return packed


def submitted(environment: AttackEnvironment, packed: planes.Packed, move: int) -> AdversarialExample | None:
    """A move put forward as it is: the filter looks at it once, the oracle only if it was accepted."""
    board = legal_board(packed, move)
    if board is None:
        return None
    packed = np.array(planes.pack(board), np.uint64)
    legal = sorted(moves.encode_all(board.legal_moves, board.turn))
    risk = environment.risks(packed[None], [legal], [move])[0][legal.index(move)]
    return environment.submit(packed, move, float(risk))
