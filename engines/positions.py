"""Many games advancing in lock-step behind one interface, with python-chess inside for now.

Owns the rules of a game: what is legal, and when and why it ends. Moves go in and out as numbers of
the vocabulary (`engines.moves`), positions as packed words (`engines.planes`), both in batches, so
that the rules inside can be exchanged without anyone outside noticing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import chess
import numpy as np
import numpy.typing as npt

from engines import moves, planes


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
    # Too many checkers only says that the position has no past; it can be played on like any other.
    status &= ~(chess.STATUS_TOO_MANY_CHECKERS | chess.STATUS_IMPOSSIBLE_CHECK)
    if status:
        reasons = ", ".join(s.name.lower().replace("_", " ") for s in chess.Status if s & status and s.name)
        raise ValueError(f"not a legal position: {fen!r} ({reasons})")
    return board


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


class GameBatch:
    """`G` games that advance in lock-step; every method takes the numbers of the games it is about.

    fens: starting position of each game.
    ply_cap: a game that has had this many plies since its start is a draw.
    A third repetition and the fifty-move rule end a game by themselves, without a claim.
    """

    def __init__(self, fens: Sequence[str], ply_cap: int) -> None:
        self.boards = [parse_fen(fen) for fen in fens]
        self.plies = [0] * len(fens)
        """Plies played in each game since its start."""
        self.results: list[Result | None] = [None] * len(fens)
        """Result of each game, None while it goes on."""
        self._ply_cap = ply_cap
        self._seen: list[dict[object, int]] = [{} for _ in fens]
        self._legal: list[list[int]] = [[] for _ in fens]
        for game in range(len(fens)):
            self._arrive(game)

    def __len__(self) -> int:
        return len(self.boards)

    @property
    def active(self) -> list[int]:
        """Numbers of the games that go on."""
        return [game for game, result in enumerate(self.results) if result is None]

    def turns(self, games: Sequence[int]) -> list[chess.Color]:
        """Side to move of each game."""
        return [self.boards[game].turn for game in games]

    def fens(self, games: Sequence[int]) -> list[str]:
        """Position of each game; the en-passant square stands only where a capture is possible."""
        return [self.boards[game].fen() for game in games]

    def packed(self, games: Sequence[int]) -> planes.Packed:
        """Packed positions, `[B, 10]`, read-only."""
        packed = np.array([planes.pack(self.boards[game]) for game in games], np.uint64).reshape(-1, planes.WORDS)
        packed.flags.writeable = False
        return packed

    def legal(self, games: Sequence[int]) -> list[list[int]]:
        """Numbers of the legal moves of each game, in rising order."""
        return [self._legal[game] for game in games]

    def legal_mask(self, games: Sequence[int]) -> npt.NDArray[np.bool_]:
        """`[B, A]`, True where a move is legal."""
        return mask(self.legal(games))

    def apply(self, games: Sequence[int], chosen: Sequence[int]) -> None:
        """Play one move in each of the games; ValueError for a move that is not legal there."""
        for game, index in zip(games, chosen, strict=True):
            if self.results[game] is not None:
                raise ValueError(f"game {game} is over")
            if index not in self._legal[game]:
                raise ValueError(f"move {index} is not legal in game {game}: {self.boards[game].fen()}")
            board = self.boards[game]
            move = moves.decode(index, board)
            if board.is_zeroing(move):
                self._seen[game].clear()
            board.push(move)
            board.move_stack.clear()
            board._stack.clear()
            self.plies[game] += 1
            self._arrive(game)

    def _arrive(self, game: int) -> None:
        """Look at the position that a game has come to: its legal moves, and whether it is over."""
        board = self.boards[game]
        self._legal[game] = legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        if not legal:
            mated = board.is_check()
            score = (0.0 if board.turn else 1.0) if mated else 0.5
            self.results[game] = Result(score, End.CHECKMATE if mated else End.STALEMATE)
            return
        key = board._transposition_key()
        counts = self._seen[game]
        counts[key] = times = counts.get(key, 0) + 1
        if board.is_insufficient_material():
            self.results[game] = Result(0.5, End.INSUFFICIENT_MATERIAL)
        elif board.halfmove_clock >= 100:
            self.results[game] = Result(0.5, End.FIFTY_MOVES)
        elif times >= 3:
            self.results[game] = Result(0.5, End.REPETITION)
        elif self.plies[game] >= self._ply_cap:
            self.results[game] = Result(0.5, End.PLY_CAP)


@dataclass(frozen=True, eq=False)
class Successors:
    """Positions one move on, each seen from its own side to move (the opponent of who moved).

    packed: `[B, 10]` packed positions.
    legal: numbers of the legal moves of each.
    score: `[B]` score of the side to move where the game is over (0 or ½), NaN where it goes on.
    """

    packed: planes.Packed
    legal: list[list[int]]
    score: npt.NDArray[np.float32]


def successors(packed: planes.Packed, chosen: Sequence[int]) -> Successors:
    """Positions `[B, 10]` after one legal move each; repetition can't be seen, the fifty-move rule is."""
    after: list[tuple[int, ...]] = []
    legal: list[list[int]] = []
    score = np.full(len(chosen), np.nan, np.float32)
    for row, index in enumerate(chosen):
        board = planes.unpack(packed[row])
        board.push(moves.decode(index, board))
        numbers = sorted(moves.encode_all(board.legal_moves, board.turn))
        after.append(planes.pack(board))
        legal.append(numbers)
        if not numbers:
            score[row] = 0.0 if board.is_check() else 0.5
        elif board.is_insufficient_material() or board.halfmove_clock >= 100:
            score[row] = 0.5
    return Successors(np.array(after, np.uint64).reshape(-1, planes.WORDS), legal, score)


def mask(legal: Sequence[Sequence[int]]) -> npt.NDArray[np.bool_]:
    """`[B, A]` from lists of move numbers."""
    out = np.zeros((len(legal), moves.SIZE), np.bool_)
    rows = np.repeat(np.arange(len(legal)), [len(row) for row in legal])
    out[rows, np.fromiter((i for row in legal for i in row), np.int64, len(rows))] = True
    return out
