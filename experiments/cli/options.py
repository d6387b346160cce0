"""Options that several commands have."""

import re
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from engines.paths import is_file
from sandwich.spec.shipped import find_spec, shipped_specs


def _find(ctx: click.Context, param: click.Parameter, value: str) -> Path:
    return find_spec(value)


def _find_or_folder(ctx: click.Context, param: click.Parameter, value: str) -> Path:
    return Path(value) if Path(value).is_dir() else find_spec(value)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = [CompletionItem(name) for name in shipped_specs() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def is_override(word: str) -> bool:
    """Whether a word is KEY=VALUE, and not the path of a file that is there or in a folder with `=` in its name."""
    return re.match(r"[A-Za-z_][\w.]*=", word) is not None and not is_file(word)


SPEC = click.argument("spec", callback=_find, shell_complete=_complete)
"""The `Path` of a spec's file, typed as a path or as the name of a shipped spec; else SpecError, which names these."""
SPEC_OR_SWEEP = click.argument("source", default="majority", callback=_find_or_folder, shell_complete=_complete)
"""The same, or the path of a folder; the shipped study of strategies where nothing is typed."""
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
OUT = click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write.")
WORKERS = click.option("--workers", type=click.IntRange(1), help="Processes at work [default: one per core].")
SEED = click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of all random numbers.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, on stdout.")
