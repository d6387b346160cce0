"""Pictures of a sweep for papers: PGR against a dose with bands across seeds, and over two keys as a heat map."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import numpy as np

from experiments.figures.drawing import plain
from sandwich.sweeps.results import Curve, Point

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Picture

WIDTH = 80
"""Characters of a line of the legend."""
COLORS = ("#2a6fdb", "#d9822b", "#b3394a", "#3a8f5d", "#7a5cc0", "#4a4a4a")


def response(curves: Sequence[Curve], dose: str, path: Path) -> list[Path]:
    """Write the dose–response curves as SVG and PNG; the paths written."""
    with mpl.rc_context({"svg.hashsalt": "sandwich"}):
        picture, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
        for number, curve in enumerate(curves):
            color = COLORS[number % len(COLORS)]
            both = list(zip(curve.doses, curve.figures, strict=True))
            known = [(at, figure.value) for at, figure in both if figure.value is not None]
            if not known:
                continue
            doses, values = zip(*known, strict=True)
            ends = [(at, f.low, f.high) for at, f in both if f.low is not None and f.high is not None]
            if ends:
                axes.fill_between([e[0] for e in ends], [e[1] for e in ends], [e[2] for e in ends], color=color,
                                  alpha=0.15, linewidth=0)  # fmt: skip
            axes.plot(doses, values, "o-", color=color, markersize=4.5, label=plain(fill(curve.label, WIDTH)) or None)
            for at, point in zip(curve.doses, curve.points, strict=True):
                seeds = [figure.value for figure in point.seeds if figure.value is not None]
                if len(seeds) > 1:
                    axes.plot([at] * len(seeds), seeds, ".", color=color, alpha=0.45, markersize=4)
        axes.axhline(0, color="#888", linewidth=1)
        axes.axhline(1, color="#888", linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(plain(dose.rpartition(".")[2] if dose.endswith(".p") else dose))
        axes.set_ylabel("performance gap recovered (Elo)")
        axes.spines[["top", "right"]].set_visible(False)
        if any(curve.label for curve in curves):
            long = any(len(curve.label) > WIDTH for curve in curves)
            axes.legend(frameon=False, fontsize="xx-small" if long else None)
        return _save(picture, path)


def heat_map(points: Sequence[Point], keys: tuple[str, str], path: Path) -> list[Path]:
    """Write PGR over two keys, in which alone the points differ, as SVG and PNG; those without a figure stay empty."""
    columns, rows = ({str(v): None for v in sorted((p.values[key] for p in points), key=_order)} for key in keys)
    values = np.full((len(rows), len(columns)), np.nan)
    for point in points:
        figure = point.pgr()
        if figure.value is not None:
            column, row = (str(point.values[key]) for key in keys)
            values[list(rows).index(row), list(columns).index(column)] = figure.value
    with mpl.rc_context({"svg.hashsalt": "sandwich"}):
        picture, axes = plt.subplots(figsize=(1.6 + 0.9 * len(columns), 1.4 + 0.6 * len(rows)), layout="constrained")
        reach = max(0.1, float(np.nanmax(np.abs(values)))) if np.isfinite(values).any() else 1.0
        image = axes.imshow(values, cmap="RdBu", vmin=-reach, vmax=reach, origin="lower", aspect="auto")
        for row, column in np.argwhere(np.isfinite(values)):
            axes.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", fontsize=9)
        axes.set_xticks(range(len(columns)), [plain(str(value)) for value in columns])
        axes.set_yticks(range(len(rows)), [plain(str(value)) for value in rows])
        axes.set_xlabel(plain(keys[0]))
        axes.set_ylabel(plain(keys[1]))
        picture.colorbar(image, label="PGR (Elo)")
        return _save(picture, path)


def _order(value: object) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return not number, float(value) if isinstance(value, int | float) else 0.0, str(value)


def _save(picture: Picture, path: Path) -> list[Path]:
    written = [path.with_suffix(".svg"), path.with_suffix(".png")]
    picture.savefig(written[0], metadata={"Date": None})
    picture.savefig(written[1], dpi=160)
    plt.close(picture)
    return written
