"""A person's attack on the filter, by hand and with tools.

Owns what a person may ask of filter and oracle, what it costs, and how it is written: as attack runs like
those of any other attack, so that hardening and the report take them. A run begins with its first question and
goes on after an adversarial example, since what follows is often a variation of it, and runs are learned from or
held back whole; it ends when the person says so. The page and its server are in `experiments`.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Literal

import chess
import numpy as np
import numpy.typing as npt

from engines import moves, planes
from engines.settings import Mistake
from sandwich.highstakes.attack_runs import AttackRun, run_file, write
from sandwich.highstakes.attack_runs import read as read_runs
from sandwich.highstakes.attacks.base import catastrophe
from sandwich.highstakes.catastrophes import Catastrophes, read
from sandwich.highstakes.edits import edits, legal_board
from sandwich.highstakes.environment import AdversarialExample, AttackData, AttackEnvironment, Judge
from sandwich.runtime.networks import InferenceConfig

LEAST = 0.4
"""Expected score that a catastrophe to begin from gives away, where there are such: room for edits."""
NOTHING = Catastrophes(
    np.zeros((0, planes.WORDS), np.uint64), [], [], {}, {}, np.zeros(0, np.int64), np.zeros(0, np.int64), 0.15
)
"""Positions for somebody who is given none."""

Floats = npt.NDArray[np.float32]


class InvalidRequest(Mistake, ValueError):
    """What was asked can't be answered: no position, no legal move, no square."""


@dataclass(frozen=True)
class ScoredMove:
    """A legal move (UCI and SAN) and the filter's probability that it is a catastrophe."""

    uci: str
    san: str
    risk: float


@dataclass(frozen=True)
class FilterScores:
    """What the filter says of every legal move of a position, the least risk first.

    fen: the position as it was understood, without castling rights and en passant that can't be.
    """

    fen: str
    moves: tuple[ScoredMove, ...]


@dataclass(frozen=True)
class Substitution:
    """A single edit at a square: what it does, where it leads, and the risk of the chosen move there."""

    what: str
    fen: str
    risk: float


@dataclass(frozen=True)
class OracleReply:
    """What the oracle says of a move, as expected score that it gives away.

    outcome: `example`, an adversarial example; `known`, one that was found before; `unconfirmed`, a catastrophe that
        is none at ten times the nodes; `fine`, none at all; `refused`, the filter does not accept it, so it is no
        adversarial example whatever the oracle says.
    loss_again: at ten times the nodes; None: not looked at again.
    """

    outcome: Literal["example", "known", "unconfirmed", "fine", "refused"]
    risk: float
    loss: float | None
    loss_again: float | None


@dataclass(frozen=True)
class RunState:
    """Where the person's run stands: its number, what it has spent, its examples, and how many there were before."""

    number: int
    seconds: float
    running: bool
    queries: int
    oracle: int
    examples: tuple[AdversarialExample, ...]
    earlier_runs: int
    earlier_examples: int


@dataclass(frozen=True)
class StartingPosition:
    """A labelled position of play, a catastrophe in it (UCI), and the expected score that this gives away."""

    fen: str
    uci: str
    loss: float


