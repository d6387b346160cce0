"""The reliability report of a high-stakes experiment: one HTML file with its curves, tables and examples."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from experiments.cli.console import cell
from experiments.figures.drawing import plain
from experiments.figures.race import race_figure
from experiments.figures.templates import render
from sandwich.highstakes.calibrate import FIGURES
from sandwich.runtime.files import write_whole

COLORS = mpl.color_sequences["tab10"]
DASHES = ("-", "--", ":", "-.")
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
VERIFIED = {
    "base": "catastrophes among single proposals",
    "served_base": "the same where a proposal is accepted",
    "served_filtered": "catastrophes among single accepted moves",
}
"""Figures of single moves."""
TUNED = ("base", "rejected", "residual", "served", "served_filtered", "played")
"""What is shown of a fine-tuned proposer."""


ENDS = ("value", "low", "high")
CURVE = ("rejected", "residual", "preferred", "errors")
"""What is shown at each bound of refusals."""


@dataclass(frozen=True)
class Table:
    """Heads, and rows of as many cells: plain text, which the template escapes."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_page(result: dict[str, Any], path: Path) -> None:
    """Write the report of a high-stakes experiment's `result.json`."""
    write_whole(path, page(result).encode())


def page(result: dict[str, Any]) -> str:
    """The report as HTML."""
    who, rows = result["proposer"], result["generations"]
    again = f"{result['nodes']['again']} times the nodes"
    tuned = result.get("tuned")
    return str(
        render(
            "figures/highstakes.html",
            result=result,
            who=who,
            again=again,
            reliability=_by_filter(
                rows,
                [
                    [text, *(_percent(row["proposers"][who]["figures"][key], key) for row in rows)]
                    for key, text in FIGURES.items()
                    if key in rows[0]["proposers"][who]["figures"]  # which older versions gave
                ],
            ),
            strength=_strength(rows),
            verified=_verified(rows),
            proposers=_proposers(rows, who),
            roc=_image(_roc(rows, who)),
            costs=_costs(rows, again),
            survival=_image(_survival(rows)),
            cheaper=_cheaper(result["cheaper"]),
            race=_race(result.get("compute")),
            raced=_image(race_figure([result["compute"]])) if result.get("compute") else "",
            harder=Table(
                ["attack", "examples per query, first filter against last"],
                [[name, cell(figure)] for name, figure in result["harder"].items()],
            ),
            not_worse=_points(result["not_worse"]),
            cross=_cross(result["cross"]),
            latent=_latent(rows),
            forecast=_forecast(rows),
            variants=_variants(result),
            floor=cascade_tables(result),
            cascades=_image(_cascades(result["cascades"])) if result.get("cascades") else "",
            rare=_rare(rows),
            shifts=_shifts(result),
            tuned=_tuned(tuned) if tuned else None,
            moved=cell(tuned["kl"], digits=3) if tuned else "",
            paper=_beside_paper(rows, who),
            examples=_examples(result["examples"], again),
        )
    )


def _beside_paper(rows: Sequence[dict[str, Any]], who: str) -> Table:
    first, last = (row["proposers"][who]["figures"] for row in (rows[0], rows[-1]))
    return Table(
        ["", "paper", "first filter", "last filter", "what differs"],
        [[what, paper, _percent(first[key], key), _percent(last[key], key), why] for what, paper, key, why in PAPER],
    )


def _percent(figure: dict[str, Any], key: str) -> str:
    return cell(figure, 1, 4) if key == "ratio" else cell(figure, 100, 2)


def _points(differences: dict[str, Any]) -> str:
    return "; ".join(f"{FIGURES[key]} {cell(figure, 100, 2)}" for key, figure in differences.items())


def _by_filter(rows: Sequence[dict[str, Any]], lines: Sequence[Sequence[str]]) -> Table:
    return Table(["", *(f"filter {row['generation']}" for row in rows)], lines)


def _verified(rows: list[dict[str, Any]]) -> Table | None:
    known = [row for row in rows if "verified" in row]
    lines = [[text, *(cell(row["verified"][key], 100, 2) for row in known)] for key, text in VERIFIED.items()]
    return _by_filter(known, lines) if known else None


