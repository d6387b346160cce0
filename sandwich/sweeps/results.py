"""What came of a sweep: one tidy table, and PGR against the dose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from engines.settings import SpecError
from sandwich.runs.metrics import scalars
from sandwich.runtime.files import parquet_bytes, write_whole
from sandwich.runtime.progress import Row
from sandwich.statistics import (
    SEEDS,
    Components,
    Figure,
    Floats,
    components,
    few_figure,
    holm,
    pgr_seeds_figure,
    pooled,
)
from sandwich.sweeps.cells import Cell
from sandwich.sweeps.sweep_spec import Values

SEED = "seed"
DRAWS = 2_000
"""Of the bootstrap behind the intervals across seeds."""


def tidy(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row for each cell and step: the cell's key and values, and every number of its metrics by flat name.

    A damaged cell has none.
    """
    return pd.DataFrame(
        {"cell": cell.key, **{key: _plain(value) for key, value in cell.values.items()}, **scalars(row)}
        for cell in cells
        for row in cell.rows
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else repr(value)


def write_results(root: Path, cells: Sequence[Cell]) -> Path:
    """Write `results.parquet` of a sweep's folder, and return its path."""
    path = root / "results.parquet"
    write_whole(path, parquet_bytes(pa.Table.from_pandas(tidy(cells), preserve_index=False)))
    return path


@dataclass(frozen=True, eq=False)
class Point:
    """The finished cells that differ in their seed alone.

    values: of the keys that vary, without the seed.
    rows: for each cell its first and its last row of metrics.
    """

    values: Values
    rows: list[tuple[Row, Row]]

    @property
    def seeds(self) -> list[Figure]:
        """PGR of each run, within that training run."""
        return [Figure(**last["pgr"]) for _, last in self.rows]

    def pgr(self) -> Figure:
        """PGR over the seeds and openings jointly; of one run its own; of two their mean, without an interval.

        Withheld where it is in one of the runs: the others would be a selection.
        """
        few = few_figure(self.seeds)
        if few.value is None or len(self.rows) < SEEDS:
            return few
        pairs = self.pairs
        complete = ~np.isnan(pairs).any((0, 1))
        starts, ends = pairs[:, 0, complete], pairs[:, 1, complete]
        return pgr_seeds_figure(starts, ends, DRAWS, np.random.default_rng(0))

    @property
    def pairs(self) -> Floats:
        """Pair scores of first and last row, `[seeds, 2, openings]`; NaN where a pair repeated another."""
        return np.array([[row["pairs"]["best"] for row in both] for both in self.rows], np.float64)


def corrected(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Figures as JSON values; those that have a p-value with that, and with it corrected for their number (Holm's)."""
    out = [figure.json() | ({} if figure.p is None else {"p": figure.p}) for figure in figures]
    known = [figure for figure in out if "p" in figure]
    for figure, p in zip(known, holm([figure["p"] for figure in known]), strict=True):
        figure["p_holm"] = p
    return out


def points(cells: Sequence[Cell]) -> list[Point]:
    """The finished cells of a sweep, those that differ in their seed alone together, in the order of the cells."""
    grouped: dict[str, Point] = {}
    for cell in cells:
        rows = cell.rows if cell.done else []
        if rows:
            values = {key: value for key, value in cell.values.items() if key != SEED}
            grouped.setdefault(repr(values), Point(values, [])).rows.append((rows[0], rows[-1]))
    return list(grouped.values())


def variance(cells: Sequence[Cell]) -> Components:
    """Where the variance of a difference in PGR between two arms comes from, a mean over all pairs of arms.

    Arms are finished cells that differ in their seed alone. Raises SpecError where no two have three seeds in common.
    """
    arms: dict[str, dict[int, tuple[Row, Row]]] = {}
    for cell in cells:
        if cell.done and (rows := cell.rows):
            values = {key: value for key, value in cell.values.items() if key != SEED}
            arms.setdefault(repr(values), {})[cell.spec.seed] = rows[0], rows[-1]
    found, reasons = [], []
    for one, other in combinations(arms.values(), 2):
        seeds = sorted(one.keys() & other.keys())
        if len(seeds) >= SEEDS:
            scores = np.stack([Point({}, [arm[seed] for seed in seeds]).pairs for arm in (one, other)])
            scores = scores[..., ~np.isnan(scores).any((0, 1, 2))]
            part = components(scores[0, :, 0], scores[0, :, 1], scores[1, :, 1], DRAWS, np.random.default_rng(0))
            if isinstance(part, str):
                reasons.append(part)
            else:
                found.append(part)
    if not found:
        why = reasons[0] if reasons else f"no two arms have {SEEDS} seeds in common that are done"
        raise SpecError(f"--power: the variances of runs are not known: {why}")
    return pooled(found)


@dataclass(frozen=True, eq=False)
class Curve:
    """PGR against a dose, all else being equal.

    label: what distinguishes it from the sweep's other curves.
    doses: rising. points, figures: one for each dose.
    """

    label: str
    doses: list[float]
    points: list[Point]
    figures: list[Figure]

    @property
    def break_even(self) -> float | None:
        """The dose up to which the lower end of PGR's interval is above 0; None where it is not at the smallest.

        The last before the first where it is not, or where there is no interval, whatever there is beyond.
        """
        return self._around[0]

    @property
    def break_even_text(self) -> str:
        """The same in words, with the dose that came next; where that has an interval, the truth lies between them."""
        at, beyond = self._around
        known = beyond is None or self.figures[self.doses.index(beyond)].low is not None
        if all(figure.low is None for figure in self.figures):
            text = "not known, no dose has an interval"
        elif at is None:
            text = "none" if known else f"not known, {beyond:g} has no interval"
        elif beyond is None:
            text = f"{at:g}, the largest of all"
        else:
            text = f"{at:g}, {'no more' if known else 'not known'} at {beyond:g}"
        return f"break-even dose{' of ' + self.label if self.label else ''}: {text}"

    @property
    def _around(self) -> tuple[float | None, float | None]:
        """The last dose before the first that does not surely help, and that one."""
        last = None
        for dose, figure in zip(self.doses, self.figures, strict=True):
            if figure.low is None or figure.low <= 0:
                return last, dose
            last = dose
        return last, None


def numeric_keys(points_: Sequence[Point]) -> list[str]:
    """Keys whose values are numbers wherever they are: those of the most points first, then of the most values."""
    keys = dict.fromkeys(key for point in points_ for key in point.values)
    values = {key: [point.values[key] for point in points_ if key in point.values] for key in keys}
    numeric = [key for key, some in values.items() if all(map(_number, some))]
    return sorted(numeric, key=lambda key: (-len(values[key]), -len(set(values[key]))))


def dose_keys(points_: Sequence[Point]) -> list[str]:
    """The numeric keys that it takes for every point to have a dose: one, but where misalignments differ in theirs."""
    out: list[str] = []
    for key in numeric_keys(points_):
        if any(key in point.values for point in points_ if not any(chosen in point.values for chosen in out)):
            out.append(key)
    return out


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def curves(points_: Sequence[Point], dose: str) -> list[Curve]:
    """A curve over `dose` for each combination of the other values, of the points that have it."""
    grouped: dict[str, list[Point]] = {}
    for point in points_:
        if dose in point.values:
            grouped.setdefault(label({k: v for k, v in point.values.items() if k != dose}), []).append(point)
    out = []
    for name, some in grouped.items():
        ordered = sorted(some, key=lambda point: float(point.values[dose]))
        doses = [float(point.values[dose]) for point in ordered]
        out.append(Curve(name, doses, ordered, [point.pgr() for point in ordered]))
    return out


def label(values: Mapping[str, Any]) -> str:
    """Values in few words: a plugin by its type, any other key by the last part of its name."""
    parts = [str(v) if key.endswith(".type") else f"{key.rpartition('.')[2]} = {v}" for key, v in values.items()]
    return ", ".join(parts)
