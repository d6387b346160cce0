"""What moves lose, by Stockfish at fixed nodes: many engines at work, and a memory on disk that runs share.

A position is looked at with a cleared hash by one thread, so that its answer depends on nothing else; it is
remembered under the position, the engine's name and version, the digest of its program, and the nodes. Only
whole answers of a legal move get in: anything else is a fault of the engine, which `Stockfish` raises.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import chess
import numpy as np
import numpy.typing as npt

from engines import moves, planes
from engines.settings import Mistake
from engines.stockfish import MATE, EngineError, Stockfish, expected_score, find_stockfish, program_digest
from sandwich.runtime.cache import cache_folder
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter

READING = "exact scores"
"""How scores are read from what an engine says; what was read otherwise is not taken from memory."""

LARGEST, SMALLEST = 250, 25
"""Positions that one worker looks at before it answers: what a kill can lose, and what is worth an engine's start."""
BLOCKS = 3
"""For each worker, so that all are busy to the end; what is seen does not depend on who looks."""


WAY_OUT = "delete it, or set SANDWICH_CACHE to another folder"
"""What to do about a memory that can't be used."""


class CacheError(Mistake, RuntimeError):
    """The memory on disk can't be used: one line."""


@dataclass(frozen=True)
class Analysis:
    """What the engine sees in one position.

    move: the one it would make, in UCI notation; None where the game is over.
    centipawns: for the side to move, within ±1000; a mate counts as ±1000.
    """

    move: str | None
    centipawns: int

    @property
    def score(self) -> float:
        """Expected score of the side to move, 0..1; exactly 0 where it is mated."""
        if self.move is None:
            return 0.5 if self.centipawns == 0 else 0.0
        return SCORES[self.centipawns + MATE]


SCORES: list[float] = expected_score(np.arange(-MATE, MATE + 1, dtype=np.float64)).tolist()
"""Expected score of each number of centipawns, from −1000."""


def position_key(board: chess.Board) -> bytes:
    """What an answer depends on: the packed position, its en-passant square only where it can be used."""
    packed = list(planes.pack(board))
    if board.ep_square is not None and not board.has_legal_en_passant():
        packed[-1] &= ~planes.EN_PASSANT
    return struct.pack(f"<{planes.WORDS}Q", *packed)


def position_of(key: bytes) -> chess.Board:
    """The position behind a key."""
    return planes.unpack(np.frombuffer(key, "<u8"))


def game_over(board: chess.Board) -> Analysis | None:
    """What there is to see where a game is over by the rules (repetition can't be told from a position)."""
    if board.is_checkmate():
        return Analysis(None, -1000)
    drawn = board.is_stalemate() or board.is_insufficient_material() or board.halfmove_clock >= 100
    return Analysis(None, 0) if drawn else None


def cache_path() -> Path:
    """`$SANDWICH_CACHE/oracle.sqlite`, else in the user's cache folder."""
    return cache_folder() / "oracle.sqlite"


class Cache:
    """Looks by position, of one engine at so many nodes, in an SQLite file that processes may share.

    Every method raises CacheError for a file that is no such cache, or can't be read or written.
    """

    def __init__(self, path: Path, engine: str, nodes: int) -> None:
        self.path = path
        self._key = (engine, nodes)
        with self._open() as file:
            file.execute("PRAGMA journal_mode=WAL")
            file.execute(
                "CREATE TABLE IF NOT EXISTS looks (engine TEXT, nodes INTEGER, position BLOB, move TEXT,"
                " centipawns INTEGER, PRIMARY KEY (engine, nodes, position)) WITHOUT ROWID"
            )
            file.execute("SELECT engine, nodes, position, move, centipawns FROM looks LIMIT 1")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file, open for one transaction."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as file, file:
                yield file
        except (OSError, sqlite3.Error) as error:
            raise CacheError(f"the oracle's memory {self.path} can't be used ({error}): {WAY_OUT}") from None

    def known(self, positions: Iterable[bytes]) -> dict[bytes, Analysis]:
        """Those of the positions that have been looked at. Raises CacheError."""
        wanted, known = list(positions), {}
        with self._open() as file:
            for first in range(0, len(wanted), 500):
                some = wanted[first : first + 500]
                rows = file.execute(
                    "SELECT position, move, centipawns FROM looks WHERE engine = ? AND nodes = ?"
                    f" AND position IN ({','.join('?' * len(some))})",
                    (*self._key, *some),
                )
                known.update({position: Analysis(move, centipawns) for position, move, centipawns in rows})
        return known

    def add(self, looks: Mapping[bytes, Analysis]) -> None:
        """Remember looks; what was there stays. Raises CacheError where they can't be written, on a full disk too."""
        rows = [(*self._key, position, look.move, look.centipawns) for position, look in looks.items()]
        with self._open() as file:
            file.executemany("INSERT OR IGNORE INTO looks VALUES (?, ?, ?, ?, ?)", rows)


