"""Commands for sweeps: launch one or go on with it, see how it stands, tabulate what came of it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engines.settings import SpecError
from engines.suggestions import near
from experiments.cli.console import Display, cell, counted, figure_text, verdicts
from experiments.cli.options import JSON, OVERRIDES, SPEC
from experiments.cli.stopping import resumable
from experiments.figures.game_page import game_page
from experiments.viewer.folders import is_shown
from sandwich.runtime.cluster import cores
from sandwich.runtime.kept import DamagedError
from sandwich.spec.shipped import plugin_folder, shipped_specs
from sandwich.statistics import POWER
from sandwich.sweeps.cells import DAMAGED, FAILED, Cell
from sandwich.sweeps.cost import estimate
from sandwich.sweeps.planning import found, plan, planned
from sandwich.sweeps.results import (
    Point,
    corrected,
    curves,
    dose_keys,
    numeric_keys,
    points,
    variance,
    write_results,
)
from sandwich.sweeps.sweep import other_origins, run_sweep, set_aside
from sandwich.sweeps.sweep_spec import SweepSpec, load_sweep


class SweepGroup(click.Group):
    """A group whose first word may be a spec: `sweep SPEC` is short for `sweep run SPEC`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            word = near(args[0], self.commands)
            if word and not Path(args[0]).exists() and not near(args[0], shipped_specs()):
                ctx.fail(f"no spec and no command {args[0]!r}; did you mean {word}?")
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=SweepGroup)
def sweep() -> None:
    """Many runs over a dose, seeds, or any other keys of a run's spec.

    \b
    Examples:
      sandwich sweep dose_smoke
      sandwich sweep status runs/dose_smoke
      sandwich sweep table runs/dose_smoke
    """


@sweep.command("run")
@SPEC
@OVERRIDES
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Sweep folder [default: runs/NAME].")
@click.option("--dry-run", is_flag=True, help="Only list the cells, with an estimate of the time.")
@click.option("--again", is_flag=True, help="Do those anew as well that are damaged or were made otherwise.")
@click.option(
    "--power", type=click.FloatRange(0, min_open=True), metavar="PGR",
    help="Only say how many seeds and games a difference of this size needs, from the runs that are done.",
)  # fmt: skip
@JSON
def run_command(
    spec: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
    again: bool,
    power: float | None,
    as_json: bool,
) -> None:
    """Do the cells of SPEC that are not done yet.

    With --again also those whose files are damaged, or that other versions of this package, of torch, of the engine
    or of plugins have made than there are here (`sandwich sweep status` names them); the old ones are kept.

    \b
    Examples:
      sandwich sweep run dose_smoke over.seed=[0,1,2] workers=2
      sandwich sweep run dose_response --power 0.1
    """
    settings = load_sweep(spec, overrides)
    root = out or Path("runs") / settings.name
    beside = plugin_folder(spec)
    cells = plan(settings, beside, root)
    if power is not None:
        if dry_run or again:
            raise click.UsageError("--power runs nothing: expected it without --dry-run and --again")
        _tell_power(planned(root)[1] if root.is_dir() else cells, power, as_json)
        return
    if dry_run and again:
        raise click.UsageError("--dry-run lists what is missing: expected it without --again")
    if again and set_aside(cells):
        cells = plan(settings, beside, root)
    if dry_run:
        _dry(settings, cells, as_json)
        return
    done = all(one.finished for one in cells)
    launch(settings, beside, cells, root)
    _finish(root, cells, as_json, drawn=done)


def launch(settings: SweepSpec, beside: Path, cells: list[Cell], root: Path) -> None:
    """Do the cells that are not done yet, with progress."""
    missing = [one for one in cells if not one.finished and not one.problem]
    if others := [one for one in missing if found(one, root) is not one]:
        click.echo(f"{counted(len(others), 'cell')} made by other code of plugins: kept, and done anew", err=True)
    with Display() as display:
        display.begin(
            f"{settings.name}: rows of {counted(len(missing), 'cell')}", sum(one.spec.steps + 1 for one in missing)
        )
        seen = dict.fromkeys((one.key for one in missing), 0)

        def on_step(key: str, rows: int) -> None:
            display.advance(
                max(0, rows - seen[key]), f"{sum(one.finished for one in cells)} of {len(cells)} cells done"
            )
            seen[key] = max(seen[key], rows)

        with resumable(root):
            run_sweep(settings, beside, cells, root, on_step, game_page, display.message)


def _dry(sweep: SweepSpec, cells: list[Cell], as_json: bool) -> None:
    """List the cells, with what they will take."""
    times = estimate(cells)
    total = sum(times.values()) * sweep.workers / max(cores(), sweep.workers)
    if as_json:
        listed = [{"key": c.key, "values": c.values, "done": c.done, "seconds": times.get(c.key)} for c in cells]
        click.echo(json.dumps({"cells": listed, "seconds": total}))
        return
    headings, shown = in_columns([one.values for one in cells])
    table = Table("cell", *headings, "", box=None)
    for one, values in zip(cells, shown, strict=True):
        time = f"about {_clock(times[one.key])}" if one.key in times else ""
        table.add_row(one.key, *values, DAMAGED if one.problem else "done" if one.done else time)
    Console().print(table)
    click.echo(f"{len(times)} of {len(cells)} cells to do, about {_clock(total)} on {cores()} cores")


