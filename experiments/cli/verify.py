"""`sandwich verify`: whether the files of a folder are what was written."""

import json
from pathlib import Path

import click

from experiments.cli.options import JSON
from sandwich.runtime.kept import SUMS, check_all


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@JSON
def verify(folder: Path, as_json: bool) -> None:
    """Compare the files of a run, a sweep, a training or an experiment in FOLDER with their checksums.

    Names each file that is damaged or missing; the exit status is 1 where there is one, and 2 where there are no
    checksums to compare with.

    \b
    Example: sandwich verify runs/default
    """
    checked = check_all(folder)
    if as_json:
        files, found = (0, ()) if checked is None else (checked.files, checked.problems)
        click.echo(json.dumps({"checksums": checked is not None, "files": files, "problems": found}))
    elif checked is None:
        click.echo(
            f"{folder} has no checksums (no {SUMS} in it), so nothing can be said of its files:"
            " expected the folder of a run, a sweep, a training or an experiment; those of earlier versions have none"
        )
    else:
        for line in checked.problems:
            click.echo(line)
        click.echo(f"{checked.files - len(checked.problems)} of {checked.files} files are as they were written")
    if checked is None or checked.problems:
        raise SystemExit(2 if checked is None else 1)
