"""Many games advancing in lock-step: what is legal, and when and why a game ends.

Moves go in and out as numbers of the vocabulary (`engines.moves`), positions as packed words (`engines.planes`), both
in batches. `engines.rules` says what a position alone tells; repetitions and the ply cap are known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import chess
import numpy as np
import numpy.typing as npt

from engines import moves, planes, rules
from engines.ragged import MoveLists
from engines.rules import Ending

MOST_COUNTED = 65535
"""Moves, and plies without a capture or a pawn's move, that a position may have behind it."""


def parse_fen(fen: str) -> chess.Board:
    """Board of a FEN or EPD position; ValueError in one line for one that is not standard chess."""
    try:
        board = chess.Board(fen) if len(fen.split()) > 4 else chess.Board(f"{fen} 0 1")
    except ValueError as error:
        raise ValueError(f"not a position: {fen!r} ({error})") from None
    status = board.status()
    if status & chess.STATUS_BAD_CASTLING_RIGHTS:
        free = chess.Board(board.fen(), chess960=True)
        free.set_castling_fen(fen.split()[2])
        if free.is_valid():
            raise ValueError(f"a Chess960 position: {fen!r}; only standard chess is played here")
    if max(board.fullmove_number, board.halfmove_clock) > MOST_COUNTED:
        raise ValueError(f"not a position: {fen!r} (its counters end at {MOST_COUNTED})")
    # Too many checkers only says that the position has no past; it can be played on like any other.
    status &= ~(chess.STATUS_TOO_MANY_CHECKERS | chess.STATUS_IMPOSSIBLE_CHECK)
    if status:
        reasons = ", ".join(s.name.lower().replace("_", " ") for s in chess.Status if s & status and s.name)
        raise ValueError(f"not a legal position: {fen!r} ({reasons})")
    return board


@lru_cache(maxsize=8192)
def _start(fen: str) -> tuple[tuple[int, ...], int]:
    """A position as packed words, and the plies before it; ValueError as `parse_fen`."""
    board = parse_fen(fen)
    return planes.pack(board), 2 * board.fullmove_number + (not board.turn)


class End(StrEnum):
    """Why a game ended."""

    CHECKMATE = "checkmate"
    STALEMATE = "stalemate"
    INSUFFICIENT_MATERIAL = "insufficient material"
    FIFTY_MOVES = "fifty moves"
    REPETITION = "repetition"
    PLY_CAP = "ply cap"


@dataclass(frozen=True)
class Result:
    """How a game ended: White's score (1, ½ or 0) and why."""

    white_score: float
    end: End

    def score(self, turn: chess.Color) -> float:
        """Score of the given colour."""
        return self.white_score if turn else 1 - self.white_score


def _result(ending: Ending, repeated: bool, white_to_move: bool) -> Result:
    """Result of a game that is over, by what its last position tells, else by its past."""
    if ending == Ending.CHECKMATE:
        return Result(float(not white_to_move), End.CHECKMATE)
    if ending:
        return Result(0.5, End[ending.name])
    return Result(0.5, End.REPETITION if repeated else End.PLY_CAP)


