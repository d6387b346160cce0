"""The report is one file that shows what the run folder holds, and its board works in a real browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import chess
import pytest
import yaml

from experiments.report import bound, charts, meaning, turned, write_report
from experiments.report.games import shown_games
from sandwich.annotated import annotated_pgn
from sandwich.config import RunSpec
from sandwich.episode import RECORDED
from sandwich.tracking import MetricsError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NAME = "tom-and-jerry"


def figure(value: float, low: float | None, high: float | None, n: int = 800) -> dict[str, Any]:
    """A measured figure as metrics.jsonl has it."""
    return {"value": value, "low": low, "high": high, "n": n}


def row(step: int) -> dict[str, Any]:
    """A row of metrics; without an engine, and with a gap that Win% loss does not show."""
    absent = {"value": None, "reason": "no Stockfish found: <install> it"}
    return {
        "step": step,
        "elo": figure(-400 + 90.0 * step, -430 + 90.0 * step, None if step == 2 else -365 + 90.0 * step),
        "score": figure(0.09, 0.07, 0.11),
        "elo_sampled": figure(-450 + 80.0 * step, -490 + 80.0 * step, -400 + 80.0 * step),
        "pgr": figure(0.225 * step, 0.18 * step, 0.27 * step),
        "pgr_sampled": figure(0.2 * step, 0.1 * step, 0.3 * step),
        "pgr_win_loss": absent,
        "agreement": figure(0.25 + 0.1 * step, 0.2, 0.5, 200),
        "win_loss": absent,
        "win_loss_expert": absent,
        "capped": figure(0.0125, 0.006, 0.023),
        "pairs": {"best": [0.5, None]},
        "play": {"games": 64, "plies": 5120, "queries": 2345, "misaligned": 587, "believed": 2345} if step else None,
        "finetune": {"examples": 2345, "policy_loss": 2.5, "value_loss": 0.8, "top1": 0.31} if step else None,
        "seconds": {"play": 12.0 * bool(step), "finetune": 7.0 * bool(step), "evaluate": 30.0},
    }


def game(step: int, number: int, moves: str, lie: int | None = None) -> str:
    """PGN, as self-play writes it, of a game in which the student asks at every turn; it has White in even games.

    lie: ply at which the answer is misaligned, the first of the legal moves having been honest.
    """
    rows: dict[str, list[Any]] = {name: [] for name in RECORDED}
    board = chess.Board()
    for ply, san in enumerate(moves.split()):
        move = board.parse_san(san)
        asked, honest = ply % 2 == number % 2, move if ply != lie else next(iter(board.legal_moves))
        said = {"fen": board.fen(), "student": asked, "asked": asked, "played": move.uci()}
        said["own_move"] = "a2a3" if ply == 0 else move.uci()
        if asked:
            said |= {"advised": move.uci(), "honest": honest.uci(), "misaligned": ply == lie, "believed": True}
        for name in RECORDED:
            rows[name].append(said.get(name))
        board.push(move)
    return annotated_pgn(rows | {"game": [number], "result": [1.0]}, step, "checkmate")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small run folder with two finished steps."""
    path = tmp_path / "a run"
    (path / "games").mkdir(parents=True)
    settings = {"name": NAME, "assistant": {"misalignment": {"type": "random_move"}}, "oversight": {"type": "trust"}}
    spec = RunSpec.model_validate(settings).model_dump(mode="json")
    (path / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row(step)) + "\n" for step in range(3)))
    for step in range(2):
        games = [game(step, 0, "e4 e5 Qh5 Nc6 Bc4 Nf6 Qxf7#", lie=2), game(step, 1, "d4 d5 c4")]
        (path / "games" / f"step-{step:03d}.pgn").write_text("\n\n\n".join(games))
    return path


class Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.seen: list[str] = []
        self._hidden = ""
        self.feed(content)

    @property
    def text(self) -> str:
        """Text that a reader sees, in one line, with plain spaces alone."""
        return " ".join(" ".join(self.seen).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag if tag in ("script", "style") else self._hidden
        names = ("src", "href", "xlink:href", "srcset", "action", "data", "poster")
        self.references += [value or "" for name, value in attrs if name in names]

    def handle_endtag(self, tag: str) -> None:
        self._hidden = "" if tag == self._hidden else self._hidden

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.seen.append(data)


def written(folder: Path) -> str:
    """The report of a run folder."""
    return write_report(folder).read_text(encoding="utf-8")


def test_it_is_one_file_that_refers_to_nothing_outside(folder: Path) -> None:
    content = written(folder)
    page = Page(content)
    assert [reference for reference in page.references if not reference.startswith("#")] == []
    assert re.findall(r"https?:|//[\w-]+\.\w|@import|url\((?!#)", content) == []
    assert str(folder.parent) not in content
    assert len(content) < 1_500_000
    ids = re.findall(r'\bid="([^"]+)"', content)
    assert len(ids) == len(set(ids))
    assert {reference[1:] for reference in page.references} <= set(ids)


def test_it_says_the_figures_with_their_intervals_and_why_others_are_missing(folder: Path) -> None:
    content = written(folder)
    text = Page(content).text
    assert NAME in text
    assert "After 2 steps and 4 690 questions, the student has recovered 0.45 of the performance gap" in text
    assert "(95 % interval 0.36 to 0.54, one training run)" in text
    assert "excludes 0" in text
    assert "Gap, W₀ to the expert +400 +365 to +430 Elo" in text
    assert "25.0 % 1 174 of 4 690" in text
    assert "−220 −250 to ? n = 800" in text  # the data leave its upper end open
    assert "not measured: no Stockfish found: <install> it" in text
    assert "<install>" not in content
    assert content.count('class="chart ') == 5  # Win% loss was not measured
    assert all(word in text for word in ("5 120", "31.0 %", "random_move", "max_examples: 100000"))


def test_a_reason_cannot_break_the_page(folder: Path) -> None:
    nasty = "</script><script>alert(1)</script>"
    rows = [row(0) | {"elo": {"value": None, "reason": nasty}}]
    (folder / "metrics.jsonl").write_text(json.dumps(rows[0]) + "\n")
    pgn = game(0, 0, "e4 e5").replace("own a3", nasty)
    (folder / "games" / "step-000.pgn").write_text(pgn)
    content = written(folder)
    assert nasty not in content
    assert html.escape(nasty) in content
    assert shown_games(folder)[0]["games"][0]["plies"][0][3].startswith(nasty)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (0, "No step is finished yet"),
        (1, "The student is measured, and no step is finished yet."),
        (2, "After 1 step and 2 345 questions"),
    ],
)
def test_it_shows_a_run_that_is_under_way(folder: Path, steps: int, said: str) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row(step)) + "\n" for step in range(steps)))
    shutil.rmtree(folder / "games")
    assert said in Page(written(folder)).text


def test_a_withheld_pgr_is_explained(folder: Path) -> None:
    withheld = row(1) | {"pgr": {"value": None, "reason": "the gap of 3 Elo is under five standard errors"}}
    (folder / "metrics.jsonl").write_text(f"{json.dumps(row(0))}\n{json.dumps(withheld)}\n")
    text = Page(written(folder)).text
    assert "the performance gap recovered is not measured: the gap of 3 Elo is under five standard errors." in text


def test_damaged_metrics_are_refused(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text("{\n")
    with pytest.raises(MetricsError, match="line 1"):
        write_report(folder)


def test_positions_and_named_moves_are_worked_out(folder: Path) -> None:
    steps = shown_games(folder)
    assert [(step["step"], len(step["games"]), step["left_out"]) for step in steps] == [(0, 2, 0), (1, 2, 0)]
    mate = steps[0]["games"][0]
    assert (mate["white"], mate["black"], mate["result"], mate["end"]) == ("student", "copy", "1-0", "checkmate")
    first, lie, last = mate["plies"][0], mate["plies"][2], mate["plies"][-1]
    assert first == ["e4", "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR", "e2e4", "own a3; advised e4; believed",
                     [["own", "a2a3"]]]  # fmt: skip
    assert lie[3] == "own Qh5; advised Qh5; misaligned, honest Nh3; believed"
    assert lie[4] == [["honest", "g1h3"]]
    assert last[:2] == ["Qxf7#", "r1bqkb1r/pppp1Qpp/2n2n2/4p3/2B1P3/8/PPPP1PPP/RNB1K1NR"]


def test_many_games_leave_the_file_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.report.games.BUDGET", 20_000)
    many = "\n\n\n".join([game(0, 0, "Nf3 Nf6 Ng1 Ng8 " * 8)] * 20)
    for step in range(3):
        (folder / "games" / f"step-{step:03d}.pgn").write_text(many)
    steps = shown_games(folder)
    assert 15_000 < len(json.dumps(steps)) < 22_000
    assert [step["step"] for step in steps] == [0, 1, 2]  # each has a share of the room
    assert all(1 <= len(step["games"]) <= 12 and len(step["games"]) + step["left_out"] == 20 for step in steps)


@pytest.mark.parametrize(
    ("number", "form", "expected"),
    [
        (-92.4, "elo", "−92"),
        (12.6, "elo", "+13"),
        (-0.3, "elo", "0"),  # no sign on a zero
        (0.0123, "percent", "1.2\u202f%"),
        (None, "ratio", "?"),
    ],
)
def test_numbers_read_well(number: float | None, form: str, expected: str) -> None:
    assert bound(number, form) == expected


def test_a_figure_without_interval_stays_inside_its_picture() -> None:
    svg = charts.win_loss([row(0) | {"win_loss": figure(6, None, None)}])
    assert svg is not None
    assert ">6<" in svg  # the axis goes that far


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.4, "excludes 0"),
        (-0.1, 0.4, "contains 0"),
        (-0.4, -0.1, "below 0"),
        (1.1, 1.4, "above 1"),
    ],
)
def test_an_interval_is_put_in_words(low: float, high: float, expected: str) -> None:
    assert expected in meaning({"value": 0.2, "low": low, "high": high, "n": 1})


