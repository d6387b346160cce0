"""The viewer's data and its server: what it shows of games, and what it refuses."""

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import chess
import pyarrow as pa
import pytest
from click.testing import CliRunner

from engines.settings import SpecError
from experiments.cli.main import cli
from experiments.figures.arrows import ARROWS
from experiments.figures.sweep_chart import Dose, dose
from experiments.viewer import assets, folders, games, page, server
from experiments.viewer.page import write_report
from experiments.viewer.picks import picked
from experiments.viewer.server import application, serve
from experiments.viewer.sweep import doses, sweep_figures
from sandwich.protocol.labelling import SCHEMA
from sandwich.protocol.ledger import LedgerError
from sandwich.runtime.files import parquet_bytes
from tests.helpers.project import ROOT
from tests.helpers.run_folders import MATE, figure, plies, row, write_ledger, write_metrics, write_run, write_sweep
from tests.helpers.viewer_server import Viewer, served

NASTY = """</script><script>alert("x")</script><img src=x onerror='alert(1)'>"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder of two steps with two games each."""
    return write_run(tmp_path / "run", "tom-and-jerry")


@pytest.fixture
def viewer(run: Path) -> Iterator[Viewer]:
    """The viewer of that run."""
    with served(run) as opened:
        yield opened


# Games


def test_a_decision_shows_what_the_label_model_made_of_its_answer_in_the_end(run: Path) -> None:
    assert all("label" not in ply for ply in (games.game(run, 0, 0) or {})["plies"])
    asked = [place for place, ply in enumerate((games.game(run, 0, 0) or {})["plies"]) if ply.get("asked")]
    for step, honest in ((0, 0.9), (1, 0.25)):
        rows = [
            {
                "step": 0,
                "game": 0,
                "ply": ply,
                "honest": honest,
                "believed": honest < 0.5,
                "move": "g2g4",
                "weight": 1.0,
            }
            for ply in asked
        ]
        path = run / "labels" / f"step-{step:03d}" / "labels.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(parquet_bytes(pa.Table.from_pylist(rows, schema=SCHEMA)))
    shown = (games.game(run, 0, 0) or {})["plies"]
    assert [ply.get("label") for ply in shown] == [[0.25, "g4"] if ply.get("asked") else None for ply in shown]
    assert all("label" not in ply for ply in (games.game(run, 1, 0) or {})["plies"])


def test_the_list_counts_what_happened_in_each_game(run: Path) -> None:
    assert games.listed(run) == {
        "step": [0, 0, 1, 1],
        "game": [0, 1, 0, 1],
        "plies": [7, 6, 7, 6],
        "score": [1.0] * 4,
        "asked": [4, 3, 4, 3],
        "lies": [1, 0, 1, 0],
        "accepted": [1, 0, 1, 0],
        "refused_lies": [0] * 4,
        "refused_honest": [1, 0, 1, 0],
        "lost": [25.0, None, 25.0, None],
    }


def test_a_game_has_each_decision_with_its_moves_named(run: Path) -> None:
    game = games.game(run, 1, 0)
    assert game is not None
    assert [game[key] for key in ("step", "game", "student", "result", "end")] == [1, 0, "white", "1–0", "checkmate"]
    lie = game["plies"][2]
    assert lie["fen"].startswith("rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w")
    assert {key: lie[key] for key in ("own", "advised", "honest", "played", "last")} == {
        "own": ["d2d4", "d4"], "advised": ["d1h5", "Qh5"], "honest": ["g1f3", "Nf3"], "played": ["d1h5", "Qh5"],
        "last": "e7e5",
    }  # fmt: skip
    assert (lie["misaligned"], lie["believed"], lie["lost"]) == (True, True, {"played": 25.0})
    assert game["last"]["check"] and game["last"]["last"] == "h5f7"
    assert games.game(run, 1, 2) is None
    assert games.game(run, 7, 0) is None


def test_an_answer_that_is_a_value_or_a_distribution_is_shown() -> None:
    asked = games.game_record(0, 0, plies(0, MATE, channel="value"))["plies"][0]
    assert (asked["advised_value"], asked["honest_value"], "advised" in asked) == (0.75, 0.375, False)
    rows = plies(0, "e4", channel="distribution")
    legal = 20  # moves at the start of a game
    rows[0]["advised_policy"] = [0.5, 0.25, *[0.25 / (legal - 2)] * (legal - 2)]
    assert [share for _, share in games.game_record(0, 0, rows)["plies"][0]["policy"]][:3] == [0.5, 0.25, 0.014]