def _tell_power(cells: Sequence[Cell], difference: float, as_json: bool) -> None:
    """How many seeds a difference needs at several numbers of openings, and what others would show."""
    known = variance(cells)
    every = sorted({known.pairs, *OPENINGS})
    needed = {pairs: known.seeds_for(difference, pairs) for pairs in every}
    least = {pairs: {seeds: known.visible(seeds, pairs) for seeds in SEEDS_SHOWN} for pairs in every}
    if as_json:
        rows = [{"pairs": pairs, "seeds": needed[pairs], "visible": least[pairs]} for pairs in every]
        answer = {"difference": difference, "power": POWER, "variance": asdict(known), "needed": rows}
        click.echo(json.dumps(answer))
        return
    table = Table(
        "openings", "games a run", "seeds needed", *(f"{seeds} seeds show" for seeds in SEEDS_SHOWN), box=None
    )
    for pairs in every:
        seen = (f"{visible:.2f}" for visible in least[pairs].values())
        table.add_row(str(pairs), str(2 * pairs), str(needed[pairs] or "over 1000"), *seen)
    Console().print(table)
    click.echo(
        f"A difference of {difference:g} in PGR between two arms, seen with a chance of {POWER:.0%}; the luck of"
        f" training has a standard deviation of {known.training**0.5:.2f} a pair of runs."
    )


OPENINGS = (150, 300, 600, 1200)
"""`evaluate.pairs` for which power is worked out, beside that of the runs that are there."""
SEEDS_SHOWN = (3, 5, 10)