class GameBatch:
    """`G` games that advance in lock-step; every method takes the numbers of the games it is about.

    fens: starting position of each game.
    ply_cap: a game that has had this many plies since its start is a draw.
    A third repetition and the fifty-move rule end a game by themselves, without a claim.
    """

    def __init__(self, fens: Sequence[str], ply_cap: int) -> None:
        starts = [_start(fen) for fen in fens]
        self.plies = [0] * len(fens)
        """Plies played in each game since its start."""
        self.results: list[Result | None] = [None] * len(fens)
        """Result of each game, None while it goes on."""
        self._ply_cap = ply_cap
        self._packed = np.array([words for words, _ in starts], np.uint64).reshape(-1, planes.WORDS)
        self._first = [first for _, first in starts]
        self._seen: list[dict[bytes, int]] = [{} for _ in fens]
        self._legal, self._rows = MoveLists(np.empty(0, np.int16), np.zeros(1, np.int64)), np.full(len(fens), -1)
        self._arrive(range(len(fens)), self._packed)

    def __len__(self) -> int:
        return len(self.plies)

    @property
    def active(self) -> list[int]:
        """Numbers of the games that go on."""
        return [game for game, result in enumerate(self.results) if result is None]

    def turns(self, games: Sequence[int]) -> list[chess.Color]:
        """Side to move of each game."""
        turns: list[bool] = (self._packed[np.asarray(games, np.int64), 9] & np.uint64(1)).astype(bool).tolist()
        return turns

    def board(self, game: int) -> chess.Board:
        """A board of the position of one game, without its past."""
        board = planes.unpack(self._packed[game])
        board.fullmove_number = self._move_number(game)
        return board

    def fens(self, games: Sequence[int]) -> list[str]:
        """Position of each game; the en-passant square stands only where a capture is possible."""
        return [self.board(game).fen() for game in games]

    def positions(self, games: Sequence[int]) -> list[str]:
        """The same with the en-passant square even where no capture is possible (`planes.fen`)."""
        return rules.fens(self._packed[np.asarray(games, np.int64)], [self._move_number(game) for game in games])

    def _move_number(self, game: int) -> int:
        return (self._first[game] + self.plies[game]) // 2

    def packed(self, games: Sequence[int]) -> planes.Packed:
        """Packed positions, `[B, 10]`, read-only."""
        packed: planes.Packed = self._packed[np.asarray(games, np.int64)]
        packed.flags.writeable = False
        return packed

    def legal(self, games: Sequence[int]) -> MoveLists:
        """Numbers of the legal moves of each game, in rising order."""
        return self._legal.take(self._rows[np.asarray(games, np.int64)])

    def legal_mask(self, games: Sequence[int]) -> npt.NDArray[np.bool_]:
        """`[B, A]`, True where a move is legal."""
        return mask(self.legal(games))

    def apply(self, games: Sequence[int], chosen: Sequence[int]) -> None:
        """Play one move in each of the games; ValueError for a move that is not legal there, and none is played."""
        if len(games) != len(chosen):
            raise ValueError(f"expected {len(games)} moves, got {len(chosen)}")
        for game in games:
            if self.results[game] is not None:
                raise ValueError(f"game {game} is over")
        rows = np.asarray(games, np.int64)
        for place in np.flatnonzero(self.legal(games).find(np.asarray(chosen)) < 0)[:1]:
            game = games[place]
            raise ValueError(f"move {chosen[place]} is not legal in game {game}: {self.board(game).fen()}")
        packed, zeroing = rules.after(self._packed[rows], chosen)
        self._packed[rows] = packed
        for game, anew in zip(games, zeroing.tolist(), strict=True):
            self.plies[game] += 1
            if anew:
                self._seen[game].clear()
        self._arrive(games, packed)

    def _arrive(self, games: Sequence[int], packed: planes.Packed) -> None:
        """Look at the positions that games have come to: their legal moves, and which are over."""
        legal, endings = rules.legal_moves(packed)
        self._keep(games, legal)
        keys, size = rules.identities(packed).tobytes(), packed.itemsize * planes.WORDS
        for row, (game, ending) in enumerate(zip(games, endings.tolist(), strict=True)):
            counts, key = self._seen[game], keys[row * size : (row + 1) * size]
            counts[key] = times = counts.get(key, 0) + 1
            if ending or times >= 3 or self.plies[game] >= self._ply_cap:
                self.results[game] = _result(Ending(ending), times >= 3, bool(packed[row, 9] & np.uint64(1)))

    def _keep(self, games: Sequence[int], legal: MoveLists) -> None:
        """The legal moves of some games from now on; those of the others stay."""
        arrived = np.asarray(games, np.int64)
        others = np.setdiff1d(np.flatnonzero(self._rows >= 0), arrived)
        self._legal = MoveLists.joined([legal, self._legal.take(self._rows[others])]) if len(others) else legal
        self._rows[arrived] = np.arange(len(arrived))
        self._rows[others] = len(arrived) + np.arange(len(others))


@dataclass(frozen=True, eq=False)
class Successors:
    """Positions one move on, each seen from its own side to move (the opponent of who moved).

    packed: `[B, 10]` packed positions.
    legal: numbers of the legal moves of each.
    score: `[B]` score of the side to move where the game is over (0 or ½), NaN where it goes on.
    """

    packed: planes.Packed
    legal: MoveLists
    score: npt.NDArray[np.float32]


_SCORES = np.array([np.nan, 0, 0.5, 0.5, 0.5], np.float32)
"""Of the side to move, by `Ending`."""


def successors(packed: planes.Packed, chosen: Sequence[int] | npt.NDArray[np.integer]) -> Successors:
    """Positions `[B, 10]` after one legal move each; repetition can't be seen, the fifty-move rule is."""
    then, _ = rules.after(packed, chosen)
    legal, endings = rules.legal_moves(then)
    return Successors(then, legal, _SCORES[endings])


def mask(legal: Sequence[Sequence[int]]) -> npt.NDArray[np.bool_]:
    """`[B, A]` from lists of move numbers."""
    out = np.zeros((len(legal), moves.SIZE), np.bool_)
    numbers = MoveLists.of(legal)
    out[numbers.owners, numbers.flat] = True
    return out
