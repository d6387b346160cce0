"""The page: one HTML document, with addresses of the server in it, or with everything that it needs."""

import base64
import json
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from experiments.figures.arrows import arrows_json
from experiments.figures.report import summary
from experiments.figures.templates import render
from experiments.viewer import assets, fallback, folders, games
from experiments.viewer.picks import picked
from experiments.viewer.sweep import sweep_figures
from sandwich.runtime.files import write_whole
from sandwich.runtime.kept import DamagedError

GAMES = 300
"""Games that a report holds where nothing else is asked for."""
DRAWN_GAMES = 12
"""At most so many where every position has to be drawn beforehand, without chessground."""
BESIDE_GAMES = 20
"""Games of each run beside the page's own: of a sweep's cells and of controls."""
CHUNK = 10
"""Games that are packed, and unpacked in the browser, together."""


def write_report(folder: str | Path, most: int = GAMES) -> Path:
    """Write `report.html` of a run or a sweep, with at most `most` of its games, and return its path.

    Raises DamagedError where metrics.jsonl is damaged.
    """
    path = Path(folder) / "report.html"
    write_whole(path, page(Path(folder), most).encode())
    return path


def page(root: Path, most: int | None = None) -> str:
    """The page of a run or a sweep: with at most so many games in it, or (None) to be served."""
    served = most is None
    sweep = folders.is_sweep(root)
    runs = folders.runs(root)
    start: dict[str, Any] = {
        "sweep": sweep,
        "board": assets.has_chessground(),
        "hint": assets.board_hint(),
        "arrows": arrows_json(),
        "runs": runs,
    }
    if served:
        start["version"] = folders.version(root)
    chunks: list[str] = []
    pieces: list[tuple[str, Markup]] = []
    if most is not None:
        start["games"] = {key: _held(root / key, _share(key, runs, most), chunks) for key in runs}
        pieces = [(key, _figures_or_why(root, key)) for key in runs if key]
    return str(
        render(
            "viewer/page.html",
            name=folders.name_of(root),
            policy=None if served else assets.policy(served=False),
            style=assets.style(),
            import_map=assets.import_map(served=served),
            module=assets.start(),
            figures=sweep_figures(root, run_address) if sweep else run_figures(root, ""),
            sweep=sweep,
            start=start,
            chunks=chunks,
            pieces=pieces,
        )
    )


def _figures_or_why(root: Path, key: str) -> Markup:
    """The figures of one run among others, or why they can't be read."""
    try:
        return run_figures(root, key, brief=True)
    except DamagedError as error:
        return Markup("<p>{}</p>").format(str(error))


def run_figures(root: Path, key: str, *, brief: bool = False) -> Markup:
    """The figures of one run, with its pictures' points led to its games."""
    return summary(root / key, folders.name_of(root / key), partial(_games_address, key), brief=brief)


def run_address(key: str) -> str:
    """Address within the page of a run."""
    return f"#run={quote(key, safe='')}"


def _games_address(key: str, step: int) -> str:
    """Address of the games from which the student of this step came; of step 0, of those that it played."""
    games = f"games={max(0, step - 1)}"
    return f"{run_address(key)}&{games}" if key else f"#{games}"


def _share(key: str, runs: list[str], most: int) -> int:
    """Games of one run in a report: of a sweep, cells share; of a run, its controls have a few."""
    if key == "":
        return most
    return min(BESIDE_GAMES, most // len(runs))


def _held(folder: Path, most: int, chunks: list[str]) -> dict[str, Any]:
    """The list of the games that the report holds, each with the number of the chunk it lies in."""
    try:
        columns = games.listed(folder)
        total = len(columns["game"])
        if assets.has_chessground():
            finish: Callable[[dict[str, Any]], dict[str, Any]] = dict
        else:
            finish, most = fallback.with_boards, min(most, DRAWN_GAMES)
        chosen = picked(columns, most)
        records = []
        for place in chosen:
            game = games.game(folder, columns["step"][place], columns["game"][place])
            assert game is not None
            records.append(finish(game))
    except DamagedError as error:
        return {"error": str(error)}
    first = len(chunks)
    chunks += [_packed(records[at : at + CHUNK]) for at in range(0, len(records), CHUNK)]
    held = {name: [column[place] for place in chosen] for name, column in columns.items()}
    held["chunk"] = [first + at // CHUNK for at in range(len(records))]
    return {"columns": held, "total": total}


def _packed(records: list[dict[str, Any]]) -> str:
    """Games as base64 of deflated JSON; a browser reads it with DecompressionStream."""
    return base64.b64encode(zlib.compress(json.dumps(records, separators=(",", ":")).encode(), 9)).decode()
