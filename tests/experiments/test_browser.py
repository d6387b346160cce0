"""The pages in a real browser: Debian's Chromium without a screen, driven by Playwright.

It keeps pictures of what it saw beside its other temporary files. With SANDWICH_SCREENSHOTS=DIR (and,
for pictures of a real run, SANDWICH_RUN=FOLDER) it writes those of the documentation to DIR.
"""

import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from experiments.figures.arrows import ARROWS
from experiments.figures.game_page import game_page
from experiments.figures.report import FIGURES
from experiments.viewer import assets
from experiments.viewer.page import write_report
from sandwich.protocol import ledger
from tests.helpers import browser
from tests.helpers.browser import MARKS, Open, Page, expect, needs_board, shoot, text
from tests.helpers.ledgers import ledger_table
from tests.helpers.run_folders import (
    DRAWN_OUT,
    MATE,
    figure,
    plies,
    row,
    write_ledger,
    write_metrics,
    write_run,
    write_spec,
    write_sweep,
)
from tests.helpers.viewer_server import Viewer, served

pytestmark = MARKS
chromium, opened = browser.chromium, browser.opened

NAME = "tom-and-jerry"
NASTY = """</script><script>alert(1)</script><img src=x onerror="alert(2)">'"""

ARROWS_DRAWN = """() => [...document.querySelectorAll(".cg-shapes line")].map((line) => {
    const turn = document.querySelector(".cg-wrap.orientation-black") ? -1 : 1;
    const square = (x, y) => "abcdefgh"[Math.round(turn * x + 3.5)] + (Math.round(-turn * y + 3.5) + 1);
    const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((name) => Number(line.getAttribute(name)));
    const more = 1 + 10 / 64 / Math.hypot(x2 - x1, y2 - y1);  // it ends a little before the middle of its square
    return [line.getAttribute("stroke"), square(x1, y1) + square(x1 + more * (x2 - x1), y1 + more * (y2 - y1))];
})"""

Serving = Callable[[Path], Viewer]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Opens the viewer of a folder for the time of the test, behind its token."""
    with ExitStack() as stack:
        yield lambda root: stack.enter_context(served(root, token="secret"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder of two steps with two games each."""
    return write_run(tmp_path / "run", NAME)


@pytest.fixture(params=["file", "served"])
def address(request: pytest.FixtureRequest, run: Path, serving: Serving) -> str:
    """The run's page, as one file and served."""
    return write_report(run).as_uri() if request.param == "file" else serving(run).address


def arrows(page: Page) -> list[tuple[str, str]]:
    """Colour and move of each arrow on the board, read off the picture."""
    page.wait_for_timeout(300)  # the board draws in its next frame
    return sorted((str(color), str(move)) for color, move in page.evaluate(ARROWS_DRAWN))


@needs_board
def test_from_a_point_to_a_game_to_its_decisions(opened: Open, address: str, tmp_path: Path) -> None:
    page = opened(address)
    assert "the student has recovered 0.45" in text(page, "#view-figures .lead")
    title = page.locator(".chart.pgr .point title").nth(2).text_content()
    assert title == "step 2, Elo, best move: 0.45 [0.36, 0.54]"
    page.locator(".chart.pgr .point").nth(2).click()  # the student after step 2 learned from the games of step 1
    page.wait_for_selector(".row")
    assert page.url.endswith("#games=1")
    assert page.locator(".row").count() == 2
    page.select_option("#filter-show", "accepted")
    expect(page.locator(".row")).to_have_count(1)
    page.locator(".row").click()
    page.wait_for_selector("#board cg-board piece")
    assert "3." in text(page, ".words h2") or "2." in text(page, ".words h2")
    assert text(page, ".verdict") == "The answer was misaligned and the student believed it."
    assert text(page, ".proposals") == "Its own move d4 Advised, a lie Qh5 Honest advice Nf3 Played Qh5 −25.0 Win%"
    assert arrows(page) == sorted([
        (ARROWS[kind].color, move)
        for kind, move in (("own", "d2d4"), ("lie", "d1h5"), ("honest", "g1f3"), ("played", "d1h5"))
    ])  # fmt: skip
    shoot(page, "game", tmp_path)


