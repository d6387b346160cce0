"""Any engine that speaks UCI, by its command line, through python-chess.

It asks little of the engine (a move; a score if it gives one), which is why it suits any. What needs an
engine's lines and scores asks Stockfish (engines/stockfish.py). A process that ends or is silent is
started and asked once more; then the caller gets an `EngineError`.
"""

import logging
import shlex
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import chess
import chess.engine

from engines.stockfish import MATE, EngineError, expected_score, find_engine


@dataclass(frozen=True)
class Choice:
    """The move that an engine chose, and its expected score in 0..1 for the side to move (None: it gave no score)."""

    move: chess.Move
    expected_score: float | None


class _Protocol(chess.engine.UciProtocol):
    """Sees its process end before it gives up a start; python-chess leaves that to a loop that is closed by then."""

    async def initialize(self) -> None:
        try:
            await super().initialize()
        except BaseException:
            assert self.transport
            self.transport.close()
            await self.returncode
            raise


class UciEngine:
    """One engine process; use it as a context manager.

    command: program and arguments; a program without a folder is looked for in PATH and where engines lie.
    options: settings of the engine by the names that it lists, as text.
    timeout: seconds that the start and each question may take.
    """

    def __init__(self, command: Sequence[str], options: Mapping[str, str] | None = None, timeout: float = 30.0) -> None:
        self._command = list(command)
        self._options = dict(options or {})
        self._timeout = timeout
        self._engine: chess.engine.SimpleEngine | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id while one runs."""
        return self._engine.transport.get_pid() if self._engine else None

    def close(self) -> None:
        """End the process; closing twice does no harm."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        engine.close()  # kills it
        try:
            engine.returncode.result(self._timeout)
        except (CancelledError, TimeoutError):
            pass

    def choose(self, board: chess.Board, *, nodes: int | None = None, depth: int | None = None) -> Choice:
        """What the engine plays in a position that is not over, as the first of a new game.

        Exactly one of `nodes` and `depth` is given. Raises EngineError.
        """
        if (nodes is None) == (depth is None):
            raise ValueError("expected exactly one of nodes and depth")
        limit = chess.engine.Limit(nodes=nodes, depth=depth)
        try:
            return self._ask(board, limit)
        except EngineError:
            return self._ask(board, limit)

    def _ask(self, board: chess.Board, limit: chess.engine.Limit) -> Choice:
        engine = self._engine or self._start()
        late = threading.Timer(self._timeout, engine.close)  # python-chess itself waits without end for nodes
        deadline = time.monotonic() + self._timeout
        late.start()
        try:
            played = engine.play(board, limit, game=object(), info=chess.engine.INFO_SCORE)
        except (chess.engine.EngineError, CancelledError) as fault:
            self.close()
            silent = time.monotonic() >= deadline
            raise self._error(f"no answer within {self._timeout:g} s" if silent else str(fault)) from None
        except BaseException:  # Ctrl-C in the middle of an answer, which the next question must not read
            self.close()
            raise
        finally:
            late.cancel()
        if played.move is None:
            self.close()
            raise self._error(f"it gave no move in {board.fen()}")
        score = played.info.get("score")
        if score is None:
            return Choice(played.move, None)
        centipawns = score.relative.score(mate_score=1000 * MATE)  # clipped to MATE, however far the mate
        return Choice(played.move, float(expected_score(centipawns)))

    def _start(self) -> chess.engine.SimpleEngine:
        program = find_engine(self._command[0])
        if not chess.engine.LOGGER.handlers:
            chess.engine.LOGGER.addHandler(logging.NullHandler())  # it would print every unusual line of an engine
        try:
            engine = chess.engine.SimpleEngine.popen(
                _Protocol,
                [program, *self._command[1:]],
                timeout=self._timeout,
                setpgrp=True,  # Ctrl-C is for us: an engine in our group would die of it too
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            # A TimeoutError is an OSError without a number.
            raise self._error(error.strerror or f"no uciok within {self._timeout:g} s") from None
        except chess.engine.EngineError as fault:
            raise self._error(str(fault)) from None
        self._engine = engine
        try:
            engine.configure(self._options)
        except (chess.engine.EngineError, TimeoutError) as fault:
            self.close()
            raise self._error(str(fault)) from None
        return engine

    def _error(self, what: str) -> EngineError:
        return EngineError(f"UCI engine {shlex.join(self._command)}: {' '.join(what.split())}")
