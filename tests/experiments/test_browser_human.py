"""The page on which a person attacks a filter, in a real browser.

With SANDWICH_SCREENSHOTS=DIR it writes the picture of the documentation to DIR, of the first filter of the
experiment in SANDWICH_EXPERIMENT=FOLDER, where it writes nothing.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import chess
import numpy as np
import pytest
from PIL import Image

from engines.stockfish import Stockfish
from experiments.cli.human import target
from experiments.viewer import assets
from experiments.viewer.human import human_application
from sandwich.highstakes.attack_runs import AttackRun
from sandwich.highstakes.environment import Judge, JudgeConfig
from sandwich.highstakes.human import HumanAttack
from tests.helpers import browser
from tests.helpers.browser import MARKS, Open, Page, expect, needs_board, shoot, text
from tests.helpers.highstakes import HANGS, decided_filter, runs_in
from tests.helpers.project import needs_stockfish
from tests.helpers.viewer_server import Viewer
from tests.helpers.viewer_server import opened as opened_application

pytestmark = [*MARKS, needs_stockfish]
chromium, opened = browser.chromium, browser.opened

CONFIG = JudgeConfig(nodes=500, again=2)

Serving = Callable[..., Viewer]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Opens the page on a filter for the time of the test; runs go to `tmp_path / "runs"`."""
    with ExitStack() as stack:

        def start(content: bytes, config: JudgeConfig = CONFIG, starts: Sequence[Path] = ()) -> Viewer:
            engine = stack.enter_context(Stockfish(hash_mib=1))
            rng = np.random.default_rng(1)
            attack = HumanAttack(content, Judge(engine, config), tmp_path / "runs", starts=starts, rng=rng)
            return stack.enter_context(opened_application(human_application(attack, config, "filter.safetensors")))

        yield start


def press(page: Page, square: str, selector: str = "#board cg-board") -> None:
    """Click the middle of a square, seen from White."""
    box = page.locator(selector).bounding_box()
    file, rank = "abcdefgh".index(square[0]), int(square[1])
    page.mouse.click(box["x"] + (file + 0.5) * box["width"] / 8, box["y"] + (8.5 - rank) * box["height"] / 8)


def drag(page: Page, start: str, end: tuple[float, float]) -> None:
    """Drag what stands on a square by so many squares to the right and up."""
    box = page.locator("#board cg-board").bounding_box()
    size = box["width"] / 8
    x, y = box["x"] + ("abcdefgh".index(start[0]) + 0.5) * size, box["y"] + (8.5 - int(start[1])) * size
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + end[0] * size / 2, y - end[1] * size / 2)
    page.mouse.move(x + end[0] * size, y - end[1] * size)
    page.mouse.up()


def tool(page: Page, name: str) -> None:
    page.locator(f'#tools button[value="{name}"]').click()
    expect(page.locator(f'#tools button[value="{name}"]')).to_have_attribute("aria-checked", "true")


def set_up(page: Page, fen: str) -> None:
    page.fill("#fen", fen)
    page.press("#fen", "Enter")


def choose(page: Page, san: str) -> None:
    page.locator("#moves button", has_text=san).first.click()
    expect(page.locator("#score")).to_contain_text(san)


@needs_board
def test_a_person_edits_a_position_asks_the_oracle_and_has_an_example_saved(
    opened: Open, serving: Serving, tmp_path: Path
) -> None:
    page = opened(serving(decided_filter(1.0)).address)
    expect(page.locator("#moves button")).to_have_count(20)
    expect(page.locator("#notice")).to_be_hidden()
    set_up(page, HANGS)
    expect(page.locator("#moves button[aria-current]")).to_have_count(0)
    tool(page, "move")
    press(page, "d2")
    press(page, "d7")
    expect(page.locator("#score")).to_contain_text("Qd7+")
    before = text(page, "#score")
    tool(page, "n")  # a black knight is placed, and the score changes
    press(page, "a3")
    expect(page.locator("#score")).not_to_have_text(before)
    assert chess.Board(page.input_value("#fen")).piece_at(chess.A3) == chess.Piece.from_symbol("n")
    page.click("#undo")
    expect(page.locator("#fen")).to_have_value(HANGS)
    expect(page.locator("#score")).to_contain_text(before.split()[1])
    page.click("#redo")
    assert chess.Board(page.input_value("#fen")).piece_at(chess.A3)
    page.keyboard.press("Control+z")
    expect(page.locator("#fen")).to_have_value(HANGS)
    expect(page.locator("#ask")).to_be_enabled()
    page.click("#ask")
    expect(page.locator("#verdict")).to_contain_text("Saved as example 1 of run 0")
    (run,) = runs_in(tmp_path / "runs")
    assert run == AttackRun.from_json(json.loads((tmp_path / "runs" / "runs-00000.jsonl").read_text()))
    (example,) = run.examples
    assert (example.fen, example.uci) == (HANGS, "d2d7")
    assert 0 < example.seconds <= run.seconds
    assert (example.queries, example.oracle) == (3, 2)
    assert "3 filter queries · 2 oracle calls · 1 adversarial example ·" in text(page, "#spent")
    page.click("#ask")
    expect(page.locator("#verdict")).to_contain_text("saved already")
    page.click("#end")
    expect(page.locator("#run")).to_contain_text("Run 1")
    expect(page.locator("#spent")).to_contain_text("earlier: 1 example in 1 run")
    shoot(page, "human", tmp_path)


