"""The picture of a sweep: what came out over the values of a key."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from experiments.figures.drawing import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    RED,
    SURFACE,
    VIOLET,
    link,
    number,
    picture,
    plain,
    room,
    svg,
    with_interval,
)


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

    @property
    def place(self) -> tuple[str, str]:
        """Its group and value; what the seeds of one setting share."""
        return self.group, str(self.value)


def dose(points: Sequence[Dose], key: str, joint: Mapping[tuple[str, str], dict[str, Any]] | None = None) -> str | None:
    """PGR over the values of a key: each cell with its interval, and a line through the means of each group.

    joint: by place the figure over its seeds, whose interval is a band. Where it is withheld, so is the mean. A cell
    whose own figure is withheld has no point.
    """
    joint = joint or {}
    withheld = {place for place, figure in joint.items() if figure.get("value") is None}
    shown = [point for point in points if point.figure.get("value") is not None]
    if not shown:
        return None
    place, names = _axis([point.value for point in shown])
    reach = [place(point.value) for point in shown]
    apart = 0.006 * (max(reach) - min(reach) or 1.0)
    with picture((8.6, 3.6)) as (figure, axes):
        axes.axhline(0, color=MUTED, linewidth=1)
        groups = list(dict.fromkeys(point.group for point in shown))
        for group, color in zip(groups, cycle((BLUE, ORANGE, GREEN, VIOLET, RED))):
            there = [point for point in shown if point.group == group]
            means: dict[float, list[float]] = {}
            for point in there:
                value, low, high = (number(point.figure, part) for part in ("value", "low", "high"))
                beside = means.setdefault(place(point.value), [])
                x = place(point.value) + apart * len(beside)  # seeds stand side by side
                beside.append(value)
                ends = [value if math.isnan(end) else end for end in (low, high)]
                axes.plot([x, x], ends, color=color, linewidth=1.2, alpha=0.55, zorder=3)
                axes.plot([x], [value], color=color, marker="o", markersize=5, markeredgecolor=SURFACE, zorder=5)
                link(axes, x, value, point.target, f"{point.title}: {with_interval(value, low, high)}")
            gaps = {place(point.value) for point in there if point.place in withheld}
            over = {place(point.value): joint.get(point.place, {}) for point in there}
            bands = sorted((x, f["low"], f["high"]) for x, f in over.items() if f.get("low") is not None)
            if bands:
                places, lows, highs = zip(*bands, strict=True)
                axes.fill_between(places, lows, highs, color=color, alpha=0.14, linewidth=0)
            line = sorted((x, sum(values) / len(values)) for x, values in means.items() if x not in gaps)
            axes.plot([x for x, _ in line], [y for _, y in line], color=color, label=plain(group) or "mean", zorder=4)
        drawn = [point.figure for point in shown] + list(joint.values())
        edges = [number(figure, part) for figure in drawn for part in ("value", "low", "high")]
        room(axes, [0.0, *edges], 0.07)
        axes.set_ylabel("performance gap recovered")
        axes.set_xlabel(plain(key))
        if names:
            axes.set_xticks(range(len(names)), [plain(name) for name in names])
        name = "dose-" + re.sub(r"\W", "-", key)
        return svg(figure, axes, "Performance gap recovered over the dose.", name, legend=min(3, len(groups)))


def _axis(values: Sequence[Any]) -> tuple[Callable[[Any], float], list[str]]:
    """Where a value stands on the axis, and names of the places where the values are no numbers."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return float, []
    names = list(dict.fromkeys(map(str, values)))
    return (lambda value: float(names.index(str(value)))), names
