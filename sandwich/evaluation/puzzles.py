"""Puzzles and test suites: positions with known best moves, put to a player.

Puzzles are those of Lichess (CSV; the first move is the opponent's, the puzzle begins after it): a line is
solved where the player finds every move of its side, any other mate in one being as good. Suites are EPD
files with `bm` (best moves) or `am` (moves to avoid).
"""

import csv
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import chess
import numpy as np
import numpy.typing as npt

from agents.players.base import Player
from engines import moves, planes
from engines.inference import Evaluator
from engines.paths import open_bytes
from engines.positions import parse_fen
from engines.settings import Mistake
from sandwich.data.packed import PackedError, pieces
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, tools

BATCH = 512
LONGEST = 1 << 17
"""Characters of the longest line of a file of puzzles that is read."""
LARGEST = 4 << 30
"""Bytes of the largest file of puzzles that is read, unpacked; all of Lichess's are 1 GiB."""
COLUMNS = ("FEN", "Moves", "Rating")
"""Columns of a file of puzzles that are read."""


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
        with open_bytes(path) as file:
            puzzles = list(_puzzles(_lines(pieces(file)), limit))
    except OSError as error:
        raise SuiteError(f"cannot read {path}: {error.strerror}") from None
    except PackedError as error:
        raise SuiteError(f"{path}: {error}") from None
    except _RowError as error:
        raise SuiteError(f"{path}, {error}") from None
    if not puzzles:
        raise SuiteError(f"{path}: no puzzles")
    return puzzles


class _RowError(ValueError):
    """A row that can't be: its line, and what is wrong."""


def _puzzles(lines: Iterator[str], limit: int | None) -> Iterator[Puzzle]:
    """Puzzles in the first rows of a CSV. Raises _RowError, PackedError."""
    reader = csv.reader(lines, strict=True)
    columns: list[str] = []
    places: list[int] = []
    try:
        for row in islice(reader, None if limit is None else limit + 1):
            if not columns:
                columns, places = row, _places(row)
            elif any(row):  # no empty line
                if len(row) != len(columns):
                    raise ValueError(f"expected {len(columns)} columns as in its head, got {len(row)}")
                yield _puzzle(*(row[place] for place in places))
    except PackedError:
        raise
    except (ValueError, OverflowError, csv.Error) as error:
        raise _RowError(f"line {reader.line_num}: {error}") from None


def _places(head: Sequence[str]) -> list[int]:
    """Places of the columns that are read."""
    if missing := [name for name in COLUMNS if name not in head]:
        has = "".join(letter if letter.isprintable() else "?" for letter in ", ".join(head)[:200])
        raise ValueError(f"no column {missing[0]!r}; it has: {has or 'none'}")
    return [head.index(name) for name in COLUMNS]


def _puzzle(fen: str, line: str, rating: str) -> Puzzle:
    board = parse_fen(fen)
    for text in line.split():
        if not board.push_uci(text):
            raise ValueError(f"{text!r} is no move")
    if len(board.move_stack) < 2:
        raise ValueError(f"expected at least two moves, got {line!r}")
    return Puzzle(fen, tuple(line.split()), int(float(rating)))


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines of a file with their ends; PackedError for one, or for a file, that is too long."""
    decoder = getincrementaldecoder("utf-8-sig")("replace")
    rest, size = "", 0
    for chunk in chain(chunks, [b""]):
        size += len(chunk)
        if size > LARGEST:
            raise PackedError(f"holds more than {LARGEST >> 30} GiB")
        *lines, rest = (rest + decoder.decode(chunk, final=not chunk)).split("\n")
        for line in lines:
            yield line + "\n"
        if len(rest) > LONGEST:
            raise PackedError(f"holds a line of more than {LONGEST} characters")
    yield rest


def read_suite(path: str | Path) -> list[Position]:
    """Positions of an EPD file with `bm` or `am`, whose other operations are not looked into. Raises SuiteError."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise SuiteError(f"cannot read {path}: {error.strerror}") from None
    positions = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            fen, operations = _operations(line)
            board = parse_fen(chess.Board(f"{fen} 0 1").fen())  # without castling rights that there can't be
            best, avoid = (_numbers(operations.get(key, ""), board) for key in ("bm", "am"))
            if not best and not avoid:
                raise ValueError("expected bm or am, found neither")
        except ValueError as error:
            raise SuiteError(f"{path}, line {number}: {error}") from None
        name = operations.get("id", "").strip().strip('"')
        positions.append(Position(board.fen(), best, avoid, name or str(number)))
    if not positions:
        raise SuiteError(f"{path}: no positions")
    return positions


_POSITION = re.compile(r"\s*(\S+\s+[wb]\s+[^\s;]+\s+[^\s;]+)(?:\s+\d+\s+\d+(?=[\s;]|$))?")
"""The four fields of a position in EPD, and the counters that some programs write behind them."""
_OPERATION = re.compile(r'(?:"[^"]*(?:"|$)|[^";])+')
"""An operation up to its semicolon; quotes may hold semicolons."""


def _operations(line: str) -> tuple[str, dict[str, str]]:
    """Position of a line in EPD, and the operands of each operation as they stand; ValueError for what is no EPD."""
    position = _POSITION.match(line)
    if position is None:
        raise ValueError(f"expected a position of four fields, got {line[:80]!r}")
    operations: dict[str, str] = {}
    for text in _OPERATION.findall(line, position.end()):
        name, *operands = text.split(None, 1) or [""]
        operations[name] = operands[0] if operands else ""
    return position[1], operations


def _numbers(operands: str, board: chess.Board) -> frozenset[int]:
    """Numbers of the moves that the operands of `bm` or `am` name as PGN does."""
    named = (word.rstrip("!?") for word in operands.replace(",", " ").split())
    return frozenset(moves.encode(board.parse_san(move), board.turn) for move in named)


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
