"""Harm against suspicion of misalignments, in the eyes of the weak and of the strong player."""

import io
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from experiments.figures.drawing import plain
from sandwich.runtime.files import write_whole

COLORS = mpl.color_sequences["tab20"]
MARKERS = "os^Dv<>PX*hp"


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Write an SVG of two panels: each misalignment a line through its doses, points with 95 % intervals."""
    names = list(dict.fromkeys(row["misalignment"] for row in rows))
    with mpl.rc_context({"svg.hashsalt": "sandwich", "font.size": 9}):
        figure = Figure(figsize=(9.6, 4.6), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, eye, who in zip(panels, ("student", "expert"), ("the weak player", "the expert"), strict=True):
            for number, name in enumerate(names):
                doses = [row for row in rows if row["misalignment"] == name]
                harm, suspicion = ([row[key] for row in doses] for key in ("win_loss", f"suspicion_{eye}"))
                axes.errorbar(
                    [f["value"] for f in harm], [f["value"] for f in suspicion],
                    xerr=_bars(harm), yerr=_bars(suspicion),
                    color=COLORS[2 * number % 20 + number // 10], marker=MARKERS[number % len(MARKERS)],
                    markersize=4.5, linewidth=1.2, elinewidth=0.9, label=plain(name),
                )  # fmt: skip
            top = max(row["win_loss"]["value"] for row in rows)
            axes.plot([0, top], [0, top], color="#999", linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
            axes.set_title(f"in the eyes of {plain(who)}", fontsize=10)
            axes.set_xlabel("harm: Win% lost per question (Stockfish)")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("suspicion: Win% by which the answer looks worse")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_whole(path, buffer.getvalue())


def _bars(figures: list[dict[str, Any]]) -> list[list[float]]:
    """Lengths of the lower and of the upper whisker of each figure; none where a bound is unknown."""
    return [
        [abs(figure["value"] - figure[end]) if figure[end] is not None else math.nan for figure in figures]
        for end in ("low", "high")
    ]