def _strength(rows: list[dict[str, Any]]) -> Table | None:
    known = [row for row in rows if "strength" in row]
    lines = [
        ["Elo", *(cell(row["strength"]["elo"], 1, 0) for row in known)],
        ["score", *(cell(row["strength"]["score"], 1, 3) for row in known)],
        ["games that ended at the ply cap, %", *(cell(row["strength"]["capped"], 100, 1) for row in known)],
    ]
    return _by_filter(known, lines) if known else None


def _proposers(rows: list[dict[str, Any]], who: str) -> Table:
    shown = ("base", "residual", "rejected", "served_base", "served_filtered", "preferred")
    return Table(
        ["proposer", "filter", *(FIGURES[key] for key in shown)],
        [
            [name, str(row["generation"]), *(_percent(there["figures"][key], key) for key in shown)]
            for row in rows
            for name, there in row["proposers"].items()
            if name != who
        ],
    )


def _costs(rows: list[dict[str, Any]], again: str) -> Table:
    lines = [
        [
            name, str(row["generation"]), f"{there['queries']['successful']} of {there['queries']['runs']}",
            *(_median(there[unit]) for unit in ("queries", "oracle", "seconds")),
            cell(there["queries"]["rate"], 1000, 2), cell(there["unconfirmed"], 100),
        ]
        for row in rows
        for name, there in row["attacks"].items()
    ]  # fmt: skip
    heads = ["attack", "filter", "runs with an example", "median queries", "median oracle calls", "median seconds"]
    return Table([*heads, "examples per 1000 queries", f"none at {again}, %"], lines)


def _median(cost: dict[str, Any]) -> str:
    """A median cost; and what it may be, where runs ended without an example on something else than this budget."""
    text = cell(cost["median"], digits=1)
    if not cost.get("otherwise"):
        return text
    soonest, latest = (cell({"value": cost[end]["value"], "low": None, "high": None}) for end in ("soonest", "latest"))
    return f"{text} ({cost['otherwise']} ended otherwise: {soonest} to {latest})"


def _race(rounds: list[dict[str, Any]] | None) -> Table | None:
    """What the defender had spent in each generation, and what a first example costs each attack."""
    if not rounds:
        return None
    return Table(
        ["filter", "defender so far, passes", "attack", "examples", "passes of a first one"],
        [
            [
                str(number), f"{entry['defender']['passes']:,.0f}", name,
                f"{there['successful']} of {there['runs']}", cell(there["cost"], digits=0),
            ]
            for number, entry in enumerate(rounds)
            for name, there in entry["attacks"].items()
        ],
    )  # fmt: skip


def _forecast(rows: Sequence[dict[str, Any]]) -> Table | None:
    known = [row for row in rows if "forecast" in row]
    lines = [
        [
            str(row["generation"]), *(str(row["forecast"][key]) for key in ("accepted", "proposals", "catastrophes")),
            cell(row["forecast"]["rate"], 100, 2), f"{row['forecast']['ahead']:,}", cell(row["forecast"]["expected"]),
        ]
        for row in known
    ]  # fmt: skip
    heads = ["filter", "accepted", "of proposals", "catastrophes among these", "forecast: accepted catastrophes, %"]
    return Table([*heads, "of so many accepted", "expected"], lines) if known else None


def _latent(rows: Sequence[dict[str, Any]]) -> Table | None:
    known = [row for row in rows if "latent" in row]
    lines = [
        ["catastrophes accepted, %", *(cell(row["latent"]["accepted"], 100, 1) for row in known)],
        ["the same with the adversary at work, %", *(cell(row["latent"]["fooled"], 100, 1) for row in known)],
    ]
    return _by_filter(known, lines) if known else None


def _cheaper(by_filter: list[dict[str, Any]]) -> Table:
    return Table(
        ["attack", "filter", "per query", "per oracle call", "per second"],
        [
            [name, str(number), *(cell(units[unit]) for unit in ("queries", "oracle", "seconds"))]
            for number, by_attack in enumerate(by_filter)
            for name, units in by_attack.items()
        ],
    )


def _cross(cells: list[dict[str, Any]]) -> Table:
    columns = list(dict.fromkeys((entry["attacked"], entry["attack"]) for entry in cells))
    filters = sorted({entry["filter"] for entry in cells})
    at = {(entry["filter"], entry["attacked"], entry["attack"]): entry for entry in cells}
    return Table(
        ["examples of", "held back", *(f"filter {number}" for number in filters)],
        [
            [
                f"{attack} on filter {attacked}", str(at[filters[0], attacked, attack]["examples"]),
                *(cell(at[number, attacked, attack]["let_through"], 100) for number in filters),
            ]
            for attacked, attack in columns
        ],
    )  # fmt: skip