def in_columns(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings, and a table's cells, for the values of a spec's keys; a plugin and its settings share a column."""
    keys = list(dict.fromkeys(key for values in rows for key in values))
    plugins = [key.removesuffix(".type") for key in keys if key.endswith(".type")]
    column = {key: next((name for name in plugins if key.startswith(name + ".")), key) for key in keys}
    columns = list(dict.fromkeys(column.values()))
    short = [name.rpartition(".")[2] for name in columns]
    headings = [name if short.count(name) == 1 else whole for whole, name in zip(columns, short, strict=True)]
    table = []
    for values in rows:
        parts: dict[str, Any] = {name: {} if name in plugins else "" for name in columns}
        for key, value in values.items():
            if column[key] in plugins:
                parts[column[key]][key.removeprefix(column[key] + ".")] = value
            else:
                parts[key] = value
        table.append([_in_words(part) for part in parts.values()])
    return headings, table


def _in_words(value: Any) -> str:
    """A value for people: plugins by their type and settings."""
    if isinstance(value, Mapping):
        settings = ", ".join(f"{key} = {_in_words(part)}" for key, part in value.items() if key != "type")
        return f"{value['type']} ({settings})" if "type" in value and settings else str(value.get("type", settings))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_in_words, value))
    return str(value)


def _clock(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


@sweep.command("status")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@JSON
def status_command(folder: Path, as_json: bool) -> None:
    """How a sweep stands, running or not: each cell with its steps, its PGR so far, and what went wrong.

    \b
    Example: sandwich sweep status runs/dose_smoke
    """
    _, cells = planned(folder)
    lines, otherwise = [], other_origins(cells)
    for one in cells:
        mark, rows = one.read_mark(), one.rows
        pgr = rows[-1]["pgr"] if len(rows) > 1 else None
        lines.append({"key": one.key, "values": one.values, "state": mark["state"], "error": mark["error"],
                      "steps": max(0, len(rows) - 1), "of": one.spec.steps, "pgr": pgr,
                      "made_otherwise": otherwise.get(one.key, [])})  # fmt: skip
    if as_json:
        click.echo(json.dumps({"cells": lines}))
        _tell_damaged(cells)
        return
    headings, shown = in_columns([one.values for one in cells])
    table = Table("cell", *headings, "state", "steps", "PGR", "", box=None)
    for one, values, line in zip(cells, shown, lines, strict=True):
        pgr = cell(line["pgr"], digits=2) if line["pgr"] else "–"
        table.add_row(
            one.key,
            *values,
            line["state"],
            f"{line['steps']}/{line['of']}",
            pgr,
            Text("; ".join([line["error"] or "", *line["made_otherwise"]]).lstrip("; ")),
        )
    Console().print(table)
    states = Counter(line["state"] for line in lines)
    click.echo(", ".join(f"{count} {state}" for state, count in states.items()))
    if otherwise:
        click.echo(_said(otherwise, cells))
    _tell_damaged(cells)


def _said(otherwise: Mapping[str, Sequence[str]], cells: Sequence[Cell]) -> str:
    """Which cells were made otherwise than they would be now, in one line."""
    words = ", ".join(dict.fromkeys(word for some in otherwise.values() for word in some))
    some = f"{len(otherwise)} of {len(cells)} cells were made otherwise ({words})"
    return f"{some}: sandwich sweep SPEC --again does them anew"


def _tell_damaged(cells: Sequence[Cell]) -> None:
    """End with what is damaged, where something is."""
    marks = [one.read_mark() for one in cells]
    if found := [mark["error"] for mark in marks if mark["state"] == DAMAGED]:
        raise DamagedError("; ".join(found))


@sweep.command("table")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dose", help="Key of the dose [default: the numeric key that most cells have, and others' own].")
@click.option("--heat", nargs=2, metavar="KEY KEY", help="Two keys for a heat map as well.")
@JSON
def table_command(folder: Path, dose: str | None, heat: tuple[str, str] | None, as_json: bool) -> None:
    """PGR of a sweep's finished cells, over seeds; pictures and results.parquet in its folder.

    \b
    Example: sandwich sweep table runs/dose_smoke --dose assistant.misalignment.p
    """
    _, cells = planned(folder)
    _finish(folder, cells, as_json, dose, heat)


def _finish(
    root: Path,
    cells: list[Cell],
    as_json: bool,
    dose: str | None = None,
    heat: tuple[str, str] | None = None,
    drawn: bool = False,
) -> None:
    """Results, pictures and the table of a sweep; what failed in a line each.

    drawn: pictures and report are left alone where they are newer than all that they show.
    """
    found = points(cells)
    doses = [_numeric(found, dose)] if dose else dose_keys(found)
    squares = mapped(found, heat) if heat else []
    responses = {key: curves(found, key) for key in doses}
    names = {key: "response" if len(doses) == 1 else f"response-{key.rpartition('.')[2]}" for key in doses}
    report, results = root / "report.html", root / "results.parquet"
    written = [root / f"{name}{ending}" for name in names.values() for ending in (".svg", ".png")]
    if not (drawn and is_shown(root, report, results, *written)):
        from experiments.figures.dose_response import heat_map, response  # matplotlib takes a second to import
        from experiments.viewer.page import write_report

        results = write_results(root, cells)
        written = [path for key, some in responses.items() for path in response(some, key, root / names[key])]
        if heat and squares:
            written += heat_map(squares, heat, root / "heat")
        report = write_report(root)
    marks = {one.key: one.read_mark() for one in cells}
    failed = {key: mark["error"] for key, mark in marks.items() if mark["state"] in FAILED}
    otherwise = other_origins(cells)
    rows = list(zip(found, corrected([point.pgr() for point in found]), strict=True))
    if as_json:
        lines = [{"values": p.values, "pgr": pgr, "seeds": [f.json() for f in p.seeds]} for p, pgr in rows]
        even = {curve.label: curve.break_even for some in responses.values() for curve in some}
        answer = {
            "points": lines,
            "break_even": even,
            "failed": failed,
            "made_otherwise": otherwise,
            "results": str(results),
        }
        click.echo(json.dumps(answer))
    else:
        headings, shown = in_columns([point.values for point in found])
        table = Table(*headings, "seeds", "PGR", box=None)
        for (point, pgr), values in zip(rows, shown, strict=True):
            table.add_row(*values, str(len(point.rows)), figure_text(pgr))
        Console().print(table)
        for line in verdicts([pgr for _, pgr in rows], "0"):
            click.echo(line)
        for curve in (curve for some in responses.values() for curve in some):
            click.echo(curve.break_even_text)
        click.echo(f"Results: {', '.join(map(str, [results, *written]))}")
        click.echo(f"Report: {report}")
        if otherwise:
            click.echo(_said(otherwise, cells), err=True)
    if failed:
        said = "; ".join(f"{key}: {error}" for key, error in failed.items())
        damaged = any(marks[key]["state"] == DAMAGED for key in failed)
        way_out = " (sandwich sweep SPEC --again does damaged ones anew)" if damaged else ""
        raise click.ClickException(f"{len(failed)} of {len(cells)} cells failed: {said}{way_out}")


def _numeric(found: Sequence[Point], key: str) -> str:
    """The key, if its values are numbers; SpecError where they are not, or it varies nowhere."""
    _varying(found, [key])
    if key not in (numeric := numeric_keys(found)):
        raise SpecError(f"{key}: expected a key whose values are numbers; those are: {', '.join(numeric) or 'none'}")
    return key


def mapped(found: Sequence[Point], keys: tuple[str, str]) -> list[Point]:
    """The points that have both keys; SpecError where a heat map over these would hide that another key varies."""
    _varying(found, keys)
    both = [point for point in found if all(key in point.values for key in keys)]
    others = dict.fromkeys(key for point in both for key in point.values if key not in keys)
    varied = [key for key in others if len({str(point.values.get(key)) for point in both}) > 1]
    if varied:
        raise SpecError(f"--heat {' '.join(keys)}: {', '.join(varied)} varies too; sweep it apart")
    return both


def _varying(found: Sequence[Point], keys: Sequence[str]) -> None:
    known = dict.fromkeys(key for point in found for key in point.values)
    for key in keys:
        if key not in known:
            raise SpecError(f"{key}: no key that varies; those that do: {', '.join(known)}")
