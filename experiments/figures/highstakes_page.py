"""The reliability report of a high-stakes experiment: one HTML file with its curves, tables and examples."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from experiments.cli.console import cell
from sandwich.highstakes.calibrate import FIGURES
from sandwich.runtime.files import write_whole

COLORS = mpl.color_sequences["tab10"]
DASHES = ("-", "--", ":", "-.")
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:.6em 0}td,th{border-bottom:1px solid #ddd;padding:.25em .7em"
    ";text-align:left}"
    "td{font-variant-numeric:tabular-nums}img{max-width:100%}p.note{color:#555}"
)
PAPER = (
    ("catastrophes, unfiltered", "2.5 %", "base", "there of completions by a language model, here of moves drawn"),
    ("after the filter", "0.003 %", "residual", "here by labels at few nodes, which err more often than that"),
    ("proposals refused", "over half", "rejected", "here bounded by a setting"),
    (
        "unfiltered preferred",
        "51 %",
        "preferred",
        "there by human raters, here by the oracle, where a move is accepted",
    ),
)
"""What the injury paper measured, our figure, and what differs."""


TUNED = ("base", "rejected", "residual", "served", "served_filtered", "played")
"""What is shown of a fine-tuned proposer."""


def write_page(result: dict[str, Any], path: Path) -> None:
    """Write the report of a high-stakes experiment's `result.json`."""
    write_whole(path, page(result).encode())


def page(result: dict[str, Any]) -> str:
    """The report as HTML."""
    who, rows = result["proposer"], result["generations"]
    nodes = result["nodes"]
    again = f"{nodes['again']} times the nodes"
    parts = [
        f"<h1>{_text(result['name'])}: a blunder filter and the attacks on it</h1>",
        f"<p>A catastrophe gives away {result['catastrophe']} or more of the expected score by"
        f" {_text(result['engine'])}: labels at {nodes['labels']} nodes shared by all moves,"
        f" adversarial examples (which give away {result['adversarial_example']} or more) at {nodes['attacks']} a look"
        f" and again at {again},"
        f" single moves of the test split at {nodes['verified']}."
        f" {result['positions']['train']} positions learned from, {result['positions']['calibration']} to calibrate,"
        f" {result['positions']['test']} to test. 95 % intervals.</p>",
        "<h2>Reliability</h2>",
        _table(
            ["", *(f"filter {row['generation']}" for row in rows)],
            [
                [words, *(_percent(row["proposers"][who]["figures"][key], key) for row in rows)]
                for key, words in FIGURES.items()
            ],
        ),
        f"<p class=note>In per cent, of proposals by {_text(who)}; the threshold is chosen on other games, and anew in"
        " each draw of the bootstrap. Where fewer than ten games hold what is counted, the interval is at least that of"
        " Clopper and Pearson, a game counting as one observation.</p>",
        _strength(rows, who),
        _verified(rows),
        "<h3>By other proposers, the threshold chosen for each</h3>",
        _proposers(rows, who),
        _image(_roc(rows, who)),
        "<h2>Cost of a first adversarial example</h2>",
        _costs(rows, again),
        _image(_survival(rows)),
        "<h3>Adversarial examples for the same effort: how many times those of <code>sample</code></h3>",
        _cheaper(result["cheaper"]),
        "<h3>After hardening</h3>",
        _table(
            ["attack", "examples per query, first filter against last"],
            [[_text(name), cell(figure)] for name, figure in result["harder"].items()],
        ),
        "<p>In distribution, last filter less first, in points: "
        + "; ".join(f"{FIGURES[key]} {cell(figure, 100, 2)}" for key, figure in result["not_worse"].items())
        + ".</p>",
        "<h2>Every filter against every generation's adversarial examples</h2>",
        "<p class=note>Share let through, in per cent, of examples that no filter learned from.</p>",
        _cross(result["cross"]),
        _variants(result),
        _shifts(result),
        _tuned(result.get("tuned")),
        "<h2>Beside the injury paper</h2>",
        _table(
            ["", "paper", "first filter", "last filter", "what differs"],
            [
                [
                    what,
                    paper,
                    *(_percent(row["proposers"][who]["figures"][key], key) for row in (rows[0], rows[-1])),
                    why,
                ]
                for what, paper, key, why in PAPER
            ],
        ),
        "<h2>Adversarial examples</h2>",
        _table(
            ["filter", "attack", "position", "move", "risk", "loss", f"loss at {again}"],
            [
                [
                    str(example["generation"]),
                    _text(example["attack"]),
                    f"<code>{_text(example['fen'])}</code>",
                    example["uci"],
                    f"{example['risk']:.4f}",
                    f"{example['loss']:.2f}",
                    f"{example['loss_again']:.2f}",
                ]
                for example in result["examples"]
            ],
        ),
    ]
    title = _text(result["name"])
    return f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>" + "\n".join(parts) + "\n"


