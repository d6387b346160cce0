"""The report is one file that shows what the run folder holds, and refers to nothing else."""

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.figures import charts
from experiments.figures.report import meaning, turned
from experiments.figures.templates import bound
from experiments.viewer.page import write_report
from sandwich.runs.metrics import MetricsError
from tests.helpers.run_folders import figure, row, write_metrics, write_run

NAME = "tom-and-jerry"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small run folder with two finished steps."""
    return write_run(tmp_path / "a run", NAME)


class Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.texts: list[str] = []
        self._hidden = ""
        self.feed(content)

    @property
    def text(self) -> str:
        """Text that a reader sees, in one line, with plain spaces alone."""
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag if tag in ("script", "style") else self._hidden
        names = ("src", "href", "xlink:href", "srcset", "action", "data", "poster")
        self.references += [value or "" for name, value in attrs if name in names]

    def handle_endtag(self, tag: str) -> None:
        self._hidden = "" if tag == self._hidden else self._hidden

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)


def written(folder: Path) -> str:
    """The report of a run folder."""
    return write_report(folder).read_text(encoding="utf-8")


def test_it_is_one_file_that_refers_to_nothing_outside(folder: Path) -> None:
    content = written(folder)
    page = Page(content)
    assert [reference for reference in page.references if not reference.startswith(("#", "data:"))] == []
    shown = re.sub(r"http://www\.w3\.org/\d+/(svg|xlink)", "", content)  # names that nobody fetches
    assert re.findall(r"https?:|//[\w-]+\.\w|@import|url\((?!#|'data:)", shown) == []
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in content
    assert str(folder.parent) not in content
    assert len(content) < 1_500_000
    ids = re.findall(r'\bid="([^"]+)"', content)
    assert len(ids) == len(set(ids))


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
    write_metrics(folder, [row(0) | {"elo": {"value": None, "reason": nasty}}])
    content = written(folder)
    assert nasty not in content
    assert html.escape(nasty) in content


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, "No step is finished yet"),
        (1, "The student is measured, and no step is finished yet."),
        (2, "After 1 step and 2 345 questions"),
    ],
)
def test_it_shows_a_run_that_is_under_way(folder: Path, steps: int, expected: str) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row(step)) + "\n" for step in range(steps)))
    shutil.rmtree(folder / "ledger")
    assert expected in Page(written(folder)).text


def test_a_withheld_pgr_is_explained(folder: Path) -> None:
    withheld = row(1) | {"pgr": {"value": None, "reason": "the gap of 3 Elo is under five standard errors"}}
    (folder / "metrics.jsonl").write_text(f"{json.dumps(row(0))}\n{json.dumps(withheld)}\n")
    text = Page(written(folder)).text
    assert "the performance gap recovered is not measured: the gap of 3 Elo is under five standard errors." in text


def test_damaged_metrics_are_refused(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text("{\n")
    with pytest.raises(MetricsError, match="line 1"):
        write_report(folder)


def test_the_assistants_own_elo_stands_beside_the_students(folder: Path) -> None:
    rows = [row(0) | {"elo_assistant": figure(-437, -470, -405)}, row(1), row(2)]
    write_metrics(folder, rows)
    write_metrics(folder / "controls" / "honest", [row(0) | {"elo_assistant": figure(-3, -20, 15)}, row(1)])
    content = written(folder)
    assert "Assistant alone, expert at 0 −437 −470 to −405 Elo" in Page(content).text
    assert headers(content, "controls")[-2:] == ["Elo of the assistant", "Agreement"]
    assert ">−3<" in table(content, "controls") and ">−437<" in table(content, "controls")
    picture = charts.elo(rows)
    assert picture is not None and ">assistant<" in picture
    assert ">assistant<" not in (charts.elo([row(0), row(1)]) or "")


def table(content: str, name: str) -> str:
    """One table of a report."""
    return content.partition(f'<table id="{name}">')[2].partition("</table>")[0]


def headers(content: str, name: str) -> list[str]:
    """Names of a table's columns."""
    return re.findall(r'<th scope="col">([^<]*)</th>', table(content, name))


def test_no_column_is_empty_and_a_line_says_what_was_not_measured(folder: Path) -> None:
    content = written(folder)
    assert headers(content, "figures") == [
        "Step", "Elo, best move", "Score, best move", "Elo, temperature 0.5", "Elo, temperature 1",
        "PGR in Elo, best move", "PGR in Elo, temperature 0.5", "PGR in Elo, temperature 1",
        "Agreement with the expert", "Games at the ply cap",
    ]  # fmt: skip
    assert "PGR in Win% loss (no Stockfish found: &lt;install&gt; it)" in content
    assert "Puzzles solved (not among the metrics)" in content
    assert "Games ended by" not in headers(content, "counts")
    rows = [row(0), row(1), row(2) | {"pgr_win_loss": figure(0.5, 0.4, 0.6)}]
    rows[1]["play"]["ends"] = {"checkmate": 3}
    write_metrics(folder, rows)
    content = written(folder)
    assert "PGR in Win% loss" in headers(content, "figures")  # one row has it
    assert "PGR in Win% loss (" not in content
    assert "Games ended by" in headers(content, "counts") and "checkmate 3" in content


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
