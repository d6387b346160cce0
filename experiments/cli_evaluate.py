"""Commands that measure what is not a match: harm and suspicion of misalignments, puzzles, suites."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from agents.network import checkpoint_path, checkpoints_in
from agents.players.base import parse_player
from agents.tools import Tools
from engines import network
from experiments.console import Display, figure_text
from sandwich.cluster import Cluster
from sandwich.config import cores, spec_settings, validate
from sandwich.corpus import write_whole
from sandwich.exposure import ExposureConfig, expose
from sandwich.provenance import keyed_folder
from sandwich.puzzles import read_puzzles, read_suite, solve, solve_suite
from sandwich.statistics import share_figure

SHIPPED = Path(__file__).parent / "specs" / "evaluate_misalignments.yaml"

COLUMNS = {
    "misaligned": ("misaligned", 100, 0),
    "win_loss": ("Win% lost per question", 1, 2),
    "blunders": ("blunders, %", 100, 1),
    "suspicion_weak": ("suspicion of W, Win%", 1, 2),
    "suspicion_strong": ("suspicion of E, Win%", 1, 2),
    "shown_weak": ("W sees of the harm", 1, 2),
    "shown_strong": ("E sees of the harm", 1, 2),
}
"""Figures of a row: heading, factor, digits."""


@click.group()
def evaluate() -> None:
    """Measure misalignments, and players on positions with known best moves."""


@evaluate.command("misalignments")
@click.argument("spec", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default="runs/misalignments", show_default=True,
    help="Folder to write.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1), help="Ray workers [default: one per core].")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def misalignments(spec: Path | None, overrides: tuple[str, ...], out: Path, workers: int | None, as_json: bool) -> None:
    """Harm and suspicion of misalignments: a table and a picture.

    SPEC lists them with their doses; without one, all that are shipped. Each is asked about the same
    positions; Stockfish says what its answers lose, W's and E's values how they look. A survey of the
    positions is kept in the folder and found again.

    \b
    Examples:
      sandwich evaluate misalignments
      sandwich evaluate misalignments mine.yaml survey.positions=500 --out runs/mine
    """
    if spec is not None and "=" in str(spec) and not spec.exists():
        spec, overrides = None, (str(spec), *overrides)
    source = spec or SHIPPED
    config = validate(ExposureConfig, spec_settings(source, overrides), source.parent)
    checkpoints = {name: network.read(checkpoint_path(name)) for name in sorted(checkpoints_in(config))}
    out.mkdir(parents=True, exist_ok=True)
    survey = keyed_folder(out, "survey", config.survey, checkpoints)
    with Cluster(workers or cores()) as cluster, Display() as display:
        rows = expose(cluster, config, checkpoints, survey, display.tell)
    write_whole(out / "misalignments.json", (json.dumps(rows, indent=1) + "\n").encode())
    from experiments.exposure_picture import picture  # matplotlib takes a second to import

    picture(rows, out / "misalignments.svg")
    write_whole(out / "misalignments.md", _markdown(rows).encode())
    if as_json:
        click.echo(json.dumps({"figures": rows, "out": str(out)}))
        return
    table = Table("", "", "Win% lost", "blunders %", "W suspects", "E suspects", "ms", box=None)
    for row in rows:
        shown = [_short(row[key], COLUMNS[key][1]) for key in SHOWN]
        table.add_row(row["misalignment"], _dose(row), *shown, f"{row['ms_per_question']:.1f}")
    Console().print(table)
    click.echo(f"Table and picture: {out / 'misalignments.md'}, {out / 'misalignments.svg'}")


def _dose(row: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in row["dose"].items())


def _cells(row: dict[str, Any]) -> list[str]:
    figures = [_cell(row[key], factor, digits) for key, (_, factor, digits) in COLUMNS.items()]
    return [row["misalignment"], _dose(row), *figures, f"{row['ms_per_question']:.2f}"]


SHOWN = ("win_loss", "blunders", "suspicion_weak", "suspicion_strong")
"""Figures that a terminal has room for."""


def _short(figure: dict[str, Any], factor: float) -> str:
    """Value and half the width of its interval."""
    if figure["value"] is None:
        return "–"
    known = figure["low"] is not None and figure["high"] is not None
    return f"{factor * figure['value']:.1f}" + (
        f" ±{factor * (figure['high'] - figure['low']) / 2:.1f}" if known else ""
    )


def _cell(figure: dict[str, Any], factor: float, digits: int) -> str:
    if figure["value"] is None:
        return "–"
    scaled = {key: None if figure[key] is None else factor * figure[key] for key in ("value", "low", "high")}
    return figure_text(scaled, digits)


def _markdown(rows: list[dict[str, Any]]) -> str:
    heads = ["misalignment", "dose", *(heading for heading, _, _ in COLUMNS.values()), "ms per question"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(_cells(row)) + " |" for row in rows)]) + "\n"


@evaluate.command("puzzles")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("players", nargs=-1, required=True, metavar="PLAYER...")
@click.option("--band", default=400, show_default=True, type=click.IntRange(50), help="Width of a band of ratings.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many puzzles of the file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def puzzles(file: Path, players: tuple[str, ...], band: int, limit: int | None, as_json: bool) -> None:
    """Lichess puzzles (CSV) put to players: whole lines solved, and first moves found, by band of rating.

    \b
    Example: sandwich evaluate puzzles lichess_db_puzzle.csv weak expert --limit 5000
    """
    named = {player: parse_player(player) for player in players}
    chosen = read_puzzles(file, limit)
    bands = sorted({puzzle.rating // band for puzzle in chosen})
    figures: dict[str, dict[str, Any]] = {}
    with Tools() as tools, Display() as display:
        for player, opened in named.items():
            evaluator = tools.player(opened)
            display.begin(f"puzzles, {player}", len(chosen))
            solved = solve(evaluator, chosen, display.advance)
            groups = {"all": np.ones(len(chosen), np.bool_)} | {
                f"{band * number}–{band * (number + 1) - 1}": np.array([p.rating // band == number for p in chosen])
                for number in bands
            }
            figures[player] = {
                name: {
                    "whole": share_figure(int(solved.whole[rows].sum()), int(rows.sum())).json(),
                    "first": share_figure(int(solved.first[rows].sum()), int(rows.sum())).json(),
                }
                for name, rows in groups.items()
            }
    if as_json:
        click.echo(json.dumps(figures))
        return
    for what, title in (("whole", "whole lines solved, %"), ("first", "first moves found, %")):
        table = Table("rating", "puzzles", *players, title=title, box=None)
        for name in next(iter(figures.values())):
            shown = [figures[player][name][what] for player in players]
            table.add_row(name, str(shown[0]["n"]), *(_cell(figure, 100, 1) for figure in shown))
        Console().print(table)


@evaluate.command("suite")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("players", nargs=-1, required=True, metavar="PLAYER...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def suite(file: Path, players: tuple[str, ...], as_json: bool) -> None:
    """A test suite (EPD with bm or am) put to players: the share of positions solved by the best move.

    \b
    Example: sandwich evaluate suite wac.epd weak expert mcts:simulations=100
    """
    named = {player: parse_player(player) for player in players}
    chosen = read_suite(file)
    figures = {}
    with Tools() as tools:
        for player, opened in named.items():
            solved = solve_suite(tools.player(opened), chosen)
            figures[player] = share_figure(int(solved.sum()), len(solved)).json()
    if as_json:
        click.echo(json.dumps(figures))
        return
    for player, figure in figures.items():
        click.echo(f"{player}: {_cell(figure, 100, 1)} % of {figure['n']} positions solved")
