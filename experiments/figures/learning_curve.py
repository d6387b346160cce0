"""The learning curve of a training: its `curve.jsonl` in, `curve.svg` beside it out."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from sandwich.runtime.files import write_whole
from sandwich.runtime.kept import read_json_lines
from sandwich.statistics import share_figure

Row = dict[str, Any]

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.color": "#ddd",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "svg.hashsalt": "curve",
}
BLUE, ORANGE = "#2a6fdb", "#d9822b"


def write_curve(folder: Path) -> Path | None:
    """Draw the learning curve of a training's folder; None where there is no report to draw."""
    source = folder / "curve.jsonl"
    rows = read_json_lines(source)
    if not rows:
        return None
    unseen = [row for row in rows if row.get("validation", {}).get("n")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4), layout="constrained")
        FigureCanvasSVG(figure)
        figure.suptitle(f"Training of {folder.resolve().name}", parse_math=False)
        losses, accuracy = figure.subplots(1, 2)
        _losses(losses, rows, unseen)
        _top1(accuracy, rows, unseen)
        for axes in (losses, accuracy):
            axes.set_xlim(0, rows[-1]["steps"] * 1.02)
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.set_xlabel("optimiser step")
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    path = folder / "curve.svg"
    write_whole(path, out.getvalue())
    return path


def _losses(axes: Axes, rows: Sequence[Row], unseen: Sequence[Row]) -> None:
    for name, color in (("policy", BLUE), ("value", ORANGE)):
        key = f"{name}_loss"
        _line(axes, rows, key, color, f"{name}, training")
        if unseen:
            points = [row["validation"][key] for row in unseen]
            axes.plot(_steps(unseen), points, "o", color=color, markeredgecolor="white", label=f"{name}, unseen games")
    axes.set_ylabel("loss (nats per position)")
    axes.set_title("Policy and value loss", fontsize=10)
    axes.legend(loc="upper right")


def _top1(axes: Axes, rows: Sequence[Row], unseen: Sequence[Row]) -> None:
    _line(axes, rows, "top1", BLUE, "training")
    if unseen:
        figures = [share_figure(round(v["top1"] * v["n"]), v["n"]) for v in (row["validation"] for row in unseen)]
        ends = [(f.value or 0.0, f.low or 0.0, f.high or 0.0) for f in figures]
        whiskers = [[value - low for value, low, _ in ends], [high - value for value, _, high in ends]]
        label = f"{unseen[-1]['validation']['n']:,} positions of unseen games, 95 % interval"
        axes.errorbar(_steps(unseen), [value for value, _, _ in ends], whiskers, fmt="o", color=BLUE,
                      markersize=3.5, elinewidth=1.1, capsize=2.5, label=label)  # fmt: skip
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("first target move found (% of positions)")
    axes.set_title("Top-1 accuracy", fontsize=10)
    axes.legend(loc="lower right")


def _line(axes: Axes, rows: Sequence[Row], key: str, color: str, label: str) -> None:
    """Training figures by step; a lone report is a dot, which a line would not show."""
    mark = "." if len(rows) == 1 else None
    axes.plot(_steps(rows), [row[key] for row in rows], color=color, alpha=0.55, marker=mark, label=label)


def _steps(rows: Sequence[Row]) -> list[int]:
    return [row["step"] for row in rows]
