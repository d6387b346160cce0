"""`sandwich evaluate labels`: how well label models tell lies from honest answers, on the answers of a run."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engines.settings import SpecError
from experiments.cli.console import Display, cell, markdown_table, short_cell
from experiments.cli.options import JSON, WORKERS
from sandwich.label_models.base import REGISTRY, LabelModel
from sandwich.runs.label_trials import Trial, try_label_models
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.files import write_whole

COLUMNS = {
    "auc": ("AUC", 1, 3),
    "lies_among_believed": ("lies among what is believed, %", 100, 1),
    "honest_believed": ("honest answers believed, %", 100, 1),
}
"""Figures of a row: heading, factor, digits."""


@click.command("labels")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--steps", type=click.IntRange(1), help="Answers of the first so many steps [default: of all].")
@click.option("--games", type=click.IntRange(1), help="Answers of so many games a step [default: of all].")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File for the table, in Markdown.")
@WORKERS
@JSON
def labels(
    run: Path,
    models: tuple[str, ...],
    steps: int | None,
    games: int | None,
    out: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Try label models on the answers of a run: how well each tells lies from honest answers.

    RUN is a run folder, of which nothing is changed; a MODEL is TYPE or TYPE:SETTING=VALUE,… Each judges step after
    step as in a run, with the students that this run had. Intervals are over openings, for the model as it was fitted.

    \b
    Examples:
      sandwich evaluate labels runs/default none mixture:start=plausible
      sandwich evaluate labels runs/mine mixture mixture:folds=1 --steps 1 --games 400
    """
    named = [_model(text) for text in models]
    with Display() as display, Cluster(workers or cores(), display.message) as cluster:
        trials = try_label_models(
            cluster, run, named, steps, games, display, lambda trial: display.message(_line(trial))
        )
    if out:
        write_whole(out, _markdown(trials).encode())
    if as_json:
        click.echo(json.dumps({"trials": [trial.json() for trial in trials]}))
        return
    table = Table("", "step", "answers", "AUC", "lies among believed, %", "honest believed, %", "seconds", box=None)
    for trial in trials:
        figures = (short_cell(trial.json()[key], *COLUMNS[key][1:]) for key in COLUMNS)
        table.add_row(trial.model, str(trial.step), f"{trial.answers:,}", *figures, f"{trial.seconds:.0f}")
    Console().print(table)


def _model(text: str) -> LabelModel:
    try:
        return REGISTRY.parse(text)
    except SpecError as error:
        raise SpecError(f"{text}: {error}") from None


def _line(trial: Trial) -> str:
    return f"{trial.model}, step {trial.step}: AUC {cell(trial.auc.json(), 1, 3)}"


def _markdown(trials: list[Trial]) -> str:
    heads = [
        "label model",
        "step",
        "answers",
        *(heading for heading, _, _ in COLUMNS.values()),
        "passes",
        "evaluations",
    ]
    rows = (
        [
            trial.model, str(trial.step), f"{trial.answers:,}",
            *(cell(trial.json()[key], *COLUMNS[key][1:]) for key in COLUMNS),
            f"{trial.fitted / trial.answers:.1f}", f"{trial.evaluations / trial.answers:.1f}",
        ]
        for trial in trials
    )  # fmt: skip
    return markdown_table(heads, rows)
