"""Stockfish at a fixed number of nodes, its hash cleared before every question: the same answer each time."""

from collections.abc import Sequence

import chess
import numpy as np
from pydantic import Field

from agents.players.base import Player
from agents.tools import Tools
from engines import moves, planes
from engines.inference import Evaluation, Evaluator, wdl_of
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

        def evaluate(words: planes.Words, legal: Sequence[Sequence[int]]) -> Evaluation:
            policy, value = [], np.empty(len(legal), np.float32)
            for row, numbers in enumerate(legal):
                policy.append(np.zeros(len(numbers), np.float32))
                value[row] = self._look(engine, planes.unpack(words[row]), numbers, policy[row])
            return Evaluation(legal, policy, wdl_of(value))

        return evaluate

    def _look(self, engine: Stockfish, board: chess.Board, legal: Sequence[int], policy: np.ndarray) -> float:
        """Fill the policy of one position; its value."""
        engine.clear()
        lines = engine.analyse(board.fen(), nodes=self.nodes, multipv=self.lines)
        scores = np.minimum.accumulate([line.expected_score for line in lines])  # a line may be of a smaller depth
        chances = np.exp((scores - scores[0]) / self.temperature) * (1 - TIE * np.arange(len(lines)))
        for line, chance in zip(lines, chances / chances.sum(), strict=True):
            policy[legal.index(moves.encode(chess.Move.from_uci(line.move), board.turn))] = chance
        return float(scores[0])
