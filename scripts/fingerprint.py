"""SHA-256 of what small runs of every kind come to, so that a change that should change no result can be checked.

    python scripts/fingerprint.py OUT > before.json      (change something, and again) > after.json

Runs `quick.yaml` with two seeds, a small run with every oversight strategy, one with every misalignment, and a small
high-stakes experiment, in OUT, one after the other; a run that is there is not made again. Digests are of the values
alone: names of columns and keys may change, seconds are left out. `--only WORD` takes those whose name holds a word.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors.numpy import load_file

QUICK = "experiments/specs/quick.yaml"
SMALL = (
    "tracking.wandb=off", "steps=2", "play.games=16", "play.block=16", "play.ply_cap=40", "evaluate.pairs=8",
    "evaluate.positions=10", "evaluate.nodes=500", "evaluate.ledger_positions=30", "evaluate.bootstrap=200",
    "finetune.fit.batch=128", "workers=2",
)  # fmt: skip
STRATEGIES = {
    "two_advisors": ["second.misalignment={type: random_move, p: 0.5}"],
    "panel": ["second=[{misalignment: {type: random_move, p: 0.5}}, {misalignment: {type: policy_noise}}]"],
    "unanimous": ["oversight={type: unanimous, members: [plausible, lookahead]}"],
}
"""Further overrides of strategies that need some."""
MISALIGNMENTS = {
    "mixture": "{type: mixture, weights: [2, 1], parts: [{type: random_move, p: 0.25}, {type: policy_noise}]}",
    "schedule": "{type: schedule, after: 5, inner: {type: engine_worst, p: 1.0, nodes: 200}}",
    "trigger": "{type: trigger, value_from: 0.3, inner: {type: random_move, p: 1.0}}",
    "bias": "{type: bias, kind: captures}",
    "other": "{type: other, p: 0.25, player: weak}",
    "value_noise": "{type: value_noise, sigma: 0.1, every: 4}",
    "policy_noise": "{type: policy_noise, sigma: 1.0}",
    "sandbag": "{type: sandbag, fraction: 0.5}",
}
"""Misalignments that need settings."""
LEDGER = (
    "game", "ply", "fen", "student", "own_move", "own_value", "asked", "channel", "advised", "advised_policy",
    "advised_value", "honest", "honest_value", "misaligned", "believed", "weight", "trust", "questions", "evaluations",
    "audited", "decided", "played", "result", "loss_own", "loss_advised", "loss_honest", "loss_played", "loss_weight",
)  # fmt: skip
RENAMED = {"trust": "confidence", "audited": "ground_truth"}
"""Columns of the ledger that have another name in some version."""
HIGH_STAKES = """
seed: 0
workers: 2
dataset: {positions: 400, per_game: 4, spare: 4, nodes: 500, plies: 40}
filter: {start: weak, fit: {epochs: 1, batch: 64}}
harden: {rounds: 1, active: {positions: 40, choice: random}}
verify: {positions: 20, nodes: 1000}
strength: null
calibration: {bootstrap: 200}
attacks:
  sample: {attack: {type: sample}, runs: 8, queries: 60, oracle: 20}
  unaided: {attack: {type: unaided}, runs: 8, queries: 60, oracle: 20}
  tool_assisted: {attack: {type: tool_assisted}, runs: 8, queries: 60, oracle: 20, examples: 2}
  paraphrase: {attack: {type: paraphrase}, runs: 4, queries: 60, oracle: 20}
"""
UNTIMED = ("seconds", "run_dir", "commit", "milliseconds", "ms_per_decision")


def values(found: Any) -> Iterator[Any]:
    """The values of nested JSON in their order, without names and times."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key not in UNTIMED:
                yield from values(value)
    elif isinstance(found, list):
        for value in found:
            yield from values(value)
    else:
        yield found


def of_json(found: Any) -> str:
    """Of the values alone, whatever their order: records may be laid out anew."""
    return hashlib.sha256(json.dumps(sorted(map(json.dumps, values(found)))).encode()).hexdigest()


def of_lines(path: Path) -> str:
    return of_json([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])


def of_ledger(path: Path) -> str:
    table = pq.read_table(path)
    digest = hashlib.sha256()
    for name in LEDGER:
        there = name if name in table.column_names else RENAMED[name]
        digest.update(json.dumps(table[there].to_pylist()).encode())
    return digest.hexdigest()


def of_weights(path: Path) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        digest.update(name.encode() + tensor.tobytes())
    return digest.hexdigest()


def of_run(folder: Path) -> dict[str, str]:
    """Digests of a run folder's ledgers, weights and metrics."""
    out = {path.name: of_ledger(path) for path in sorted(folder.glob("ledger/*.parquet"))}
    out |= {path.parent.name: of_weights(path) for path in sorted(folder.glob("checkpoints/*/*.safetensors"))}
    return out | {"metrics.jsonl": of_lines(folder / "metrics.jsonl")}


def of_high_stakes(folder: Path) -> dict[str, str]:
    """Digests of the filters of a high-stakes folder, and of what every attack came to."""
    out = {path.parent.name: of_weights(path) for path in sorted(folder.glob("generation-*/filter.safetensors"))}
    for attack in sorted(folder.glob("generation-*/attacks/*")):
        lines = [
            json.loads(line)
            for path in sorted(attack.glob("*.jsonl"))
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        out["/".join(attack.parts[-3:])] = of_json(lines)
    return out


def runs() -> dict[str, list[str]]:
    """Overrides of `quick.yaml` by the name of the run."""
    out = {f"quick-{seed}": [f"seed={seed}", "tracking.wandb=off", "workers=2"] for seed in (0, 1)}
    for entry in sorted(entry_points(group="sandwich.oversight"), key=lambda entry: entry.name):
        out[f"strategy-{entry.name}"] = [*SMALL, f"oversight={entry.name}", *STRATEGIES.get(entry.name, [])]
    for entry in sorted(entry_points(group="sandwich.misalignments"), key=lambda entry: entry.name):
        settings = MISALIGNMENTS.get(entry.name, f"{{type: {entry.name}, p: 0.5}}")
        out[f"misalignment-{entry.name}"] = [*SMALL, f"assistant.misalignment={settings}"]
    for channel in ("distribution", "value", "candidates"):
        out[f"channel-{channel}"] = [*SMALL, f"play.channel={channel}", "oversight=trust"]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, str]] = {}
    sandwich = str(Path(sys.executable).with_name("sandwich"))
    calls = {name: [sandwich, "run", QUICK, *changes] for name, changes in runs().items()}
    spec = arguments.out / "small.yaml"
    spec.write_text(HIGH_STAKES, encoding="utf-8")
    calls["highstakes"] = [sandwich, "highstakes", "run", str(spec)]
    for name, call in calls.items():
        if arguments.only not in name:
            continue
        folder = arguments.out / name
        done = subprocess.run([*call, "--out", str(folder)], capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            found[name] = {"failed": done.stderr.strip()[-300:]}
            print(f"{name}: {found[name]['failed']}", file=sys.stderr)
            continue
        found[name] = of_high_stakes(folder) if name == "highstakes" else of_run(folder)
        print(f"{name}: {len(found[name])} digests", file=sys.stderr)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