@needs_board
def test_the_editor_drags_removes_and_sets_what_is_beside_the_board(opened: Open, serving: Serving) -> None:
    page = opened(serving(decided_filter(1.0)).address)
    set_up(page, HANGS)
    expect(page.locator("#moves-note")).to_contain_text("accepted")
    drag(page, "a2", (0, 2))
    expect(page.locator("#fen")).to_have_value("r3k2r/ppp2ppp/2n5/8/P7/2N5/1PPQ1PPP/R3K2R w KQkq - 0 1")
    drag(page, "a4", (-3, 0))  # off the board
    expect(page.locator("#fen")).to_have_value("r3k2r/ppp2ppp/2n5/8/8/2N5/1PPQ1PPP/R3K2R w KQkq - 0 1")
    tool(page, "remove")
    press(page, "e8")
    expect(page.locator("#illegal")).to_contain_text("no black king")
    expect(page.locator("#ask")).to_be_disabled()
    tool(page, "k")
    press(page, "f8")
    expect(page.locator("#fen")).to_have_value("r4k1r/ppp2ppp/2n5/8/8/2N5/1PPQ1PPP/R3K2R w KQ - 0 1")
    page.select_option("#turn", "b")
    page.locator("#castling label", has_text="White O-O-O").locator("input").uncheck()
    page.fill("#clock", "12")
    page.press("#clock", "Tab")
    expect(page.locator("#fen")).to_have_value("r4k1r/ppp2ppp/2n5/8/8/2N5/1PPQ1PPP/R3K2R b K - 12 1")
    expect(page.locator("#moves button").first).to_be_visible()
    link = page.url
    page.click("#clear")
    expect(page.locator("#illegal")).to_contain_text("no white king")
    set_up(page, "8/8/8 w")
    expect(page.locator("#notice")).to_contain_text("eight rows")
    again = opened(link)
    expect(again.locator("#fen")).to_have_value("r4k1r/ppp2ppp/2n5/8/8/2N5/1PPQ1PPP/R3K2R b K - 12 1")


@needs_board
def test_saliency_and_substitutions_are_shown_where_they_are(opened: Open, serving: Serving, tmp_path: Path) -> None:
    page = opened(serving(decided_filter(0.0)).address)
    set_up(page, HANGS)
    choose(page, "Qd7+")
    expect(page.locator("#score")).to_contain_text("refused")
    page.check("#heat")
    expect(page.locator("#board square[class*=heat-10]")).to_have_count(1)
    tool(page, "edits")
    press(page, "c6")
    expect(page.locator("#substitutions-title")).to_have_text("Substitutions at c6")
    page.locator("#substitutions button", has_text="black knight removed").click()
    expect(page.locator("#fen")).to_have_value("r3k2r/ppp2ppp/8/8/8/2N5/PPPQ1PPP/R3K2R w KQkq - 0 1")
    page.click("#ask")
    expect(page.locator("#verdict")).to_contain_text(
        "No adversarial example, since the filter refuses it. It gives away"
    )
    page.click("#pause")
    expect(page.locator("#run")).to_contain_text("(paused)")
    shades = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shades[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shoot(page, f"human-{scheme}", tmp_path)
    assert shades == {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 22, 29)"}


def test_without_chessground_squares_are_clicked_and_the_page_says_so(
    opened: Open, serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "has_chessground", lambda: False)
    page = opened(serving(decided_filter(1.0)).address)
    expect(page.locator("#notice")).to_contain_text("drawn by python-chess")
    set_up(page, HANGS)
    tool(page, "move")
    press(page, "d2", "#board .grid")
    press(page, "d7", "#board .grid")
    expect(page.locator("#score")).to_contain_text("Qd7+")
    tool(page, "hand")
    press(page, "a2", "#board .grid")
    press(page, "a4", "#board .grid")
    expect(page.locator("#fen")).to_have_value("r3k2r/ppp2ppp/2n5/8/P7/2N5/1PPQ1PPP/R3K2R w KQkq - 0 1")
    image = page.locator("#board img")
    expect(image).not_to_have_js_property("naturalWidth", 0)  # 0 where it can't be drawn; tried again while it loads
    expect(page.locator("#ask")).to_be_enabled()
    page.click("#ask")
    expect(page.locator("#verdict")).to_contain_text("Saved as example 1 of run 0")
    assert len(runs_in(tmp_path / "runs")[0].examples) == 1
    shoot(page, "human-svg", tmp_path)


@needs_board
@pytest.mark.skipif("SANDWICH_SCREENSHOTS" not in os.environ, reason="SANDWICH_SCREENSHOTS is not set")
def test_a_picture_for_the_documentation(opened: Open, serving: Serving) -> None:
    aim = target(Path(os.environ["SANDWICH_EXPERIMENT"]), 0, None)
    page = opened(serving(aim.filter.read_bytes(), aim.judge, aim.starts).address)
    page.set_viewport_size({"width": 1280, "height": 1020})
    page.click("#start-from")
    expect(page.locator("#score")).to_be_visible()
    move = page.url.rpartition("move=")[2]
    pieces = chess.Board(page.input_value("#fen")).piece_map()
    square = next(
        chess.square_name(at)
        for at, piece in sorted(pieces.items())
        if piece.piece_type == chess.KNIGHT and chess.square_name(at) not in move
    )
    page.check("#heat")
    expect(page.locator("#board square[class*=heat-10]").first).to_be_visible()
    tool(page, "edits")
    press(page, square)
    expect(page.locator("#substitutions-title")).to_have_text(f"Substitutions at {square}")
    page.click("#ask")
    expect(page.locator("#verdict")).to_contain_text("gives away")
    page.evaluate("scrollTo(0, 0)")
    picture = Path(os.environ["SANDWICH_SCREENSHOTS"]) / "highstakes-human.png"
    page.screenshot(path=picture)
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)
