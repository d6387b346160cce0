"""`sandwich evaluate oracle`: what the moves of a run's games lose."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engines.settings import SpecError
from engines.stockfish import EngineError
from experiments.cli.console import Display, cell
from experiments.cli.options import JSON, SEED, WORKERS
from sandwich.evaluation.label_losses import label_losses, losses_of
from sandwich.evaluation.oracle import Oracle
from sandwich.protocol import ledger
from sandwich.runs.metrics import read_metrics, write_metrics
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import ROOTS, write_kept
from sandwich.runtime.locks import driver
from sandwich.runtime.progress import Prefixed

LOSS_COLUMNS = {
    "own": "its own move", "advised": "advised", "honest": "honest", "played": "played", "lie": "a lie",
    "believed_lie": "a believed lie",
}  # fmt: skip
"""Mean losses of `sandwich.evaluation.label_losses`, as a reader calls them."""


@click.command("oracle")
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
    figures: dict[int, dict[str, Any]] = {}
    with driver(run, apart=ROOTS), Display() as display, Cluster(workers or cores(), display.message) as cluster:
        rows = read_metrics(run)
        for step, file in enumerate(files):
            content = label_losses(
                cluster,
                oracle,
                ledger.read(file),
                budget // len(files),
                seed,
                step,
                Prefixed(display, f"step {step}, "),
            )
            write_kept(file, parquet_bytes(content))
            figures[step] = {name: figure.json() for name, figure in losses_of(content).items()}
            for row in rows:
                if row["step"] == step + 1 and row.get("play"):
                    row["play"]["loss"] = figures[step]
        if rows:
            write_metrics(run, rows)
    answer = {"engine": oracle.identity, "nodes": nodes, "looked": oracle.analysed, "steps": figures}
    if as_json:
        click.echo(json.dumps(answer))
        return
    table = Table("step", *LOSS_COLUMNS.values(), title=f"Win% lost, by {oracle.identity} at {nodes} nodes", box=None)
    for step, losses in figures.items():
        table.add_row(str(step), *(cell(losses[name]) for name in LOSS_COLUMNS))
    Console().print(table)
    click.echo(f"{oracle.analysed} positions looked at; the rest was remembered ({oracle.memory})")
