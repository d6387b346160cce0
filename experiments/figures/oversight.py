"""Oversight strategies in one picture: what each recovered, by dose, and how well it told lies from truth."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from experiments.figures.drawing import plain
from sandwich.sweeps.comparison import Arm, short_names

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLORS = ("#2a6fdb", "#d9822b", "#b3394a", "#3a8f5d", "#7a5cc0", "#4a4a4a", "#c2599f", "#2f9fa8", "#8a6d3b", "#6f8f2f")


def picture(arms: Sequence[Arm], path: Path) -> None:
    """Write the picture as SVG: PGR with intervals on the left, ROC curves of all answers on the right."""
    names = short_names(arms)
    strategies = list(names)
    color = {name: COLORS[place % len(COLORS)] for place, name in enumerate(strategies)}
    assistants = sorted({arm.faced for arm in arms})
    with mpl.rc_context({"svg.hashsalt": "sandwich"}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", width_ratios=(1.25, 1))
        for place, name in enumerate(strategies):
            shift = (place - (len(strategies) - 1) / 2) * 0.8 / len(strategies)
            _recovered(left, [arm for arm in arms if arm.label == name], assistants, shift, color[name], names[name])
        left.axhline(0, color="#888", linewidth=1)
        left.set_xticks(range(len(assistants)), [plain(name) for name in assistants])
        left.set_ylabel("performance gap recovered (Elo)")
        left.legend(frameon=False, fontsize=9)
        right.plot([0, 1], [0, 1], color="#bbb", linewidth=1)
        for name in strategies:
            several = [arm for arm in arms if arm.label == name and arm.curve is not None]
            for number, arm in enumerate(several):
                assert arm.curve is not None
                if len(arm.curve[0]) > 2:  # a strategy that tells nothing apart has no curve to show
                    right.plot(*arm.curve, color=color[name], linewidth=1.3, alpha=0.35 + 0.65 / (1 + number))
        right.set_xlabel("honest answers refused")
        right.set_ylabel("lies refused")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _recovered(axes: Axes, some: Sequence[Arm], assistants: Sequence[str], shift: float, color: str, name: str) -> None:
    """PGR of one strategy: a dot for each run, and the mean with its interval."""
    for number, arm in enumerate(some):
        at = assistants.index(arm.faced) + shift
        seeds = [figure.value for figure in arm.point.seeds if figure.value is not None]
        axes.plot([at] * len(seeds), seeds, ".", color=color, alpha=0.4, markersize=4)
        figure = arm.point.pgr()
        if figure.value is None:
            continue
        label = plain(name) if not number else None
        axes.plot([at], [figure.value], "o", color=color, markersize=5.5, label=label)
        if figure.low is not None and figure.high is not None:
            axes.plot([at, at], [figure.low, figure.high], color=color, linewidth=1.6)