def _text(value: object) -> str:
    return html.escape(str(value))


def _percent(figure: dict[str, Any], key: str) -> str:
    return cell(figure, 1, 4) if key == "ratio" else cell(figure, 100, 2)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{text}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _verified(rows: list[dict[str, Any]]) -> str:
    known = [row for row in rows if "verified" in row]
    if not known:
        return ""
    words = {
        "base": "catastrophes among single proposals",
        "served_base": "the same where a proposal is accepted",
        "served_filtered": "catastrophes among single accepted moves",
    }
    return "<h3>Single moves, judged by themselves</h3>" + _table(
        ["", *(f"filter {row['generation']}" for row in known)],
        [[text, *(cell(row["verified"][key], 100, 2) for row in known)] for key, text in words.items()],
    )


def _strength(rows: list[dict[str, Any]], who: str) -> str:
    known = [row for row in rows if "strength" in row]
    if not known:
        return ""
    return f"<h3>{_text(who)} behind the filter against {_text(who)} without one</h3>" + _table(
        ["", *(f"filter {row['generation']}" for row in known)],
        [
            ["Elo", *(cell(row["strength"]["elo"], 1, 0) for row in known)],
            ["score", *(cell(row["strength"]["score"], 1, 3) for row in known)],
            ["games that ended at the ply cap, %", *(cell(row["strength"]["capped"], 100, 1) for row in known)],
        ],
    )


def _proposers(rows: list[dict[str, Any]], who: str) -> str:
    shown = ("base", "residual", "rejected", "served_base", "served_filtered", "preferred")
    return _table(
        ["proposer", "filter", *(FIGURES[key] for key in shown)],
        [
            [_text(name), str(row["generation"]), *(_percent(there["figures"][key], key) for key in shown)]
            for row in rows
            for name, there in row["proposers"].items()
            if name != who
        ],
    )


def _costs(rows: list[dict[str, Any]], again: str) -> str:
    lines = [
        [
            _text(name), str(row["generation"]), f"{there['queries']['successful']} of {there['queries']['runs']}",
            *(cell(there[unit]["median"], digits=1) for unit in ("queries", "oracle", "seconds")),
            cell(there["queries"]["rate"], 1000, 2), cell(there["unconfirmed"], 100),
        ]
        for row in rows
        for name, there in row["attacks"].items()
    ]  # fmt: skip
    head = ["attack", "filter", "runs with an example", "median queries", "median oracle calls", "median seconds"]
    return _table([*head, "examples per 1000 queries", f"none at {again}, %"], lines)


def _cheaper(by_filter: list[dict[str, Any]]) -> str:
    return _table(
        ["attack", "filter", "per query", "per oracle call", "per second"],
        [
            [_text(name), str(number), *(cell(units[unit]) for unit in ("queries", "oracle", "seconds"))]
            for number, by_attack in enumerate(by_filter)
            for name, units in by_attack.items()
        ],
    )


def _cross(cells: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys((entry["attacked"], entry["attack"]) for entry in cells))
    filters = sorted({entry["filter"] for entry in cells})
    at = {(entry["filter"], entry["attacked"], entry["attack"]): entry for entry in cells}
    return _table(
        ["examples of", "held back", *(f"filter {number}" for number in filters)],
        [
            [
                f"{_text(attack)} on filter {attacked}", str(at[filters[0], attacked, attack]["examples"]),
                *(cell(at[number, attacked, attack]["let_through"], 100) for number in filters),
            ]
            for attacked, attack in columns
        ],
    )  # fmt: skip


