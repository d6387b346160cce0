"""Measuring players: matches in lock-step, agreement with the expert, Win% loss by the oracle.

A player is measured as the bare network: best move, no assistant, no search. What is split over
workers is split in fixed blocks, so that figures don't depend on the number of workers.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import chess
import numpy as np
import numpy.typing as npt

from agents.network import draw
from agents.players.base import Player
from engines import moves
from engines.inference import Evaluator
from engines.positions import GameBatch
from engines.stockfish import EngineError, Stockfish, find_stockfish
from sandwich.cluster import Cluster
from sandwich.config import InferenceConfig
from sandwich.selfplay import tools

PAIRS_PER_BLOCK = 64
"""Pairs of games that one worker plays in lock-step: batches of 64 for each of the two networks."""


@dataclass(frozen=True, eq=False)
class Contestants:
    """The two players of a match, contents of the checkpoints that they name, and the temperature of each."""

    first: Player
    second: Player
    checkpoints: Mapping[str, bytes]
    temperatures: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class MatchBlock:
    """Part of a match: pairs `number · PAIRS_PER_BLOCK` and on, from these openings (FEN)."""

    openings: tuple[str, ...]
    number: int
    seed: int
    ply_cap: int
    inference: InferenceConfig


@dataclass(frozen=True, eq=False)
class Match:
    """Scores of a match for the first player.

    pairs: `[N]` score of each colour-swapped pair, 0 to 1; pairs with the same moves counted once.
    capped: games that ended at the ply cap.
    plies: plies of all games.
    openings: place of each pair's opening among those asked for, `[N]`.
    """

    pairs: npt.NDArray[np.float64]
    capped: int
    plies: int
    openings: npt.NDArray[np.int64]


def play_match_block(players: Contestants, block: MatchBlock) -> list[tuple[float, int, int, str]]:
    """Play both games of each opening; of each pair: the first player's score, capped games, plies, digest of moves."""
    with tools(players.checkpoints, block.inference) as opened:
        return _play_pairs((opened.player(players.first), opened.player(players.second)), players.temperatures, block)


def _play_pairs(
    both: tuple[Evaluator, Evaluator], temperatures: tuple[float, float], block: MatchBlock
) -> list[tuple[float, int, int, str]]:
    batch = GameBatch([fen for fen in block.openings for _ in range(2)], block.ply_cap)
    # Game 2k has the first player on the side to move of opening k, game 2k+1 the second.
    starter = [board.turn for board in batch.boards]
    rngs = [np.random.default_rng([block.seed, block.number, game]) for game in range(len(batch))]
    history: list[list[int]] = [[] for _ in range(len(batch))]
    while active := batch.active:
        to_move = [
            [g for g in active if (batch.boards[g].turn == starter[g]) == (g % 2 == player)] for player in (0, 1)
        ]
        for player, games in enumerate(to_move):
            if not games:
                continue
            seen = both[player](batch.words(games), batch.legal(games))
            temperature = temperatures[player]
            chosen = [seen.legal[row][draw(seen.policy[row], temperature, rngs[g])] for row, g in enumerate(games)]
            batch.apply(games, chosen)
            for game, move in zip(games, chosen, strict=True):
                history[game].append(move)
    out = []
    for pair in range(0, len(batch), 2):
        score, capped = 0.0, 0
        for game in (pair, pair + 1):
            result = batch.results[game]
            assert result is not None
            side = starter[game] if game % 2 == 0 else not starter[game]
            score += result.score(side) / 2
            capped += result.end == "ply cap"
        moves_of_both = (block.openings[pair // 2], history[pair], history[pair + 1])
        digest = hashlib.sha256(repr(moves_of_both).encode()).hexdigest()
        out.append((score, capped, len(history[pair]) + len(history[pair + 1]), digest))
    return out


def play_match(
    cluster: Cluster,
    players: Contestants,
    openings: Sequence[str],
    *,
    seed: int,
    ply_cap: int,
    inference: InferenceConfig,
) -> Match:
    """A match over the openings, each with both colours."""
    blocks = [
        MatchBlock(tuple(openings[start : start + PAIRS_PER_BLOCK]), number, seed, ply_cap, inference)
        for number, start in enumerate(range(0, len(openings), PAIRS_PER_BLOCK))
    ]
    pairs = [pair for block in cluster.map(play_match_block, players, blocks) for pair in block]
    first_of = {digest: place for place, (_, _, _, digest) in reversed(list(enumerate(pairs)))}
    kept = sorted(first_of.values())
    return Match(
        np.array([pairs[place][0] for place in kept]),
        sum(pairs[place][1] for place in kept),
        sum(pairs[place][2] for place in kept),
        np.array(kept),
    )


def best_moves(
    player: Player, checkpoints: Mapping[str, bytes], fens: Sequence[str], inference: InferenceConfig
) -> list[int]:
    """Number of a player's best move in each position."""
    batch = GameBatch(fens, ply_cap=1)
    games = list(range(len(fens)))
    with tools(checkpoints, inference) as opened:
        seen = opened.player(player)(batch.words(games), batch.legal(games))
    return [seen.best(row) for row in games]


class Oracle:
    """Win% lost by moves, by Stockfish at fixed nodes with a cleared hash; remembers what it was asked.

    Without an engine every answer is None and `missing` says why.
    """

    def __init__(self, nodes: int | None) -> None:
        self.nodes = nodes
        self.missing = "" if nodes else "evaluate.nodes is none"
        self.identity: str | None = None
        self._known: dict[tuple[str, str | None], float] = {}
        if nodes:
            try:
                with Stockfish(find_stockfish()) as engine:
                    self.identity = engine.identity
            except EngineError as error:
                self.missing = str(error)

    def losses(self, fens: Sequence[str], chosen: Sequence[int]) -> npt.NDArray[np.float64] | None:
        """Expected score lost by each move, `[B]`, 0..1, against the best one; None without an engine."""
        if self.missing:
            return None
        out = []
        with Stockfish(find_stockfish()) as engine:
            for fen, index in zip(fens, chosen, strict=True):
                best = self._score(engine, fen, None)
                played = self._score(engine, fen, moves.uci(index, chess.Board(fen)))
                out.append(max(0.0, best - played))
        return np.array(out)

    def _score(self, engine: Stockfish, fen: str, move: str | None) -> float:
        """Expected score for the side to move of `fen`, after `move` if one is given."""
        key = (fen, move)
        if key not in self._known:
            engine.clear()
            lines = engine.analyse(fen, [move] if move else [], nodes=self.nodes)
            if lines:
                score = lines[0].expected_score
            else:  # the move ended the game
                board = chess.Board(fen)
                board.push_uci(move or "0000")
                score = 0.0 if board.is_checkmate() else 0.5
            self._known[key] = 1 - score if move else score
        return self._known[key]