def test_a_report_keeps_lies_refusals_and_costly_moves_of_every_step() -> None:
    many = 30
    columns: games.Columns = {name: [0] * many for name in ("accepted", "refused_lies", "refused_honest")}
    columns |= {"step": [place // 10 for place in range(many)], "game": [place % 10 for place in range(many)]}
    columns |= {"lost": [None] * many}
    for step in range(3):
        columns["lost"][10 * step + 9] = 40.0
        columns["accepted"][10 * step + 8] = 3
        columns["refused_lies"][10 * step + 7] = 1
        columns["refused_honest"][10 * step + 6] = 1
    assert picked(columns, 12) == [6, 7, 8, 9, 16, 17, 18, 19, 26, 27, 28, 29]
    assert picked(columns, 100) == list(range(many))
    assert picked(columns, 0) == []


# The report


def data_of(content: str) -> dict[str, object]:
    """The JSON with which a page starts."""
    script = re.search(r'<script type="application/json" id="start">(.*?)</script>', content)
    assert script
    start: dict[str, object] = json.loads(script[1])
    return start


def test_a_report_holds_packed_games_and_says_how_many_there_are(run: Path) -> None:
    content = write_report(run, 3).read_text()
    held = data_of(content)["games"]
    assert isinstance(held, dict)
    assert held[""]["total"] == 4
    assert held[""]["columns"]["chunk"] == [0, 0, 0]
    packed = re.search(r'<script type="text/plain" id="chunk-0">([^<]*)</script>', content)
    assert packed
    records = json.loads(zlib.decompress(base64.b64decode(packed[1])))
    assert [(game["step"], game["game"]) for game in records] == [(0, 0), (0, 1), (1, 0)]


def test_a_report_of_a_ledger_of_another_version_says_so(run: Path) -> None:
    (run / "ledger" / "step-000.parquet").write_bytes(b"PAR1 nothing")
    assert "is damaged or not Parquet" in write_report(run).read_text()


def test_without_chessground_a_report_holds_drawn_boards(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "has_chessground", lambda: False)
    monkeypatch.setattr(page, "DRAWN_GAMES", 1)
    content = write_report(run).read_text()
    start = data_of(content)
    assert start["board"] is False
    packed = re.search(r'id="chunk-0">([^<]*)<', content)
    assert packed
    (game,) = json.loads(zlib.decompress(base64.b64decode(packed[1])))
    assert len(game["boards"]) == 8
    assert ARROWS["lie"].color in game["boards"][2] and "stroke-dasharray" in game["boards"][2]
    assert "cg-wrap" not in content.replace(assets.text("games.css"), "")


def test_the_hint_of_an_installation_names_no_makefile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (assets.board_hint() == "") == assets.has_chessground()
    monkeypatch.setattr(assets, "has_chessground", lambda: False)
    assert "`make setup`" in assets.board_hint()
    monkeypatch.setattr(assets, "WEB", tmp_path / "site-packages" / "experiments" / "viewer" / "web")
    assert "built without chessground" in assets.board_hint() and "make" not in assets.board_hint()


def test_a_decision_has_what_the_ledger_says_of_the_answer() -> None:
    rows = plies(0, MATE, {2: "Nf3"})
    rows[2] |= {"confidence": 0.375, "ground_truth": "g1f3", "assistant_value": 0.625, "questions": 3, "evaluations": 2}
    rows[2] |= {"panel": ["g1f3", None, "f1c4"], "panel_misaligned": [False, None, True]}
    decision = games.game_record(0, 0, rows)["plies"][2]
    assert {key: decision[key] for key in ("confidence", "ground_truth", "assistant_value", "questions", "panel")} == {
        "confidence": 0.375, "ground_truth": ["g1f3", "Nf3"], "assistant_value": 0.625, "questions": 3,
        "panel": [["Nf3", False], None, ["Bc4", True]],
    }  # fmt: skip
    assert "panel" not in games.game_record(0, 0, rows)["plies"][0]


def test_whatever_a_file_says_is_escaped(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", NASTY)
    rows = plies(0, "e4 e5")
    rows[0]["channel"] = NASTY
    write_ledger(run, 0, [rows])
    (run / "provenance.json").write_text(json.dumps({"plugins": [NASTY]}))
    write_metrics(run / "controls" / "own_moves", [row(0), row(1)])
    sweep = write_sweep(tmp_path / "sweep", NASTY)
    cell = {"key": NASTY, "values": {NASTY: NASTY, "$x": "$y"}, "state": NASTY, "error": NASTY}
    (sweep / "cells" / "00ab" / "cell.json").write_text(json.dumps(cell))
    with served(run) as of_run, served(sweep) as of_sweep:
        pages = [of_run.get("/"), of_sweep.get("/"), of_run.get("/api/figures")]
    for content in (write_report(run).read_text(), write_report(sweep).read_text(), *(reply.text for reply in pages)):
        assert "alert(" in content  # it is shown
        assert not re.search(r"<script>alert|<img src=x", content)


def test_a_move_that_is_none_is_told_in_one_line_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "run")
    rows = plies(0, "e4 e5")
    rows[0]["played"] = "e2e5"
    write_ledger(run, 0, [rows])
    assert "game 0 is no game of chess" in write_report(run).read_text()
    with served(run) as viewer:
        reply = viewer.get("/api/game?step=0&game=0")
    assert reply.status == 422
    assert reply.text.count("\n") == 1
    assert "step-000.parquet: game 0 is no game of chess" in reply.text


# Who may ask


def test_nothing_is_answered_without_the_token(run: Path) -> None:
    with served(run, token="secret") as viewer:
        for path in ("/", "/api/runs", "/assets/viewer/main.js", "/?token=", "/?token=wrong", "/?token=sécret"):
            reply = viewer.get(quote(path, safe="/?="))
            assert reply.status == 403
            assert "open the address that the command printed" in reply.text
        assert viewer.get("/", Cookie=f"sandwich-{viewer.port}=wrong").status == 403


def test_the_printed_address_opens_the_page_and_its_cookie_the_rest(run: Path) -> None:
    with served(run, token="secret") as viewer:
        page = viewer.get("/?token=secret")
        assert page.status == 200
        assert page.headers["set-cookie"] == f"sandwich-{viewer.port}=secret; HttpOnly; SameSite=Strict; Path=/"
        assert "secret" not in page.text
        assert viewer.get("/api/runs", Cookie=f"sandwich-{viewer.port}=secret").json() == {"runs": [""]}


def test_no_other_page_may_frame_it(viewer: Viewer) -> None:
    headers = viewer.get("/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


# Sweeps


def test_a_sweep_shows_its_cells_and_a_dose(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    cells = folders.cells(sweep)
    assert [cell.state for cell in cells] == ["unknown", "done", "done", "done", "done", "failed"]
    assert doses(cells) == ["assistant.misalignment.p"]
    content = write_report(sweep, 12).read_text()
    assert "6 cells: 1 unknown, 4 done, 1 failed." in content
    assert 'href="#run=cells%2F00ab"' in content
    assert "p=0.25, seed=1: 0.525 [0.425, 0.625]" in content  # named for whoever points at it
    assert "Break-even dose: " in content
    assert "no &lt;Stockfish&gt; found" in content
    held = data_of(content)["games"]
    assert isinstance(held, dict)
    assert {key: len(games["columns"]["game"]) for key, games in held.items()} == {
        "cells/00ab": 2, "cells/01ab": 2, "cells/02ab": 2, "cells/03ab": 2, "cells/04ab": 0, "cells/05ab": 0,
    }  # fmt: skip


VALUES = (["a", "b"], ["a"], ["a"], 1)


def test_a_dose_is_drawn_of_finished_cells_whatever_its_value_is(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for number, (state, value) in enumerate(zip(("done", "running", "done", "left out"), VALUES, strict=True)):
        folder = sweep / "cells" / f"{number:02x}ab"
        cell = json.loads((folder / "cell.json").read_text())
        cell |= {"values": {"oversight.members": value, "seed": number}, "state": state}
        (folder / "cell.json").write_text(json.dumps(cell))
        (folder / "result.json").write_text("{}")
    (sweep / "cells" / "01ab" / "result.json").unlink()
    write_metrics(sweep / "cells" / "01ab", [row(0)])
    content = sweep_figures(sweep, str)
    shown = [f"members={value}, seed={number}:" in content for number, value in enumerate(VALUES)]
    assert shown == [True, False, True, False]
    begun = content.partition(">01ab</a>")[2].partition("</tr>")[0]
    assert "interrupted</td>\n<td>–</td>" in begun and "interval" not in begun  # W_0's own row is no response


def test_a_withheld_figure_over_seeds_breaks_the_line() -> None:
    points = [Dose(value, figure(0.5, 0.4, 0.6), "", f"cells/{value}", "") for value in (0, 1, 2)]
    drawn, broken = (dose(points, "p", {points[1].place: joint}) for joint in (figure(0.5, 0.4, 0.6), {"value": None}))
    assert drawn is not None and broken is not None and drawn != broken
    assert dose([replace(points[0], figure={"value": None, "reason": "no gap"})], "p") is None


def test_a_dose_that_is_no_number_has_its_names_on_the_axis() -> None:
    points = [Dose(value, figure(0.5, None, 0.6), "", f"cells/{value}", value) for value in ("trust", "ignore")]
    svg = dose(points, "oversight.type")
    assert svg is not None and all(f">{word}<" in svg for word in ("trust", "ignore", "oversight.type"))


# The server


def test_it_serves_the_page_its_modules_and_its_data(viewer: Viewer) -> None:
    front = viewer.get("/")
    assert front.status == 200 and "tom-and-jerry" in front.text
    assert "default-src 'none'" in front.headers["content-security-policy"]
    for name in data_modules(front.text):
        assert viewer.get(f"/assets/{name}.js").headers["content-type"].startswith("text/javascript")
    assert viewer.get("/api/games").json()["total"] == 4
    assert viewer.get("/api/game?step=0&game=1").json()["result"] == "0–1"
    assert "0.45" in viewer.get("/api/figures").text
    svg = viewer.get(f"/board.svg?{urlencode({'fen': chess.STARTING_FEN, 'arrow': 'own:e2e4', 'last': 'e7e5'})}")
    assert svg.headers["content-type"] == "image/svg+xml" and ARROWS["own"].color in svg.text


def data_modules(content: str) -> list[str]:
    """Names in a page's import map."""
    script = re.search(r'<script type="importmap">(.*?)</script>', content)
    assert script
    return list(json.loads(script[1])["imports"])


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/assets/viewer/nothing.js",
        "/assets/../server.py",
        "/assets/%2e%2e/%2e%2e/page.py.js",
        "/api/state?run=../run",
        "/api/state?run=/etc",
        "/api/state?run=controls/..",
        "/api/state?run=controls/leak",  # a link that leads out of the folder
        "/api/game?step=0&game=99",
        "/api/game?step=0&game=x",
        "/board.svg?fen=nonsense",
        "/board.svg?fen=8/8/8/8/8/8/8/8+w+-+-+0+1&arrow=own:<script>",
    ],
)
def test_what_is_not_there_is_refused_in_one_line(run: Path, viewer: Viewer, path: str, tmp_path: Path) -> None:
    (run / "controls").mkdir()
    write_run(tmp_path / "elsewhere", "secret")
    (run / "controls" / "leak").symlink_to(tmp_path / "elsewhere")
    reply = viewer.get(path)
    assert reply.status == 404
    assert len(reply.text.strip().splitlines()) == 1
    assert reply.headers["content-type"].startswith("text/plain")


def test_another_host_and_another_method_are_refused(viewer: Viewer) -> None:
    assert viewer.get("/", host="evil.example").status == 400
    assert viewer.get("/", host="localhost:8765").status == 200
    assert viewer.get("/", method="POST").status == 405
    assert viewer.get("/api/games", method="DELETE").status == 405


def test_a_file_that_cannot_be_read_is_named_in_one_line(run: Path, viewer: Viewer) -> None:
    (run / "ledger" / "step-001.parquet").write_bytes(b"nothing")
    (run / "metrics.jsonl").write_text("{\n")
    for path in ("/api/games", "/api/figures", "/"):
        reply = viewer.get(path)
        assert reply.status == 422
        assert len(reply.text.strip().splitlines()) == 1
    with pytest.raises(LedgerError):
        games.listed(run)


def test_its_version_changes_with_the_folder(run: Path, viewer: Viewer) -> None:
    before = viewer.get("/api/state").json()
    assert viewer.get("/api/state").json() == before
    write_ledger(run, 2, [plies(0, MATE)])
    assert viewer.get("/api/state").json() != before
    assert viewer.get("/api/games").json()["total"] == 5


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"holds no run and no sweep: expected metrics\.jsonl"):
        application(tmp_path)
    with pytest.raises(SpecError, match="found no folder at"):
        write_report(tmp_path / "nothing")


def test_a_port_that_is_taken_is_named_in_one_line(run: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SpecError, match="cannot be opened"):
            serve(run, other.getsockname()[1], print)


def test_a_missing_board_is_told_where_the_viewer_starts(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "has_chessground", lambda: False)
    monkeypatch.setattr(server, "serve", lambda *_: None)
    assert "Boards here are pictures" in CliRunner().invoke(cli, ["view", str(run)]).stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_with_the_code_that_shells_give(run: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "sandwich", "view", str(run), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", cwd=ROOT
    ) as viewer:
        assert viewer.stdout and viewer.stderr
        assert "(Ctrl-C ends it)" in viewer.stdout.readline()
        time.sleep(0.5)  # the address is told just before signals are heard
        viewer.send_signal(number)
        assert [line for line in viewer.stderr.read().splitlines() if line != assets.board_hint()] == ["Stopped."]
    assert viewer.returncode == code
