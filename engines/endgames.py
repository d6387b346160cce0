"""Positions of at most four men, solved exactly: win, draw or loss with best play, without the fifty-move rule.

A table holds every placing of one material for the side to move: an axis of 64 squares for each man, own king, other
king, own men, other men, the board turned so that the side to move plays upwards. It is solved together with the same
material seen from the other side, from all unknown (drawn) on, by taking the best of all moves again and again until
nothing changes; captures and promotions lead to tables solved before. Castling rights have no place in a table, an
en-passant square is looked up by way of the moves behind it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from zipfile import BadZipFile

import chess
import numpy as np
import numpy.typing as npt

from engines import planes
from engines.rules import after, legal_moves

Table = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]

MEN = 4
"""Men at most, kings included."""
PIECES = "QRBNP"
"""Order of men within a side."""
LOSS, DRAW, WIN = -1, 0, 1
ILLEGAL = 2
"""The side to move could take the king, or men stand where they can't."""
NOTHING = -3
"""Worth of a move that there is not; −`ILLEGAL` is that of one which leaves the king to be taken."""
FLIP = np.arange(64) ^ 56
STEPS = {
    "K": chess.BB_KING_ATTACKS,
    "N": chess.BB_KNIGHT_ATTACKS,
}
STRAIGHT, DIAGONAL = ((0, 1), (0, -1), (1, 0), (-1, 0)), ((1, 1), (1, -1), (-1, 1), (-1, -1))
WAYS = {"Q": STRAIGHT + DIAGONAL, "R": STRAIGHT, "B": DIAGONAL}
Signature = tuple[str, str]
"""Men besides the kings of the side to move, and of the other."""


@cache
def rays(piece: str, square: int) -> tuple[tuple[int, ...], ...]:
    """Squares that a piece goes to from a square of an empty board, ray by ray; leapers have rays of one square."""
    if piece in STEPS:
        return tuple((to,) for to in chess.scan_forward(STEPS[piece][square]))
    out = []
    for up, right in WAYS[piece]:
        rank, file, ray = square // 8 + up, square % 8 + right, []
        while 0 <= rank < 8 and 0 <= file < 8:
            ray.append(8 * rank + file)
            rank, file = rank + up, file + right
        if ray:
            out.append(tuple(ray))
    return tuple(out)


@cache
def diagonals(square: int, up: int) -> tuple[int, ...]:
    """Squares that a pawn attacks."""
    return tuple(square + 8 * up + side for side in (-1, 1) if 0 <= square % 8 + side < 8 and 0 <= square + 8 * up < 64)


def ordered(men: Iterable[str]) -> str:
    """Men in the order of a table's axes."""
    return "".join(sorted(men, key=PIECES.index))


def without(men: str, piece: str) -> str:
    """Men less one of a kind."""
    return men.replace(piece, "", 1)


