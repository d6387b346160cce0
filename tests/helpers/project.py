"""Where the project and Stockfish are, and random games."""

from collections.abc import Iterator
from pathlib import Path

import chess
import numpy as np
import pytest

from engines.stockfish import EngineError, find_stockfish

ROOT = Path(__file__).resolve().parent.parent.parent
"""Folder of the project."""

try:
    STOCKFISH, MISSING = find_stockfish(), ""
except EngineError as error:
    STOCKFISH, MISSING = "", str(error)

needs_stockfish = pytest.mark.skipif(not STOCKFISH, reason=MISSING)
"""Skips a test where there is no Stockfish; where there is, its path is STOCKFISH."""


def random_games(count: int, seed: int, plies: int = 200, fen: str = chess.STARTING_FEN) -> Iterator[list[chess.Board]]:
    """Every position of `count` games of uniformly random moves from `fen`, each of at most `plies` plies."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        board = chess.Board(fen)
        boards = [board.copy(stack=False)]
        for _ in range(plies):
            legal = list(board.legal_moves)
            if not legal:
                break
            board.push(legal[rng.integers(len(legal))])
            boards.append(board.copy(stack=False))
        yield boards
