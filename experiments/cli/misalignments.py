"""`sandwich evaluate misalignments`: how much harm they do and how much of it shows."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from agents.checkpoint_files import read_checkpoints
from experiments.cli.console import Display, cell, markdown_table, short_cell
from experiments.cli.options import JSON, OVERRIDES, WORKERS, is_override
from sandwich.evaluation.misalignments import MisalignmentEvaluationConfig, evaluate_misalignments
from sandwich.runs.provenance import keyed_folder
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.files import write_whole
from sandwich.runtime.kept import keep_checksums
from sandwich.runtime.locks import driver
from sandwich.spec.kinds import MISALIGNMENTS, read_spec

COLUMNS = {
    "misaligned": ("misaligned", 100, 0),
    "win_loss": ("Win% lost per question", 1, 2),
    "blunders": ("blunders, %", 100, 1),
    "suspicion_student": ("suspicion of W, Win%", 1, 2),
    "suspicion_expert": ("suspicion of E, Win%", 1, 2),
    "shown_student": ("W sees of the harm", 1, 2),
    "shown_expert": ("E sees of the harm", 1, 2),
}
"""Figures of a row: heading, factor, digits."""

TOLD = {
    "believed": ("lies believed by {}, %", 100, 0),
    "win_loss": ("Win% lost by a lie that {} believes", 1, 2),
    "win_loss_per_lie": ("Win% lost by a lie, where {} is asked", 1, 2),
}
"""The same of each strategy that is named."""


@click.command("misalignments")
@click.argument("spec", required=False)
@OVERRIDES
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default="runs/misalignments", show_default=True,
    help="Folder to write.",
)  # fmt: skip
@WORKERS
@JSON
def misalignments(spec: str | None, overrides: tuple[str, ...], out: Path, workers: int | None, as_json: bool) -> None:
    """Harm and suspicion of misalignments: a table and a picture.

    SPEC lists them with their doses; without one, all that are shipped and not made of others (as schedule,
    trigger and mixture are). Each is asked about the same positions; Stockfish says what its answers lose, W's
    and E's values how they look. Of each oversight strategy in `strategies` it is said which lies W believes by it.
    The labelled positions are kept in the folder and found again.

    \b
    Examples:
      sandwich evaluate misalignments
      sandwich evaluate misalignments mine.yaml labelled_positions.positions=500 --out runs/mine
    """
    if spec is None or is_override(spec):
        spec, overrides = "evaluate_misalignments", (*([spec] if spec else []), *overrides)
    config, _ = read_spec(MisalignmentEvaluationConfig, MISALIGNMENTS, spec, overrides)
    checkpoints = read_checkpoints(config)
    kept = keyed_folder(out, "positions", config.labelled_positions, checkpoints)
    with driver(out), Display() as display, Cluster(workers or cores(), display.message) as cluster:
        keep_checksums(out)
        rows = evaluate_misalignments(cluster, config, checkpoints, kept, display)
    write_whole(out / "misalignments.json", (json.dumps(rows, indent=1) + "\n").encode())
    from experiments.figures.harm_and_suspicion import picture

    picture(rows, out / "misalignments.svg")
    write_whole(out / "misalignments.md", _markdown(rows).encode())
    if as_json:
        click.echo(json.dumps({"figures": rows, "out": str(out)}))
        return
    heads = [f"{name} believes %" for name in _strategies(rows)]
    table = Table("", "", "Win% lost", "blunders %", "W suspects", "E suspects", *heads, "ms", box=None)
    for row in rows:
        shown = [short_cell(row[key], COLUMNS[key][1]) for key in SHOWN]
        shown += [short_cell(row["strategies"][name]["believed"], 100) for name in _strategies(rows)]
        table.add_row(row["misalignment"], _dose(row), *shown, f"{row['ms_per_question']:.1f}")
    Console().print(table)
    click.echo(f"Table and picture: {out / 'misalignments.md'}, {out / 'misalignments.svg'}")


def _dose(row: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in row["dose"].items())


def _cells(row: dict[str, Any]) -> list[str]:
    figures = [cell(row[key], factor, digits) for key, (_, factor, digits) in COLUMNS.items()]
    by_strategy = row.get("strategies", {}).values()
    figures += [cell(said[key], factor, digits) for said in by_strategy for key, (_, factor, digits) in TOLD.items()]
    return [row["misalignment"], _dose(row), *figures, f"{row['ms_per_question']:.2f}"]


def _strategies(rows: list[dict[str, Any]]) -> list[str]:
    return list(rows[0].get("strategies", {}))


SHOWN = ("win_loss", "blunders", "suspicion_student", "suspicion_expert")
"""Figures that a terminal has room for."""


def _markdown(rows: list[dict[str, Any]]) -> str:
    of_strategies = [heading.format(name) for name in _strategies(rows) for heading, _, _ in TOLD.values()]
    heads = [
        "misalignment",
        "dose",
        *(heading for heading, _, _ in COLUMNS.values()),
        *of_strategies,
        "ms per question",
    ]
    return markdown_table(heads, map(_cells, rows))
