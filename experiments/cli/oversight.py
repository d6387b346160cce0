"""`sandwich evaluate oversight`: strategies side by side, at one query budget."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from engines.settings import SpecError
from experiments.cli.console import cell, markdown_table, short_cell, verdicts
from experiments.cli.options import JSON, OVERRIDES, SPEC_OR_SWEEP
from experiments.cli.sweep import launch
from sandwich.runtime.files import write_whole
from sandwich.spec.shipped import plugin_folder
from sandwich.sweeps.comparison import REFERENCE, Arm, compare, rows_of, short_names
from sandwich.sweeps.planning import plan, planned
from sandwich.sweeps.sweep_spec import load_sweep

UNEQUAL = 0.05
"""Questions of two arms may differ by this share and still count as equal; games are not equally long."""

COLUMNS = {
    "pgr": ("PGR", 2),
    "against": ("less {reference}'s", 2),
    "retained": ("retained", 2),
    "auc": ("AUC", 3),
    "believed_honest": ("share of honest answers believed", 2),
    "believed_lies": ("share of lies believed", 2),
    "honest_believed": ("honest among believed", 2),
    "accepted_lies": ("accepted lies a game", 2),
    "refused_honest": ("refused honest answers a game", 2),
    "lost_by_lie": ("Win% lost by an accepted lie", 1),
    "questions": ("questions", 0),
    "examples": ("positions learned from", 0),
    "ground_truth": ("ground-truth queries", 0),
    "evaluations": ("evaluations a decision", 1),
    "labels_auc": ("AUC of the label model", 3),
    "labels_lies": ("lies among what it believes", 2),
}
"""Figures of a row: heading, digits."""
SHOWN = ("pgr", "against", "retained", "auc", "labels_auc", "accepted_lies", "refused_honest")
"""Figures that a terminal has room for."""
AT_TIMES = ("retained", "labels_auc")
"""Those of them that are left out where no arm has one."""


@click.command("oversight")
@SPEC_OR_SWEEP
@OVERRIDES
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Sweep folder [default: runs/NAME].")
@click.option(
    "--step", type=click.IntRange(1), help="Compare after this step [default: the last that all runs get to]."
)
@click.option(
    "--than", "reference", default=REFERENCE, show_default=True, metavar="STRATEGY",
    help="Take differences from this strategy: its name, or all that the table says of it.",
)  # fmt: skip
@JSON
def oversight(
    source: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    step: int | None,
    reference: str,
    as_json: bool,
) -> None:
    """Compare oversight strategies: what they recover, and how well they tell lies from truth.

    SOURCE is the spec of a sweep over strategies, doses and seeds, whose missing runs are done first; or the folder
    of a sweep, of which the runs that have got to the step are compared. Without one, the shipped study of an
    assistant that lies more often than not. Every strategy should have the same number of questions; where they have
    not, it is said.

    \b
    Examples:
      sandwich evaluate oversight
      sandwich evaluate oversight majority --out runs/majority
      sandwich evaluate oversight runs/majority --step 3
      sandwich evaluate oversight runs/majority --than search
    """
    if source.is_dir():
        if overrides or out:
            raise SpecError(f"{source} is the folder of a sweep: it takes no overrides and no --out")
        root, cells = source, planned(source)[1]
    else:
        settings = load_sweep(source, overrides)
        root = out or Path("runs") / settings.name
        cells = plan(settings, plugin_folder(source), root)
        launch(settings, plugin_folder(source), cells, root)
    step, found = compare(root, cells, step, reference)
    rows = rows_of(found, reference)
    note = remarks(found, rows)
    written = {"step": step, "reference": reference, "arms": rows, "note": note}
    write_whole(root / "oversight.json", (json.dumps(written, indent=1) + "\n").encode())
    write_whole(root / "oversight.md", _markdown(rows, reference, note).encode())
    from experiments.figures.oversight import picture

    picture(found, root / "oversight.svg")
    if as_json:
        click.echo(json.dumps({**written, "out": str(root)}))
        return
    shown = [key for key in SHOWN if key not in AT_TIMES or any(row[key]["value"] is not None for row in rows)]
    headings = [COLUMNS[key][0].format(reference=reference) for key in shown]
    widths = [max(map(len, heading.split())) for heading in headings]
    columns = (Column(heading, min_width=width) for heading, width in zip(headings, widths, strict=True))
    table = Table(Column("", no_wrap=True), *columns, box=None, pad_edge=False, collapse_padding=True)
    names = short_names(found)
    for assistant in dict.fromkeys(row["assistant"] for row in rows):
        table.add_row(Text(assistant, style="bold"))
        for row in rows:
            if row["assistant"] == assistant:
                figures = (short_cell(row[key], 1, COLUMNS[key][1]) for key in shown)
                table.add_row(Text(f"  {names[row['label']]}"), *figures)
    Console().print(table)
    click.echo(f"After step {step}.")
    if note:
        click.echo(note)
    click.echo(f"Table and picture: {root / 'oversight.md'}, {root / 'oversight.svg'}")


def remarks(found: Sequence[Arm], rows: Sequence[dict[str, Any]]) -> str | None:
    """What is to be said of arms of one run, of arms that did not ask equally often, and of many differences."""
    single = any(len(arm.seeds) == 1 for arm in found)
    said = ["The interval of a single run leaves out the luck of training."] if single else []
    return "\n".join([*said, *_unequal(found), *verdicts([row["against"] for row in rows], "0")]) or None


def _unequal(found: Sequence[Arm]) -> list[str]:
    asked = [arm.figures["questions"].value for arm in found]
    counts = np.array([count for count in asked if count is not None])
    if not len(counts) or counts.max() - counts.min() <= UNEQUAL * counts.mean():
        return []
    return [f"The strategies did not ask equally often: {counts.min():,.0f} to {counts.max():,.0f} questions a run."]


def _markdown(rows: Sequence[dict[str, Any]], reference: str, note: str | None) -> str:
    heads = ["strategy", "assistant", "runs"]
    heads += [heading.format(reference=reference) for heading, _ in COLUMNS.values()]
    written = [
        [row["label"], row["assistant"], str(len(row["seeds"]))]
        + [cell(row[key], 1, digits) for key, (_, digits) in COLUMNS.items()]
        for row in rows
    ]
    return markdown_table(heads, written) + (f"\n{note}\n" if note else "")