@dataclass(frozen=True)
class Block:
    """Positions (keys) to look at, by which engine (its name, and its program's digest) and at how many nodes."""

    engine: str
    digest: str
    nodes: int
    positions: tuple[bytes, ...]


def analyse_block(path: str | None, block: Block) -> dict[bytes, Analysis]:
    """Look at each position. Raises EngineError, also where this machine has another engine than was asked for."""
    analyses, program = {}, path or find_stockfish()
    with Stockfish(program, hash_mib=1) as engine:
        digest = program_digest(program)
        if engine.identity != block.engine:
            raise EngineError(f"expected {block.engine} on every machine, found {engine.identity} on one")
        if digest != block.digest:
            both = f"SHA-256 {block.digest[:12]} and {digest[:12]}"
            raise EngineError(f"expected one program of {block.engine} on every machine, found two ({both})")
        for position in block.positions:
            engine.clear()
            best = engine.analyse(position_of(position).fen(), nodes=block.nodes)[0]
            analyses[position] = Analysis(best.move, best.centipawns)
    return analyses


class Oracle:
    """Win% lost by moves, by Stockfish at fixed nodes with a cleared hash; remembers what it was asked.

    nodes: of one position; None: no oracle is wanted.
    memory: file that remembers; None: the user's own (`cache_path`).
    Without an engine every answer is None and `missing` says why. Raises CacheError.
    """

    def __init__(self, nodes: int | None, memory: Path | None = None) -> None:
        self.nodes = nodes
        self.missing = "" if nodes else "no nodes are given to the oracle"
        self.identity: str | None = None
        self._digest = ""
        self.analysed = 0
        """Positions that engines have analysed for it."""
        if nodes:
            try:
                program = find_stockfish()
                with Stockfish(program) as engine:
                    self._digest, self.identity = program_digest(program), engine.identity
            except EngineError as error:
                self.missing = str(error)
        self._remembers = True
        self.memory = memory or cache_path()
        known_as = f"{self.identity}, SHA-256 {self._digest}, {READING}"
        self._cache = Cache(self.memory, known_as, nodes) if self.identity and nodes else None

    def analyse(
        self,
        cluster: Cluster,
        boards: Sequence[chess.Board],
        progress: ProgressReporter = NO_PROGRESS,
        phase: str = "positions",
    ) -> list[Analysis]:
        """What the engine sees on each board; progress counts the positions that it has not analysed before.

        Raises EngineError.
        """
        assert self._cache and self.identity and self.nodes, "asked without an engine"
        over = [game_over(board) for board in boards]
        keys = [position_key(board) for board in boards]
        wanted = dict.fromkeys(key for key, end in zip(keys, over, strict=True) if end is None)
        known = self._cache.known(wanted)
        missing = [key for key in wanted if key not in known]
        size = min(LARGEST, max(SMALLEST, -(-len(missing) // (BLOCKS * cluster.workers))))
        blocks = [
            Block(self.identity, self._digest, self.nodes, tuple(missing[first : first + size]))
            for first in range(0, len(missing), size)
        ]

        progress.begin(phase, len(missing))

        def remember(analyses: dict[bytes, Analysis]) -> None:
            known.update(analyses)
            try:
                if self._remembers and self._cache:
                    self._cache.add(analyses)
            except CacheError as error:  # what was seen is known all the same
                self._remembers = False
                progress.message(f"{error}; going on without it")
            self.analysed += len(analyses)
            progress.advance(len(analyses))

        cluster.map(analyse_block, None, blocks, remember)
        return [end or known[key] for key, end in zip(keys, over, strict=True)]

    def losses(
        self,
        cluster: Cluster,
        boards: Sequence[chess.Board],
        chosen: Sequence[Sequence[int]],
        progress: ProgressReporter = NO_PROGRESS,
    ) -> list[npt.NDArray[np.float64]] | None:
        """Expected score, 0..1, that moves give away for who makes them; None without an engine.

        chosen: for each position numbers of its legal moves; the answer has a value for each of them.
        The engine's own move loses nothing. Any other loses what the position is worth before it and no
        more after it, both looked at with the same nodes, and never less than nothing.
        Raises EngineError.
        """
        if self.missing:
            return None
        before = self.analyse(cluster, boards, progress)
        after: dict[tuple[int, int], chess.Board] = {}
        for row, (board, look) in enumerate(zip(boards, before, strict=True)):
            for number in set(chosen[row]):
                move = moves.decode(number, board)
                if move.uci() != look.move:
                    after[row, number] = behind = board.copy(stack=False)
                    behind.push(move)
        behind_moves = self.analyse(cluster, list(after.values()), progress, "moves")
        scores = [look.score for look in before]
        lost = {
            (row, number): max(0.0, scores[row] - (1 - look.score))
            for (row, number), look in zip(after, behind_moves, strict=True)
        }
        return [np.array([lost.get((row, number), 0.0) for number in numbers]) for row, numbers in enumerate(chosen)]
