"""The figures of a run as a piece of a page: pictures and tables from metrics.jsonl. The page is the viewer's."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from experiments.figures import charts
from experiments.figures.drawing import linked
from experiments.figures.templates import render
from sandwich.runs.controls import FOLDER as CONTROLS
from sandwich.runs.controls import MEANING
from sandwich.runs.metrics import read_metrics

Row = dict[str, Any]

FIGURES = {
    "elo": ("Elo, best move", "elo"),
    "score": ("Score, best move", "percent"),
    "elo_half": ("Elo, temperature 0.5", "elo"),
    "elo_sampled": ("Elo, temperature 1", "elo"),
    "pgr": ("PGR in Elo, best move", "ratio"),
    "pgr_half": ("PGR in Elo, temperature 0.5", "ratio"),
    "pgr_sampled": ("PGR in Elo, temperature 1", "ratio"),
    "pgr_win_loss": ("PGR in Win% loss", "ratio"),
    "pgr_puzzles": ("PGR in puzzles", "ratio"),
    "agreement": ("Agreement with the expert", "percent"),
    "kl": ("KL(expert‖student), nats", "points"),
    "tau_b": ("Kendall’s τ-b of move values", "ratio"),
    "puzzles": ("Puzzles solved", "percent"),
    "puzzles_first": ("First moves of puzzles", "percent"),
    "win_loss": ("Win% points lost per move", "points"),
    "win_loss_expert": ("the same, expert", "points"),
    "capped": ("Games at the ply cap", "percent"),
}
"""Measured figures of a row: what a reader calls each, and how its numbers are written."""

ASSISTANT = "elo_assistant"
"""Measured once, before the first step: in the first row alone."""

CONTROLLED = {
    "pgr": ("PGR in Elo", "ratio"),
    "pgr_half": ("PGR, temperature 0.5", "ratio"),
    "pgr_sampled": ("PGR, temperature 1", "ratio"),
    "pgr_win_loss": ("PGR in Win% loss", "ratio"),
    "elo": ("Elo", "elo"),
    ASSISTANT: ("Elo of the assistant", "elo"),
    "agreement": ("Agreement", "percent"),
}
"""Figures by which a run stands beside its controls."""

PHASES = {name: FIGURES[name] for name in ("agreement", "kl", "tau_b")}
"""Those that are there for each phase of the game as well."""

LOSSES = {
    "own": "W’s own move",
    "advised": "Advised",
    "honest": "Honest advice",
    "played": "Played",
    "lie": "A lie",
    "believed_lie": "A believed lie",
}
"""Mean losses of the moves in a step's games, as a reader calls them."""

COUNTS = {
    "play.games": ("Games", "count"),
    "play.plies": ("Plies", "count"),
    "play.queries": ("Questions", "count"),
    "play.misaligned": ("Misaligned", "count"),
    "play.believed": ("Believed", "count"),
    "play.ends": ("Games ended by", "ends"),
    "labels.believed": ("Believed by the label model", "count"),
    "labels.lies_believed": ("Lies among them", "count"),
    "labels.auc": ("AUC of the label model", "ratio"),
    "finetune.examples": ("Examples", "count"),
    "finetune.policy_loss": ("Policy loss", "ratio"),
    "finetune.value_loss": ("Value loss", "ratio"),
    "finetune.top1": ("Top-1 in training", "percent"),
    "seconds.play": ("Play, s", "count"),
    "seconds.label": ("Label, s", "count"),
    "seconds.finetune": ("Learn, s", "count"),
    "seconds.evaluate": ("Measure, s", "count"),
}
"""What a step took and gave, by part and key of its row: what a reader calls each, and how it is written."""


def summary(folder: Path, name: str, address: Callable[[int], str], *, brief: bool = False) -> Markup:
    """The figures of a run folder as a piece of HTML, with as many steps as it has.

    name: what the run is called.
    address: where a point of a picture leads, from its step.
    brief: only the first two pictures.
    Raises DamagedError where metrics.jsonl is damaged.
    """
    rows = read_metrics(folder)
    beside = {path.name: read_metrics(path) for path in sorted((folder / CONTROLS).glob("*")) if path.is_dir()}
    pictures = _charts(rows, beside)
    controls = _controls(rows, beside)
    tables = {
        "figures": measured_columns(FIGURES, rows),
        "controls": measured_columns(CONTROLLED, [line["row"] for line in controls]),
        "phases": measured_columns(PHASES, [phase for row in rows for phase in (row.get("phases") or {}).values()]),
        "losses": measured_columns(
            LOSSES, [row["play"]["loss"] for row in rows if (row.get("play") or {}).get("loss")]
        ),
        "counts": (
            {key: column for key, column in COUNTS.items() if any(_count(row, key) is not None for row in rows)},
            [],
        ),
    }
    return render(
        "figures/summary.html",
        name=name,
        rows=rows,
        headline=headline(rows),
        charts=[
            {"title": title, "note": note, "wide": wide, "svg": _clickable(draw(), address), "reason": why}
            for title, note, wide, draw, why in (pictures[:2] if brief else pictures)
        ],
        tables=tables,
        controls=controls,
        count_of=_count,
        spec=_text(folder / "spec.yaml"),
        provenance=_text(folder / "provenance.json"),
    )