def test_a_gap_is_the_elo_turned_round() -> None:
    assert turned(figure(-400, -430, None)) == figure(400, None, 430)


def test_the_board_works_in_a_browser(folder: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on PATH")
    path = write_report(folder)
    # A page cannot be typed into from here: what a reader would press is pressed by a script at its end.
    presses = """<script>
document.getElementById("last").click();
for (let i = 0; i < 2; i++) document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
document.getElementById("first").click();
document.dispatchEvent(new KeyboardEvent("keydown", {key: "m"}));
</script></body>"""
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", presses), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=2000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    board = re.search(r'<svg id="board".*?</svg>', done.stdout, re.DOTALL)
    assert board
    assert len(re.findall("<rect", board[0])) == 64 + 2  # squares, and the two of the last move
    assert len(re.findall("<use", board[0])) == 32
    assert 'aria-label="Board after 2. Qh5"' in board[0]
    assert re.search(r'<use href="#white-queen"[^>]*translate\(315,135\)', board[0])  # on h5
    assert re.search(r'<line [^>]*class="arrow honest"', board[0])
    said = re.search(r'<div id="said".*?</div>', done.stdout, re.DOTALL)
    assert said
    assert re.sub(r"(<[^>]+>)+", "|", said[0]).strip("|") == (
        "2. Qh5 – student|own Qh5|advised Qh5|misaligned|honest Nh3|believed"
    )
    assert re.findall(r"<option[^>]*>([^<]*)", done.stdout) == [
        "Step 1: games of W₀", "Step 2: games of W₁",
        "Game 0: student – copy 1-0, 7 plies, 1 misaligned", "Game 1: copy – student 1-0, 3 plies",
    ]  # fmt: skip


# Controls, phases, losses


def test_controls_stand_beside_the_run(folder: Path) -> None:
    for name, factor in (("own_moves", 0.0), ("honest", 2.0)):
        there = folder / "controls" / name
        there.mkdir(parents=True)
        rows = [row(step) | {"pgr": figure(0.31 * factor * step, -0.1, 0.9)} for step in range(3)]
        (there / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    page = write_report(folder).read_text()
    table = page[page.index('<table id="controls">') :]
    table = table[: table.index("</table>")]
    assert [name in table for name in ("this run", "own moves", "honest", "no answer is believed")] == [True] * 4
    assert "1.24" in table
    picture = charts.pgr([row(step) for step in range(3)], {"own_moves": [row(0), row(1)]})
    assert picture is not None and "own moves" in picture
    assert "own moves" not in (charts.pgr([row(step) for step in range(3)]) or "")


def test_a_run_without_controls_has_no_table_of_them(folder: Path) -> None:
    assert 'id="controls"' not in write_report(folder).read_text()


def test_phases_and_losses_are_tables_where_they_were_measured(folder: Path) -> None:
    page = write_report(folder).read_text()
    assert 'id="phases"' not in page and 'id="losses"' not in page
    assert "the oracle has not looked" in page
    rows = []
    for step in range(3):
        more = {"phases": {"endgame": {"agreement": figure(0.375, 0.2, 0.5), "kl": figure(1.625, 1, 2),
                                       "tau_b": {"value": None, "reason": "no position <has> two moves"}}}}  # fmt: skip
        play = row(step)["play"]
        if play:
            play["loss"] = {"own": figure(4.125, 4, 5), "lie": {"value": None, "reason": "nobody & nothing"}}
        rows.append(row(step) | more | {"play": play, "reached": {"state": "not found", "margin": 50, "step": None}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    page = write_report(folder).read_text()
    for text in (
        "37.5",
        "1.62",
        "4.12",
        "no position &lt;has&gt; two moves",
        "nobody &amp; nothing",
        "Not found after",
    ):
        assert text in page, text
    assert charts.losses(rows) is not None
