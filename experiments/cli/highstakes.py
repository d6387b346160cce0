"""Commands for the blunder filter: train it, attack it, harden it, and say how reliable it is."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engines.settings import SpecError
from experiments.cli.console import Display, cell, text_of
from experiments.cli.human import human
from experiments.cli.options import JSON, OVERRIDES, SPEC
from experiments.cli.stopping import resumable
from experiments.figures.highstakes_page import cascade_tables, write_page
from experiments.figures.race import race_figure, svg
from sandwich.highstakes import outcome
from sandwich.highstakes.adversarial_training import AdversarialTraining, Generation, worker_count
from sandwich.highstakes.compute import raced, slope, slopes
from sandwich.highstakes.spec import load_highstakes
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import write_whole
from sandwich.runtime.kept import ROOTS, read_if_there
from sandwich.runtime.locks import driver

OUT = click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder [default: runs/NAME].")


@click.group()
def highstakes() -> None:
    """A filter that must let no blunder through, and the attacks that try.

    \b
    Examples:
      sandwich highstakes run highstakes_small
      sandwich highstakes report runs/highstakes_small
    """


highstakes.add_command(human)


def _with(
    spec: Path, overrides: tuple[str, ...], out: Path | None, work: Callable[[AdversarialTraining], dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Do a part of an experiment, with progress."""
    settings = load_highstakes(spec, overrides)
    root = out or Path("runs") / settings.name
    with (
        Display() as display,
        Cluster(worker_count(settings), display.message) as cluster,
        resumable(root),
        driver(root, apart=ROOTS),
    ):
        return root, work(AdversarialTraining(settings, root, cluster, display))


