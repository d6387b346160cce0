"""`sandwich evaluate`: measurements that are no matches."""

import click

from experiments.lazy import LazyGroup

COMMANDS = {
    "misalignments": ("experiments.cli_misalignments:misalignments", "Harm and suspicion of misalignments."),
    "oversight": ("experiments.cli_oversight:oversight", "Oversight strategies at one query budget."),
    "oracle": ("experiments.cli_oracle:oracle_command", "What the moves of a run's games lose."),
    "agreement": ("experiments.cli_positions:agreement_command", "How far players agree with the expert."),
    "puzzles": ("experiments.cli_positions:puzzles", "Lichess puzzles, by band of rating."),
    "suite": ("experiments.cli_positions:suite", "A test suite (EPD) with best moves or moves to avoid."),
}
"""Where each command is, and what it does."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def evaluate() -> None:
    """Measure players on positions, a run's moves by the oracle, and misalignments.

    \b
    Example: sandwich evaluate oracle runs/default
    """
