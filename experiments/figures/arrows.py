"""How a move is drawn by what it is to a decision: one table for the viewer, drawn boards, W&B's game page and charts.

An arrow is told by its width and dash as well as by its colour, and a legend shows all three: a lie is the dashed one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import chess


@dataclass(frozen=True)
class Arrow:
    """A kind of move.

    color, dark: on boards and light pages; on dark pages.
    width: 64ths of a square.
    text: what a legend calls it.
    """

    color: str
    dark: str
    width: int
    text: str
    dashed: bool = False


ARROWS = {
    "played": Arrow("#4d5666", "#c3ccd9", 16, "played"),
    "honest": Arrow("#00875f", "#38d39f", 12, "honest advice"),
    "advised": Arrow("#1660cf", "#6ea3ff", 8, "advised, honest"),
    "lie": Arrow("#c4162b", "#ff6f61", 8, "advised, a lie", dashed=True),
    "own": Arrow("#e88a00", "#f5a83d", 4, "own move"),
}
"""The kinds, the lowest first: where two lie on each other, the narrower one is on top."""

DASH, GAP = 0.24, 0.14
"""Of a dashed arrow, in squares."""
OPACITY = 0.9

SQUARE, MARGIN = 45, 15
"""Sizes in python-chess's picture of a board with coordinates."""


def kind_of_advice(misaligned: bool | None) -> str:
    """The kind of the move advised."""
    return "lie" if misaligned else "advised"


def arrows_svg(moves: Iterable[tuple[str, str]], *, flipped: bool) -> str:
    """SVG of an arrow for each (kind, move in UCI), to stand in python-chess's picture of a board.

    Raises ValueError for a kind or a move that is none.
    """
    order = list(ARROWS)
    parts = []
    for kind, uci in sorted(moves, key=lambda pair: order.index(pair[0])):
        move = chess.Move.from_uci(uci)
        if move:
            parts.append(_arrow_svg(kind, move, flipped))
    return "".join(parts)


def square_corner(square: chess.Square, flipped: bool) -> tuple[int, int]:
    """Upper left corner of a square in python-chess's picture."""
    file, rank = chess.square_file(square), chess.square_rank(square)
    column, row = (7 - file, rank) if flipped else (file, 7 - rank)
    return MARGIN + SQUARE * column, MARGIN + SQUARE * row


def _arrow_svg(kind: str, move: chess.Move, flipped: bool) -> str:
    arrow = ARROWS[kind]
    (x, y), (to_x, to_y) = (
        (corner_x + SQUARE / 2, corner_y + SQUARE / 2)
        for corner_x, corner_y in (square_corner(square, flipped) for square in (move.from_square, move.to_square))
    )
    long = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
    across, along = (to_x - x) / long, (to_y - y) / long
    width = SQUARE * arrow.width / 64
    head, half = max(2.2 * width, 10), max(1.4 * width, 6)
    neck_x, neck_y = to_x - head * across, to_y - head * along
    corners = ((to_x, to_y), (neck_x - half * along, neck_y + half * across),
               (neck_x + half * along, neck_y - half * across))  # fmt: skip
    dash = f" stroke-dasharray='{SQUARE * DASH:g} {SQUARE * GAP:g}'" if arrow.dashed else ""
    return (
        f"<g class='arrow {kind}' opacity='{OPACITY}'>"
        f"<line x1='{x:.1f}' y1='{y:.1f}' x2='{neck_x:.1f}' y2='{neck_y:.1f}' stroke='{arrow.color}'"
        f" stroke-width='{width:.1f}'{dash}/>"
        f"<polygon points='{' '.join(f'{at_x:.1f},{at_y:.1f}' for at_x, at_y in corners)}' fill='{arrow.color}'/></g>"
    )


def arrows_json() -> list[dict[str, Any]]:
    """The table as the viewer's modules read it, the lowest kind first."""
    return [
        {"kind": kind, "color": arrow.color, "opacity": OPACITY, "width": arrow.width, "text": arrow.text}
        for kind, arrow in ARROWS.items()
    ]


def arrows_css(*, dark: bool = True) -> str:
    """Colours as CSS variables, `--lie` for a lie and so on, and `.mark`: a piece of the arrow, for legends.

    dark: with other colours where the system is dark.
    """
    light = " ".join(f"--{kind}: {arrow.color};" for kind, arrow in ARROWS.items())
    rules = [f":root {{ {light} }}"]
    if dark:
        shades = " ".join(f"--{kind}: {arrow.dark};" for kind, arrow in ARROWS.items())
        rules.append(f"@media (prefers-color-scheme: dark) {{ :root {{ {shades} }} }}")
    rules.append(".mark { display: inline-block; width: 22px; height: 10px; margin-right: 7px; }")
    for kind, arrow in ARROWS.items():
        stripes = (
            "repeating-linear-gradient(90deg, var(--c) 0 6px, transparent 6px 8px)"
            if arrow.dashed
            else "linear-gradient(var(--c), var(--c))"
        )
        rules.append(f".{kind} {{ --c: var(--{kind}); }}")
        rules.append(f".mark.{kind} {{ background: {stripes} center / 100% {arrow.width / 2:g}px no-repeat; }}")
        if arrow.dashed:  # chessground, whose unit is a square
            rules.append(
                f'.cg-shapes line[marker-end*="arrowhead-{kind}"]'
                f" {{ stroke-dasharray: {DASH} {GAP}; stroke-linecap: butt; }}"
            )
    return "\n".join(rules)
