"""The report's pictures: rows of metrics in, SVG without any outside address out.

Colours are written as CSS variables, so that a page's light and dark style reaches into the pictures.
"""

import html
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

Row = dict[str, Any]

INK, MUTED, GRID, SURFACE = "#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04"
BLUE, ORANGE, GREEN, RED, VIOLET = "#0a0a11", "#0a0a12", "#0a0a13", "#0a0a14", "#0a0a15"
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "line", SURFACE: "surface",
    BLUE: "blue", ORANGE: "orange", GREEN: "green", RED: "red", VIOLET: "violet",
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


def pgr(rows: Sequence[Row], beside: Mapping[str, Sequence[Row]] | None = None) -> str | None:
    """Performance gap recovered by step, in its three currencies; dotted, in Elo, that of other runs."""
    if not _measured(rows, "pgr", "pgr_sampled", "pgr_win_loss"):
        return None
    with _figure((8.6, 3.5)) as (figure, axes):
        steps, _, low, high = _series(rows, "pgr")
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.axhline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.fill_between(steps, low, high, color=BLUE, alpha=0.16, linewidth=0)
        _points(axes, rows, "pgr", BLUE, "Elo, best move", whiskers=False)
        _points(axes, rows, "pgr_sampled", ORANGE, "Elo, moves drawn at temperature 1", shift=0.05, faint=True)
        _points(axes, rows, "pgr_win_loss", GREEN, "Win% loss", shift=-0.05, faint=True)
        others = {name: there for name, there in (beside or {}).items() if _measured(there, "pgr")}
        for (name, there), style in zip(others.items(), cycle(((0, (1, 1)), (0, (1, 3)), (0, (4, 1, 1, 1))))):
            _dotted(axes, there, "pgr", style, _plain(name.replace("_", " ")))
        shown = [v for there in others.values() for v in _series(there, "pgr")[1]]
        shown += [0.0, 1.0, *low, *high, *_series(rows, "pgr_sampled")[1], *_series(rows, "pgr_win_loss")[1]]
        _room(axes, shown, 0.06)
        _steps(axes, rows)
        axes.set_ylabel("performance gap recovered")
        _mark(axes, 0, "W₀")
        _mark(axes, 1, "expert")
        return _svg(figure, axes, "Performance gap recovered by step, with 95 % intervals.", "pgr", legend=3)


def elo(rows: Sequence[Row]) -> str | None:
    """The student's Elo by step; the expert stands at 0."""
    if not _measured(rows, "elo", "elo_sampled"):
        return None
    with _figure((8.6, 3.2)) as (figure, axes):
        axes.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        _points(axes, rows, "elo", BLUE, "best move", shift=-0.03)
        _points(axes, rows, "elo_sampled", ORANGE, "moves drawn at temperature 1", shift=0.03, faint=True)
        start = _number(rows[0].get("elo"), "value") if rows[0]["step"] == 0 else NAN
        if not math.isnan(start):
            axes.axhline(start, color=MUTED, linewidth=1)
            _mark(axes, start, "W₀")
        _mark(axes, 0, "expert")
        edges = [number for key in ("elo", "elo_sampled") for series in _series(rows, key)[1:] for number in series]
        _room(axes, [0.0, *edges], 0.07)
        _steps(axes, rows)
        axes.set_ylabel("Elo against the expert")
        return _svg(
            figure, axes, "Elo of the student by step, with 95 % intervals; the expert is at 0.", "elo", legend=2
        )


def agreement(rows: Sequence[Row]) -> str | None:
    """Share of fixed positions on which student and expert choose the same move."""
    if not _measured(rows, "agreement"):
        return None
    with _figure((4.2, 2.9)) as (figure, axes):
        _points(axes, rows, "agreement", BLUE, "student")
        _room(axes, [0.0, *_series(rows, "agreement")[3]], 0.04)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _steps(axes, rows)
        axes.set_ylabel("same move as the expert")
        return _svg(figure, axes, "Agreement of the student with the expert by step.", "agreement")


