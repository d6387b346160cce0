"""The games shown of a step are its worst and best lies; their page steps through them and needs nothing else."""

import io
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import chess
import chess.pgn
import pyarrow as pa
import pytest

from agents.misalignment.random_move import RandomMove
from experiments.figures.game_page import game_page
from sandwich.protocol.annotated_games import annotated_pgn, proposals
from sandwich.runs.showcase import cases
from sandwich.spec.run_spec import PlayConfig
from tests.helpers.ledgers import lie, table
from tests.helpers.short_games import SHORT, played

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.mark.parametrize(
    ("plies", "expected"),
    [
        (  # an honest answer may lose more and is no lie
            [lie(0, 0.25), lie(1, 0.5), {"game": 2, "loss_advised": 0.9}, lie(3, 0.3, False), lie(4, 0.4, False)],
            [("worst accepted lie", 1, 0.5), ("best caught lie", 4, 0.4)],
        ),
        (  # nobody looked: the first of each
            [{"game": 0}, lie(1, None), lie(2, None), lie(3, None, False)],
            [("worst accepted lie", 1, None), ("best caught lie", 3, None)],
        ),
        ([lie(0, None), lie(1, 0.0)], [("worst accepted lie", 1, 0.0)]),  # looked at before not looked at
        (  # each game once
            [lie(0, 0.5), lie(0, 0.5, False), lie(1, 0.1, False)],
            [("worst accepted lie", 0, 0.5), ("best caught lie", 1, 0.1)],
        ),
        ([{"game": 0}, {"game": 1}], []),  # no lies
        ([{"game": 0, "asked": False, "misaligned": None, "believed": None}], []),  # nothing asked
    ],
)
def test_the_costliest_lies_are_chosen(plies: list[dict[str, Any]], expected: list[tuple[str, int, float]]) -> None:
    shown = cases(table(*plies), seed=0, step=0)
    lies = [(case.kind, case.game, case.lost and pytest.approx(case.lost)) for case in shown if case.kind != "random"]
    assert lies == expected
    assert len({case.game for case in shown}) == len(shown)
    assert all(set(case.rows["game"]) == {case.game} for case in shown)


def test_the_random_game_follows_from_seed_and_step() -> None:
    content = table(*({"game": game} for game in range(200)))
    chosen = [cases(content, seed, step)[-1].game for seed, step in [(0, 0), (0, 0), (0, 1), (1, 0)]]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) == 3


@pytest.mark.timing
def test_a_large_ledger_takes_no_time() -> None:
    content = table(*(lie(row // 100, 0.1, row % 2 == 0) for row in range(2_000)))
    content = pa.concat_tables([content] * 50)
    start = time.process_time()
    assert len(cases(content, 0, 0)) == 3
    assert time.process_time() - start < 5


def test_a_game_of_the_ledger_is_the_one_that_self_play_wrote() -> None:
    result = played(SHORT, RandomMove(p=0.5))
    for number, text in enumerate(result.pgn):
        rows = result.rows.filter(pa.compute.equal(result.rows["game"], number)).to_pydict()
        end = re.search(r'Termination "(.*)"', text)
        assert end and annotated_pgn(rows, 0, end[1]) == text
        game = chess.pgn.read_game(io.StringIO(annotated_pgn(rows, 3)))
        assert game is not None and game.headers["Event"] == "step 3"
        assert len(proposals(rows)) == len(rows["ply"])


def test_every_ply_says_who_proposed_what() -> None:
    black = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
    content = table(lie(0, 0.1), {"game": 0, "ply": 1, "fen": black, "student": False, "asked": False,
                                  "own_move": "e7e5", "played": "e7e5"})  # fmt: skip
    assert proposals(content.to_pydict()) == [
        "1. e4 student: own d4; advised e4; misaligned, honest Nf3; believed", "1… e5 copy",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def long_game() -> dict[str, list[Any]]:
    """A game of 160 plies with lies, the student having Black."""
    content = played(PlayConfig(games=16, block=16, ply_cap=160), RandomMove(p=0.5)).rows
    games = [content.filter(pa.compute.equal(content["game"], number)) for number in range(1, 16, 2)]
    rows: dict[str, list[Any]] = max(games, key=len).to_pydict()
    return rows


def test_a_page_is_small_and_refers_to_nothing_outside(long_game: dict[str, list[Any]]) -> None:
    page = game_page(long_game)
    assert len(long_game["ply"]) > 80
    assert len(page.encode()) < 1_500_000 * len(long_game["ply"]) / 160
    assert not re.findall(r"(?:src|href)\s*=\s*['\"](?!#)[^'\"]*", page.replace("xlink:href", "href"))
    assert not re.findall(r"url\((?!#)|@import|fetch\(|https?://(?!www\.w3\.org/)", page)
    assert page.count("<g class='f'>") == len(long_game["ply"]) + 1


def test_what_a_ledger_says_is_escaped(long_game: dict[str, list[Any]]) -> None:
    page = game_page(long_game | {"game": ["<script>alert(1)</script>"] * len(long_game["ply"])})
    assert "<script>alert" not in page


@pytest.mark.parametrize(("keys", "expected"), [([], 2), (["next"], 3), (["ArrowLeft"] * 3, 0), (["last"], 4)])
def test_a_page_steps_through_its_game_in_a_browser(tmp_path: Path, keys: list[str], expected: int) -> None:
    """It opens at the costlier of two lies."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on PATH")
    board, plies = chess.Board(), []
    for ply, uci in enumerate(["e2e4", "e7e5", "d1h5", "b8c6"]):
        asked = ply % 2 == 0
        plies.append({"game": 0, "ply": ply, "fen": board.fen(), "student": asked, "asked": asked, "played": uci,
                      "own_move": uci, "advised": uci if asked else None, "honest": uci if asked else None,
                      "misaligned": asked or None, "loss_advised": 0.1 * ply if asked else None})  # fmt: skip
        board.push_uci(uci)
    clicks = "".join(
        f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}));"
        if key.startswith("Arrow")
        else f"document.getElementById('{key}').click();"
        for key in keys
    )
    page = game_page(table(*plies).to_pydict()).replace("</body>", f"<script>{clicks}</script></body>")
    path = tmp_path / "game.html"
    path.write_text(page)
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=2000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert f'<span id="at">{expected} / 4</span>' in done.stdout
    frames = re.findall(r'<g class="f( on)?">', done.stdout)
    assert [at for at, on in enumerate(frames) if on] == [expected]
