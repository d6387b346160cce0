"""What the pictures of the report are drawn with: SVG without any outside address.

Colours are written as CSS variables, so that a page's light and dark style reaches into the pictures.
"""

import html
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.figures.arrows import ARROWS

Row = dict[str, Any]

INK, MUTED, GRID, SURFACE = "#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04"
BLUE, ORANGE, GREEN, RED, VIOLET = "#0a0a11", "#0a0a12", "#0a0a13", "#0a0a14", "#0a0a15"
MOVES = {kind: f"#0a0a2{place}" for place, kind in enumerate(ARROWS)}
"""Colour of each kind of move, that of its arrow."""
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "line", SURFACE: "surface",
    BLUE: "blue", ORANGE: "orange", GREEN: "green", RED: "red", VIOLET: "violet",
    **{color: kind for kind, color in MOVES.items()},
}  # fmt: skip
"""Placeholder of each colour, and the CSS variable that takes its place."""

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
}

NAN = math.nan


def measured(rows: Sequence[Row], *keys: str) -> bool:
    """Whether any of these figures has a value in any row."""
    return any((row.get(key) or {}).get("value") is not None for row in rows for key in keys)


def number(figure: Mapping[str, Any] | None, part: str) -> float:
    """A part of a figure's JSON (`value`, `low`, `high`); NaN where there is none."""
    value = (figure or {}).get(part)
    return NAN if value is None else float(value)


def series(rows: Sequence[Row], key: str) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps, values, lower and upper ends of a figure; NaN where there is none."""
    value, low, high = ([number(row.get(key), part) for row in rows] for part in ("value", "low", "high"))
    return [row["step"] for row in rows], value, low, high


def draw_points(
    axes: Axes,
    rows: Sequence[Row],
    key: str,
    color: str,
    label: str,
    *,
    shift: float = 0.0,
    faint: bool = False,
    dashed: bool = False,
    whiskers: bool = True,
) -> None:
    """A figure as points joined by a line, with its interval as a whisker; an open end has an arrow.

    dashed: triangles on a dashed line, in place of dots.
    """
    if not measured(rows, key):
        return
    steps, value, low, high = series(rows, key)
    shift *= min(4.0, max(1.0, (steps[-1] - steps[0]) / 4))
    places = [step + shift for step in steps]
    width, size = (1.2, 4.0) if faint else (1.8, 5.5)
    axes.plot(places, value, color=color, linewidth=width, marker="^" if dashed else "o", markersize=size,
              linestyle=(0, (4, 2)) if dashed else "-", label=label, markeredgecolor=SURFACE, markeredgewidth=0.8,
              zorder=4 if faint else 5)  # fmt: skip
    for step, x, middle, bottom, top in zip(steps, places, value, low, high, strict=True):
        if not math.isnan(middle):
            link(axes, x, middle, f"{step}", f"step {step}, {label}: {with_interval(middle, bottom, top)}")
    if not whiskers:
        return
    for x, middle, bottom, top in zip(places, value, low, high, strict=True):
        if math.isnan(middle):
            continue
        ends = [middle if math.isnan(bottom) else bottom, middle if math.isnan(top) else top]
        axes.plot([x, x], ends, color=color, linewidth=width, alpha=0.7, zorder=3)
        for end, away in ((bottom, -11), (top, 11)):
            if math.isnan(end):
                arrow = {"arrowstyle": "<-", "color": color, "alpha": 0.7, "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", (x, middle), (0, away), textcoords="offset points", arrowprops=arrow)
            else:
                axes.plot([x], [end], color=color, marker="_", markersize=size + 1, alpha=0.7, zorder=3)


def link(axes: Axes, x: float, y: float, target: str, title: str) -> None:
    """Make a point of the picture something to click: the page that shows it says what a target leads to."""
    axes.plot(
        [x],
        [y],
        linestyle="none",
        marker="o",
        markersize=15,
        color=INK,
        alpha=0,
        url=f"point:{target}:{title}",
        zorder=9,
    )


def linked(svg: str, address: Callable[[str], str]) -> str:
    """The same picture with its points led to the addresses of their targets, and named for whoever points at them."""

    def anchor(match: re.Match[str]) -> str:
        return f'<a href="{html.escape(address(html.unescape(match[1])))}" class="point"><title>{match[2]}</title>'

    return re.sub(r'<a href="point:([^":]*):([^"]*)"[^>]*>', anchor, svg)


def with_interval(value: float, low: float, high: float) -> str:
    """A value with its interval; an end that is open is a question mark."""
    ends = ("?" if math.isnan(end) else f"{end:.3g}" for end in (low, high))
    return f"{value:.3g} [{', '.join(ends)}]".replace("-", "−")


def draw_dotted(axes: Axes, rows: Sequence[Row], key: str, style: Any, label: str) -> None:
    """The values of a figure of another run."""
    steps, value, _, _ = series(rows, key)
    axes.plot(steps, value, color=MUTED, linewidth=1.4, linestyle=style, label=label, zorder=2)


def room(axes: Axes, values: Sequence[float], margin: float) -> None:
    """Make the axis as high as the values, with a margin."""
    known = [value for value in values if not math.isnan(value)]
    low, high = min(known), max(known)
    space = (high - low or 1.0) * margin
    axes.set_ylim(low - space, high + space)


def step_axis(axes: Axes, rows: Sequence[Row]) -> None:
    """Let the axis be that of the rows' steps."""
    first, last = rows[0]["step"], rows[-1]["step"]
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.set_xlabel("step")


def plain(text: str) -> str:
    """Text from a file, in which matplotlib must see no formula."""
    return text.replace("$", r"\$")


def mark_level(axes: Axes, height: float, name: str) -> None:
    """Name a level line at its right end."""
    axes.annotate(name, (1, height), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                  ha="right", color=MUTED, fontsize=8.5)  # fmt: skip


@contextmanager
def picture(size: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    """A figure of a size in inches, to be drawn on inside and given to `svg`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def svg(figure: Figure, axes: Axes, title: str, name: str, legend: int = 0) -> str:
    """The picture as an SVG element that may stand in a page beside others."""
    if legend:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=legend, handlelength=1.2,
                      columnspacing=1.4, borderaxespad=0.2)  # fmt: skip
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"font: (?:(bold) )?([\d.]+)px [^;\"]*", r"font-size: \2px", text)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box
    opening = f'<svg {box[0]} role="img" aria-label="{title}" class="chart {name}">'
    text = opening + text[text.index(">") + 1 :]
    text = text.replace("xlink:href", "href")
    # Every picture's own names, so that no two in a page are alike.
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for placeholder, variable in VARIABLES.items():
        text = text.replace(placeholder, f"var(--{variable})")
    return re.sub(r">\s+<", "><", text).strip()
