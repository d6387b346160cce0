"""Kinds of moves are told apart without colour vision, and drawn alike wherever they are drawn."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from experiments.figures.arrows import ARROWS, arrows_css, arrows_json, arrows_svg
from experiments.figures.charts import losses, queries
from experiments.figures.game_page import game_page
from experiments.viewer.fallback import arrows_of, board_svg
from experiments.viewer.games import game_record
from experiments.viewer.page import write_report
from sandwich.protocol import ledger
from sandwich.statistics import Floats
from tests.helpers.run_folders import MATE, figure, plies, row, write_run

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
APART = 15.0
"""Euclidean distance in CIELAB; about 2.3 is just noticeable."""


def lab(color: str, vision: Floats) -> Floats:
    """A colour in CIELAB as an eye of this kind takes it."""
    srgb = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    light = np.clip(vision @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ light
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", VISION)
@pytest.mark.parametrize("page", ["color", "dark"])
def test_kinds_differ_to_every_eye(eye: str, page: str) -> None:
    colors = {kind: lab(getattr(arrow, page), VISION[eye]) for kind, arrow in ARROWS.items()}
    for pair in combinations(colors, 2):
        assert np.linalg.norm(colors[pair[0]] - colors[pair[1]]) > APART, pair


def test_kinds_differ_without_any_colour() -> None:
    shapes = [(arrow.width, arrow.dashed) for arrow in ARROWS.values()]
    assert len(set(shapes)) == len(shapes)
    assert [kind for kind, arrow in ARROWS.items() if arrow.dashed] == ["lie"]
    assert len({arrow.text for arrow in ARROWS.values()}) == len(ARROWS)


@pytest.mark.parametrize("misaligned", [True, False])
def test_a_decision_is_drawn_alike_in_the_viewer_in_drawn_boards_and_in_wandb(misaligned: bool) -> None:
    rows = plies(0, MATE, {2: "Nf3"} if misaligned else {}, own={2: "d4"}, lost={2: 0.25})
    decision = game_record(0, 0, rows)["plies"][2]
    advice = "lie" if misaligned else "advised"
    assert [kind for kind, _ in arrows_of(decision)] == ["played", "honest", advice, "own"]
    arrows = arrows_svg(arrows_of(decision), flipped=False)
    assert ("stroke-dasharray" in arrows) == misaligned
    page = game_page({name: [row[name] for row in rows] for name in ledger.SCHEMA.names})
    assert arrows in board_svg(decision["fen"], None, arrows_of(decision), flipped=False)
    assert page.split("<g class='f'>")[3].count(arrows) == 1
    assert f'<i class="mark {advice}"></i>{ARROWS[advice].text}' in page
    assert ("arrow lie'" in page) == misaligned


def test_every_page_has_the_colours_of_the_table(tmp_path: Path) -> None:
    content = write_report(write_run(tmp_path / "run", "run")).read_text()
    assert arrows_css() in content
    for entry in arrows_json():
        assert f'"color": "{entry["color"]}"' in content and f"--{entry['kind']}: {entry['color']};" in content


def test_charts_of_moves_have_their_colours_and_dashes() -> None:
    rows = [row(step) for step in range(3)]
    for later in rows[1:]:
        later["play"]["loss"] = {key: figure(4, 3, 5) for key in ("own", "advised", "honest", "lie")}
    lines, bars = losses(rows), queries(rows)
    assert lines is not None and bars is not None
    for kind in ("own", "advised", "honest", "lie"):
        assert f"stroke: var(--{kind})" in lines
    dashed = {kind for style in re.findall(r'style="([^"]*stroke-dasharray[^"]*)"', lines) for kind in ARROWS
              if f"stroke: var(--{kind})" in style}  # fmt: skip
    assert dashed == {"lie"}
    assert "var(--advised)" in bars and "var(--lie)" in bars
    assert "<pattern" in bars  # lies are hatched
