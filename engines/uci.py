"""Any engine that speaks UCI, by its command line, through python-chess.

It asks little of the engine (a move; a score if it gives one), which is why it suits any. What needs an
engine's lines and scores asks Stockfish (engines/stockfish.py). A process that ends, is silent, prints without
end or names an illegal move is started and asked once more; then the caller gets an `EngineError`.
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

from engines.stockfish import LONGEST_LINE, MATE, PATIENCE, WASTE, EngineError, end_group, expected_score, find_engine

MOST_BYTES = 64 << 20
"""Bytes that an engine may print from one question to the next."""


@dataclass(frozen=True)
class Choice:
    """The move that an engine chose, and its expected score in 0..1 for the side to move (None: it gave no score)."""

    move: chess.Move
    expected_score: float | None


class _Protocol(chess.engine.UciProtocol):
    """Keeps to what is asked of an engine: a bounded number of bytes, and the score of its best line.

    Sees its process end before it gives up a start; python-chess leaves that to a loop that is closed by then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flaw = ""
        """Why it ended the process itself."""
        self._heard = 0
        self._scores: dict[tuple[str, bool], int] = {}  # of a move, exact or a bound; the newest comes last

    def question(self) -> None:
        """A question begins."""
        self._heard = 0
        self._scores.clear()

    def score(self, move: str) -> int | None:
        """Centipawns that the best line gave a move since the question, an exact score before a bound."""
        newest = list(self._scores)[::-1]
        of_others = sorted(newest, key=lambda key: not key[1])  # stable: the newest exact one first
        keys = [(move, True), ("", True), (move, False), *of_others]
        return next((self._scores[key] for key in keys if key in self._scores), None)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        if self.flaw:
            return
        super().pipe_data_received(fd, data)
        self._heard += len(data)
        if len(self.buffer[fd]) > LONGEST_LINE:
            self.flaw = f"a line of more than {LONGEST_LINE >> 20} MiB"
        elif self._heard > MOST_BYTES:
            self.flaw = f"more than {MOST_BYTES >> 20} MiB without an answer"
        if self.flaw and self.transport:
            self.transport.close()

    def _line_received(self, line: str) -> None:
        words = line.partition(" string ")[0].split()
        if words[:1] == ["info"] and "score" in words:
            try:
                self._hear(words)
            except (ValueError, IndexError):  # a line that lacks a word
                pass
        super()._line_received(line)

    def _hear(self, words: list[str]) -> None:
        if "multipv" in words and int(words[words.index("multipv") + 1]) != 1:
            return
        kind, value = words[words.index("score") + 1 :][:2]
        score = int(value) if kind == "cp" else MATE if int(value) > 0 else -MATE
        move = words[words.index("pv") + 1][:5] if "pv" in words else ""
        key = move, not {"lowerbound", "upperbound"} & set(words)
        self._scores.pop(key, None)
        self._scores[key] = max(-MATE, min(MATE, score))

    async def initialize(self) -> None:
        try:
            await super().initialize()
        except BaseException:
            assert self.transport
            end_group(self.transport.get_pid())
            self.transport.close()
            await self.returncode
            if self.flaw:
                raise chess.engine.EngineError(self.flaw) from None
            raise


class UciEngine:
    """One engine process; use it as a context manager.

    command: program and arguments; a program without a folder is looked for in PATH and where engines lie.
    options: settings of the engine by the names that it lists, as text.
    timeout: seconds that the start and each question may take; a question with every restart takes twice that at most.
    """

    def __init__(self, command: Sequence[str], options: Mapping[str, str] | None = None, timeout: float = 30.0) -> None:
        self._command = list(command)
        self._options = dict(options or {})
        self._timeout = timeout
        self._engine: chess.engine.SimpleEngine | None = None
        self._wasted = 0.0  # seconds of failed attempts, less those of good ones

    def __enter__(self) -> Self:
        self._start(time.monotonic() + PATIENCE * self._timeout)
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
        end_group(engine.transport.get_pid())
        engine.close()
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
        began = time.monotonic()
        last = began + PATIENCE * self._timeout
        try:
            choice = self._ask(board, limit, last)
        except EngineError:
            now = time.monotonic()
            self._wasted += now - began
            if now >= last or self._wasted > WASTE * self._timeout:
                raise
            return self._ask(board, limit, last)
        self._wasted = max(0.0, self._wasted - (time.monotonic() - began))
        return choice

    def _ask(self, board: chess.Board, limit: chess.engine.Limit, last: float) -> Choice:
        engine = self._engine or self._start(last)
        assert isinstance(engine.protocol, _Protocol)
        engine.protocol.question()
        deadline = min(last, time.monotonic() + self._timeout)
        # python-chess itself waits without end for nodes
        late = threading.Timer(max(0.0, deadline - time.monotonic()), engine.close)
        late.start()
        try:
            played = engine.play(board, limit, game=object())
        except (chess.engine.EngineError, CancelledError) as fault:
            self.close()
            silent = f"no answer within {self._timeout:g} s" if time.monotonic() >= deadline else ""
            raise self._error(engine.protocol.flaw or silent or str(fault)) from None
        except BaseException:  # Ctrl-C in the middle of an answer, which the next question must not read
            self.close()
            raise
        finally:
            late.cancel()
        if played.move is None:
            self.close()
            raise self._error(f"it gave no move in {board.fen()}")
        centipawns = engine.protocol.score(played.move.uci())
        return Choice(played.move, None if centipawns is None else float(expected_score(centipawns)))

    def _start(self, last: float) -> chess.engine.SimpleEngine:
        program = find_engine(self._command[0])
        if not chess.engine.LOGGER.handlers:
            chess.engine.LOGGER.addHandler(logging.NullHandler())  # it would print every unusual line of an engine
        logging.getLogger("asyncio").addFilter(_of_no_known_child)
        try:
            engine = chess.engine.SimpleEngine.popen(
                _Protocol,
                [program, *self._command[1:]],
                timeout=max(0.0, min(self._timeout, last - time.monotonic())),
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


def _of_no_known_child(record: logging.LogRecord) -> bool:
    """Leaves out that an engine which was killed had been waited for before asyncio's thread could."""
    return not str(record.msg).startswith("Unknown child process")
