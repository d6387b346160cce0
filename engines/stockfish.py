"""Supervised Stockfish processes, and where engines are found.

A process that crashes, hangs, leaves out a line, names an illegal move or prints without end is killed, started
again and asked again; after `retries` of these, or twice the time of one question, the caller gets an `EngineError`.
Nothing here ever waits without a deadline, nor keeps more of what an engine prints than it needs.
Weaken an engine by nodes or depth only: those repeat, `Skill Level` and `UCI_LimitStrength` do not.
"""

import hashlib
import math
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import chess
import numpy as np
import numpy.typing as npt

from engines.settings import Mistake

T = TypeVar("T")

MATE = 1000
"""Centipawns that a forced mate counts as, and the bound to which any score is clipped."""

LONGEST_LINE = 1 << 20
"""Bytes that an engine may print without the end of a line."""
PATIENCE = 2
"""Times its timeout that one question may take in all, with every restart."""
WASTE = 6
"""Times its timeout that an engine may waste in all on attempts that failed, beyond what it has spent on answers."""


class EngineError(Mistake, RuntimeError):
    """No engine was found, or it failed again after every restart."""


class _Fault(Exception):
    """The process died, was silent past its deadline, or said something incomplete."""


def expected_score(centipawns: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centipawns for the side to move → expected score in 0..1 for the side to move.

    Win% / 100 of Lichess (scalachess `eval.scala`), clipped at ±1000 centipawns.
    """
    clipped = np.clip(centipawns, -MATE, MATE)
    return np.asarray(1 / (1 + np.exp(-0.00368208 * clipped)))


@dataclass(frozen=True)
class Line:
    """One line of analysis: its first move in UCI notation and its score for the side to move."""

    move: str
    centipawns: int
    """Clipped to ±1000; a mate counts as ±1000."""
    mate: int | None = None
    """Moves to a forced mate, negative when the side to move is mated; None: no mate seen."""
    pv: tuple[str, ...] = field(default=(), compare=False)
    """The principal variation in UCI notation; `move` is its first."""

    @property
    def expected_score(self) -> float:
        """Expected score in 0..1 for the side to move."""
        return 1 / (1 + math.exp(-0.00368208 * self.centipawns))


def find_stockfish() -> str:
    """Path of Stockfish: `$STOCKFISH_PATH`, then PATH, then /usr/games and Homebrew's folders.

    Raises EngineError where there is none.
    """
    named = os.environ.get("STOCKFISH_PATH")
    if named:
        if not os.access(named, os.X_OK):
            raise EngineError(f"STOCKFISH_PATH={named} is not an executable file")
        return named
    try:
        return find_engine("stockfish")
    except EngineError:
        raise EngineError(
            "no Stockfish found: install it (Debian: apt install stockfish, macOS: brew install stockfish)"
            " or set STOCKFISH_PATH"
        ) from None


def find_engine(program: str) -> str:
    """Path of an engine's program: as given, or by its name in PATH, /usr/games and Homebrew's folders.

    Raises EngineError where there is none.
    """
    for folder in (None, "/usr/games", "/opt/homebrew/bin", "/usr/local/bin"):
        path = shutil.which(program, path=folder)
        if path:
            return path
    raise EngineError(
        f"no engine {program!r} found: expected the path of an executable file, or the name of one in PATH"
        " or /usr/games"
    )


def program_digest(path: str) -> str:
    """SHA-256 of a program's file. Raises EngineError."""
    there = Path(path).resolve()
    try:
        state = there.stat()
        return _digest(str(there), state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}") from None


@lru_cache
def _digest(path: str, changed: int, size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def end_group(leader: int) -> None:
    """Kill a process that leads a group, and what it has started in it: an engine may hide behind a script."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone; on macOS one that is not waited for yet may not be killed
        pass


class Stockfish:
    """One Stockfish process; use it as a context manager.

    path: executable; None looks for one (`find_stockfish`).
    hash_mib, threads: engine settings; one thread, so that the same question has the same answer.
    timeout: seconds that the start, and one question, may take before the process counts as hanging.
    retries: restarts for one question before EngineError.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        hash_mib: int = 16,
        threads: int = 1,
        timeout: float = 10.0,
        retries: int = 2,
    ) -> None:
        self._path = path or find_stockfish()
        self._settings = {"Hash": str(hash_mib), "Threads": str(threads)}
        self._timeout = timeout
        self._retries = retries
        self._multipv = 1
        self._unread: deque[bytes] = deque()  # whole lines
        self._begun = b""  # the line that has no end yet
        self._process: subprocess.Popen[bytes] | None = None
        self.identity = ""
        """Name and version that the engine gives itself."""
        self.restarts = 0
        """Processes that had to be replaced so far (what a hash had learned is gone with them)."""
        self._wasted = 0.0  # seconds of failed attempts, less those of good ones

    def __enter__(self) -> Self:
        self._supervised(lambda deadline: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id while one runs."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the process; closing twice does no harm."""
        process, self._process = self._process, None
        if process is None:
            return
        end_group(process.pid)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:  # unsent bytes for a process that is gone
                    pass

    def clear(self) -> None:
        """Forget everything about earlier positions (hash and histories)."""
        self._supervised(self._clear)

    def analyse(
        self,
        fen: str,
        moves: Sequence[str] = (),
        *,
        nodes: int | None = None,
        depth: int | None = None,
        multipv: int = 1,
    ) -> tuple[Line, ...]:
        """Best lines of the position after `moves` (UCI) from `fen`, best first, for the side to move.

        At most `multipv` lines, fewer where fewer moves are legal, none where the game is over. A score that the
        engine calls a bound stands only where it gave no exact one.
        Exactly one of `nodes` and `depth` is given. Raises EngineError, and ValueError for what is no position.
        """
        if (nodes is None) == (depth is None):
            raise ValueError("expected exactly one of nodes and depth")
        if min(nodes or depth or 0, multipv) < 1:
            # Stockfish would take 0 for no limit and think until the deadline.
            raise ValueError(f"expected nodes, depth and multipv of 1 or more, got {nodes}, {depth} and {multipv}")
        limit = f"nodes {nodes}" if nodes is not None else f"depth {depth}"
        position = f"position fen {fen}" + (" moves " + " ".join(moves) if moves else "")
        board = chess.Board(fen)
        for move in moves:
            board.push_uci(move)

        def ask(deadline: float) -> tuple[Line, ...]:
            if multipv != self._multipv:
                self._send(f"setoption name MultiPV value {multipv}")
                self._multipv = multipv
            self._send(f"{position}\ngo {limit}")
            return self._lines(deadline, board, multipv)

        return self._supervised(ask)

    def best_move(
        self, fen: str, moves: Sequence[str] = (), *, nodes: int | None = None, depth: int | None = None
    ) -> str | None:
        """Move (UCI) that the engine plays; None where the game is over."""
        lines = self.analyse(fen, moves, nodes=nodes, depth=depth)
        return lines[0].move if lines else None

    def _supervised(self, question: Callable[[float], T]) -> T:
        last = time.monotonic() + PATIENCE * self._timeout
        for attempt in range(self._retries + 1):
            began = time.monotonic()
            try:
                if self._process is None:
                    self._start(last)
                answer = question(min(last, time.monotonic() + self._timeout))
                self._wasted = max(0.0, self._wasted - (time.monotonic() - began))
                return answer
            except (_Fault, OSError, ValueError, IndexError) as fault:  # the last two: an incomplete line
                self.close()
                self.restarts += 1
                now = time.monotonic()
                self._wasted += now - began
                if self._wasted > WASTE * self._timeout:
                    raise EngineError(f"{self._path}: {fault} (again and again, {self.restarts} times)") from fault
                if attempt == self._retries or now >= last:
                    attempts = f"{attempt + 1} attempt{'s' if attempt else ''}"
                    raise EngineError(f"{self._path}: {fault} (after {attempts})") from fault
            except BaseException:  # Ctrl-C in the middle of an answer, which the next question must not read
                self.close()
                raise
        raise AssertionError("unreachable")

    def _start(self, last: float) -> None:
        self._unread.clear()
        self._begun = b""
        self._multipv = 1
        try:
            self._process = subprocess.Popen(
                [self._path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us: an engine in our group would die of it too
            )
        except OSError as error:
            raise EngineError(f"cannot start {self._path}: {error.strerror}") from error
        deadline = min(last, time.monotonic() + self._timeout)
        self._send("uci")
        for line in self._until(deadline, "uciok"):
            if line.startswith("id name "):
                self.identity = line.removeprefix("id name ").strip()
        for name, value in self._settings.items():
            self._send(f"setoption name {name} value {value}")
        self._clear(deadline)

    def _clear(self, deadline: float) -> None:
        self._send("ucinewgame\nisready")
        for _ in self._until(deadline, "readyok"):
            pass

    def _lines(self, deadline: float, board: chess.Board, multipv: int) -> tuple[Line, ...]:
        """Lines of the last completed depth, and of the one before where that one is incomplete."""
        legal = {move.uci() for move in board.legal_moves}
        newest: dict[int, str] = {}  # by rank; of many depths only the last is read
        exact: dict[int, str] = {}  # the newest that is no bound, by rank
        of_move: dict[str, str] = {}  # and by move
        reply = ""
        for reply in self._until(deadline, "bestmove"):  # the last one is the best move
            if not (reply.startswith("info ") and " pv " in reply and " score " in reply):
                continue
            _, named, rest = reply.partition(" multipv ")
            rank = int(rest.split(" ", 1)[0]) if named else 1
            if not 1 <= rank <= multipv:
                continue
            move = reply.partition(" pv ")[2].split()[0]
            if move not in legal:
                raise _Fault(f"illegal move {move} in {board.fen()}")
            newest[rank] = reply
            if not (" lowerbound " in reply or " upperbound " in reply):
                exact[rank] = of_move[move] = reply
        best = reply.split()[1]
        if best in ("(none)", "0000"):
            if legal:
                raise _Fault(f"no move in {board.fen()}")
            return ()
        if best not in legal:
            raise _Fault(f"illegal move {best} in {board.fen()}")
        if 1 not in newest:
            raise _Fault("a best move without a score")
        ordered: dict[str, Line] = {}
        for said in (newest, exact):
            for rank in sorted(said):
                line = _line(said[rank])
                if line.move not in ordered:
                    ordered[line.move] = _line(of_move.get(line.move, said[rank]))
        if best not in ordered:
            raise _Fault(f"best move {best} is in none of its lines")
        lines = sorted(ordered.values(), key=lambda line: line.move != best)  # stable: best first, then by rank
        return tuple(lines[:multipv])

    def _send(self, text: str) -> None:
        assert self._process and self._process.stdin
        self._process.stdin.write(text.encode() + b"\n")
        self._process.stdin.flush()

    def _until(self, deadline: float, word: str) -> Iterator[str]:
        """Lines up to the first that begins with `word`, that one last; _Fault after the deadline."""
        assert self._process and self._process.stdout
        pipe = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                while self._unread:
                    line = self._unread.popleft().decode(errors="replace").rstrip("\r")
                    yield line
                    if line.split(" ", 1)[0] == word:
                        return
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise _Fault(f"no {word} within {self._timeout:g} s")
                chunk = os.read(pipe, 65536)
                if not chunk:
                    raise _Fault(f"ended before {word}")
                *whole, self._begun = (self._begun + chunk).split(b"\n")
                self._unread.extend(whole)
                if len(self._begun) > LONGEST_LINE:
                    raise _Fault(f"a line of more than {LONGEST_LINE >> 20} MiB before {word}")


def _line(text: str) -> Line:
    """A line of analysis from the words of its `info`; ValueError and IndexError where one is missing."""
    words = text.split()
    kind, value = words[words.index("score") + 1 :][:2]
    pv = words[words.index("pv") + 1 :]
    mate = int(value) if kind == "mate" else None
    score = int(value) if mate is None else MATE if mate > 0 else -MATE
    return Line(pv[0], max(-MATE, min(MATE, score)), mate, tuple(pv))
