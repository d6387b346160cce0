"""Measuring players on positions: their best moves, and what moves lose by the oracle."""

from collections.abc import Mapping, Sequence

import chess
import numpy as np
import numpy.typing as npt

from agents.players.base import Player
from engines import moves
from engines.positions import GameBatch
from engines.stockfish import EngineError, Stockfish, find_stockfish
from sandwich.config import InferenceConfig
from sandwich.selfplay import tools


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