def win_loss(rows: Sequence[Row]) -> str | None:
    """Win% points lost per move on fixed positions, by student and expert."""
    if not _measured(rows, "win_loss"):
        return None
    with _figure((4.2, 2.9)) as (figure, axes):
        expert = _series(rows, "win_loss_expert")[1]
        known = [value for value in expert if not math.isnan(value)]
        if known:
            axes.axhline(known[-1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            _mark(axes, known[-1], "expert")
        _points(axes, rows, "win_loss", GREEN, "student")
        _, value, _, high = _series(rows, "win_loss")
        _room(axes, [0.0, *known, *value, *high], 0.04)
        axes.set_ylim(bottom=0)
        _steps(axes, rows)
        axes.set_ylabel("Win% points lost per move")
        return _svg(figure, axes, "Win% points lost per move by step.", "win-loss")


def losses(rows: Sequence[Row]) -> str | None:
    """Win% points that moves lost in the games of each step, by the oracle."""
    flat = [{"step": row["step"], **(row.get("play") or {}).get("loss", {})} for row in rows if row.get("play")]
    lines = (("advised", BLUE, "advised"), ("honest", GREEN, "honest"), ("own", ORANGE, "own"), ("lie", RED, "a lie"))
    if not _measured(flat, *(key for key, _, _ in lines)):
        return None
    with _figure((4.2, 2.9)) as (figure, axes):
        for number, (key, color, label) in enumerate(lines):
            _points(axes, flat, key, color, label, shift=0.03 * (number - 1.5))
        _room(axes, [0.0, *(v for key, _, _ in lines for part in _series(flat, key)[1:] for v in part)], 0.04)
        axes.set_ylim(bottom=0)
        _steps(axes, flat)
        axes.set_ylabel("Win% points lost per move")
        return _svg(figure, axes, "Win% points lost in the games of each step, by whose move.", "losses", legend=4)


def queries(rows: Sequence[Row]) -> str | None:
    """What was asked in each step: answers honest and misaligned, and how many were believed."""
    played = [row for row in rows if row.get("play")]
    if not played:
        return None
    with _figure((4.2, 2.9)) as (figure, axes):
        steps = [row["step"] for row in played]
        asked, lies, believed = (
            [row["play"].get(key, 0) for row in played] for key in ("queries", "misaligned", "believed")
        )
        honest = [total - lie for total, lie in zip(asked, lies, strict=True)]
        left, right = [step - 0.2 for step in steps], [step + 0.2 for step in steps]
        axes.bar(left, honest, 0.36, color=BLUE, label="honest answers")
        axes.bar(left, lies, 0.36, bottom=honest, color=RED, label="misaligned answers")
        axes.bar(right, believed, 0.36, color=VIOLET, label="believed")
        _room(axes, [0.0, *map(float, asked), *map(float, believed)], 0.06)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", " "))
        _steps(axes, played)
        axes.set_ylabel("answers")
        return _svg(figure, axes, "Honest, misaligned and believed answers in each step.", "queries", legend=3)


def seconds(rows: Sequence[Row]) -> str | None:
    """How long each part of each step took."""
    timed = [row for row in rows if row.get("seconds")]
    if not timed:
        return None
    with _figure((4.2, 2.9)) as (figure, axes):
        steps = [row["step"] for row in timed]
        bottom = [0.0] * len(timed)
        for key, name, color in (("play", "play", BLUE), ("finetune", "learn", ORANGE), ("evaluate", "measure", GREEN)):
            spent = [float(row["seconds"].get(key) or 0) for row in timed]
            axes.bar(steps, spent, 0.5, bottom=bottom, color=color, label=name)
            bottom = [low + height for low, height in zip(bottom, spent, strict=True)]
        _room(axes, [0.0, *bottom], 0.06)
        axes.set_ylim(bottom=0)
        _steps(axes, timed)
        axes.set_ylabel("seconds")
        return _svg(figure, axes, "Seconds spent in each step on play, learning and measurement.", "seconds", legend=3)


@dataclass(frozen=True)
class Dose:
    """The response of one cell of a sweep.

    value: setting of the key on the axis.
    figure: what was measured.
    group: settings of the other keys, seeds aside, in words.
    target: the cell, to which its point leads.
    title: all its settings in words.
    """

    value: Any
    figure: Mapping[str, Any]
    group: str
    target: str
    title: str


def dose(points: Sequence[Dose], key: str, joint: Mapping[tuple[str, Any], dict[str, Any]] | None = None) -> str | None:
    """PGR over the values of a key: each cell with its interval, and a line through the means of each group.

    joint: by group and value the figure over its seeds, whose interval is a band.
    """
    if not points:
        return None
    place, names = _axis([point.value for point in points])
    reach = [place(point.value) for point in points]
    apart = 0.006 * (max(reach) - min(reach) or 1.0)
    with _figure((8.6, 3.6)) as (figure, axes):
        axes.axhline(0, color=MUTED, linewidth=1)
        groups = list(dict.fromkeys(point.group for point in points))
        for group, color in zip(groups, cycle((BLUE, ORANGE, GREEN, VIOLET, RED))):
            there = [point for point in points if point.group == group]
            means: dict[float, list[float]] = {}
            for point in there:
                value, low, high = (_number(point.figure, part) for part in ("value", "low", "high"))
                seeds = means.setdefault(place(point.value), [])
                x = place(point.value) + apart * len(seeds)  # seeds stand side by side
                seeds.append(value)
                ends = [value if math.isnan(end) else end for end in (low, high)]
                axes.plot([x, x], ends, color=color, linewidth=1.2, alpha=0.55, zorder=3)
                axes.plot([x], [value], color=color, marker="o", markersize=5, markeredgecolor=SURFACE, zorder=5)
                link(axes, x, value, point.target, f"{point.title}: {said(value, low, high)}")
            bands = sorted(
                (place(value), figure["low"], figure["high"])
                for (name, value), figure in (joint or {}).items()
                if name == group and figure.get("low") is not None and figure.get("high") is not None
            )
            if bands:
                places, lows, highs = zip(*bands, strict=True)
                axes.fill_between(places, lows, highs, color=color, alpha=0.14, linewidth=0)
            line = sorted((x, sum(values) / len(values)) for x, values in means.items())
            axes.plot([x for x, _ in line], [y for _, y in line], color=color, label=_plain(group) or "mean", zorder=4)
        drawn = [point.figure for point in points] + list((joint or {}).values())
        edges = [_number(figure, part) for figure in drawn for part in ("value", "low", "high")]
        _room(axes, [0.0, *edges], 0.07)
        axes.set_ylabel("performance gap recovered")
        axes.set_xlabel(_plain(key))
        if names:
            axes.set_xticks(range(len(names)), [_plain(name) for name in names])
        name = "dose-" + re.sub(r"\W", "-", key)
        return _svg(figure, axes, "Performance gap recovered over the dose.", name, legend=min(3, len(groups)))


def _axis(values: Sequence[Any]) -> tuple[Callable[[Any], float], list[str]]:
    """Where a value stands on the axis, and names of the places where the values are no numbers."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return float, []
    names = list(dict.fromkeys(map(str, values)))
    return (lambda value: float(names.index(str(value)))), names


def _measured(rows: Sequence[Row], *keys: str) -> bool:
    return any((row.get(key) or {}).get("value") is not None for row in rows for key in keys)


def _number(figure: Mapping[str, Any] | None, part: str) -> float:
    value = (figure or {}).get(part)
    return NAN if value is None else float(value)


def _series(rows: Sequence[Row], key: str) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps, values, lower and upper ends of a figure; NaN where there is none."""
    value, low, high = ([_number(row.get(key), part) for row in rows] for part in ("value", "low", "high"))
    return [row["step"] for row in rows], value, low, high


def _points(
    axes: Axes,
    rows: Sequence[Row],
    key: str,
    color: str,
    label: str,
    *,
    shift: float = 0.0,
    faint: bool = False,
    whiskers: bool = True,
) -> None:
    """A figure as points joined by a line, with its interval as a whisker; an open end has an arrow."""
    if not _measured(rows, key):
        return
    steps, value, low, high = _series(rows, key)
    shift *= min(4.0, max(1.0, (steps[-1] - steps[0]) / 4))
    places = [step + shift for step in steps]
    width, size = (1.2, 4.0) if faint else (1.8, 5.5)
    axes.plot(places, value, color=color, linewidth=width, marker="o", markersize=size, label=label,
              markeredgecolor=SURFACE, markeredgewidth=0.8, zorder=4 if faint else 5)  # fmt: skip
    for step, x, middle, bottom, top in zip(steps, places, value, low, high, strict=True):
        if not math.isnan(middle):
            link(axes, x, middle, f"{step}", f"step {step}, {label}: {said(middle, bottom, top)}")
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


def said(value: float, low: float, high: float) -> str:
    """A value with its interval; an end that is open is a question mark."""
    ends = ("?" if math.isnan(end) else f"{end:.3g}" for end in (low, high))
    return f"{value:.3g} [{', '.join(ends)}]".replace("-", "−")


def _dotted(axes: Axes, rows: Sequence[Row], key: str, style: Any, label: str) -> None:
    """The values of a figure of another run."""
    steps, value, _, _ = _series(rows, key)
    axes.plot(steps, value, color=MUTED, linewidth=1.4, linestyle=style, label=label, zorder=2)


def _room(axes: Axes, values: Sequence[float], margin: float) -> None:
    """Make the axis as high as the values, with a margin."""
    known = [value for value in values if not math.isnan(value)]
    low, high = min(known), max(known)
    space = (high - low or 1.0) * margin
    axes.set_ylim(low - space, high + space)


def _steps(axes: Axes, rows: Sequence[Row]) -> None:
    first, last = rows[0]["step"], rows[-1]["step"]
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.set_xlabel("step")


def _plain(text: str) -> str:
    """Text from a file, in which matplotlib must see no formula."""
    return text.replace("$", r"\$")


def _mark(axes: Axes, height: float, name: str) -> None:
    """Name a level line at its right end."""
    axes.annotate(name, (1, height), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                  ha="right", color=MUTED, fontsize=8.5)  # fmt: skip


@contextmanager
def _figure(size: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def _svg(figure: Figure, axes: Axes, title: str, name: str, legend: int = 0) -> str:
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
