"""PGR by step of several runs in one picture, and their final figures as a Markdown table.

usage: .venv/bin/python benchmarks/compare_runs.py --out PICTURE.svg LABEL=RUN[,RUN...] ...

Runs of one label differ in their seed: they share a colour.
"""

import argparse
from pathlib import Path

import matplotlib as mpl

from experiments.cli.console import figure_text
from sandwich.runs.metrics import read_metrics

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

COLORS = ("#2a6fdb", "#d9822b", "#b3394a", "#3a8f5d", "#7a5cc0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="SVG file to write")
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN[,RUN...]")
    options = parser.parse_args()
    groups = {label: folders.split(",") for label, folders in (run.rsplit("=", 1) for run in options.runs)}

    mpl.rcParams["svg.hashsalt"] = "sandwich"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    print("| run | PGR | Elo before | Elo after | agreement after | questions | misaligned |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for color, (label, folders) in zip(COLORS, groups.items(), strict=False):
        for number, folder in enumerate(folders):
            rows = read_metrics(Path(folder))
            known = [(row["step"], row["pgr"]) for row in rows[1:] if row["pgr"]["value"] is not None]
            steps = [0, *(step for step, _ in known)]
            parts = {part: [0, *(pgr[part] for _, pgr in known)] for part in ("value", "low", "high")}
            axes.fill_between(steps, parts["low"], parts["high"], color=color, alpha=0.12, linewidth=0)
            axes.plot(steps, parts["value"], "o-", color=color, label=label if number == 0 else None, markersize=4)
            last = rows[-1]
            counts = [sum(row["play"][key] for row in rows[1:]) for key in ("queries", "misaligned")]
            cells = [
                f"{label}, seed {number}" if len(folders) > 1 else label,
                figure_text(last["pgr"]),
                figure_text(rows[0]["elo"], 0, sign=True),
                figure_text(last["elo"], 0, sign=True),
                figure_text(last["agreement"]),
                *(f"{count:,}" for count in counts),
            ]
            print("| " + " | ".join(cells) + " |")
    axes.axhline(0, color="#888", linewidth=1)
    axes.axhline(1, color="#888", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate("the expert", (0, 1), xytext=(2, -12), textcoords="offset points", color="#555", fontsize=9)
    axes.set_xlabel("step")
    axes.set_ylabel("performance gap recovered (Elo)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.92))
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
