"""The race between attackers and defender over the rounds of hardening: experiments that differ by seed in, SVG out."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from experiments.figures.drawing import plain

COLORS = mpl.color_sequences["tab10"]
MARKERS = "osv^D"
Rounds = Sequence[Mapping[str, Any]]


def race_figure(experiments: Sequence[Rounds]) -> Figure:
    """Passes of a first adversarial example against what the defender had spent, both logarithmic, by attack and seed.

    A round without an example is drawn hollow, at what all its runs together had spent: it costs more than that.
    """
    names = list(dict.fromkeys(name for rounds in experiments for entry in rounds for name in entry["attacks"]))
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    points: list[tuple[float, float]] = []
    for number, rounds in enumerate(experiments):
        for place, name in enumerate(names):
            there = [(entry["defender"]["passes"], entry["attacks"].get(name)) for entry in rounds]
            seen = [(x, of["cost"]["value"]) for x, of in there if of and of["cost"]["value"] is not None]
            bound = [(x, of["spent"]) for x, of in there if of and of["cost"]["value"] is None]
            style: dict[str, Any] = {"color": COLORS[place % 10], "marker": MARKERS[number % len(MARKERS)]}
            label = plain(name) if not number else None
            axes.plot(*columns(seen), linewidth=0.8, markersize=4, label=label, **style)
            axes.plot(*columns(bound), linestyle="none", fillstyle="none", markersize=4, **style)
            points += seen
    axes.set(xscale="log", yscale="log")
    if points:
        x, y = (np.array(column) for column in columns(points))
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, ends * np.exp(np.log(y / x).mean()), ":", color="0.5", label="slope 1")
    axes.set_xlabel("defender's compute so far, passes")
    axes.set_ylabel("attacker's compute for an example, passes")
    axes.legend(frameon=False, fontsize=8)
    return figure


def columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The first numbers of pairs, and the second ones."""
    return [x for x, _ in points], [y for _, y in points]


def svg(figure: Figure) -> bytes:
    """A picture as the bytes of its file."""
    with mpl.rc_context({"svg.hashsalt": "sandwich", "font.size": 9, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
