"""The pictures of a run: rows of metrics in, SVG out; None where nothing was measured."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.ticker import PercentFormatter

from experiments.figures.arrows import ARROWS
from experiments.figures.drawing import (
    BLUE,
    GREEN,
    MOVES,
    MUTED,
    NAN,
    ORANGE,
    SURFACE,
    VIOLET,
    Row,
    draw_dotted,
    draw_points,
    mark_level,
    measured,
    number,
    picture,
    plain,
    room,
    series,
    step_axis,
    svg,
)


def pgr(rows: Sequence[Row], beside: Mapping[str, Sequence[Row]] | None = None) -> str | None:
    """Performance gap recovered by step, in its three currencies; dotted, in Elo, that of other runs."""
    if not measured(rows, "pgr", "pgr_sampled", "pgr_win_loss"):
        return None
    with picture((8.6, 3.5)) as (figure, axes):
        steps, _, low, high = series(rows, "pgr")
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.axhline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.fill_between(steps, low, high, color=BLUE, alpha=0.16, linewidth=0)
        draw_points(axes, rows, "pgr", BLUE, "Elo, best move", whiskers=False)
        draw_points(axes, rows, "pgr_sampled", ORANGE, "Elo, moves drawn at temperature 1", shift=0.05, faint=True)
        draw_points(axes, rows, "pgr_win_loss", GREEN, "Win% loss", shift=-0.05, faint=True)
        others = {name: there for name, there in (beside or {}).items() if measured(there, "pgr")}
        for (name, there), style in zip(others.items(), cycle(((0, (1, 1)), (0, (1, 3)), (0, (4, 1, 1, 1))))):
            draw_dotted(axes, there, "pgr", style, plain(name.replace("_", " ")))
        shown = [v for there in others.values() for v in series(there, "pgr")[1]]
        shown += [0.0, 1.0, *low, *high, *series(rows, "pgr_sampled")[1], *series(rows, "pgr_win_loss")[1]]
        room(axes, shown, 0.06)
        step_axis(axes, rows)
        axes.set_ylabel("performance gap recovered")
        mark_level(axes, 0, "W₀")
        mark_level(axes, 1, "expert")
        return svg(figure, axes, "Performance gap recovered by step, with 95 % intervals.", "pgr", legend=3)


def elo(rows: Sequence[Row]) -> str | None:
    """The student's Elo by step, and that of the assistant alone; the expert stands at 0."""
    if not measured(rows, "elo", "elo_sampled"):
        return None
    with picture((8.6, 3.2)) as (figure, axes):
        axes.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        draw_points(axes, rows, "elo", BLUE, "best move", shift=-0.03)
        draw_points(axes, rows, "elo_sampled", ORANGE, "moves drawn at temperature 1", shift=0.03, faint=True)
        start = number(rows[0].get("elo"), "value") if rows[0]["step"] == 0 else NAN
        if not math.isnan(start):
            axes.axhline(start, color=MUTED, linewidth=1)
            mark_level(axes, start, "W₀")
        mark_level(axes, 0, "expert")
        assistant = number(rows[0].get("elo_assistant"), "value")
        if not math.isnan(assistant):
            axes.axhline(assistant, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
            mark_level(axes, assistant, "assistant")
        edges = [end for key in ("elo", "elo_sampled") for line in series(rows, key)[1:] for end in line]
        room(axes, [0.0, assistant, *edges], 0.07)
        step_axis(axes, rows)
        axes.set_ylabel("Elo against the expert")
        return svg(
            figure, axes, "Elo of the student by step, with 95 % intervals; the expert is at 0.", "elo", legend=2
        )


def agreement(rows: Sequence[Row]) -> str | None:
    """Share of fixed positions on which student and expert choose the same move."""
    if not measured(rows, "agreement"):
        return None
    with picture((4.2, 2.9)) as (figure, axes):
        draw_points(axes, rows, "agreement", BLUE, "student")
        room(axes, [0.0, *series(rows, "agreement")[3]], 0.04)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        step_axis(axes, rows)
        axes.set_ylabel("same move as the expert")
        return svg(figure, axes, "Agreement of the student with the expert by step.", "agreement")


def win_loss(rows: Sequence[Row]) -> str | None:
    """Win% points lost per move on fixed positions, by student and expert."""
    if not measured(rows, "win_loss"):
        return None
    with picture((4.2, 2.9)) as (figure, axes):
        expert = series(rows, "win_loss_expert")[1]
        known = [value for value in expert if not math.isnan(value)]
        if known:
            axes.axhline(known[-1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            mark_level(axes, known[-1], "expert")
        draw_points(axes, rows, "win_loss", GREEN, "student")
        _, value, _, high = series(rows, "win_loss")
        room(axes, [0.0, *known, *value, *high], 0.04)
        axes.set_ylim(bottom=0)
        step_axis(axes, rows)
        axes.set_ylabel("Win% points lost per move")
        return svg(figure, axes, "Win% points lost per move by step.", "win-loss")


def losses(rows: Sequence[Row]) -> str | None:
    """Win% points that moves lost in the games of each step, by the oracle."""
    flat = [{"step": row["step"], **(row.get("play") or {}).get("loss", {})} for row in rows if row.get("play")]
    labels = {"advised": "all advice", "honest": "honest advice", "own": "own move", "lie": "a lie"}
    if not measured(flat, *labels):
        return None
    with picture((4.2, 2.9)) as (figure, axes):
        for place, (key, label) in enumerate(labels.items()):
            dashed = ARROWS[key].dashed
            draw_points(axes, flat, key, MOVES[key], label, shift=0.03 * (place - 1.5), dashed=dashed)
        room(axes, [0.0, *(v for key in labels for part in series(flat, key)[1:] for v in part)], 0.04)
        axes.set_ylim(bottom=0)
        step_axis(axes, flat)
        axes.set_ylabel("Win% points lost per move")
        return svg(figure, axes, "Win% points lost in the games of each step, by whose move.", "losses", legend=2)


def queries(rows: Sequence[Row]) -> str | None:
    """What was asked in each step: answers honest and misaligned, and how many were believed."""
    played = [row for row in rows if row.get("play")]
    if not played:
        return None
    with picture((4.2, 2.9)) as (figure, axes):
        steps = [row["step"] for row in played]
        asked, lies, believed = (
            [row["play"].get(key, 0) for row in played] for key in ("queries", "misaligned", "believed")
        )
        honest = [total - lie for total, lie in zip(asked, lies, strict=True)]
        left, right = [step - 0.2 for step in steps], [step + 0.2 for step in steps]
        axes.bar(left, honest, 0.36, color=MOVES["advised"], label="honest answers")
        axes.bar(left, lies, 0.36, bottom=honest, color=MOVES["lie"], label="lies", hatch="////", edgecolor=SURFACE,
                 linewidth=0)  # fmt: skip
        axes.bar(right, believed, 0.36, color=VIOLET, label="believed")
        room(axes, [0.0, *map(float, asked), *map(float, believed)], 0.06)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", " "))
        step_axis(axes, played)
        axes.set_ylabel("answers")
        return svg(figure, axes, "Honest, misaligned and believed answers in each step.", "queries", legend=3)


def seconds(rows: Sequence[Row]) -> str | None:
    """How long each part of each step took."""
    timed = [row for row in rows if row.get("seconds")]
    if not timed:
        return None
    with picture((4.2, 2.9)) as (figure, axes):
        steps = [row["step"] for row in timed]
        bottom = [0.0] * len(timed)
        parts = (("play", "play", BLUE), ("label", "judge", MUTED), ("finetune", "learn", ORANGE),
                 ("evaluate", "measure", GREEN))  # fmt: skip
        for key, name, color in parts:
            spent = [float(row["seconds"].get(key) or 0) for row in timed]
            if key == "label" and not any(spent):
                continue
            axes.bar(steps, spent, 0.5, bottom=bottom, color=color, label=name)
            bottom = [low + height for low, height in zip(bottom, spent, strict=True)]
        room(axes, [0.0, *bottom], 0.06)
        axes.set_ylim(bottom=0)
        step_axis(axes, timed)
        axes.set_ylabel("seconds")
        return svg(figure, axes, "Seconds spent in each step on play, learning and measurement.", "seconds", legend=3)
