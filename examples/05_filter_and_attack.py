# %% [markdown]
# # A filter, and an attack on it
#
# A blunder filter looks at each move that a player proposes and refuses those that it takes for a catastrophe: a move
# that gives the game away. An attack looks for adversarial examples: positions with a catastrophe that the filter lets
# through. Needs Stockfish, which says what a move really gives away.

# %%
from pathlib import Path

import chess
import numpy as np
from pydantic import Field

import sandwich
from engines import moves, planes
from sandwich.highstakes.attack_runs import read
from sandwich.highstakes.attacks import AdversarialExample, Attack, AttackEnvironment

FOLDER = Path("runs/examples/filter")

# %% [markdown]
# ## An attack
#
# It begins with a catastrophe that the filter knows, and moves a rook's pawn that has nothing to do with it, in the
# hope that the filter overlooks it then. `risks` costs a query of the filter; `submit` asks the oracle, and returns an
# example only where the filter accepts the move and the oracle calls it a catastrophe.


# %%
class RookPawn(Attack):
    """Pushes a rook's pawn of a position with a catastrophe in it, as far as it goes."""

    least: float = Field(0.25, gt=0, lt=1)
    """Expected score that the catastrophe gives away at least, 0..1."""

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        labelled = environment.data.labelled
        row = int(rng.integers(len(labelled)))
        losses = labelled.losses(row)
        if losses.max() < self.least:
            return None  # nothing was asked: the next attempt begins elsewhere
        move = labelled.legal[row][int(losses.argmax())]
        for board in pushed(planes.unpack(labelled.packed[row]), move):
            packed = np.array([planes.pack(board)], np.uint64)  # [1, 10]
            legal = sorted(moves.encode_all(board.legal_moves, board.turn))
            risk = float(environment.risks(packed, [legal], [move])[0][legal.index(move)])
            if risk < environment.threshold:
                return environment.submit(packed[0], move, risk)
        return None


def pushed(board: chess.Board, move: int) -> list[chess.Board]:
    """Legal positions in which the move is legal, with one rook's pawn of the side to move further on."""
    played = moves.decode(move, board)
    out = []
    for square in board.pieces(chess.PAWN, board.turn) & (chess.BB_FILE_A | chess.BB_FILE_H):
        for further in (8, 16, 24):
            after = board.copy(stack=False)
            target = square + further if board.turn else square - further
            if 8 <= target < 56 and square != played.from_square and after.piece_at(target) is None:
                after.set_piece_at(target, after.remove_piece_at(square))
                if after.is_valid() and played in after.legal_moves:
                    out.append(after)
    return out


# %% [markdown]
# ## The experiment
#
# A filter that learns from a few hundred positions, and two attacks on it: the baseline `sample`, which plays on from
# random positions, and the one above. `highstakes_small` has a real filter, and rounds of hardening.

# %%
spec = sandwich.load_highstakes(
    "highstakes_small",
    {
        "dataset": {"positions": 400, "per_game": 4, "nodes": 500, "plies": 40},
        "filter": {"start": "expert", "fit": {"epochs": 1, "batch": 64}},
        "harden": {"rounds": 0},
        "shifts": {},
        "calibration": {"bootstrap": 200},
        "verify": None,
        "strength": None,
        "attacks": {
            "sample": {"attack": {"type": "sample"}, "runs": 6, "queries": 100, "oracle": 20},
            "rook_pawn": {"attack": RookPawn(), "runs": 6, "queries": 100, "oracle": 20},
        },
    },
)
result = sandwich.run_highstakes(spec, FOLDER)

# %% [markdown]
# ## What the filter lets through
#
# Of the positions of play that it was not trained on: how often the player's move is a catastrophe without the filter
# (`base`) and with it (`residual`), and how often the filter refuses. So small a filter is worth nothing yet, and
# easily deceived.

# %%
filtered = result["generations"][0]["proposers"][result["proposer"]]["figures"]
for name in ("base", "residual", "rejected"):
    figure = filtered[name]
    print(f"{name}: {'not measured' if figure['value'] is None else format(figure['value'], '.2%')}")

# %% [markdown]
# ## What the attacks found

# %%
for name, costs in result["generations"][0]["attacks"].items():
    print(f"{name}: {costs['queries']['successful']} of {costs['queries']['runs']} runs found an example")
for file in sorted((FOLDER / "generation-0" / "attacks" / "rook_pawn").glob("runs-*.jsonl")):
    for attack_run in read(file):
        for example in attack_run.examples:
            print(f"  {example.uci} in {example.fen} gives away {example.loss_again:.2f} of the expected score")
