"""Commands that measure players and runs where no games are played: puzzles, suites, agreement, the oracle."""

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
from engines.settings import SpecError
from engines.stockfish import EngineError
from experiments.cli_misalignments import misalignments
from experiments.console import Display, cell
from experiments.options import JSON, SEED, WORKERS
from sandwich import ledger
from sandwich.agreement import agreement, view_of
from sandwich.cluster import Cluster
from sandwich.config import InferenceConfig, cores
from sandwich.corpus import parquet_bytes, write_whole
from sandwich.openings import positions
from sandwich.oracle import Oracle
from sandwich.puzzles import read_puzzles, read_suite, solve_on, solve_suite
from sandwich.review import losses_of, review
from sandwich.statistics import share_figure
from sandwich.tracking import read_metrics, write_metrics


@click.group()
def evaluate() -> None:
    """Measure players on positions, a run's moves by the oracle, and misalignments."""


evaluate.add_command(misalignments)


@evaluate.command("puzzles")
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
    checkpoints = {name: network.read(checkpoint_path(name)) for name in checkpoints_in(list(named.values()))}
    figures: dict[str, dict[str, Any]] = {}
    with Cluster(workers or cores()) as cluster, Display() as display:
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


@evaluate.command("suite")
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


@evaluate.command("agreement")
@click.argument("players", nargs=-1, required=True, metavar="PLAYER...")
@click.option("--goal", default="expert", show_default=True, help="The player agreed with.")
@click.option("--positions", "count", type=click.IntRange(2), help="Only so many of the fixed positions.")
@WORKERS
@JSON
def agreement_command(
    players: tuple[str, ...], goal: str, count: int | None, workers: int | None, as_json: bool
) -> None:
    """How far players agree with the expert, by phase of the game, on a fixed set of positions.

    The share with the same best move; the divergence KL(expert‖player) of the policies, in nats; and
    Kendall's τ-b of the values of the moves.

    \b
    Example: sandwich evaluate agreement weak runs/default/checkpoints/step-003/weights.safetensors
    """
    fens = positions()[:count]
    chosen = {name: parse_player(name) for name in (goal, *players)}
    checkpoints = {name: network.read(checkpoint_path(name)) for name in checkpoints_in(list(chosen.values()))}
    views = {}
    with Cluster(workers or cores()) as cluster, Display() as display:
        display.begin("players", len(chosen))
        for name, player in chosen.items():
            views[name] = view_of(cluster, player, checkpoints, fens, InferenceConfig())
            display.advance(1)
    figures = {
        name: {
            phase: {figure: found.json() for figure, found in row.items()}
            for phase, row in agreement(views[name], views[goal], fens).items()
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


LOSS_COLUMNS = {
    "own": "its own move", "advised": "advised", "honest": "honest", "played": "played", "lie": "a lie",
    "believed_lie": "a believed lie",
}  # fmt: skip
"""Mean losses of `sandwich.review`, as a reader calls them."""


@evaluate.command("oracle")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--positions", "budget", default=10_000, show_default=True, type=click.IntRange(30), help="Positions in all."
)
@click.option("--nodes", default=2_000, show_default=True, type=click.IntRange(1), help="Engine nodes of a position.")
@SEED
@WORKERS
@JSON
def oracle_command(run: Path, budget: int, nodes: int, seed: int, workers: int | None, as_json: bool) -> None:
    """Win% that the moves of a run's games lose, by Stockfish: written into the ledger, shown by step.

    RUN is a run folder. Of every step equally many of the student's turns are looked at: what its own
    move, the answer, an honest answer and the move played lose. Positions seen before, in any run, are
    remembered.

    \b
    Example: sandwich evaluate oracle runs/default --positions 10000 --nodes 2000
    """
    files = sorted((run / "ledger").glob("step-*.parquet"))
    if not files:
        raise SpecError(f"{run} holds no run: expected ledger/step-*.parquet in it")
    if budget < 30 * len(files):
        raise SpecError(f"positions: expected 30 or more for each of {len(files)} steps, got {budget}")
    oracle = Oracle(nodes)
    if oracle.missing:
        raise EngineError(oracle.missing)
    rows = read_metrics(run)
    figures: dict[int, dict[str, Any]] = {}
    with Cluster(workers or cores()) as cluster, Display() as display:
        for step, file in enumerate(files):

            def told(what: str, done: int, total: int, step: int = step) -> None:
                display.tell(f"step {step}, {what}", done, total)

            content = review(cluster, oracle, ledger.read(file), budget // len(files), seed, told)
            write_whole(file, parquet_bytes(content))
            figures[step] = {name: figure.json() for name, figure in losses_of(content).items()}
            for row in rows:
                if row["step"] == step + 1 and row.get("play"):
                    row["play"]["loss"] = figures[step]
    if rows:
        write_metrics(run, rows)
    answer = {"engine": oracle.identity, "nodes": nodes, "looked": oracle.looked, "steps": figures}
    if as_json:
        click.echo(json.dumps(answer))
        return
    table = Table("step", *LOSS_COLUMNS.values(), title=f"Win% lost, by {oracle.identity} at {nodes} nodes", box=None)
    for step, found in figures.items():
        table.add_row(str(step), *(cell(found[name]) for name in LOSS_COLUMNS))
    Console().print(table)
    click.echo(f"{oracle.looked} positions looked at; the rest was remembered ({oracle.memory})")