class Stopwatch:
    """Seconds of somebody's work: from the first touch on, standing still between `pause` and the next touch.

    clock: seconds of a clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept = 0.0
        self._since: float | None = None
        self._touched = 0.0

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._since is not None

    def touch(self) -> None:
        """Somebody is at work."""
        self._touched = self._clock()
        if self._since is None:
            self._since = self._touched

    def pause(self) -> None:
        """Nobody is, from now on."""
        self._kept, self._since = self.seconds(), None

    def seconds(self) -> float:
        """Seconds so far."""
        return self._kept + (0.0 if self._since is None else self._clock() - self._since)

    def worked(self) -> float:
        """Seconds up to the last touch, or to the pause after it."""
        return self._kept + (0.0 if self._since is None else self._touched - self._since)


class HumanAttack:
    """A person's work on a filter, one run after the other; several threads may ask at once.

    content: the filter, as the bytes of its file. folder: where runs are written, and earlier ones lie.
    starts: files of a dataset, whose training split has catastrophes to begin from. inference: where the filter is
    evaluated.
    A position that was looked at in this run is remembered, and costs nothing more.
    Methods raise InvalidRequest, EngineError, CorpusError.
    """

    def __init__(
        self,
        content: bytes,
        judge: Judge,
        folder: Path,
        *,
        starts: Sequence[Path] = (),
        inference: InferenceConfig | None = None,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.starts = folder, tuple(starts)
        self._content, self._judge, self._inference, self._clock = content, judge, inference, clock
        self._rng = rng or np.random.default_rng()
        self._lock = Lock()
        self._block = lru_cache(maxsize=4)(_training)
        earlier = [run for file in sorted(folder.glob("runs-*.jsonl")) for run in read_runs(file)]
        self._earlier_runs = len(earlier)
        self._earlier = {(example.fen, example.move) for run in earlier for example in run.examples}
        self._begin(1 + max((run.number for run in earlier), default=-1))

    @property
    def threshold(self) -> float:
        """Risk from which on the filter refuses a move."""
        return self._environment.threshold

    def look(self, fen: str) -> FilterScores:
        """The filter on every legal move; one query."""
        with self._asked():
            board, packed = _position(fen)
            legal, risk = self._risks(board, packed)
            scored = []
            for number, risk_of_move in zip(legal, risk.tolist(), strict=True):
                move = moves.decode(number, board)
                scored.append(ScoredMove(move.uci(), board.san(move), risk_of_move))
            return FilterScores(
                board.fen(), tuple(sorted(scored, key=lambda scored_move: (scored_move.risk, scored_move.uci)))
            )

    def saliency(self, fen: str, uci: str) -> list[float]:
        """How strongly the score of a move depends on each square, `[64]` from a1, b1 to h8, the strongest 1.

        The gradient of its logit, summed over the planes by size; two queries.
        """
        with self._asked():
            board, packed = _position(fen)
            number = _move(board, uci)
            key = packed.tobytes(), number
            if key not in self._salient:
                weight = np.abs(self._environment.gradient(packed, number)).sum(0)
                if not board.turn:
                    weight = weight[::-1]
                self._salient[key] = (weight / max(float(weight.max()), 1e-30)).ravel().tolist()
            return self._salient[key]

    def substitutions(self, fen: str, uci: str, square: str) -> list[Substitution]:
        """Every single edit at a square after which the move is still legal, the least risk first; a query each."""
        with self._asked():
            board, packed = _position(fen)
            number = _move(board, uci)
            if square not in chess.SQUARE_NAMES:
                raise InvalidRequest(f"expected a square from a1 to h8, got {square!r}")
            options = edits(packed, queens=True)
            edited = options.packed[options.squares == chess.parse_square(square)]
            after = [edited_board for edited_board in (legal_board(row, number) for row in edited) if edited_board]
            if not after:
                return []
            packed_after = np.array([planes.pack(edited_board) for edited_board in after], np.uint64)
            risk = [float(row[0]) for row in self._environment.risks(packed_after, [[number]] * len(after))]
            what = [_described(board, edited_board, chess.parse_square(square)) for edited_board in after]
            fens = [edited_board.fen() for edited_board in after]
            options_after = [Substitution(*row) for row in zip(what, fens, risk, strict=True)]
            return sorted(options_after, key=lambda substitution: substitution.risk)

    def verdict(self, fen: str, uci: str) -> OracleReply:
        """What the oracle says; an adversarial example is written at once. A refused move gets one look."""
        with self._asked():
            board, packed = _position(fen)
            number = _move(board, uci)
            legal, risks = self._risks(board, packed)
            risk = float(risks[legal.index(number)])
            if risk >= self.threshold:
                return OracleReply("refused", risk, self._environment.verdict(packed, number).loss, None)
            key = planes.fen(board), number
            if key in self._earlier or key in self._examples:
                return OracleReply("known", risk, None, None)
            loss, again = self._environment.twice(board, number)
            if again is None:
                return OracleReply("fine", risk, loss, None)
            if again < self._judge.config.threshold:
                return OracleReply("unconfirmed", risk, loss, again)
            self._watch.touch()
            example = self._environment.example(board, number, risk, loss, again)
            self._examples[key] = example
            self._write(example.seconds)
            return OracleReply("example", risk, loss, again)

    def start(self) -> StartingPosition:
        """A catastrophe of play to begin from, drawn from the training split."""
        with self._asked():
            for place in self._rng.permutation(len(self.starts)):
                data = self._block(self.starts[place])
                worst = max((float(data.losses(row).max()) for row in range(len(data))), default=0.0)
                if worst >= data.threshold:
                    row, at = catastrophe(data, min(LEAST, worst), self._rng)
                    board = planes.unpack(data.packed[row])
                    return StartingPosition(
                        board.fen(), moves.uci(data.legal[row][at], board), float(data.losses(row)[at])
                    )
            raise InvalidRequest("there is no dataset with catastrophes to begin from")

    def state(self) -> RunState:
        """Where the run stands; asking costs nothing."""
        with self._lock:
            meter = self._environment.meter
            return RunState(
                self._number, self._watch.seconds(), self._watch.running, meter.queries, meter.oracle,
                tuple(self._examples.values()), self._earlier_runs, len(self._earlier),
            )  # fmt: skip

    def pause(self) -> None:
        """Stop the clock until something is asked again."""
        with self._lock:
            self._watch.pause()

    def end(self) -> None:
        """End the run, with adversarial examples or without; the next question begins another."""
        with self._lock:
            self._finish(self._watch.seconds())

    def close(self) -> None:
        """End the run as of the last question, since nobody said that it went on."""
        with self._lock:
            self._finish(self._watch.worked())

    def _begin(self, number: int) -> None:
        self._number, self._written = number, False
        self._watch = Stopwatch(self._clock)
        self._examples: dict[tuple[str, int], AdversarialExample] = {}
        self._scores: dict[bytes, tuple[list[int], Floats]] = {}
        self._salient: dict[tuple[bytes, int], list[float]] = {}
        self._environment = AttackEnvironment(
            self._content, self._judge, AttackData(NOTHING, NOTHING, ""), queries=sys.maxsize, oracle=sys.maxsize,
            inference=self._inference, seconds=self._watch.seconds,
        )  # fmt: skip

    def _finish(self, seconds: float) -> None:
        meter = self._environment.meter
        if meter.queries <= 1 and not meter.oracle:  # a page was opened, and no more
            self._begin(self._number)
            return
        self._write(seconds)
        self._earlier_runs += 1
        self._earlier |= set(self._examples)
        self._begin(self._number + 1)

    def _write(self, seconds: float) -> None:
        """Write the run as it stands; the first time under a number that nobody else has taken."""
        while not self._written:
            try:
                run_file(self.folder, self._number).touch(exist_ok=False)
                self._written = True
            except FileExistsError:
                self._number += 1
        meter = self._environment.meter
        run = AttackRun(
            self._number,
            tuple(self._examples.values()),
            meter.queries,
            meter.oracle,
            seconds,
            meter.unconfirmed,
            meter.confirmed,
            ended="",
        )
        write(run_file(self.folder, self._number), [run])

    @contextmanager
    def _asked(self) -> Iterator[None]:
        with self._lock:
            self._watch.touch()
            yield

    def _risks(self, board: chess.Board, packed: planes.Packed) -> tuple[list[int], Floats]:
        key = packed.tobytes()
        if key not in self._scores:
            legal = sorted(moves.encode_all(board.legal_moves, board.turn))
            self._scores[key] = legal, self._environment.risks(packed[None], [legal])[0]
        return self._scores[key]


def _training(file: Path) -> Catastrophes:
    return read([file]).split("train")


def _position(fen: str) -> tuple[chess.Board, planes.Packed]:
    """A position that may be put forward, and packed `[10]`; InvalidRequest with the reason for any other."""
    try:
        board = chess.Board(fen) if len(fen.split()) > 4 else chess.Board(f"{fen} 0 1")
    except ValueError as error:
        raise InvalidRequest(f"not a position: {fen!r} ({error})") from None
    board.castling_rights = board.clean_castling_rights()
    board.fullmove_number = 1
    board = chess.Board(board.fen())  # without en passant where nobody can take
    packed = np.array(planes.pack(board), np.uint64)
    if legal_board(packed) is None:
        raise InvalidRequest(_reason(board))
    return board, packed


def _reason(board: chess.Board) -> str:
    """Why a position can't be put forward."""
    faults = [fault.name.lower().replace("_", " ") for fault in chess.Status if fault & board.status() and fault.name]
    if faults:
        return f"not a legal position: {', '.join(faults)}"
    if not any(board.legal_moves):
        return f"the game is over: {'checkmate' if board.is_check() else 'stalemate'}"
    return f"the game is over: {'fifty moves' if board.halfmove_clock >= 100 else 'insufficient material'}"


def _move(board: chess.Board, uci: str) -> int:
    """Number of a legal move in UCI notation."""
    try:
        move = chess.Move.from_uci(uci)
    except ValueError:
        raise InvalidRequest(f"expected a move such as e2e4, got {uci!r}") from None
    if move not in board.legal_moves:
        raise InvalidRequest(f"{uci} is not legal in {board.fen()}")
    return moves.encode(move, board.turn)


def _described(before: chess.Board, after: chess.Board, square: int) -> str:
    """What an edit at a square has changed, in words."""
    old, new = before.piece_at(square), after.piece_at(square)
    if new:
        return _named(new) if old is None else f"{_named(old)} becomes {chess.piece_name(new.piece_type)}"
    to = next((at for at in chess.SQUARES if after.piece_at(at) and not before.piece_at(at)), None)
    assert old is not None
    return f"{_named(old)} removed" if to is None else f"{_named(old)} to {chess.square_name(to)}"


def _named(piece: chess.Piece) -> str:
    return f"{'white' if piece.color else 'black'} {chess.piece_name(piece.piece_type)}"
