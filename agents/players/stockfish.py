"""Stockfish at a fixed number of nodes, its hash cleared before every question: the same answer each time."""

from collections.abc import Sequence
from functools import partial

import chess
import numpy as np
from pydantic import Field

from agents.players.base import Player
from agents.tools import Tools
from engines import moves
from engines.inference import Evaluator, one_by_one
from engines.stockfish import Stockfish

TIE = 1e-4
"""Part of its chance that each line loses against the one before it: mates, slow and fast, count for the same."""


class StockfishPlayer(Player):
    """Stockfish at a fixed number of nodes.

    Its value is the expected score of its best line. Its policy is the softmax of its lines' expected
    scores, of equally good ones the first a little ahead; with one line all of it lies on the best move.
    """

    nodes: int = Field(1000, ge=1)
    """Nodes a move."""
    lines: int = Field(1, ge=1, le=256)
    """Best moves that the policy is made of; more of them cost strength at the same nodes."""
    temperature: float = Field(0.03, gt=0)
    """Spread of the policy over the lines, in expected score."""

    def open(self, tools: Tools) -> Evaluator:
        engine = tools.stockfish()
        return one_by_one(partial(self._look, engine))

    def _look(self, engine: Stockfish, board: chess.Board, legal: Sequence[int], policy: np.ndarray) -> float:
        """Fill the policy of one position; its value."""
        engine.clear()
        lines = engine.analyse(board.fen(), nodes=self.nodes, multipv=self.lines)
        scores = np.minimum.accumulate([line.expected_score for line in lines])  # a line may be of a smaller depth
        chances = np.exp((scores - scores[0]) / self.temperature) * (1 - TIE * np.arange(len(lines)))
        for line, chance in zip(lines, chances / chances.sum(), strict=True):
            policy[legal.index(moves.encode(chess.Move.from_uci(line.move), board.turn))] = chance
        return float(scores[0])
