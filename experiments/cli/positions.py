"""Commands that put players to positions: puzzles, suites, agreement with the expert."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from agents.checkpoint_files import read_checkpoints
from agents.players.base import parse_player
from agents.tools import Tools
from experiments.cli.console import Display, cell
from experiments.cli.options import JSON, WORKERS
from sandwich.data.openings import positions
from sandwich.evaluation.agreement import agreement, view_of
from sandwich.evaluation.puzzles import read_puzzles, read_suite, solve_on, solve_suite
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.networks import InferenceConfig
from sandwich.statistics import share_figure


@click.command("puzzles")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("players", nargs=-1, required=True, metavar="PLAYER...")
@click.option("--band", default=400, show_default=True, type=click.IntRange(50), help="Width of a band of ratings.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many puzzles of the file.")
@WORKERS
@JSON
def puzzles(
    file: Path, players: tuple[str, ...], band: int, limit: int | None, workers: int | None, as_json: bool
) -> None:
    """Lichess puzzles (CSV) put to players: whole lines solved, and first moves found, by band of rating.

    \b
    Example: sandwich evaluate puzzles lichess_db_puzzle.csv weak expert --limit 5000
    """
    named = {player: parse_player(player) for player in players}
    chosen = read_puzzles(file, limit)
    bands = sorted({puzzle.rating // band for puzzle in chosen})
    checkpoints = read_checkpoints(list(named.values()))
    figures: dict[str, dict[str, Any]] = {}
    with Display() as display, Cluster(workers or cores(), display.message) as cluster:
        for player, opened in named.items():
            display.begin(f"puzzles, {player}", len(chosen))
            solved = solve_on(cluster, opened, checkpoints, chosen, InferenceConfig(), display.advance)
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
            table.add_row(name, str(shown[0]["n"]), *(cell(figure, 100, 1) for figure in shown))
        Console().print(table)


@click.command("suite")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("players", nargs=-1, required=True, metavar="PLAYER...")
@JSON
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
        click.echo(f"{player}: {cell(figure, 100, 1)} % of {figure['n']} positions solved")


@click.command("agreement")
@click.argument("players", nargs=-1, required=True, metavar="PLAYER...")
@click.option("--reference", default="expert", show_default=True, help="The player agreed with.")
@click.option("--positions", "count", type=click.IntRange(2), help="Only so many of the fixed positions.")
@WORKERS
@JSON
def agreement_command(
    players: tuple[str, ...], reference: str, count: int | None, workers: int | None, as_json: bool
) -> None:
    """How far players agree with the expert, by phase of the game, on a fixed set of positions.

    The share with the same best move; the divergence KL(expert‖player) of the policies, in nats; and
    Kendall's τ-b of the values of the moves.

    \b
    Example: sandwich evaluate agreement weak runs/default/checkpoints/step-003/weights.safetensors
    """
    fens = positions()[:count]
    chosen = {name: parse_player(name) for name in (reference, *players)}
    checkpoints = read_checkpoints(list(chosen.values()))
    views = {}
    with Display() as display, Cluster(workers or cores(), display.message) as cluster:
        display.begin("players", len(chosen))
        for name, player in chosen.items():
            views[name] = view_of(cluster, player, checkpoints, fens, InferenceConfig())
            display.advance(1)
    figures = {
        name: {
            phase: {figure: value.json() for figure, value in row.items()}
            for phase, row in agreement(views[name], views[reference], fens).items()
        }
        for name in players
    }
    if as_json:
        click.echo(json.dumps(figures))
        return
    table = Table("player", "phase", "positions", "same move, %", "KL, nats", "τ-b", box=None)
    for name, phases in figures.items():
        for phase, row in phases.items():
            same, apart, order = cell(row["agreement"], 100), cell(row["kl"], 1, 2), cell(row["tau_b"], 1, 2)
            table.add_row(name, phase, str(row["agreement"].get("n", 0)), same, apart, order)
    Console().print(table)
