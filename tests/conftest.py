"""What several tests share: Stockfish and data, which are not part of the project, and random games."""

from collections.abc import Iterator
from pathlib import Path

import chess
import numpy as np
import pytest
from fakes import fake_tools
from hypothesis import settings

from agents.tools import Tools
from engines.stockfish import EngineError, find_stockfish

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("repeatable", derandomize=True, deadline=None)  # the same examples each time, at any speed
settings.load_profile("repeatable")

try:
    STOCKFISH, MISSING = find_stockfish(), ""
except EngineError as error:
    STOCKFISH, MISSING = "", str(error)

needs_stockfish = pytest.mark.skipif(not STOCKFISH, reason=MISSING)
"""Skips a test where there is no Stockfish; where there is, its path is STOCKFISH."""


@pytest.fixture(scope="session", autouse=True)
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The oracle's memory of these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANDWICH_CACHE", str(tmp_path_factory.mktemp("memory")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the project."""
    return ROOT


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    """Networks by rule, and the real engine."""
    with fake_tools() as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public chess data, which lies beside the project's folder on some machines only."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project's folder")
    return folder


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
