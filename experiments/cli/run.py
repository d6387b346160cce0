"""Commands for one run: carry it out, write its report, look at it."""

import json
import webbrowser
from pathlib import Path
from typing import Any

import click

from experiments.cli.console import RunDisplay, counted, figure_text
from experiments.cli.options import JSON, OVERRIDES, SPEC
from experiments.cli.stopping import resumable
from experiments.figures.game_page import game_page
from experiments.viewer.folders import cells, is_sweep
from sandwich.runs.controls import FOLDER as CONTROLS
from sandwich.runs.controls import MEANING, controls, retained
from sandwich.runs.loop import run as run_loop
from sandwich.runs.metrics import read_metrics
from sandwich.runtime.kept import Checked, DamagedError, check_all
from sandwich.spec.run_spec import RunSpec, load_spec
from sandwich.sweeps.cells import LEFT_OUT, cell_key


@click.command()
@SPEC
@OVERRIDES
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="Run folder [default: runs/NAME]; {key} in it: a hash of what results depend on.")  # fmt: skip
@click.option("--controls", "with_controls", is_flag=True, help="Run its controls too, in its folder.")
@click.option("--mended", is_flag=True, help="Resume although the code of a plugin has changed.")
@JSON
def run(
    spec: Path, overrides: tuple[str, ...], out: Path | None, with_controls: bool, mended: bool, as_json: bool
) -> None:
    """Play, learn and measure as SPEC says; resume an interrupted run.

    SPEC is a YAML file, or the name of a shipped spec. Its controls are the same run with no answer
    believed, with an honest assistant, and with one that always lies; the report shows them beside it.

    \b
    Examples:
      sandwich run default
      sandwich run default assistant.misalignment.p=0.5 seed=2 --out runs/p50
    """
    settings = load_spec(spec, overrides)
    folder = keyed(out, settings) if out else Path("runs") / settings.name
    from experiments.viewer.page import write_report  # matplotlib takes a second to import

    beside = controls(settings, folder.resolve().name) if with_controls else {}
    final = _run(settings, folder, mended)
    if beside:
        final["controls"] = {name: _run(control, folder / CONTROLS / name, mended) for name, control in beside.items()}
        rows, alone = read_metrics(folder), read_metrics(folder / CONTROLS / "honest_only")
        final["retained"] = retained(rows, alone, settings).json()
    report = write_report(folder)
    if as_json:
        click.echo(json.dumps(final))
        return
    click.echo(f"PGR {figure_text(final['pgr'])} (one training run), after {final['queries']} questions,"
               f" {final['misaligned_queries']} of them answered by a misaligned assistant")  # fmt: skip
    click.echo(f"Elo against the expert: {figure_text(final['elo_weak_start'], 0, sign=True)} before,"
               f" {figure_text(final['elo_weak_end'], 0, sign=True)} after")  # fmt: skip
    for name, control in final.get("controls", {}).items():
        click.echo(f"control {name} ({MEANING[name]}): PGR {figure_text(control['pgr'])}")
    if beside:
        click.echo(f"retained of what the honest answers alone taught: {figure_text(final['retained'])}")
    click.echo(f"Report: {report}")


def keyed(out: Path, settings: RunSpec) -> Path:
    """A run folder in whose name `{key}` stands for the run's key, for those who start many runs by one command."""
    return Path(str(out).replace("{key}", cell_key(settings))) if "{key}" in str(out) else out


def _run(settings: RunSpec, folder: Path, mended: bool) -> dict[str, Any]:
    """A run with its progress, and its report."""
    from experiments.viewer.page import write_report

    steps, workers = counted(settings.steps, "step"), counted(settings.worker_count, "worker")
    headline = f"{settings.name}: {steps} on {workers}, in {folder}"
    with RunDisplay(settings.steps, headline) as display:
        with resumable(folder):
            final = run_loop(settings, folder, display, game_page, mended)
        write_report(folder)
    return final


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--games", default=300, show_default=True, type=click.IntRange(0), help="Games in it at most.")
def report(folder: Path, games: int) -> None:
    """Regenerate report.html for the run or sweep in FOLDER: one file with its figures and some of its games.

    \b
    Example: sandwich report runs/default
    """
    from experiments.viewer.page import write_report  # matplotlib takes a second to import

    damaged = check_shown(folder)
    click.echo(f"Report: {write_report(folder, games)}")
    if damaged:
        raise DamagedError("; ".join(damaged))


NOT_SHOWN = ("checkpoints/", "games/", "provenance.json", "result.json")
"""Beginnings of the paths of files of a run that no page shows."""


def check_shown(folder: Path) -> tuple[str, ...]:
    """What is damaged or missing of what the pages of a sweep show, in a line each; not of cells that are left out.

    Raises DamagedError for a run.
    """
    checked = check_all(folder, NOT_SHOWN) or Checked()
    if checked.problems and not is_sweep(folder):
        raise DamagedError(checked.problems[0])
    left_out = tuple(f"{cell.folder}/" for cell in cells(folder) if cell.state == LEFT_OUT) if checked.problems else ()
    return tuple(line for line in checked.problems if not line.startswith(left_out))


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--open", "in_browser", is_flag=True, help="Open a browser there.")
@click.option(
    "--listen",
    "address",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="In a container 0.0.0.0, for a port that is passed on from its host's loopback.",
)
def view(folder: Path, port: int, in_browser: bool, address: str) -> None:
    """Show the run or sweep in FOLDER in a browser on this machine, with all of its games, even while it is running.

    \b
    Example: sandwich view runs/default
    """
    from experiments.viewer.assets import board_hint
    from experiments.viewer.server import serve  # matplotlib takes a second to import

    for line in (*check_shown(folder), *filter(None, [board_hint()])):
        click.echo(line, err=True)

    def tell(page: str) -> None:
        click.echo(f"{folder}: {page} (Ctrl-C ends it)")
        if in_browser:
            webbrowser.open(page)

    serve(folder, port, tell, address)