class Endgames:
    """Tables by material, made where they are first asked for, and kept in `folder` (None: in memory alone)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._tables: dict[Signature, Table] = {}

    def table(self, own: str, other: str) -> Table:
        """Worth for the side to move of every placing, `[64, 64, …]`: `LOSS`, `DRAW`, `WIN`, or `ILLEGAL`.

        own, other: men besides the kings, such as `"R"` and `"P"`. ValueError for more than four in all.
        """
        wanted = ordered(own), ordered(other)
        if len(own) + len(other) + 2 > MEN:
            raise ValueError(f"expected at most {MEN} men, got {len(own) + len(other) + 2}")
        if wanted not in self._tables:
            for signature in {wanted, wanted[::-1]}:
                if (kept := self._read(signature)) is not None:
                    self._tables[signature] = kept
            if not {wanted, wanted[::-1]} <= self._tables.keys():
                self._tables |= _solved(self, wanted)
                for signature in {wanted, wanted[::-1]}:
                    self._write(signature)
        return self._tables[wanted]

    def worth(self, packed: planes.Packed) -> npt.NDArray[np.int8]:
        """`LOSS`, `DRAW` or `WIN` for the side to move of legal positions `[B, 10]`.

        ValueError for one of more than four men, or with castling rights.
        """
        out = np.empty(len(packed), np.int8)
        places: dict[Signature, tuple[list[int], list[list[int]]]] = {}
        passing = []
        for row, words in enumerate(packed):
            board = planes.unpack(words)
            if board.castling_rights:
                raise ValueError(f"expected no castling rights, got {board.fen()}")
            if board.has_legal_en_passant():
                passing.append(row)
                continue
            signature, squares = placed(board)
            rows, of = places.setdefault(signature, ([], []))
            rows.append(row)
            of.append(squares)
        for signature, (rows, of) in places.items():
            out[rows] = self.table(*signature)[tuple(np.array(of).T)]
        for row in passing:  # no table knows of the square: by what can be played
            legal, _ = legal_moves(packed[[row]])
            behind, _ = after(np.repeat(packed[[row]], len(legal[0]), axis=0), legal[0])
            out[row] = -self.worth(behind).min()
        return out

    def moves(self, packed: planes.Packed) -> list[npt.NDArray[np.float32]]:
        """For each position `[M]`, expected score of every legal move for the side to move: 0, ½ or 1 exactly."""
        legal, _ = legal_moves(packed)
        parents = np.repeat(np.arange(len(packed)), [len(legal[row]) for row in range(len(packed))])
        behind, _ = after(packed[parents], np.concatenate([legal[row] for row in range(len(packed))]))
        score = (1 - self.worth(behind).astype(np.float32)) / 2
        return [score[parents == row] for row in range(len(packed))]

    def _path(self, signature: Signature) -> Path | None:
        return None if self.folder is None else self.folder / f"K{signature[0]}vK{signature[1]}.npz"

    def _read(self, signature: Signature) -> Table | None:
        path = self._path(signature)
        if path is None or not path.exists():
            return None
        shape = (64,) * (2 + sum(map(len, signature)))
        try:
            with np.load(path, allow_pickle=False) as file:
                bits = np.unpackbits(file["bits"]).reshape(2, -1)
            number: Table = (bits[0] + 2 * bits[1]).astype(np.int8)
            return number.reshape(shape) - np.int8(1)
        except (OSError, ValueError, KeyError, BadZipFile):
            return None  # damaged: it is solved again

    def _write(self, signature: Signature) -> None:
        path = self._path(signature)
        if path is None:
            return
        number = self._tables[signature].ravel().astype(np.uint8) + np.uint8(1)  # −1 is 255: 0
        bits = np.packbits(np.stack([number & 1, number >> 1 & 1]))
        with suppress(OSError):  # a folder that can't be written to: they stay in memory
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
                np.savez_compressed(file, bits=bits)
            Path(file.name).replace(path)  # whole, whoever else writes it


def placed(board: chess.Board) -> tuple[Signature, list[int]]:
    """A position's material and the squares of its men, in the order of a table's axes."""
    turn, flip = board.turn, 0 if board.turn == chess.WHITE else 56
    men: dict[bool, list[tuple[int, int]]] = {chess.WHITE: [], chess.BLACK: []}
    kings = {}
    for square, piece in board.piece_map().items():
        if piece.piece_type == chess.KING:
            kings[piece.color] = square ^ flip
        else:
            men[piece.color].append((PIECES.index(piece.symbol().upper()), square ^ flip))
    own, other = sorted(men[turn]), sorted(men[not turn])
    if len(own) + len(other) + 2 > MEN:
        raise ValueError(f"expected at most {MEN} men, got {len(own) + len(other) + 2}")
    signature = "".join(PIECES[kind] for kind, _ in own), "".join(PIECES[kind] for kind, _ in other)
    return signature, [kings[turn], kings[not turn], *(square for _, square in own), *(square for _, square in other)]


# ---- solving


def _solved(known: Endgames, wanted: Signature) -> dict[Signature, Table]:
    """The tables of a material from both sides."""
    signatures = list(dict.fromkeys((wanted, wanted[::-1])))
    sides = {signature: _Side(known, *signature) for signature in signatures}
    tables = {signature: np.where(side.illegal, ILLEGAL, DRAW).astype(np.int8) for signature, side in sides.items()}
    changed = True
    while changed:
        changed = False
        for signature, side in sides.items():
            new = side.best(tables[signature[::-1]])
            changed |= not np.array_equal(new, tables[signature])
            tables[signature] = new
    return tables


class _Side:
    """What does not change while a material is solved, seen from one side.

    illegal: placings that can't be. check: those in which the side to move is in check. exits: the best of captures
    and promotions, which lead to other tables. passing: see `_passing`.
    """

    def __init__(self, known: Endgames, own: str, other: str) -> None:
        self.own, self.other = own, other
        self.men = ["K", "K", *own, *other]
        self.mine = [0, *range(2, 2 + len(own))]
        self.theirs = [1, *range(2 + len(own), len(self.men))]
        self.shape = (64,) * len(self.men)
        self.illegal = self._misplaced() | self._attacked(self.mine, 1, 1)
        self.check = self._attacked(self.theirs, 0, -1)
        self.exits = np.full(self.shape, NOTHING, np.int8)
        for axis in self.mine:
            for victim in self.theirs[1:]:
                self._capture(known, axis, victim)
            if self.men[axis] == "P":
                self._promote(known, axis)
        self.passing = self._passing(known)

    def best(self, theirs: Table) -> Table:
        """Worth of every placing by the best move, given what the other side's placings are worth to it."""
        view = self._mine(theirs, self.own, self.other)
        best = self.exits.copy()
        for axis in self.mine:
            self._quiet(best, view, axis)
        stuck = best <= -ILLEGAL
        best[stuck] = np.where(self.check[stuck], LOSS, DRAW)
        best[self.illegal] = ILLEGAL
        return best

    def _mine(self, table: Table, own: Sequence[str], other: Sequence[str]) -> Table:
        """A table of the other side's, its axes in the order: own king, other king, these own men, these other men."""
        places = [1, 0]
        first = 2 + len(other)
        for men, start in ((own, first), (other, 2)):
            order = sorted(range(len(men)), key=lambda place, men=men: PIECES.index(men[place]))  # type: ignore[misc]
            places += [start + order.index(place) for place in range(len(men))]
        turned = table.transpose(places)
        for axis in range(turned.ndim):
            turned = turned.take(FLIP, axis)
        return turned

    def _misplaced(self) -> Bools:
        """Two men on a square, or a pawn on the first or last rank."""
        out = np.zeros(self.shape, np.bool_)
        square = np.arange(64)
        grids = np.ix_(*[square] * len(self.men))
        for axis, piece in enumerate(self.men):
            if piece == "P":
                out |= (grids[axis] < 8) | (grids[axis] > 55)
            for before in range(axis):
                out |= grids[axis] == grids[before]
        return out

    def _attacked(self, attackers: Sequence[int], king: int, up: int) -> Bools:
        """Placings in which one of these men attacks a king, whose axis this is."""
        out = np.zeros(self.shape, np.bool_)
        for axis in attackers:
            moved = np.moveaxis(out, (axis, king), (0, 1))
            for square in range(64):
                for ray in self._attacks(self.men[axis], square, up):
                    free = np.ones(moved.shape[2:], np.bool_)
                    for to in ray:
                        moved[square, to] |= free
                        _close(free, to)
        return out

    @staticmethod
    def _attacks(piece: str, square: int, up: int) -> Iterable[tuple[int, ...]]:
        return ((to,) for to in diagonals(square, up)) if piece == "P" else rays(piece, square)

    def _quiet(self, best: Table, view: Table, axis: int) -> None:
        """Moves of one man to free squares, other than promotions; into `best`."""
        into, of = np.moveaxis(best, axis, 0), np.ascontiguousarray(-np.moveaxis(view, axis, 0))
        passing = np.moveaxis(self.passing[axis], axis, 0) if axis in self.passing else None
        for square, ray in self._ways(axis):
            free = np.ones(into.shape[1:], np.bool_)
            for to in ray:
                _close(free, to)
                worth = of[to]
                if passing is not None and to - square == 16:
                    worth = np.minimum(worth, passing[square])  # the other side may take in passing
                np.maximum(into[square], np.where(free, worth, NOTHING), out=into[square])

    def _ways(self, axis: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        piece = self.men[axis]
        for square in range(64):
            if piece != "P":
                yield from ((square, ray) for ray in rays(piece, square))
            elif 8 <= square < 48:
                yield square, (square + 8, square + 16) if square < 16 else (square + 8,)

    def _capture(self, known: Endgames, axis: int, victim: int) -> None:
        """Captures by one man of another, into `exits`."""
        piece, left = self.men[axis], list(self.other)
        del left[victim - 2 - len(self.own)]
        into = np.moveaxis(self.exits, (axis, victim), (0, 1))
        for promoted in self._become(axis):
            own = list(self.own)
            if axis:
                own[axis - 2] = promoted
            small = self._mine(known.table(ordered(left), ordered(own)), own, left)
            of = np.ascontiguousarray(-np.moveaxis(small, axis, 0))
            for square in range(64):
                for ray in self._attacks(piece, square, 1):
                    free = np.ones(into.shape[2:], np.bool_)
                    for to in ray:
                        if (piece == "P") and (to > 55) == (promoted == "P"):
                            continue
                        there = into[square, to]
                        np.maximum(there, np.where(free, of[to], NOTHING), out=there)
                        _close(free, to)

    def _promote(self, known: Endgames, axis: int) -> None:
        """Promotions of a pawn on a free square, into `exits`."""
        into = np.moveaxis(self.exits, axis, 0)
        for promoted in "QRBN":
            own = list(self.own)
            own[axis - 2] = promoted
            view = self._mine(known.table(self.other, ordered(own)), own, list(self.other))
            of = -np.moveaxis(view, axis, 0)
            for square in range(48, 56):
                free = np.ones(into.shape[1:], np.bool_)
                _close(free, square + 8)
                np.maximum(into[square], np.where(free, of[square + 8], NOTHING), out=into[square])

    def _become(self, axis: int) -> str:
        """What a man may be after a capture."""
        return "PQRBN" if self.men[axis] == "P" else self.men[axis]

    def _passing(self, known: Endgames) -> dict[int, Table]:
        """By axis of an own pawn: what its double step from each square is worth where another takes it in passing.

        Only with a pawn on both sides. `−NOTHING` where nobody can.
        """
        out: dict[int, Table] = {}
        if "P" not in self.own or "P" not in self.other:
            return out
        axis, taker = 2 + self.own.index("P"), 2 + len(self.own) + self.other.index("P")
        worth = np.full(self.shape, -NOTHING, np.int8)
        into = np.moveaxis(worth, (axis, taker), (0, 1))
        left = without(self.own, "P")
        table = known.table(left, self.other)  # seen by this side again: its pawn is gone
        places = [0, 1, *(2 + place for place in range(len(left))), *range(2 + len(left), table.ndim)]
        of = np.moveaxis(table.transpose(places), 2 + len(left) + self.other.index("P"), 0)
        for square in range(8, 16):
            for side in (-1, 1):
                if 0 <= square % 8 + side < 8:
                    taken = of[square + 8]
                    into[square, square + 16 + side] = np.where(taken == ILLEGAL, -NOTHING, taken)
        out[axis] = worth
        return out


def _close(free: Bools, square: int) -> None:
    """Placings in which another man stands on a square are free no longer."""
    for axis in range(free.ndim):
        free[(slice(None),) * axis + (square,)] = False


def material(name: str) -> Signature:
    """The signature of a material by its usual name, such as KRvKP; ValueError for what is none."""
    sides = name.split("v")
    good = len(sides) == 2 and all(side.startswith("K") and not set(side[1:]) - set(PIECES) for side in sides)
    if not good or len(name) - 1 > MEN:
        raise ValueError(f"expected a material of at most {MEN} men, such as KRvKP, got {name!r}")
    return ordered(sides[0][1:]), ordered(sides[1][1:])


def contested(name: str) -> Signature:
    """The same, of a material in which somebody can win; ValueError where nobody can."""
    signature = material(name)
    if len("".join(signature)) < 2 and not {*"".join(signature)} - {*"BN"}:
        raise ValueError(f"expected a material in which something is at stake, got {name}")
    return signature


def drawn(tables: Endgames, signature: Signature, count: int, rng: np.random.Generator) -> planes.Packed:
    """Legal positions `[B, 10]` of a material with moves, drawn by lot among all its placings, White to move."""
    table = tables.table(*signature)
    out: list[tuple[int, ...]] = []
    colors = [chess.WHITE, chess.BLACK, *[chess.WHITE] * len(signature[0]), *[chess.BLACK] * len(signature[1])]
    kinds = [chess.KING, chess.KING, *(chess.PIECE_SYMBOLS.index(man.lower()) for man in "".join(signature))]
    while len(out) < count:
        squares = tuple(rng.integers(64, size=table.ndim).tolist())
        if table[squares] == ILLEGAL:
            continue
        board = chess.Board(None)
        for square, color, kind in zip(squares, colors, kinds, strict=True):
            board.set_piece_at(square, chess.Piece(kind, color))
        if any(board.legal_moves):
            out.append(planes.pack(board))
    return np.array(out, np.uint64)
