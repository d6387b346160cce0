"""The figures of a sweep as a piece of a page: its cells in a table, and what the dose does, key by key."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from experiments.report import bound, count
from experiments.report.dose import Dose, dose
from experiments.report.drawing import linked
from experiments.viewer.folders import Cell, cells, name_of
from sandwich.metrics import MetricsError, read_metrics
from sandwich.sweep_results import Point

Address = Callable[[str], str]

ENOUGH = 3
"""Seeds from which on there is an interval over them."""

SHOWN = {
    "pgr": ("PGR in Elo", "ratio"),
    "pgr_sampled": ("PGR, temperature 1", "ratio"),
    "pgr_win_loss": ("PGR in Win% loss", "ratio"),
    "elo": ("Elo", "elo"),
    "agreement": ("Agreement", "percent"),
}
"""Figures of a cell's last row: what a reader calls each, and how its numbers are written."""


def sweep_figures(root: Path, address: Address) -> Markup:
    """The sweep's table and pictures; `address` leads from the key of a cell to its run."""
    found = [(cell, _last_row(cell)) for cell in cells(root)]
    keys = list(dict.fromkeys(key for cell, _ in found for key in cell.values))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"bound": bound, "count": count}
    page = files(__package__).joinpath("web/sweep.html").read_text(encoding="utf-8")
    states = [cell.state for cell, _ in found]
    return Markup(
        environment.from_string(page).render(
            name=name_of(root),
            states={state: states.count(state) for state in dict.fromkeys(states)},
            keys=keys,
            shown=SHOWN,
            doses=[(key, _dose(found, key, address)) for key in doses([cell for cell, _ in found])],
            cells=[(cell, address(cell.key), row, error) for cell, (row, error) in found],
        )
    )


def doses(found: Sequence[Cell]) -> list[str]:
    """Keys that the sweep varies, seeds aside; the seed itself where nothing else varies."""
    keys = dict.fromkeys(key for cell in found for key in cell.values)
    varied = [key for key in keys if len({str(cell.values.get(key)) for cell in found}) > 1]
    return [key for key in varied if not _is_seed(key)] or varied


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed"


def _last_row(cell: Cell) -> tuple[dict[str, Any] | None, str | None]:
    """Last row of a cell's metrics, or why there is none."""
    try:
        rows = read_metrics(cell.folder)
    except MetricsError as error:
        return None, str(error)
    return (rows[-1] if rows else None), cell.error


def _dose(
    found: Sequence[tuple[Cell, tuple[dict[str, Any] | None, str | None]]], key: str, address: Address
) -> Markup | None:
    """PGR over the values of one key: a point for each cell, a line through the means over seeds, and their bands."""
    points = []
    seeds: dict[tuple[str, Any], Point] = {}
    for cell, (row, _) in found:
        figure = (row or {}).get("pgr") or {}
        if key in cell.values and figure.get("value") is not None:
            rest = [f"{k.rpartition('.')[2]}={v}" for k, v in cell.values.items() if k != key and not _is_seed(k)]
            named = ", ".join(f"{k.rpartition('.')[2]}={v}" for k, v in cell.values.items())
            points.append(Dose(cell.values[key], figure, ", ".join(rest), cell.key, named))
            rows = read_metrics(cell.folder)
            together = seeds.setdefault((points[-1].group, cell.values[key]), Point({}, []))
            together.rows.append((rows[0], rows[-1]))
    joint = {place: point.pgr().json() for place, point in seeds.items() if len(point.rows) >= ENOUGH}
    svg = dose(points, key, joint)
    return Markup(linked(svg, address)) if svg else None