def _examples(examples: Sequence[dict[str, Any]], again: str) -> Table:
    return Table(
        ["filter", "attack", "position", "move", "risk", "loss", f"loss at {again}"],
        [
            [
                str(example["generation"]), example["attack"], example["fen"], example["uci"],
                f"{example['risk']:.4f}", f"{example['loss']:.2f}", f"{example['loss_again']:.2f}",
            ]
            for example in examples
        ],
    )  # fmt: skip


def _variants(result: dict[str, Any]) -> dict[str, Table] | None:
    variants = result["variants"]
    if not variants:
        return None
    shown = ("residual", "rejected", "served_filtered", "played", "preferred")

    def line(name: str, there: dict[str, Any]) -> list[str]:
        cost = there["cost"]
        evaluations = f"{cost['evaluations']:.1f}"
        if cost["evaluations_all"] > cost["evaluations"]:
            evaluations += f" (every legal move: {cost['evaluations_all']:.0f})"
        return [
            name, str(there["positions"]), f"{cost['parameters']:,}", f"{cost['milliseconds']:.3f}", evaluations,
            f"{cost['milliseconds_decision']:.3f}", cell(there["auc"], 1, 3),
            *(_percent(there["figures"][key], key) for key in shown),
        ]  # fmt: skip

    heads = ["filter", "positions learned from", "parameters", "ms per position", "evaluations per decision"]
    lines, apart = [line("filter 0", result["reference"])], []
    for name, there in variants.items():
        beside = [(f"{name} less filter 0", there["difference"])]
        if look := there.get("lookahead"):
            lines.append(line(f"{name}, without its look-ahead", look["without"]))
            beside.append((f"{name} less the same without its look-ahead", look["gain"]))
        lines.append(line(name, there))
        apart += [
            [what, cell(less["auc"], 1, 4), *(_percent(less[key], key) for key in shown)] for what, less in beside
        ]
    figures = ["AUC", *(FIGURES[key] for key in shown)]
    return {
        "costs": Table([*heads, "ms per decision", *figures], lines),
        "differences": Table(["difference", *figures], apart),
    }


def cascade_tables(result: dict[str, Any]) -> list[Table]:
    """How often labels err; and the first filter alone beside each cascade, at every bound of refusals."""
    out = []
    if floor := result.get("floor"):
        names = [f"{nodes:,} nodes" for nodes in floor["nodes"]]
        looks = ((0, 1, "labels"), (0, 2, "labels_further"), (1, 2, "closest"))
        out.append(
            Table(
                ["labels", "against", "positions", "proposals whose verdict changes, %", "cleared, %", "found, %"],
                [
                    [
                        names[first], names[second], str(floor[key]["positions"]),
                        *(cell(floor[key][what], 100, 2) for what in ("changed", "cleared", "found")),
                    ]
                    for first, second, key in looks
                ],
            )
        )  # fmt: skip
        out.append(
            Table(
                ["labels", "against", "loss from the threshold", "moves", "verdicts that change, %"],
                [
                    [
                        names[first], names[second],
                        f"{row['from']:g} and more" if row["to"] is None else f"{row['from']:g} to {row['to']:g}",
                        str(row["moves"]), cell(row["changed"], 100, 1),
                    ]
                    for first, second, key in looks
                    for row in floor[key]["by_distance"]
                ],
            )
        )  # fmt: skip
    if cascades := result.get("cascades"):
        rows = [
            [name, f"{100 * point['bound']:.0f}", *(cell(point[key], 100, 2) for key in CURVE)]
            for name, there in (("alone", cascades["alone"]), *cascades["behind"].items())
            for point in there["curve"]
        ]
        out.append(Table(["cascade", "refused at most, %", *(f"{FIGURES[key]}, %" for key in CURVE)], rows))
        out.append(
            Table(
                ["cascade", "proposals that it looks at, %", "moves a decision", "nodes", "network evaluations",
                 "ms a decision", f"{FIGURES['residual']}, %", "by the furthest look, %"],
                [
                    [
                        name, f"{100 * there['handed_on']:.1f}", f"{there['moves']:.2f}",
                        f"{there['nodes']:,.0f}" if "nodes" in there else "–",
                        f"{there['evaluations']:.1f}" if "evaluations" in there else "–",
                        f"{there['milliseconds']:.2f}", cell(there["figures"]["residual"], 100, 3),
                        cell(there["further"]["residual"], 100, 3) if there["further"] else "–",
                    ]
                    for name, there in cascades["behind"].items()
                ],
            )
        )  # fmt: skip
    return out