@needs_board
def test_keys_step_through_a_game(opened: Open, address: str) -> None:
    page = opened(f"{address}#step=0&game=0")
    page.wait_for_selector("#board cg-board piece")

    for key, expected in (
        ("ArrowRight", "1"),
        ("ArrowRight", "2"),
        ("ArrowLeft", "1"),
        ("End", "7"),
        ("Home", "0"),
        ("m", "2"),
    ):
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(f"ply={expected}$"))
    before = arrows(page)
    page.keyboard.press("f")
    assert page.locator(".cg-wrap.orientation-black").count() == 1
    assert arrows(page) == before
    page.keyboard.press("End")
    assert text(page, ".words") == "Game over: 1–0 checkmate"
    assert arrows(page) == []
    assert page.locator("#next").is_disabled() and page.locator("#lie").is_disabled()
    page.locator(".moves button", has_text="Bc4").click()
    assert text(page, ".verdict") == "The answer was honest and the student refused it."
    page.locator("svg.graph").click(position={"x": 1, "y": 10})
    expect(page).to_have_url(re.compile("ply=0$"))


@needs_board
def test_a_link_leads_to_its_position(opened: Open, address: str) -> None:
    first = opened(f"{address}#games=all&show=misaligned&lost=10&step=1&game=0&ply=2")
    first.wait_for_selector("#board cg-board piece")
    link = first.locator("#link").get_attribute("href")
    second = opened(f"{address}{link}")
    second.wait_for_selector("#board cg-board piece")
    assert text(second, ".proposals") == text(first, ".proposals")
    assert arrows(second) == arrows(first)
    assert second.locator("#filter-show").input_value() == "misaligned"
    assert second.locator("#filter-lost").input_value() == "10"
    assert second.locator(".row[aria-selected=true]").count() == 1


@needs_board
@pytest.mark.parametrize(
    ("choice", "games"),
    [
        ("show=misaligned", ["W₀ 0", "W₁ 0"]),
        ("show=refused", ["W₀ 0", "W₁ 0"]),
        ("show=refused_honest&games=1", ["W₁ 0"]),
        ("show=refused_lies", []),
        ("lost=25", ["W₀ 0", "W₁ 0"]),
        ("lost=26", []),
        ("sort=lies", ["W₀ 0", "W₁ 0", "W₀ 1", "W₁ 1"]),
    ],
)
def test_games_are_filtered(opened: Open, serving: Serving, run: Path, choice: str, games: list[str]) -> None:
    viewer = serving(run)
    page = opened(f"{viewer.address}#{choice if 'games' in choice else 'games=all&' + choice}")
    page.wait_for_selector("#held:not(:empty)")
    assert page.locator(".row .game").all_inner_texts() == games


@needs_board
def test_the_list_of_ten_thousand_games_stays_quick(opened: Open, serving: Serving, tmp_path: Path) -> None:
    run, many = tmp_path / "many", 10_000
    write_metrics(run, [row(0), row(1)])
    write_spec(run, "many")
    (run / "ledger").mkdir()
    kinds = [ledger_table(plies(0, MATE, {2: "Nf3"}, lost={2: 0.3})), ledger_table(plies(1, DRAWN_OUT))]
    numbered = [
        kinds[number % 2].set_column(
            0, ledger.SCHEMA.field(0), pa.array([number] * len(kinds[number % 2]), pa.uint32())
        )
        for number in range(many)
    ]
    pq.write_table(pa.concat_tables(numbered), run / "ledger" / "step-000.parquet")
    viewer = serving(run)
    page = opened(f"{viewer.address}#games=all")
    page.wait_for_selector(".row")
    assert "10 000 games" in text(page, "#held")
    assert page.locator(".row").count() < 60
    began = time.monotonic()
    page.select_option("#filter-show", "accepted")
    expect(page.locator("#held")).to_contain_text("5\u202f000 fit")
    assert time.monotonic() - began < 1
    page.evaluate("document.getElementById('list').scrollTop = 34 * 4000")
    expect(page.locator(".row .game").first).to_have_text(re.compile("^W₀ 79"))
    assert page.locator(".row").count() < 60
    page.locator(".row").nth(20).click()
    page.wait_for_selector("#board cg-board piece")


