"""Options that several commands have."""

from pathlib import Path

import click

OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
OUT = click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write.")
WORKERS = click.option("--workers", type=click.IntRange(1), help="Processes at work [default: one per core].")
SEED = click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of all random numbers.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, on stdout.")