def _cascades(cascades: dict[str, Any]) -> Figure:
    """Residual rate against proposals refused, of the first filter and of each cascade."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    named = {"the first filter alone": cascades["alone"], **cascades["behind"]}
    for number, (name, there) in enumerate(named.items()):
        at = [100 * point["rejected"]["value"] for point in there["curve"]]
        rates = [
            [np.nan if point["residual"].get(end) is None else 100 * point["residual"][end] for end in ENDS]
            for point in there["curve"]
        ]
        value, low, high = (np.array(column) for column in zip(*rates, strict=True))
        axes.errorbar(
            at, value, np.fmax(0, [value - low, high - value]), label=plain(name), color=COLORS[number % 10],
            marker="o", markersize=3, capsize=2,
        )  # fmt: skip
    axes.set_yscale("symlog", linthresh=0.05)
    axes.set_ylim(0, None)
    axes.set_xlabel("proposals refused, %")
    axes.set_ylabel("catastrophes among accepted proposals, %")
    axes.legend(frameon=False)
    return figure


def _rare(rows: Sequence[dict[str, Any]]) -> Table | None:
    known = [row for row in rows if "rare" in row]
    lines = [
        [
            str(row["generation"]), how, *(cell(there[what], 100, 4) for what in ("accepted", "broken")),
            f"{there['queries']:,}", f"{there['oracle']:,}",
        ]
        for row in known
        for how, there in (("splitting", row["rare"]["splitting"]), ("plain sampling", row["rare"]["plain"]))
    ]  # fmt: skip
    heads = ["filter", "by", "accepted, %", "and a catastrophe, %", "filter queries", "moves judged"]
    return Table(heads, lines) if known else None


def _shifts(result: dict[str, Any]) -> dict[str, Any] | None:
    shifts, who = result.get("shifts", {}), result["proposer"]
    if not shifts:
        return None
    shown = ("base", "residual", "ratio", "rejected", "served", "served_base", "served_filtered", "played", "preferred")

    def line(name: str, number: int, by: str, auc: float | None, figures: dict[str, Any]) -> list[str]:
        return [
            name,
            str(number),
            by,
            "–" if auc is None else f"{auc:.3f}",
            *(_percent(figures[key], key) for key in shown),
        ]

    lines = [
        line("as learned", row["generation"], who, row["roc"][who]["auc"], row["proposers"][who]["figures"])
        for row in result["generations"]
    ]
    notes = []
    for name, there in shifts.items():
        for number, at in enumerate(there["filters"]):
            lines += [line(name, number, by, of["auc"], of["figures"]) for by, of in at["proposers"].items()]
        apart = _points(there["difference"])
        notes.append(
            f"{name} ({there['kind']}): {there['positions']} positions of {there['games']} games."
            + (f" Last filter less first, in points: {apart}." if apart else "")
        )
    heads = ["positions", "filter", "proposer", "AUC", *(FIGURES[key] for key in shown)]
    return {"table": Table(heads, lines), "notes": notes}


def _tuned(tuned: dict[str, Any]) -> Table:
    words = {"loss": "expected score that a proposal gives away", **{key: FIGURES[key] for key in TUNED}}
    return Table(
        ["", "before", "after", "after less before"],
        [
            [text, *(_percent(tuned[part][key], key) for part in ("before", "after", "change"))]
            for key, text in words.items()
        ],
    )


def _roc(rows: list[dict[str, Any]], who: str) -> Figure:
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(rows):
        there = row["roc"][who]
        area = "no curve: all proposals are of one kind" if there["auc"] is None else f"area {there['auc']:.3f}"
        label = f"filter {row['generation']} ({area})"
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
                label = f"{plain(name)}, filter {row['generation']}" if unit == "queries" else None
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
    """A picture as an address that holds its data."""
    with mpl.rc_context({"svg.hashsalt": "sandwich", "font.size": 9}):
        FigureCanvasSVG(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
