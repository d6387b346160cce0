"""Rows of different lengths in one array, such as the legal moves of many positions or the policies over them."""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, Generic, Self, SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt

Row = TypeVar("Row")


class Ragged(Sequence[Row], Generic[Row]):
    """`B` rows behind one another in `flat`; row `b` is `flat[starts[b]:starts[b + 1]]`.

    flat: numbers of all rows, read-only.
    starts: `[B + 1]`, where each row begins and the last one ends.
    """

    def __init__(self, flat: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> None:
        flat.flags.writeable = False
        self.flat, self.starts = flat, starts
        self._rows: list[Row] | None = None

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Length of each row, `[B]`."""
        return np.diff(self.starts)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """Row that each number of `flat` stands in."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def take(self, rows: npt.ArrayLike) -> Self:
        """Some of the rows, in this order."""
        chosen = np.asarray(rows, np.int64)
        count = len(chosen)
        if count <= len(self) and np.array_equal(chosen, np.arange(count)):  # the first ones, which need no copy
            return self if count == len(self) else type(self)(self.flat[: self.starts[count]], self.starts[: count + 1])
        places, starts = self._places(chosen)
        return type(self)(self.flat[places], starts)

    def replaced(self, rows: npt.ArrayLike, by: "Self") -> Self:
        """Others in the place of some of the rows, each as long as the one before it."""
        places, _ = self._places(np.asarray(rows, np.int64))
        flat = self.flat.copy()
        flat[places] = by.flat
        return type(self)(flat, self.starts)

    def _places(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the numbers of some rows stand in `flat`, and where each of these rows begins among them."""
        sizes = self.sizes[rows]
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(sizes, out=starts[1:])
        return np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], sizes), starts

    @classmethod
    def joined(cls, parts: Sequence["Self"]) -> Self:
        """The rows of all parts (one at least), in their order."""
        starts = np.zeros(sum(map(len, parts)) + 1, np.int64)
        np.cumsum(np.concatenate([part.sizes for part in parts]), out=starts[1:])
        return cls(np.concatenate([part.flat for part in parts]), starts)

    def at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Of each row the number at a place within it, `[B]`."""
        return np.asarray(self.flat[self.starts[:-1] + places])

    def best(self) -> npt.NDArray[np.int64]:
        """Place of the highest number of each row, none of them under 0; the first of several."""
        return np.asarray(self.padded(-1).argmax(1))

    def padded(self, filler: float) -> npt.NDArray[Any]:
        """`[B, M]`, M being the longest row; what a row lacks is the filler."""
        sizes = self.sizes
        out = np.full((len(sizes), int(sizes.max(initial=0))), filler, self.flat.dtype)
        out[np.arange(out.shape[1]) < sizes[:, None]] = self.flat
        return out

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, row: SupportsIndex) -> Row: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Row]: ...
    def __getitem__(self, row: SupportsIndex | slice) -> Row | Sequence[Row]:
        return self._all()[row]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._all())

    def _all(self) -> list[Row]:
        if self._rows is None:
            self._rows = self._cut()
        return self._rows

    def _cut(self) -> list[Row]:
        raise NotImplementedError


class MoveLists(Ragged[list[int]]):
    """Numbers of moves of each position; a row is a list."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # as of a list

    @classmethod
    def of(cls, legal: Sequence[Sequence[int]]) -> "MoveLists":
        """The same of lists; what is one already comes back as it is."""
        if isinstance(legal, MoveLists):
            return legal
        starts = np.zeros(len(legal) + 1, np.int64)
        np.cumsum([len(row) for row in legal], out=starts[1:])
        return cls(np.fromiter(chain.from_iterable(legal), np.int64, int(starts[-1])), starts)

    def find(self, chosen: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Place in each row of a number, `[B]`; −1 where it is not there."""
        owners = self.owners
        there = np.flatnonzero(self.flat == chosen[owners])
        out = np.full(len(self), -1)
        out[owners[there]] = there - self.starts[owners[there]]
        return out

    def _cut(self) -> list[list[int]]:
        numbers = self.flat.tolist()
        return [numbers[start:end] for start, end in pairwise(self.starts.tolist())]


class Policies(Ragged[npt.NDArray[np.float32]]):
    """Probabilities of the moves of each position; a row is a view `[M]` that can't be written to."""

    @classmethod
    def of(cls, policies: Sequence[npt.NDArray[np.float32]]) -> "Policies":
        """The same of arrays; what is one already comes back as it is."""
        if isinstance(policies, Policies):
            return policies
        starts = np.zeros(len(policies) + 1, np.int64)
        np.cumsum([len(row) for row in policies], out=starts[1:])
        return cls(np.concatenate(policies) if len(policies) else np.empty(0, np.float32), starts)

    def _cut(self) -> list[npt.NDArray[np.float32]]:
        return [self.flat[start:end] for start, end in pairwise(self.starts.tolist())]