def _variants(result: dict[str, Any]) -> str:
    variants = result["variants"]
    if not variants:
        return ""
    shown = ("residual", "rejected", "served_filtered", "played", "preferred")

    def line(name: str, there: dict[str, Any]) -> list[str]:
        cost = there["cost"]
        evaluations = f"{cost['evaluations']:.1f}"
        if cost["evaluations_all"] > cost["evaluations"]:
            evaluations += f" (every legal move: {cost['evaluations_all']:.0f})"
        return [
            _text(name), str(there["positions"]), f"{cost['parameters']:,}", f"{cost['milliseconds']:.3f}", evaluations,
            f"{cost['milliseconds_decision']:.3f}", cell(there["auc"], 1, 3),
            *(_percent(there["figures"][key], key) for key in shown),
        ]  # fmt: skip

    head = ["filter", "positions learned from", "parameters", "ms per position", "evaluations per decision"]
    lines, apart = [line("filter 0", result["reference"])], []
    for name, there in variants.items():
        beside = [(f"{name} less filter 0", there["difference"])]
        if look := there.get("lookahead"):
            lines.append(line(f"{name}, without its look-ahead", look["without"]))
            beside.append((f"{name} less the same without its look-ahead", look["gain"]))
        lines.append(line(name, there))
        apart += [
            [_text(what), cell(less["auc"], 1, 4), *(_percent(less[key], key) for key in shown)]
            for what, less in beside
        ]
    return (
        "<h2>Other filters</h2>"
        + _table([*head, "ms per decision", "AUC", *(FIGURES[key] for key in shown)], lines)
        + "<p class=note>Milliseconds are those of one core for networks alone, in batches of 256, the fastest of"
        " several. A decision is one pass of the filter; a look-ahead adds one of the position, and those behind every"
        " different move that is proposed until one is accepted.</p>"
        + _table(["difference", "AUC", *(FIGURES[key] for key in shown)], apart)
    )


def _shifts(result: dict[str, Any]) -> str:
    shifts, who = result.get("shifts", {}), result["proposer"]
    if not shifts:
        return ""
    shown = ("base", "residual", "ratio", "rejected", "served", "served_base", "served_filtered", "played", "preferred")

    def line(name: str, number: int, by: str, auc: float, figures: dict[str, Any]) -> list[str]:
        return [name, str(number), _text(by), f"{auc:.3f}", *(_percent(figures[key], key) for key in shown)]

    lines = [
        line("as learned", row["generation"], who, row["roc"][who]["auc"], row["proposers"][who]["figures"])
        for row in result["generations"]
    ]
    notes = []
    for name, there in shifts.items():
        for number, at in enumerate(there["filters"]):
            lines += [line(_text(name), number, by, of["auc"], of["figures"]) for by, of in at["proposers"].items()]
        apart = "; ".join(f"{FIGURES[key]} {cell(figure, 100, 2)}" for key, figure in there["difference"].items())
        notes.append(
            f"{_text(name)} ({there['kind']}): {there['positions']} positions of {there['games']} games."
            + (f" Last filter less first, in points: {apart}." if apart else "")
        )
    return (
        "<h2>Positions of other kinds</h2>"
        "<p class=note>Every filter at the threshold that it was calibrated to in distribution.</p>"
        + _table(["positions", "filter", "proposer", "AUC", *(FIGURES[key] for key in shown)], lines)
        + "".join(f"<p>{note}</p>" for note in notes)
    )


def _tuned(tuned: dict[str, Any] | None) -> str:
    if not tuned:
        return ""
    words = {"loss": "expected score that a proposal gives away", **{key: FIGURES[key] for key in TUNED}}
    return (
        f"<h2>{_text(tuned['proposer'])} fine-tuned against filter {tuned['generation']}</h2>"
        + _table(
            ["", "before", "after", "after less before"],
            [
                [text, *(_percent(tuned[part][key], key) for part in ("before", "after", "change"))]
                for key, text in words.items()
            ],
        )
        + "<p class=note>In per cent, on the test split, at the filter's own threshold. Learned from"
        f" {tuned['positions']} positions of its own training games without the oracle; the filter accepts a move in"
        f" {tuned['accepting']} of them. Its policy has moved by {cell(tuned['kl'], digits=3)} nats a position.</p>"
    )


def _roc(rows: list[dict[str, Any]], who: str) -> Figure:
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(rows):
        there = row["roc"][who]
        label = f"filter {row['generation']} (area {there['auc']:.3f})"
        axes.plot(there["refused_fine"], there["refused_bad"], color=COLORS[number % 10], label=label)
    axes.set_xlabel("other proposals refused")
    axes.set_ylabel("catastrophes refused")
    axes.legend(frameon=False)
    return figure


def _survival(rows: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, unit, words in zip(panels, ("queries", "oracle"), ("filter queries", "oracle calls"), strict=True):
        for row in rows:
            for number, (name, there) in enumerate(row["attacks"].items()):
                curve = there[unit]["curve"]
                label = f"{name}, filter {row['generation']}" if unit == "queries" else None
                axes.step(
                    [1, *(max(1, at) for at, *_ in curve)], [1, *(value for _, value, *_ in curve)], where="post",
                    color=COLORS[number % 10], linestyle=DASHES[row["generation"] % len(DASHES)], label=label,
                )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel(f"{words} spent")
    panels[0].set_ylabel("runs without an example")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _image(figure: Figure) -> str:
    with mpl.rc_context({"svg.hashsalt": "sandwich", "font.size": 9}):
        FigureCanvasSVG(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
