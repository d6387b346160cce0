"""The figures of a sweep as a piece of a page: its cells in a table, and what the dose does, key by key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from experiments.figures.drawing import linked
from experiments.figures.report import measured_columns
from experiments.figures.sweep_chart import Dose, dose
from experiments.figures.templates import render
from experiments.viewer.folders import Cell, cells, name_of
from sandwich.runtime.kept import DamagedError
from sandwich.runtime.progress import Row
from sandwich.statistics import SEEDS
from sandwich.sweeps.cells import DAMAGED, LEFT_OUT, whole_rows
from sandwich.sweeps.results import Point, curves, numeric_keys

Address = Callable[[str], str]

SHOWN = {
    "pgr": ("PGR in Elo", "ratio"),
    "pgr_half": ("PGR, temperature 0.5", "ratio"),
    "pgr_sampled": ("PGR, temperature 1", "ratio"),
    "pgr_win_loss": ("PGR in Win% loss", "ratio"),
    "elo": ("Elo", "elo"),
    "agreement": ("Agreement", "percent"),
}
"""Figures of a cell's last row: what a reader calls each, and how its numbers are written."""


@dataclass(frozen=True)
class CellMetrics:
    """A cell and the metrics of its run, or why they cannot be read."""

    cell: Cell
    rows: list[Row]
    error: str | None

    @property
    def row(self) -> Row | None:
        """Its last row, once there is a response; a row of W_0 alone only where its run ended with it."""
        return self.rows[-1] if len(self.rows) > 1 or (self.rows and self.cell.state == "done") else None


def sweep_figures(root: Path, address: Address) -> Markup:
    """The sweep's table and pictures; `address` leads from the key of a cell to its run."""
    known = [_cell_metrics(cell) for cell in cells(root)]
    done = [metrics for metrics in known if metrics.cell.state == "done" and metrics.rows]
    keys = list(dict.fromkeys(key for metrics in known for key in metrics.cell.values))
    shown, missing = measured_columns(SHOWN, [metrics.row for metrics in known if metrics.row])
    states = [metrics.cell.state for metrics in known]
    return render(
        "viewer/sweep.html",
        name=name_of(root),
        states={state: states.count(state) for state in dict.fromkeys(states)},
        keys=keys,
        shown=shown,
        missing=missing,
        doses=[(key, *_dose(done, key, address)) for key in doses([metrics.cell for metrics in known])],
        cells=[(m.cell, address(m.cell.key), m.row, m.error) for m in known],
    )


def doses(of: Sequence[Cell]) -> list[str]:
    """Keys that the sweep varies, seeds aside; the seed itself where nothing else varies."""
    there = [cell.values for cell in of if cell.state != LEFT_OUT]
    keys = dict.fromkeys(key for values in there for key in values)
    varied = [key for key in keys if len({str(values.get(key)) for values in there}) > 1]
    return [key for key in varied if not _is_seed(key)] or varied


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed"


def _cell_metrics(cell: Cell) -> CellMetrics:
    try:
        return CellMetrics(cell, whole_rows(cell.folder), cell.error)
    except DamagedError as error:
        state = LEFT_OUT if cell.state == LEFT_OUT else DAMAGED
        return CellMetrics(replace(cell, state=state), [], str(error))


def _dose(done: Sequence[CellMetrics], key: str, address: Address) -> tuple[Markup | None, list[str]]:
    """PGR over the values of one key, and the break-even doses where these are numbers.

    A picture with a point for each cell, a line through the means over seeds, and their bands.
    """
    points = []
    seeds: dict[tuple[str, str], Point] = {}
    for metrics in done:
        values = metrics.cell.values
        if key in values:
            varied = {k: v for k, v in values.items() if not _is_seed(k)}
            rest = [f"{k.rpartition('.')[2]}={v}" for k, v in varied.items() if k != key]
            named = ", ".join(f"{k.rpartition('.')[2]}={v}" for k, v in values.items())
            points.append(Dose(values[key], metrics.rows[-1]["pgr"], ", ".join(rest), metrics.cell.key, named))
            together = seeds.setdefault(points[-1].place, Point(varied, []))
            together.rows.append((metrics.rows[0], metrics.rows[-1]))
    joint = {place: point.pgr().json() for place, point in seeds.items() if len(point.rows) >= SEEDS}
    svg = dose(points, key, joint)
    settings = list(seeds.values())
    even = [curve.break_even_text for curve in curves(settings, key)] if key in numeric_keys(settings) else []
    return Markup(linked(svg, address)) if svg else None, even
