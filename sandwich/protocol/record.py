"""What has happened in the games of a block, ply by ply, and the rows of the ledger that it comes to.

What the student has seen and what it must not see are kept apart: a strategy is given the former alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from agents.batches import Integers
from engines import moves
from engines.positions import Result
from engines.ragged import MoveLists, Policies, Ragged
from sandwich.protocol import ledger

Values = npt.NDArray[Any] | Policies | MoveLists

MOVES = ("own_move", "advised", "honest", "ground_truth", "decided", "played")
"""Columns of moves: places in `moves.SPELLED`, −1 for none."""
OF_PLIES = ("ply", "fen", "position", "student", "own_move", "own_value", "asked", "decided", "played")
"""Columns that every ply has."""
OF_ANSWERS = (
    "channel", "advised", "advised_policy", "advised_value", "repeated", "panel", "honest", "honest_value",
    "assistant_value", "misaligned", "panel_misaligned", "believed", "weight", "confidence", "questions",
    "evaluations", "ground_truth",
)  # fmt: skip
"""Columns that a ply has on which the student asked; none is −1, NaN or a row without numbers."""
BY_SEAT: dict[str, Sequence[object]] = {"panel": moves.SPELLED, "panel_misaligned": (False, True)}
"""Columns with a number for each of `K` seats, and what the numbers stand for; −1 is none, and a row of it nothing."""
SEEN = tuple(name for name in (*OF_PLIES, *OF_ANSWERS) if name in ledger.VISIBLE)
"""Columns of a game that goes on which a strategy may look at."""
_SPELLED = pa.array(moves.SPELLED)
_SAID = {name: pa.array(said) for name, said in BY_SEAT.items()}


@dataclass(eq=False)
class Ply:
    """One ply of the `B` games that went on, as the student saw it.

    games: `[B]` place of each game in its block, in rising order.
    columns: `[B]` of `OF_PLIES`, and of the visible ones of `OF_ANSWERS` as many as were asked.
    """

    games: Integers
    columns: dict[str, Values]
    _lists: dict[str, list[Any]] = field(default_factory=dict)

    def value(self, game: int, name: str) -> Any:
        """What a column holds for one game."""
        if name not in self._lists:
            there = name in self.columns
            self._lists[name] = (
                python(name, self.columns[name], self.columns["asked"]) if there else [None] * len(self.games)
            )
        return self._lists[name][int(np.searchsorted(self.games, game))]


def python(name: str, values: Values, asked: Any) -> list[Any]:
    """A column as Python's own values, None where nothing was asked or there is nothing."""
    out: list[Any]
    if name in MOVES:
        out = [None if place < 0 else moves.SPELLED[place] for place in values.tolist()]  # type: ignore[union-attr]
    elif name == "position":
        out = [words.tobytes() for words in np.asarray(values)]
    elif name in BY_SEAT:
        said = BY_SEAT[name]
        out = [
            tuple(None if one < 0 else said[one] for one in seats) if max(seats) >= 0 else None
            for seats in np.asarray(values).tolist()
        ]
    elif isinstance(values, MoveLists):
        out = [tuple(moves.SPELLED[place] for place in row) if row else None for row in values]
    elif isinstance(values, Policies):
        out = [tuple(row.tolist()) if len(row) else None for row in values]
    elif values.dtype.kind == "f":
        out = [None if number != number else number for number in values.tolist()]
    else:
        out = values.tolist()
    if name in OF_ANSWERS:
        answers = iter(out)
        out = [next(answers) if one else None for one in asked.tolist()]
    return out


def _rows(values: Values, rows: range) -> Values:
    return values.take(rows) if isinstance(values, Ragged) else values[rows.start : rows.stop]


class PlayedSoFar(Mapping[str, Sequence[Any]]):
    """The visible ledger columns of a game's plies up to now; made where somebody looks."""

    def __init__(self, plies: Sequence[Ply], game: int) -> None:
        self._plies, self._game, self._count = plies, game, len(plies)

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        if name not in SEEN:
            raise KeyError(name)
        return tuple(ply.value(self._game, name) for ply in self._plies[: self._count])

    def __iter__(self) -> Iterator[str]:
        return iter(SEEN if self._count else ())

    def __len__(self) -> int:
        return len(SEEN) if self._count else 0


