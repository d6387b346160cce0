"""Books of openings: who plays from where, and no two purposes from the same position.

The shipped books are made by `sandwich corpus openings`: eight plies drawn from Stockfish's better
moves, kept where a longer look calls the position balanced. Which book a position may go to is
decided by its hash, so books made apart never share one.
"""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import chess
import numpy as np

from engines import planes
from engines.positions import parse_fen
from engines.stockfish import Stockfish
from sandwich.data.generate import GenerateConfig, play_game
from sandwich.runtime.progress import ProgressReporter

Purpose = Literal["measure", "play"]
PURPOSES: tuple[Purpose, ...] = ("measure", "play")

PLIES = 8
"""Plies of an opening."""
CHOICES = 8
"""The next move of an opening is one of the engine's so many best."""
TOLERANCE = 0.08
"""Expected score that one move of an opening may give away."""
BALANCED = 0.06
"""An opening is kept where its expected score is within this of ½ (about 65 centipawns)."""


def purpose_of(board: chess.Board) -> Purpose:
    """Purpose that a position may serve, by its hash."""
    digest = hashlib.sha256(board.epd().encode()).digest()
    return PURPOSES[digest[0] % len(PURPOSES)]


@cache
def book(purpose: Purpose) -> tuple[str, ...]:
    """FENs of the shipped book for a purpose."""
    path = Path(str(files("sandwich.data"))) / "books" / f"{purpose}.epd"
    return tuple(f"{line} 0 1" for line in path.read_text(encoding="utf-8").splitlines() if line)


@cache
def positions() -> tuple[str, ...]:
    """FENs of the shipped set of middle-game positions on which players are compared, one of a game."""
    path = Path(str(files("sandwich.data"))) / "books" / "positions.epd"
    return tuple(f"{line} 0 1" for line in path.read_text(encoding="utf-8").splitlines() if line)


def place(fen: str) -> bytes:
    """What a position is named by in a search through corpora: its packed words without the state."""
    return np.array(planes.pack(parse_fen(fen))[: planes.WORDS - 1], np.uint64).tobytes()


@cache
def measured_positions() -> frozenset[bytes]:
    """The places that measurements begin from: nobody trains on these."""
    return frozenset(place(fen) for fen in book("measure") + positions())


def make_book(
    engine: Stockfish, purpose: Purpose, size: int, rng: np.random.Generator, progress: ProgressReporter
) -> list[str]:
    """EPDs of `size` different balanced openings for a purpose."""
    epds: dict[str, None] = {}
    while len(epds) < size:
        board = chess.Board()
        engine.clear()
        while len(board.move_stack) < PLIES:
            lines = engine.analyse(board.fen(), nodes=2_000, multipv=CHOICES)
            fair = [line for line in lines if line.expected_score >= lines[0].expected_score - TOLERANCE]
            if not fair:
                break
            board.push_uci(fair[rng.integers(len(fair))].move)
        if purpose_of(board) != purpose or board.epd() in epds or board.is_game_over():
            continue
        best = engine.analyse(board.fen(), nodes=50_000)
        if abs(best[0].expected_score - 0.5) <= BALANCED:
            epds[board.epd()] = None
            progress.advance()
    return list(epds)


def make_positions(engine: Stockfish, size: int, rng: np.random.Generator, progress: ProgressReporter) -> list[str]:
    """EPDs of `size` positions that are still undecided, each from a game of its own as corpora have them."""
    config = GenerateConfig()
    epds: dict[str, None] = {}
    while len(epds) < size:
        rows = play_game(engine, config, rng)
        open_plies = [
            ply for ply, scores in enumerate(rows["scores"]) if abs(scores[0] - 0.5) < 0.4 and len(scores) > 1
        ]
        if not open_plies:
            continue
        packed = np.array(rows["position"][open_plies[rng.integers(len(open_plies))]], np.uint64)
        epds[planes.unpack(packed).epd()] = None
        progress.advance()
    return list(epds)