@highstakes.command()
@SPEC
@OVERRIDES
@OUT
@JSON
def run(spec: Path, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """The whole experiment of SPEC: data, filter, attacks, rounds of hardening, report; resumes after an interruption.

    \b
    Example: sandwich highstakes run highstakes_small
    """
    _report(*_with(spec, overrides, out, outcome.run), as_json)


@highstakes.command()
@SPEC
@OVERRIDES
@OUT
def dataset(spec: Path, overrides: tuple[str, ...], out: Path | None) -> None:
    """Only the labelled positions of SPEC.

    \b
    Example: sandwich highstakes dataset highstakes_small dataset.positions=6000 --out runs/hs
    """
    root, made = _with(spec, overrides, out, lambda experiment: {"positions": len(experiment.dataset())})
    click.echo(f"{made['positions']} positions in {root / 'dataset'}")


@highstakes.command()
@SPEC
@OVERRIDES
@OUT
def train(spec: Path, overrides: tuple[str, ...], out: Path | None) -> None:
    """The first filter of SPEC, calibrated, and what it needs.

    \b
    Example: sandwich highstakes train highstakes_small
    """
    root, _ = _with(spec, overrides, out, lambda experiment: _generations(experiment, 0, attacked=False))
    click.echo(f"The filter is {root / 'generation-0' / 'filter.safetensors'}")


@highstakes.command()
@SPEC
@OVERRIDES
@OUT
def attack(spec: Path, overrides: tuple[str, ...], out: Path | None) -> None:
    """The attacks of SPEC on its first filter.

    \b
    Example: sandwich highstakes attack highstakes_small
    """
    root, _ = _with(spec, overrides, out, lambda experiment: _generations(experiment, 0, attacked=True))
    click.echo(f"The attack runs are in {root / 'generation-0' / 'attacks'}")


@highstakes.command()
@SPEC
@OVERRIDES
@OUT
@click.option("--round", "number", default=1, show_default=True, type=click.IntRange(1), help="Round of hardening.")
def harden(spec: Path, overrides: tuple[str, ...], out: Path | None, number: int) -> None:
    """One round of hardening of SPEC: train on the adversarial examples so far, recalibrate, attack again.

    \b
    Example: sandwich highstakes harden highstakes_small --round 1
    """
    root, _ = _with(spec, overrides, out, lambda experiment: _generations(experiment, number, attacked=True))
    click.echo(f"The hardened filter is {root / f'generation-{number}' / 'filter.safetensors'}")


def _generations(experiment: AdversarialTraining, last: int, *, attacked: bool) -> dict[str, Any]:
    data = experiment.dataset()
    made: list[Generation] = []
    for number in range(last + 1):
        made.append(experiment.generation(number, data))
        if attacked or number < last:
            experiment.attack(made[-1], data)
    return {}


@highstakes.command()
@SPEC
@OVERRIDES
@OUT
@JSON
def cascade(spec: Path, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Only SPEC's first filter and the cascades behind it: what each lets through, refuses and costs.

    \b
    Example: sandwich highstakes cascade highstakes_cascade
    """

    def compared(experiment: AdversarialTraining) -> dict[str, Any]:
        data = experiment.dataset()
        return outcome.cascades(experiment, data, experiment.generation(0, data))

    if not load_highstakes(spec, overrides).cascades:
        raise SpecError("cascades: the spec names none")
    root, made = _with(spec, overrides, out, compared)
    write_whole(root / "cascades.json", (json.dumps(made, indent=1) + "\n").encode())
    if as_json:
        click.echo(json.dumps(made))
        return
    console = Console(highlight=False)
    for lines in cascade_tables(made):
        table = Table(*lines.heads)
        for row in lines.rows:
            table.add_row(*row)
        console.print(table)
    console.print(f"Figures: {root / 'cascades.json'}", soft_wrap=True)


@highstakes.command()
@SPEC
@OVERRIDES
@OUT
@JSON
def tune(spec: Path, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """SPEC's first proposer, fine-tuned to be rarely refused by the last filter; what is missing of the rest first.

    \b
    Example: sandwich highstakes tune highstakes_small
    """
    _report(*_with(spec, overrides, out, partial(outcome.run, tune=True)), as_json)


@highstakes.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Draw the race, as SVG.")
@JSON
def rounds(folders: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Whether attackers or the defender win the race of hardening, over experiments that differ by seed.

    Prints the slope of an attack's cost over the defender's, on logarithmic axes: above 1 the attacker pays more for
    each doubling of the defence than the defender does.

    \b
    Example: sandwich highstakes rounds runs/rounds-0 runs/rounds-1 runs/rounds-2 --out rounds.svg
    """
    experiments = [_raced(folder) for folder in folders]
    made = slopes(experiments)
    if out:
        write_whole(out, svg(race_figure(experiments)))
    if as_json:
        each = {name: [slope(rounds, name).json() for rounds in experiments] for name in made}
        click.echo(json.dumps({"slopes": {name: figure.json() for name, figure in made.items()}, "by_seed": each}))
        return
    table = Table("attack", "slope", *(folder.name for folder in folders))
    for name, figure in made.items():
        table.add_row(name, text_of(figure), *(text_of(slope(rounds, name)) for rounds in experiments))
    Console(highlight=False).print(table)


@highstakes.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@JSON
def report(folder: Path, as_json: bool) -> None:
    """The report of an experiment, regenerated from its figures.

    \b
    Example: sandwich highstakes report runs/highstakes_small
    """
    result = _result(folder)
    try:
        _report(folder, result, as_json)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SpecError(
            f"{folder / 'result.json'} is not whole ({type(error).__name__}: {error}): sandwich highstakes run SPEC"
            f" --out {folder} writes it"
        ) from None


def _raced(folder: Path) -> list[dict[str, Any]]:
    """What both sides spent in an experiment, by generation. Raises SpecError."""
    result = _result(folder)
    if "compute" not in result:
        raise SpecError(f"{folder / 'result.json'} is of an older version: sandwich highstakes run SPEC makes it anew")
    try:
        return raced(result)
    except SpecError as error:
        raise SpecError(f"{folder / 'result.json'}: {error}") from None


def _result(folder: Path) -> dict[str, Any]:
    """The figures in an experiment's folder. Raises SpecError."""
    path = folder / "result.json"
    content = read_if_there(path)
    if content is None:
        raise SpecError(f"{folder} holds no result.json: sandwich highstakes run SPEC --out {folder} writes it")
    try:
        result = json.loads(content)
    except ValueError as error:
        raise SpecError(
            f"{path} is not JSON ({error}): sandwich highstakes run SPEC --out {folder} writes it"
        ) from None
    if not isinstance(result, dict) or result.get("format") != outcome.FORMAT:
        raise SpecError(f"{path} is not of format {outcome.FORMAT}: expected a folder of sandwich highstakes run")
    return result


def _report(root: Path, result: dict[str, Any], as_json: bool) -> None:
    """The page of an experiment, and its figures on the terminal."""
    write_page(result, root / "report.html")
    if as_json:
        click.echo(json.dumps(result))
        return
    console = Console(highlight=False)
    table = Table("filter", "base %", "residual %", "refused %", "unfiltered preferred %")
    for row in result["generations"]:
        figures = row["proposers"][result["proposer"]]["figures"]
        table.add_row(
            str(row["generation"]), *(cell(figures[key], 100) for key in ("base", "residual", "rejected", "preferred"))
        )
    console.print(table)
    table = Table(
        "attack", "filter", "successful", "median queries", "median oracle calls", "examples per 1000 queries"
    )
    for row in result["generations"]:
        for name, costs in row["attacks"].items():
            queries, oracle = costs["queries"], costs["oracle"]
            table.add_row(
                name,
                str(row["generation"]),
                f"{queries['successful']}/{queries['runs']}",
                cell(queries["median"], digits=0),
                cell(oracle["median"], digits=0),
                cell(queries["rate"], 1000, 2),
            )
    console.print(table)
    for row in result["generations"]:
        for name, costs in row["attacks"].items():
            if illegal := costs.get("illegal"):
                said = f"attack {name} on filter {row['generation']}: {illegal} of the moves that it put forward were"
                console.print(f"{said} not legal, and count as nothing", soft_wrap=True)
    if tuned := result.get("tuned"):
        table = Table("proposer", "base %", "residual %", "refused %", "expected score given away %")
        for part in ("before", "after", "change"):
            table.add_row(part, *(cell(tuned[part][key], 100) for key in ("base", "residual", "rejected", "loss")))
        console.print(table)
    console.print(f"Report: {root / 'report.html'}", soft_wrap=True)
