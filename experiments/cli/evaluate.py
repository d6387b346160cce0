"""`sandwich evaluate`: measurements that are no matches."""

import click

from experiments.cli.lazy import LazyGroup

COMMANDS = {
    "misalignments": ("experiments.cli.misalignments:misalignments", "Harm and suspicion of misalignments."),
    "oversight": ("experiments.cli.oversight:oversight", "Oversight strategies at one query budget."),
    "labels": ("experiments.cli.labels:labels", "Label models on the answers of a run."),
    "oracle": ("experiments.cli.oracle:oracle_command", "What the moves of a run's games lose."),
    "agreement": ("experiments.cli.positions:agreement_command", "How far players agree with the expert."),
    "puzzles": ("experiments.cli.positions:puzzles", "Lichess puzzles, by band of rating."),
    "suite": ("experiments.cli.positions:suite", "A test suite (EPD) with best moves or moves to avoid."),
}
"""Where each command is, and what it does."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def evaluate() -> None:
    """Measure players on positions, a run's moves by the oracle, and misalignments.

    \b
    Example: sandwich evaluate oracle runs/default
    """