class Record:
    """All plies of the `G` games of a block.

    first: number of the first game.
    """

    def __init__(self, first: int) -> None:
        self.plies: list[Ply] = []
        """As the student saw them."""
        self._first = first
        self._hidden: list[dict[str, Values]] = []

    def add(self, games: Integers, of_plies: dict[str, Values], of_answers: dict[str, Values]) -> None:
        """Another ply: its columns in `OF_PLIES`, and those in `OF_ANSWERS` of the games in which the student asked."""
        seen = {name: values for name, values in of_answers.items() if name in SEEN}
        self._hidden.append({name: values for name, values in of_answers.items() if name not in SEEN})
        self.plies.append(Ply(games, {**of_plies, **seen}))

    def so_far(self, game: int) -> PlayedSoFar:
        """What the student has seen of one game."""
        return PlayedSoFar(self.plies, game)

    def finish(self, results: Sequence[Result]) -> "Finished":
        """The whole of it, once every game is over."""
        games = np.concatenate([ply.games for ply in self.plies])
        order = np.argsort(games, kind="stable")
        columns: dict[str, Any] = {
            name: np.concatenate([ply.columns[name] for ply in self.plies])[order] for name in OF_PLIES
        }
        # Where each answer stands among the answers of all plies, once the rows of a game are together.
        asked = np.concatenate([ply.columns["asked"] for ply in self.plies])
        places = (np.cumsum(asked) - 1)[order][columns["asked"]]
        with_answers = [
            {**ply.columns, **hidden}
            for ply, hidden in zip(self.plies, self._hidden, strict=True)
            if "channel" in ply.columns
        ]
        for name in OF_ANSWERS if with_answers else ():
            parts: list[Any] = [part[name] for part in with_answers]
            if isinstance(parts[0], Ragged):
                columns[name] = type(parts[0]).joined(parts).take(places)
            else:
                columns[name] = np.concatenate(parts)[places]
        white = (columns["position"][:, 9] & np.uint64(1)).astype(bool)
        scores = np.array([result.white_score for result in results])[games[order]]
        columns["game"], columns["result"] = games[order] + self._first, np.where(white, scores, 1 - scores)
        return Finished(columns, np.searchsorted(games[order], np.arange(len(results) + 1)))


class Finished:
    """The games of a block, one game's plies behind the other's.

    columns: of all plies, or of those on which the student asked.
    starts: `[G + 1]`, where each game begins and the last one ends.
    """

    def __init__(self, columns: dict[str, Values], starts: Integers) -> None:
        self._columns, self._starts = columns, starts
        self._asked = np.asarray(columns["asked"])

    def game(self, place: int, names: Sequence[str]) -> dict[str, list[Any]]:
        """Columns of one game, as Python's own values."""
        start, end = self._starts[place : place + 2].tolist()
        before, within = int(self._asked[:start].sum()), self._asked[start:end]
        plies, answers = range(start, end), range(before, before + int(within.sum()))
        return {
            name: python(name, _rows(self._columns[name], answers if name in OF_ANSWERS else plies), within)
            if name in self._columns
            else [None] * len(plies)
            for name in names
        }

    def table(self, weights: Sequence[float | None] | None = None) -> pa.Table:
        """All of it as rows of the ledger.

        weights: of each ply's example, in place of what was decided.
        """
        arrays = {name: self._column(name) for name in ledger.SCHEMA.names}
        if weights is not None:
            arrays["weight"] = pa.array(weights, ledger.SCHEMA.field("weight").type)
        return pa.table(arrays, schema=ledger.SCHEMA)

    def _column(self, name: str) -> pa.Array:
        kind, values = ledger.SCHEMA.field(name).type, self._columns.get(name)
        if values is None:  # nobody asked, or nobody has looked yet
            return pa.nulls(len(self._asked), kind)
        if name == "position":
            words = np.ascontiguousarray(values, np.dtype("<u8"))
            return pa.Array.from_buffers(kind, len(words), [None, pa.py_buffer(words.tobytes())])
        if name in BY_SEAT:
            seats = np.full((len(self._asked), np.shape(values)[1]), -1)
            seats[self._asked] = values
            there = (seats >= 0).any(1)
            ends = np.concatenate([[0], np.cumsum(there * seats.shape[1])]).astype(np.int32)
            flat = seats[there].ravel()
            said = _SAID[name].take(pa.array(np.maximum(flat, 0), mask=flat < 0))
            return pa.ListArray.from_arrays(ends, said, mask=pa.array(~there))
        if isinstance(values, Ragged):
            sizes = np.zeros(len(self._asked), np.int64)
            sizes[self._asked] = values.sizes
            ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
            policy = isinstance(values, Policies)
            flat = pa.array(values.flat, pa.float32()) if policy else _SPELLED.take(pa.array(values.flat))
            return pa.ListArray.from_arrays(ends, flat, mask=pa.array(sizes == 0))
        if name in MOVES:
            missing = values < 0
        else:
            missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)
        if name in OF_ANSWERS:
            full, nothing = np.zeros(len(self._asked), values.dtype), np.ones(len(self._asked), np.bool_)
            full[self._asked], nothing[self._asked] = values, missing
            values, missing = full, nothing
        if name in MOVES:
            return _SPELLED.take(pa.array(np.where(missing, 0, values), mask=missing))
        mask = missing if missing.any() else None
        return (
            pa.array(values, kind, mask=mask)
            if values.dtype.kind != "f"
            else pa.array(values.astype(np.float32), kind, mask=mask)
        )