def measured_columns(columns: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[Row]]:
    """The columns in which some row has a value, and the others: `label` and, where the last row says so, `reason`.

    columns: what a reader calls each figure, or that and the form of its numbers, by its name in a row.
    """
    shown = {
        key: column for key, column in columns.items() if any((r.get(key) or {}).get("value") is not None for r in rows)
    }
    missing = [
        {"label": column if isinstance(column, str) else column[0], "reason": _reason(rows, key)}
        for key, column in columns.items()
        if key not in shown
    ]
    return shown, missing if rows else []


def _clickable(svg: str | None, address: Callable[[int], str]) -> Markup | None:
    return Markup(linked(svg, lambda step: address(int(step)))) if svg else None


def headline(rows: Sequence[Row]) -> dict[str, Any]:
    """What the page says first: the last PGR in words, the gap, and the counts of all steps."""
    if not rows:
        return {"steps": 0}
    first, last = rows[0], rows[-1]
    played = [row["play"] for row in rows if row.get("play")]
    queries, lies, believed = (
        sum(play.get(key) or 0 for play in played) for key in ("queries", "misaligned", "believed")
    )
    return {
        "steps": last["step"],
        "pgr": last.get("pgr"),
        "meaning": meaning(last.get("pgr")) if last["step"] else "",
        "gap": turned(first.get("elo")) if first["step"] == 0 else None,
        "elo": last.get("elo"),
        "assistant": first.get(ASSISTANT),
        "queries": queries,
        "misaligned": lies,
        "believed": believed,
        "share": lies / queries if queries else None,
        "seconds": sum(sum(v or 0 for v in (row.get("seconds") or {}).values()) for row in rows),
    }


def meaning(pgr: dict[str, Any] | None) -> str:
    """What the interval of a PGR allows to say."""
    low, high = (pgr or {}).get("low"), (pgr or {}).get("high")
    if low is None or high is None:
        return ""
    if low > 1:
        return "The whole interval lies above 1: within this run the student came out stronger than the expert."
    if low > 0:
        return "The interval excludes 0: within this run the student got closer to the expert."
    if high < 0:
        return "The whole interval lies below 0: within this run the student fell further behind the expert."
    return "The interval contains 0: this run does not show that the student got closer to the expert."


def turned(figure: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same figure seen from the other side: an Elo difference with its sign changed."""
    if not figure or figure.get("value") is None:
        return figure
    low, high = (None if figure[part] is None else -figure[part] for part in ("high", "low"))
    return {"value": -figure["value"], "low": low, "high": high, "n": figure["n"]}


def _charts(
    rows: Sequence[Row], beside: Mapping[str, Sequence[Row]]
) -> list[tuple[str, str, bool, Callable[[], str | None], str]]:
    """Title, note, width, what draws the picture or None, and why there is none."""
    if not rows:
        return []
    none_played = "no step has been played yet"
    return [
        ("Performance gap recovered", "0 is the student before its first step, 1 the expert. Shaded band and whiskers: "
         "95 % interval within this one training run. A whisker may run out of the picture; the table has its ends. "
         "Dotted: the controls, where they were run.",
         True, partial(charts.pgr, rows, beside), _reason(rows, "pgr")),
        ("Strength", "Elo difference to the expert over colour-swapped pairs of games, bare networks, with 95 % "
         "intervals. An arrow marks an end that the games leave open. Dotted: the assistant alone, lies and all.",
         True, partial(charts.elo, rows), _reason(rows, "elo")),
        ("Agreement", "Share of a fixed set of positions on which student and expert choose the same move.",
         False, partial(charts.agreement, rows), _reason(rows, "agreement")),
        ("Win% loss", "Win% points that a move gives away on the same positions, by the oracle's judgement.",
         False, partial(charts.win_loss, rows), _reason(rows, "win_loss")),
        ("What moves cost", "Win% points that moves lost in the games of each step, where the student asked, by the "
         "oracle; a mean over a weighted sample.", False, partial(charts.losses, rows), "the oracle has not looked"),
        ("Questions", "Answers of the assistant by step. Which of them were misaligned is hidden from the student.",
         False, partial(charts.queries, rows), none_played),
        ("Time", "Seconds of each part of each step; step 0 is the measurement of W₀.",
         False, partial(charts.seconds, rows), "no times were written down"),
    ]  # fmt: skip


def _controls(rows: Sequence[Row], beside: Mapping[str, Sequence[Row]]) -> list[Row]:
    """A line for the run and for each control: name, meaning, steps, and its last row."""
    runs = {"this run": rows, **{name.replace("_", " "): there for name, there in beside.items()}} if beside else {}
    meanings = {name.replace("_", " "): meaning for name, meaning in MEANING.items()}
    return [
        {"name": name, "meaning": meanings.get(name, ""), "row": there[-1] | {ASSISTANT: there[0].get(ASSISTANT)}}
        for name, there in runs.items()
        if there
    ]


def _count(row: Row, key: str) -> Any:
    """The entry of a row under a key of COUNTS; None where it has none."""
    part, _, name = key.partition(".")
    value = (row.get(part) or {}).get(name)
    return None if value == {} else value


def _reason(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Why the last row has no such figure."""
    return (rows[-1].get(key) or {}).get("reason") or "not among the metrics" if rows else "no row"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


__all__ = ["summary"]