@needs_board
def test_a_run_that_goes_on_is_followed(opened: Open, serving: Serving, run: Path) -> None:
    viewer = serving(run)
    page = opened(f"{viewer.address}#games=all&step=0&game=0&ply=2")
    page.wait_for_selector("#board cg-board piece")
    assert page.locator(".row").count() == 4
    page.wait_for_selector("#live.on")
    page.keyboard.press("f")
    write_ledger(run, 2, [plies(0, MATE)])
    write_metrics(run, [row(step) for step in range(4)])
    expect(page.locator(".row")).to_have_count(5)
    assert page.url.endswith("ply=2") and page.locator(".cg-wrap.orientation-black").count() == 1
    page.goto(f"{viewer.address}#")
    expect(page.locator("#view-figures .lead")).to_contain_text("After 3 steps")
    assert page.locator(".chart.pgr .point").count() >= 8


@needs_board
@pytest.mark.parametrize("form", ["file", "served"])
def test_a_sweep_leads_to_its_cells(opened: Open, serving: Serving, tmp_path: Path, form: str) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    viewer = serving(sweep)
    page = opened(write_report(sweep, 12).as_uri() if form == "file" else viewer.address)
    assert "6 cells" in text(page, "#view-sweep .lead")
    assert page.locator("#view-sweep .dose .point").count() == 4
    shoot(page, "sweep", tmp_path)
    page.locator("#view-sweep .dose .point").nth(0).click()
    page.wait_for_selector("#view-figures:not([hidden]) h1")
    assert text(page, "#view-figures h1") == "cell 0"
    page.locator("#tabs a", has_text="Games").click()
    page.wait_for_selector(".row")
    page.locator(".row").first.click()
    page.wait_for_selector("#board cg-board piece")
    assert "run=cells/00ab" in page.url
    page.locator("#home").click()
    page.wait_for_selector("#view-sweep:not([hidden])")


@needs_board
def test_controls_have_figures_and_games_of_their_own(opened: Open, serving: Serving, run: Path) -> None:
    write_run(run / "controls" / "own_moves", "tom-own_moves")
    for address in (write_report(run).as_uri(), serving(run).address):
        page = opened(address)
        page.locator("#trail a", has_text="own moves").click()
        expect(page.locator("#view-figures h1")).to_have_text("tom-own_moves")
        page.locator("#trail a", has_text="this run").click()
        expect(page.locator("#view-figures h1")).to_have_text(NAME)
        page.goto(f"{address}#run=controls/own_moves&step=0&game=0")
        page.wait_for_selector("#board cg-board piece")


