"""Positions of play with what is proposed in them, and which of the legal moves are catastrophes.

A catastrophe is a move that gives away `threshold` or more of the expected score. In some positions every
legal move is labelled, blunders that nobody proposes included; others are kept without labels, for attackers
to sample from. Games are dealt out to the splits whole, with all others from their opening.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engines import planes
from sandwich.data.corpus import CorpusError
from sandwich.runtime.kept import read_parquet
from sandwich.training.labels import packed_column

Floats = npt.NDArray[np.float32]
Split = Literal["train", "calibration", "test"]

VERSION = "sandwich-catastrophes/1"
DEALT = 10
"""Openings are dealt out in tens: one to calibration, two to the test, the others to training."""


HELD = 4
"""One attack run in so many is never learned from, and begins from other openings than the rest."""


GameNumbers = TypeVar("GameNumbers", int, npt.NDArray[np.int64])


def opening_of(games: GameNumbers, proposers: int) -> GameNumbers:
    """Number of the opening that a game began from: neighbouring games have one, and another of the proposers each."""
    return games // proposers


def split_of(opening: int) -> Split:
    """The split that all games from an opening belong to."""
    place = opening % DEALT
    return "calibration" if place == 0 else "test" if place <= 2 else "train"


@dataclass(frozen=True, eq=False)
class Catastrophes:
    """`N` positions with proposals and labels.

    packed: `[N, 10]` packed positions.
    legal: for each the numbers of its legal moves, in rising order.
    values: for each `[M]`, expected score of every legal move for the side to move; empty where not labelled.
    proposals: by proposer, for each position `[M]`, probability of each legal move.
    drawn: by proposer `[N]`, place in `legal` of one proposal.
    games: `[N]` number of the game that a position is from.
    openings: `[N]` number of the opening that it began from: what depends on each other, and what intervals are drawn
        from, are all games from one opening.
    threshold: expected score that a catastrophe gives away at least.
    """

    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    values: Sequence[Floats]
    proposals: Mapping[str, Sequence[Floats]]
    drawn: Mapping[str, npt.NDArray[np.int64]]
    games: npt.NDArray[np.int64]
    openings: npt.NDArray[np.int64]
    threshold: float

    def __len__(self) -> int:
        return len(self.packed)

    def losses(self, row: int) -> Floats:
        """Expected score that each legal move of a labelled position gives away, `[M]`."""
        return np.asarray(self.values[row].max() - self.values[row])

    def bad(self, row: int) -> npt.NDArray[np.bool_]:
        """Which legal moves of a labelled position are catastrophes, `[M]`."""
        return np.asarray(self.losses(row) >= self.threshold)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Catastrophes":
        """The positions of these rows."""
        rows = np.asarray(rows, np.int64)
        return Catastrophes(
            self.packed[rows],
            [self.legal[r] for r in rows],
            [self.values[r] for r in rows],
            {name: [lists[r] for r in rows] for name, lists in self.proposals.items()},
            {name: places[rows] for name, places in self.drawn.items()},
            self.games[rows],
            self.openings[rows],
            self.threshold,
        )

    def dealt(self, held: bool) -> "Catastrophes":
        """The positions that attacks begin from in runs that are held back, or in the others: one opening in `HELD`,
        the games of all proposers from it, and the rest. Where one of the two has no position, both are given all."""
        rows = self.openings % HELD == 0
        return self.take(np.flatnonzero(rows == held)) if rows.any() and not rows.all() else self

    def split(self, name: Split, labelled: bool = True) -> "Catastrophes":
        """The labelled positions of a split, or those kept without labels."""
        rows = [
            row
            for row, opening in enumerate(self.openings.tolist())
            if split_of(opening) == name and bool(len(self.values[row])) == labelled
        ]
        return self.take(rows)


def schema(engine: str, nodes: int, threshold: float, proposers: Sequence[str]) -> pa.Schema:
    """Columns of a dataset, and in its metadata all that its labels depend on."""
    return pa.schema(
        [
            pa.field("position", pa.binary(8 * planes.WORDS), nullable=False),
            pa.field("game", pa.uint32(), nullable=False),
            pa.field("ply", pa.uint16(), nullable=False),
            pa.field("mover", pa.string(), nullable=False),  # the proposer whose game it is
            pa.field("moves", pa.list_(pa.uint16()), nullable=False),
            pa.field("values", pa.list_(pa.float32()), nullable=False),  # empty: not labelled
            pa.field("proposals", pa.list_(pa.list_(pa.float32())), nullable=False),  # [proposer, M]
            pa.field("drawn", pa.list_(pa.uint16()), nullable=False),  # [proposer], place in moves
        ],
        metadata={
            "version": VERSION,
            "engine": engine,
            "nodes": str(nodes),
            "threshold": str(threshold),
            "proposers": json.dumps(list(proposers)),
        },
    )


def labelled_by(folder: Path) -> str | None:
    """The engine whose labels a dataset's folder holds; None: it holds none yet. DamagedError for a broken file."""
    path = next(iter(sorted(folder.glob("block-*.parquet"))), None)
    if path is None:
        return None
    about = read_parquet(path, []).schema.metadata or {}
    return bytes(about.get(b"engine", b"")).decode() or None


def read(files: Sequence[Path], together: int | None = None) -> Catastrophes:
    """A dataset from its files; CorpusError for one of another kind or labelled in another way, DamagedError.

    together: neighbouring games that began from one opening; None: one of each proposer.
    """
    tables = []
    for path in files:
        tables.append(read_parquet(path))
        about = tables[-1].schema.metadata or {}
        if about.get(b"version") != VERSION.encode():
            raise CorpusError(f"{path} is not of version {VERSION}")
        if about != tables[0].schema.metadata:
            raise CorpusError(f"{path} was labelled in another way than {files[0]}")
    table = pa.concat_tables(tables)
    about = table.schema.metadata
    names = json.loads(about[b"proposers"])
    proposals = [[np.array(policy, np.float32) for policy in row] for row in table["proposals"].to_pylist()]
    drawn = np.array(table["drawn"].to_pylist(), np.int64).reshape(-1, len(names))
    games = table["game"].to_numpy().astype(np.int64)
    return Catastrophes(
        packed_column(table["position"]),
        table["moves"].to_pylist(),
        [np.array(row, np.float32) for row in table["values"].to_pylist()],
        {name: [row[place] for row in proposals] for place, name in enumerate(names)},
        {name: drawn[:, place] for place, name in enumerate(names)},
        games,
        opening_of(games, together or len(names)),
        float(about[b"threshold"]),
    )
