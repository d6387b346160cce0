"""A ladder that repeats: Stockfish at fixed nodes, its hash cleared before every move.

The lowest rungs play a seeded random move in a share of their turns. `Skill Level` and
`UCI_LimitStrength` are not used: they draw from a clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import chess
import numpy as np

from engines import moves
from engines.positions import GameBatch
from engines.stockfish import Stockfish
from sandwich.cluster import Cluster
from sandwich.config import InferenceConfig
from sandwich.selfplay import evaluator
from sandwich.statistics import Figure, elo_figure, score_figure


@dataclass(frozen=True)
class Rung:
    """Stockfish at so many nodes a move, with a random move in a share of its turns."""

    nodes: int
    random_share: float = 0.0

    def __str__(self) -> str:
        random = f", {self.random_share:.0%} random moves" if self.random_share else ""
        return f"Stockfish at {self.nodes} node{'s' * (self.nodes > 1)}{random}"


RUNGS = (Rung(1, 0.5), Rung(1, 0.25), Rung(1), Rung(10), Rung(100), Rung(1000))


@dataclass(frozen=True, eq=False)
class Climb:
    """Part of a match against one rung: pairs from `openings` (FEN), the first with number `first`."""

    rung: Rung
    first: int
    openings: tuple[str, ...]
    seed: int
    ply_cap: int
    inference: InferenceConfig


PAIRS_PER_BLOCK = 32


def climb(checkpoint: bytes, block: Climb) -> list[float]:
    """Score of the network in each pair of the block, 0 to 1."""
    network = evaluator(checkpoint, block.inference)
    batch = GameBatch([fen for fen in block.openings for _ in range(2)], block.ply_cap)
    # The network has the side to move of the opening in even games, the other in odd ones.
    sides = [board.turn == (game % 2 == 0) for game, board in enumerate(batch.boards)]
    rngs = [np.random.default_rng([block.seed, 2 * block.first + game]) for game in range(len(batch))]
    with Stockfish(hash_mib=1) as engine:
        while active := batch.active:
            own = [game for game in active if batch.boards[game].turn == sides[game]]
            if own:
                seen = network(batch.words(own), batch.legal(own))
                batch.apply(own, [seen.best(row) for row in range(len(own))])
            for game in active:
                if game not in own:
                    batch.apply([game], [_engine_move(engine, batch, game, block.rung, rngs[game])])
    scores = []
    for pair in range(0, len(batch), 2):
        results = [(batch.results[game], sides[game]) for game in (pair, pair + 1)]
        scores.append(sum(result.score(side) for result, side in results if result) / 2)
    return scores


def _engine_move(engine: Stockfish, batch: GameBatch, game: int, rung: Rung, rng: np.random.Generator) -> int:
    if rng.random() < rung.random_share:
        return int(rng.choice(batch.legal([game])[0]))
    board = batch.boards[game]
    engine.clear()
    best = engine.best_move(board.fen(), nodes=rung.nodes)
    assert best is not None, "a game that goes on has a legal move"
    return moves.encode(chess.Move.from_uci(best), board.turn)


def climb_ladder(
    cluster: Cluster,
    checkpoint: bytes,
    openings: Sequence[str],
    rungs: Sequence[Rung],
    *,
    seed: int,
    ply_cap: int,
    inference: InferenceConfig,
    told: Callable[[Rung, Figure, Figure], None],
) -> dict[Rung, tuple[Figure, Figure]]:
    """Score and Elo of a network against each rung, two games from each opening; `told` hears of each rung.

    Raises EngineError without a Stockfish.
    """
    figures = {}
    for rung in rungs:
        blocks = [
            Climb(rung, first, tuple(openings[first : first + PAIRS_PER_BLOCK]), seed, ply_cap, inference)
            for first in range(0, len(openings), PAIRS_PER_BLOCK)
        ]
        pairs = np.array([score for block in cluster.map(climb, checkpoint, blocks) for score in block])
        figures[rung] = score_figure(pairs), elo_figure(pairs)
        told(rung, *figures[rung])
    return figures