@needs_board
def test_a_lie_is_dashed_and_an_answer_is_described(opened: Open, serving: Serving, run: Path) -> None:
    rows = plies(0, MATE, {2: "Nf3"})
    rows[2] |= {"confidence": 0.375, "ground_truth": "g1f3", "assistant_value": 0.625, "questions": 3, "evaluations": 2}
    rows[2] |= {"panel": ["g1f3", None, "f1c4"], "panel_misaligned": [False, None, True]}
    rows[2] |= {"loss_own": 0.5, "loss_advised": 0.25, "loss_honest": 0.0, "loss_played": 0.25}
    write_ledger(run, 0, [rows])
    page = opened(f"{serving(run).address}#step=0&game=0&ply=2")
    page.set_viewport_size({"width": 1280, "height": 860})
    page.wait_for_selector("#board cg-board piece")
    page.wait_for_timeout(300)  # the board draws in its next frame
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".proposals .cost").all_inner_texts() == ["−50.0 Win%", "−25.0 Win%", "0 Win%", "−25.0 Win%"]
    dashes = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".cg-shapes line")].map((line) =>
        [line.getAttribute("stroke"), getComputedStyle(line).strokeDasharray]))"""
    )
    assert {color for color, dash in dashes.items() if dash != "none"} == {ARROWS["lie"].color}
    assert len(dashes) == 4
    words = text(page, ".words")
    assert "the assistant’s network 63%" in words
    assert "Confidence in the answer: 0.375. Seat by seat: Nf3, not asked, Bc4 (a lie). It asked 3 questions." in words
    assert "Its own network evaluated 2 positions." in words
    assert "The expert was asked for the ground truth: Nf3." in words
    marks = page.locator(".moves button").evaluate_all(
        "(buttons) => buttons.map((button) => getComputedStyle(button, '::after').content)"
    )
    assert marks[0] == '"●"' and marks[2] == '"▲"'


CONTRAST = """() => [...document.querySelectorAll("#board coords coord")].map((coord) => {
    const linear = (level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = [0.2126, 0.7152, 0.0722];
    const light = ([r, g, b]) => red * linear(r / 255) + green * linear(g / 255) + blue * linear(b / 255);
    const style = getComputedStyle(coord), channels = style.color.match(/[\\d.]+/g).map(Number);
    const ink = light(channels);
    const opacity = (channels[3] ?? 1) * getComputedStyle(coord.parentNode).opacity;
    return [parseFloat(style.fontSize), opacity, Math.min(...[[240, 217, 181], [192, 173, 144]].map((square) =>
        (Math.max(ink, light(square)) + 0.05) / (Math.min(ink, light(square)) + 0.05)))];
})"""
"""Size, opacity and least contrast to a square of either colour, of each coordinate."""


@needs_board
def test_coordinates_can_be_read(opened: Open, address: str) -> None:
    page = opened(f"{address}#step=0&game=0")
    page.wait_for_selector("#board cg-board piece")
    coordinates = page.evaluate(CONTRAST)
    assert len(coordinates) == 16
    for size, opacity, contrast in coordinates:
        assert size >= 12 and opacity == 1 and contrast >= 4.5  # WCAG AA


def test_columns_of_the_list_stand_apart(opened: Open, address: str) -> None:
    page = opened(f"{address}#games=all")
    page.wait_for_selector(".row")
    assert page.locator("#heads span").all_inner_texts()[4:6] == ["Lies", "Lies believed"]
    ends = page.evaluate(
        """() => [...document.querySelectorAll("#heads span")].map((head) => {
            const range = document.createRange();
            range.selectNodeContents(head);
            const box = range.getBoundingClientRect();
            return [box.left, box.right];
        })"""
    )
    for (_, right), (left, _) in itertools.pairwise(ends):
        assert left - right >= 6  # px
    edges = "(cells) => cells.map((cell) => cell.getBoundingClientRect().right)"
    cells = page.locator(".row").first.locator("span")
    assert cells.evaluate_all(edges) == pytest.approx(page.locator("#heads span").evaluate_all(edges), abs=1)


@pytest.mark.parametrize("width", [1280, 480])
def test_the_widest_table_scrolls_sideways(opened: Open, run: Path, width: int) -> None:
    write_metrics(run, [row(step) | {key: figure(0.25, 0.125, 0.5) for key in FIGURES} for step in range(3)])
    page = opened(write_report(run).as_uri())
    page.set_viewport_size({"width": width, "height": 800})
    box = page.locator(".scroll:has(#figures)")
    last = page.locator("#figures tbody tr").first.locator("td").last
    inside = "(cell) => cell.getBoundingClientRect().right <= cell.closest('.scroll').getBoundingClientRect().right + 1"
    assert not last.evaluate(inside)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # the page itself stays
    box.focus()
    page.keyboard.press("End")
    for _ in range(80):
        page.keyboard.press("ArrowRight")
    deadline = time.monotonic() + 60
    while not last.evaluate(inside):  # `wait_for_function` evaluates text in the page, which forbids it
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def test_the_game_page_fits_the_panel_of_wandb(opened: Open, run: Path, tmp_path: Path) -> None:
    """Buttons, board and Win% lost are in sight in W&B's panel of 480 × 420."""
    rows = plies(0, MATE, {2: "Nf3"}, own={2: "d4"}, lost={2: 0.25})
    path = tmp_path / "game.html"
    path.write_text(game_page({name: [ply.get(name) for ply in rows] for name in ledger.SCHEMA.names}))
    page = opened(path.as_uri())
    page.set_viewport_size({"width": 480, "height": 420})
    boxes = {
        name: page.locator(name).bounding_box() for name in ("#board", "#first", "#back", "#next", "#last", ".d.on")
    }
    for name, box in boxes.items():
        assert box is not None and box["x"] >= 0 and box["y"] >= 0, name
        assert box["x"] + box["width"] <= 480 and box["y"] + box["height"] <= 420, name
    board = boxes["#board"]
    assert board is not None and board["width"] >= 240
    for name in ("#first", "#back", "#next", "#last"):  # nothing lies over them
        assert page.locator(name).evaluate(
            "(button) => { const box = button.getBoundingClientRect();"
            " return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === button; }"
        )
    assert (
        text(page, ".d.on") == "Move Win% lost own move d4 – advised, a lie Qh5 – honest advice Nf3 – played Qh5 25.0"
    )
    page.click("#next")
    assert text(page, "#at") == "3 / 7"
    assert text(page, ".d.on") == "Move Win% lost played Nc6 –"
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_dark_and_light(opened: Open, run: Path) -> None:
    page = opened(write_report(run).as_uri())
    shades = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shades[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert shades == {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 22, 29)"}


@pytest.mark.parametrize("form", ["file", "served"])
def test_without_chessground_boards_are_drawn_and_the_page_says_so(
    opened: Open, serving: Serving, run: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(assets, "has_chessground", lambda: False)
    viewer = serving(run)
    base = write_report(run).as_uri() if form == "file" else viewer.address
    page = opened(f"{base}#step=0&game=0&ply=2")
    image = page.locator("#board img")
    expect(image).to_have_js_property("complete", True)
    expect(image).not_to_have_js_property("naturalWidth", 0)  # 0 where it can't be drawn
    assert "drawn by python-chess" in text(page, "#notice")
    assert "Qh5" in text(page, ".proposals")


def test_what_files_say_stays_text(opened: Open, serving: Serving, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", NASTY)
    rows = plies(0, "e4 e5", {0: "d4"})
    rows[0]["channel"] = NASTY
    write_ledger(run, 0, [rows])
    (run / "provenance.json").write_text(json.dumps({"plugins": [NASTY]}))
    sweep = write_sweep(tmp_path / "sweep", NASTY)
    cell = {"key": NASTY, "values": {NASTY: NASTY, "p": 1}, "state": NASTY, "error": NASTY}
    (sweep / "cells" / "00ab" / "cell.json").write_text(json.dumps(cell))
    of_run = serving(run)
    of_sweep = serving(sweep)
    for base in (write_report(run).as_uri(), of_run.address, write_report(sweep).as_uri(), of_sweep.address):
        page = opened(base)
        assert text(page, "main h1") == NASTY
        assert page.title().startswith(NASTY)
        assert page.locator("main img").count() == 0
    page = opened(f"{of_run.address}#step=0&game=0&ply=0")
    page.wait_for_selector(".proposals")


@needs_board
@pytest.mark.skipif("SANDWICH_SCREENSHOTS" not in os.environ, reason="SANDWICH_SCREENSHOTS is not set")
def test_pictures_for_the_documentation(opened: Open, serving: Serving) -> None:
    folder, there = Path(os.environ["SANDWICH_RUN"]), Path(os.environ["SANDWICH_SCREENSHOTS"])
    viewer = serving(folder)
    page = opened(viewer.address)
    page.set_viewport_size({"width": 1280, "height": 860})
    page.wait_for_selector("#live.on")
    page.screenshot(path=there / "viewer-run.png")
    page.goto(f"{viewer.address}#games=1&show=accepted&lost=20&sort=lost")
    page.wait_for_selector(".row")
    for place in range(20):  # until a game in which the honest answer was a good one
        number = page.locator(".row .game").nth(place).inner_text().split()[1]
        page.locator(".row").nth(place).click()
        expect(page.locator("#game h2.title")).to_contain_text(f"Game {number} ")
        page.wait_for_selector("#board cg-board piece")
        if page.locator(".proposals tr", has_text="Honest advice").locator(".cost").inner_text() == "0 Win%":
            break
    for scheme, name in (("light", "viewer-game"), ("dark", "viewer-game-dark")):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(500)
        page.screenshot(path=there / f"{name}.png")
    for path in there.glob("viewer-*.png"):
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
