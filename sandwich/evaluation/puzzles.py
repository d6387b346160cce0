"""Puzzles and test suites: positions with known best moves, put to a player.

Puzzles are those of Lichess (CSV; the first move is the opponent's, the puzzle begins after it): a line is
solved where the player finds every move of its side, any other mate in one being as good. Suites are EPD
files with `bm` (best moves) or `am` (moves to avoid).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import chess
import numpy as np
import numpy.typing as npt
import pandas as pd

from agents.players.base import Player
from engines import moves, planes
from engines.inference import Evaluator
from engines.positions import parse_fen
from engines.settings import Mistake
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, tools

BATCH = 512


class SuiteError(Mistake, ValueError):
    """A file of puzzles or positions that can't be read: one line naming the file, the row and what is wrong."""


@dataclass(frozen=True, eq=False)
class Puzzle:
    """A puzzle: the position before the opponent's first move, the line in UCI notation, its rating."""

    fen: str
    line: tuple[str, ...]
    rating: int


@dataclass(frozen=True, eq=False)
class Position:
    """A position of a suite: FEN, numbers of the best moves (any if empty) and of those to avoid, its name."""

    fen: str
    best: frozenset[int]
    avoid: frozenset[int]
    name: str


def read_puzzles(path: str | Path, limit: int | None = None) -> list[Puzzle]:
    """Puzzles of a Lichess CSV file, plain or compressed, or those of its first `limit` rows. Raises SuiteError."""
    try:
        table = pd.read_csv(path, dtype=str, na_filter=False, skip_blank_lines=False, nrows=limit)
    except Exception as error:  # what the decompressors raise has no base in common
        raise SuiteError(f"{path}: {' '.join(str(error).split())}") from None
    missing = [name for name in ("FEN", "Moves", "Rating") if name not in table.columns]
    if missing:
        raise SuiteError(f"{path}: no column {missing[0]!r}; it has: {', '.join(map(str, table.columns))}")
    puzzles = []
    for row, (fen, line, rating) in enumerate(zip(table["FEN"], table["Moves"], table["Rating"], strict=True), 2):
        if not (fen or line or rating):
            continue  # an empty line
        try:
            board = parse_fen(fen)
            for text in line.split():
                if not board.push_uci(text):
                    raise ValueError(f"{text!r} is no move")
            if len(board.move_stack) < 2:
                raise ValueError(f"expected at least two moves, got {line!r}")
            puzzles.append(Puzzle(fen, tuple(line.split()), int(float(rating))))
        except (ValueError, OverflowError) as error:
            raise SuiteError(f"{path}, line {row}: {error}") from None
    if not puzzles:
        raise SuiteError(f"{path}: no puzzles")
    return puzzles


def read_suite(path: str | Path) -> list[Position]:
    """Positions of an EPD file with `bm` or `am`. Raises SuiteError."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"cannot read {path}: {error}") from None
    positions = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            board, operations = chess.Board.from_epd(line)
            fen = parse_fen(board.fen()).fen()  # without castling rights that there can't be
            best, avoid = (_numbers(operations.get(key, []), key, board) for key in ("bm", "am"))
            if not best and not avoid:
                raise ValueError("expected bm or am, found neither")
        except ValueError as error:
            raise SuiteError(f"{path}, line {number}: {error}") from None
        positions.append(Position(fen, best, avoid, str(operations.get("id", number))))
    if not positions:
        raise SuiteError(f"{path}: no positions")
    return positions


def _numbers(listed: object, key: str, board: chess.Board) -> frozenset[int]:
    if not isinstance(listed, list):
        raise ValueError(f"expected moves behind {key}, got {listed!r}")
    return frozenset(moves.encode(move, board.turn) for move in listed)


@dataclass(frozen=True, eq=False)
class Solved:
    """What became of `N` puzzles: whether the whole line was found, and whether its first move was, `[N]` each."""

    whole: npt.NDArray[np.bool_]
    first: npt.NDArray[np.bool_]


def solve(
    evaluator: Evaluator, puzzles: Sequence[Puzzle], done: Callable[[int], None] = lambda puzzles: None
) -> Solved:
    """Put puzzles to a player, all of a batch in lock-step; it plays its best moves."""
    whole, first = np.zeros(len(puzzles), np.bool_), np.zeros(len(puzzles), np.bool_)
    for start in range(0, len(puzzles), BATCH):
        numbers = range(start, min(start + BATCH, len(puzzles)))
        boards = {number: parse_fen(puzzles[number].fen) for number in numbers}
        for number in numbers:
            boards[number].push_uci(puzzles[number].line[0])
        open_numbers, ply = list(numbers), 1
        while open_numbers:
            chosen = _best(evaluator, [boards[number] for number in open_numbers])
            going_on = []
            for number, move in zip(open_numbers, chosen, strict=True):
                board, line = boards[number], puzzles[number].line
                right = move == board.parse_uci(line[ply])
                board.push(move)
                if not right and not board.is_checkmate():
                    continue
                first[number] |= ply == 1
                if not right or ply + 2 >= len(line):
                    whole[number] = True
                    continue
                board.push_uci(line[ply + 1])
                going_on.append(number)
            open_numbers, ply = going_on, ply + 2
        done(len(numbers))
    return Solved(whole, first)


def solve_suite(evaluator: Evaluator, positions: Sequence[Position]) -> npt.NDArray[np.bool_]:
    """Whether a player's best move is one of the best, or none to avoid, for each position, `[N]`."""
    out = np.zeros(len(positions), np.bool_)
    for start in range(0, len(positions), BATCH):
        part = positions[start : start + BATCH]
        boards = [chess.Board(position.fen) for position in part]
        for row, (position, board, move) in enumerate(zip(part, boards, _best(evaluator, boards), strict=True)):
            number = moves.encode(move, board.turn)
            out[start + row] = number not in position.avoid and (not position.best or number in position.best)
    return out


def _best(evaluator: Evaluator, boards: Sequence[chess.Board]) -> list[chess.Move]:
    """A player's best move on each board."""
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    evaluation = evaluator(packed, legal)
    return [moves.decode(evaluation.best(row), board) for row, board in enumerate(boards)]


@dataclass(frozen=True, eq=False)
class _Block:
    player: Player
    puzzles: tuple[Puzzle, ...]
    inference: InferenceConfig


def _solve_block(checkpoints: Mapping[str, bytes], block: _Block) -> Solved:
    with tools(checkpoints, block.inference) as opened:
        return solve(opened.player(block.player), block.puzzles)


def solve_on(
    cluster: Cluster,
    player: Player,
    checkpoints: Mapping[str, bytes],
    puzzles: Sequence[Puzzle],
    inference: InferenceConfig,
    done: Callable[[int], None] = lambda puzzles: None,
) -> Solved:
    """`solve` on all workers; `done` hears of the puzzles of each block."""
    blocks = [
        _Block(player, tuple(puzzles[first : first + BATCH]), inference) for first in range(0, len(puzzles), BATCH)
    ]
    parts = cluster.map(_solve_block, checkpoints, blocks, lambda solved: done(len(solved.whole)))
    return Solved(np.concatenate([part.whole for part in parts]), np.concatenate([part.first for part in parts]))
