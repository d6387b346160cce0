"""What a terminal shows: progress of long work, live for people and in plain lines when piped."""

import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sandwich.statistics import Figure

ALPHA = 0.05
"""Of every verdict; the intervals are of 95 %."""


def figure_text(figure: dict[str, Any], digits: int = 2, sign: bool = False) -> str:
    """A figure in words: value with its interval, if it has one, or why there is none."""
    if figure["value"] is None:
        return f"not measured ({figure['reason']})"
    form = f"{{:{'+' if sign else ''}z.{digits}f}}"
    value = form.format(figure["value"])
    bounds = [form.format(bound) if bound is not None else "?" for bound in (figure["low"], figure["high"])]
    return value if bounds == ["?", "?"] else f"{value} [{', '.join(bounds)}]"


def text_of(figure: Figure, digits: int = 2, sign: bool = False) -> str:
    """The same for a `Figure`."""
    return figure_text(figure.json(), digits, sign)


def cell(figure: dict[str, Any], factor: float = 1, digits: int = 1) -> str:
    """A figure in a table, its numbers times a factor; a dash where there is none."""
    if figure["value"] is None:
        return "–"
    scaled = {key: None if figure[key] is None else factor * figure[key] for key in ("value", "low", "high")}
    return figure_text(scaled, digits)


def short_cell(figure: dict[str, Any], factor: float = 1, digits: int = 1) -> str:
    """Value and half the width of its interval, for tables that have little room; a dash where there is none."""
    if figure["value"] is None:
        return "–"
    known = figure["low"] is not None and figure["high"] is not None
    spread = f" ±{factor * (figure['high'] - figure['low']) / 2:.{digits}f}" if known else ""
    return f"{factor * figure['value']:.{digits}f}{spread}"


def verdicts(figures: Iterable[Mapping[str, Any]], than: str) -> list[str]:
    """How many of several figures surely differ from a value, each by itself and corrected for their number; a line.

    figures: JSON values with `p` and `p_holm` where they have them. Of a single one there is nothing to be said.
    """
    known = [figure for figure in figures if "p" in figure]
    if len(known) < 2:
        return []
    alone, corrected = (sum(figure[key] < ALPHA for figure in known) for key in ("p", "p_holm"))
    return [f"{len(known)} intervals: {alone} exclude {than}; corrected for their number (Holm), {corrected} do."]


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, with its last line's end."""
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines) + "\n"


class Display:
    """Progress on stderr; a context manager. Live bars on a terminal, else a line at most every ten seconds."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._name, self._total, self._done, self._note, self._unit = "", 0, 0, "", ""
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bars.stop()

    def message(self, text: str) -> None:
        """One line that stays."""
        if self._live:
            self._bars.console.print(text, markup=False)
        else:
            self._console.file.write(text + "\n")
            self._console.file.flush()

    def begin(self, name: str, total: int, done: int = 0, unit: str = "") -> None:
        """Show a piece of work of so many units, so many of them done already; unit: their plural."""
        self._name, self._total, self._done, self._note = name, total, done, ""
        self._unit = f" {unit}" if unit else ""
        self._began = self._shown = time.monotonic()
        if self._live:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(name, total=total, completed=done, note="")

    def advance(self, amount: int = 1, note: str = "") -> None:
        """So many units more are done."""
        self._done += amount
        if self._live and self._task is not None:
            self._bars.update(self._task, advance=amount, note=note or self._note)
        self._note = note or self._note
        now = time.monotonic()
        if not self._live and amount and (now - self._shown > 10 or self._done >= self._total):
            self._shown = now
            left = (now - self._began) * (self._total - self._done) / max(1, self._done)
            self.message(
                f"{self._name}: {self._done}/{self._total}{self._unit}, {left:.0f} s left"
                f"{', ' + self._note if self._note else ''}"
            )


UNITS = {"play": "games", "measure": "games", "confirm": "games", "learn": "batches"}
"""What the phases of a step are counted in."""


def counted(number: int, what: str) -> str:
    """A number with its noun: `1 step`, `2 steps`."""
    return f"{number} {what if number == 1 else what + 's'}"


class RunDisplay(Display):
    """A `sandwich.runtime.progress.RunProgress`: the phases of each step, and a line for each step's figures."""

    def __init__(self, steps: int, headline: str) -> None:
        super().__init__()
        self._steps = steps
        self._step = 0
        self._headline = headline
        self._pgr = ""

    def step(self, step: int) -> None:
        self._step = step

    def begin(self, name: str, total: int, done: int = 0, unit: str = "") -> None:
        if self._headline:
            self.message(self._headline)
            self._headline = ""
        super().begin(f"step {self._step}/{self._steps} {name}{self._pgr}", total, done, unit or UNITS.get(name, ""))

    def row(self, row: dict[str, Any]) -> None:
        if row["pgr"]["value"] is not None:
            self._pgr = f" (PGR {row['pgr']['value']:.2f})"
        parts = [f"step {row['step']}/{self._steps}", f"Elo {figure_text(row['elo'], 0, sign=True)}"]
        if row["step"]:
            parts.append(f"PGR {figure_text(row['pgr'])}")
            parts.append(f"{row['play']['misaligned']} of {row['play']['queries']} answers misaligned")
        parts.append(f"agreement {figure_text(row['agreement'])}")
        self.message("; ".join(parts))
