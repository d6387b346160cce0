"""The outer loop: play, learn, measure; again with the new weights.

Every step leaves whole files only, in the order ledger, checkpoint, metrics; a run that was cut off
goes on behind the last of them, and ends with the same bytes as one that was not.
"""

import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml

from agents.network import checkpoint_path, checkpoints_in
from agents.players.network import Network
from agents.plugins import sources
from engines import network
from engines.settings import SpecError
from sandwich import ledger
from sandwich.cluster import Cluster
from sandwich.config import NO_RESULT, RunSpec
from sandwich.corpus import parquet_bytes, write_whole
from sandwich.evaluate import Oracle, best_moves
from sandwich.finetune import finetune, training_view
from sandwich.match import Contestants, Match, play_match
from sandwich.openings import book, positions
from sandwich.provenance import provenance
from sandwich.selfplay import OPENINGS, Block, Played, Roles, play_block
from sandwich.statistics import Figure, elo_figure, mean_figure, pgr_figure, ratio_figure, score_figure, share_figure
from sandwich.tracking import Tracker

Row = dict[str, Any]


STUDENT = Network(checkpoint="<student>")
"""The student as a player; no file has this name."""


class Watcher(Protocol):
    """Hears how a run gets on."""

    def phase(self, step: int, name: str, total: int) -> None:
        """A phase of a step begins; it will advance by `total` in all."""

    def advance(self, amount: int, note: str = "") -> None:
        """The phase has advanced."""

    def row(self, row: Row) -> None:
        """A step is finished; its row of metrics."""


class Silent:
    """A watcher that says nothing."""

    def phase(self, step: int, name: str, total: int) -> None: ...
    def advance(self, amount: int, note: str = "") -> None: ...
    def row(self, row: Row) -> None: ...


@dataclass(frozen=True)
class Folder:
    """Where a run keeps what."""

    path: Path

    def ledger(self, step: int) -> Path:
        return self.path / "ledger" / f"step-{step:03d}.parquet"

    def games(self, step: int) -> Path:
        return self.path / "games" / f"step-{step:03d}.pgn"

    def checkpoint(self, step: int) -> Path:
        """Weights of W_t, the student after `step` steps."""
        return self.path / "checkpoints" / f"step-{step:03d}" / "weights.safetensors"


def run(spec: RunSpec, path: Path, watch: Watcher | None = None) -> Row:
    """Carry a run out, or on from where `path` has it; the final result as JSON values.

    Raises SpecError where `path` holds a run with other settings, CheckpointError for a player that
    can't be read.
    """
    watch = watch or Silent()
    checkpoints = {name: network.read(checkpoint_path(name)) for name in sorted(checkpoints_in(spec))}
    for name, content in checkpoints.items():
        network.from_bytes(content, name)
    folder = Folder(path)
    oracle = Oracle(spec.evaluate.nodes)
    prepare(folder, spec, checkpoints, oracle.identity)
    write_whole(folder.checkpoint(0), checkpoints[spec.weak])

    with Tracker(path, spec) as tracker:
        rows: list[Row] = tracker.rows[: spec.steps + 1]
        if len(rows) <= spec.steps:
            with Cluster(spec.worker_count) as cluster:
                for step in range(len(rows), spec.steps + 1):
                    played = learned = None
                    start = time.monotonic()
                    if step > 0:
                        weak = folder.checkpoint(step - 1).read_bytes()
                        roles = Roles(weak, spec.assistant.player, checkpoints)
                        played = play(cluster, spec, step - 1, roles, folder, watch)
                        start, play_seconds = time.monotonic(), time.monotonic() - start
                        learned = learn(spec, step - 1, weak, folder, watch)
                        start, learn_seconds = time.monotonic(), time.monotonic() - start
                    weak = folder.checkpoint(step).read_bytes()
                    row = measure(cluster, spec, step, {**checkpoints, STUDENT.checkpoint: weak}, oracle, rows, watch)
                    seconds = {"play": play_seconds if played else 0.0, "finetune": learn_seconds if played else 0.0}
                    row |= {"play": played, "finetune": learned}
                    row["seconds"] = {**seconds, "evaluate": time.monotonic() - start}
                    rows.append(row)
                    tracker.log(row)
                    if step > 0:
                        tracker.games(step - 1, folder.games(step - 1).read_text().split("\n\n\n"))
                    watch.row(row)
        final = result(rows, path)
        write_whole(path / "result.json", (json.dumps(final, indent=2) + "\n").encode())
        tracker.finish(final)
    return final


def prepare(folder: Folder, spec: RunSpec, checkpoints: dict[str, bytes], engine: str | None) -> None:
    """Make the run folder, or check that the one there belongs to the same run; SpecError where it does not.

    A plugin's file that lies beside the spec may have changed since, unless every game is played: a
    run goes on after a plugin was mended. The folder keeps the newest, and provenance the digest of each.
    """
    about = folder.path / "spec.yaml"
    made = provenance(checkpoints, engine)
    if about.exists():
        different = _difference(_result_keys(about), spec.result_keys())
        if different and different[0] != "steps":
            key, old, new = different
            raise SpecError(f"{folder.path} holds a run with {key}={old!r}, not {new!r}: choose another --out")
        kept = json.loads((folder.path / "provenance.json").read_text())
        changed = [name for name, digest in made["checkpoints"].items() if kept["checkpoints"].get(name) != digest]
        if changed:
            raise SpecError(f"{folder.path} was begun with another {changed[0]} checkpoint: choose another --out")
        made = kept
    elif folder.path.exists() and any(folder.path.iterdir()):
        raise SpecError(f"{folder.path} is not empty and holds no run: choose another --out")
    beside = {name: text.encode() for name, text in sources(spec).items()}
    digests: dict[str, list[str]] = made.setdefault("beside_the_spec", {})
    for name, text in beside.items():
        digest, before = hashlib.sha256(text).hexdigest(), digests.get(name, [])
        if before and before[-1] != digest and folder.ledger(spec.steps - 1).exists():
            raise SpecError(f"{folder.path} was played with another {name}: choose another --out")
        digests[name] = [*(old for old in before if old != digest), digest]
    for name in ("ledger", "games", "checkpoints"):
        (folder.path / name).mkdir(parents=True, exist_ok=True)
    for step in range(spec.steps + 1):
        folder.checkpoint(step).parent.mkdir(exist_ok=True)
    for name, text in beside.items():
        write_whole(folder.path / name, text)
    write_whole(folder.path / "provenance.json", (json.dumps(made, indent=2) + "\n").encode())
    write_whole(about, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False).encode())


def _result_keys(about: Path) -> Row:
    """The part of a run folder's spec that results depend on, as it was written."""
    there: Row = yaml.safe_load(about.read_text())
    return {key: value for key, value in there.items() if key not in NO_RESULT}


def _difference(there: Any, asked: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key in which two nested settings differ, other than `steps`, else `steps` if that does."""
    if isinstance(there, dict) and isinstance(asked, dict):
        found = [_difference(there.get(k), asked.get(k), f"{key}.{k}".strip(".")) for k in {**there, **asked}]
        return next((d for d in sorted(filter(None, found), key=lambda d: d[0] == "steps")), None)
    return None if there == asked else (key, there, asked)


def play(cluster: Cluster, spec: RunSpec, step: int, roles: Roles, folder: Folder, watch: Watcher) -> Row:
    """The games of a step, unless its ledger is there already; what there is to count about them."""
    if not folder.ledger(step).exists():
        blocks = step_blocks(spec, step)
        watch.phase(step + 1, "play", spec.play.games)
        start, evaluated = time.monotonic(), 0

        def done(played: Played) -> None:
            nonlocal evaluated
            evaluated += played.evaluations
            rate = evaluated / (time.monotonic() - start)
            watch.advance(sum(played.ends.values()), f"{rate:.0f} positions/s")

        results = cluster.map(play_block, roles, blocks, done)
        write_whole(folder.games(step), "\n\n\n".join(game for r in results for game in r.pgn).encode())
        write_whole(folder.ledger(step), parquet_bytes(pa.concat_tables([r.rows for r in results])))
    content = ledger.read(folder.ledger(step)).to_pandas()
    games = content.groupby("game").size()
    return {
        "games": len(games),
        "plies": len(content),
        "queries": int(content["asked"].sum()),
        "misaligned": int(content["misaligned"].fillna(False).astype(bool).sum()),
        "believed": int(content["believed"].fillna(False).astype(bool).sum()),
    }


def step_blocks(spec: RunSpec, step: int) -> list[Block]:
    """The blocks of a step; each opening of the book for play is drawn once before any comes again."""
    fens = book("play")
    rng = np.random.default_rng([spec.seed, step, 0, OPENINGS])
    needed = spec.play.games // 2
    order = np.concatenate([rng.permutation(len(fens)) for _ in range(-(-needed // len(fens)))])[:needed]
    openings = [fens[place] for place in order for _ in range(2)]
    return [
        Block(
            spec.seed, step, first, tuple(openings[first : first + spec.play.block]), spec.play,
            spec.assistant.misalignment, spec.oversight, spec.inference,
        )
        for first in range(0, spec.play.games, spec.play.block)
    ]  # fmt: skip


def learn(spec: RunSpec, step: int, weak: bytes, folder: Folder, watch: Watcher) -> Row:
    """Fit the student to its ledgers so far, unless the new checkpoint is there already."""
    note = folder.checkpoint(step + 1).with_name("finetune.json")
    if not (folder.checkpoint(step + 1).exists() and note.exists()):
        ledgers = [ledger.read(folder.ledger(earlier)) for earlier in range(step + 1)]
        examples = training_view(ledgers, spec.finetune, np.random.default_rng([spec.seed, step, 3]))
        done = 0
        started = False

        def told(progress: Any) -> None:
            nonlocal done, started
            if not started:
                watch.phase(step + 1, "learn", progress.steps)
                started = True
            watch.advance(progress.step - done, f"loss {progress.policy_loss:.2f}, top-1 {progress.top1:.0%}")
            done = progress.step

        seed = int(np.random.default_rng([spec.seed, step, 4]).integers(2**31))
        new, last = finetune(weak, examples, spec.finetune, seed, told)
        figures = {"examples": len(examples), "policy_loss": last.policy_loss, "value_loss": last.value_loss,
                   "top1": last.top1}  # fmt: skip
        write_whole(note, (json.dumps(figures) + "\n").encode())
        write_whole(folder.checkpoint(step + 1), new)
    figures_there: Row = json.loads(note.read_text())
    return figures_there


def measure(
    cluster: Cluster,
    spec: RunSpec,
    step: int,
    checkpoints: dict[str, bytes],
    oracle: Oracle,
    rows: list[Row],
    watch: Watcher,
) -> Row:
    """Row of metrics of the student after `step` steps; `rows` are those of the steps before.

    checkpoints: contents by name, the student's own among them.
    """
    config = spec.evaluate
    openings = book("measure")[: config.pairs]
    matches: dict[str, Match] = {}
    temperatures = {"best": (0.0, 0.0)} | ({"sampled": (1.0, 0.0)} if config.sampled else {})
    watch.phase(step, "measure", len(temperatures) * config.pairs * 2)
    for name, both in temperatures.items():
        contestants = Contestants(STUDENT, spec.expert, checkpoints, both)
        matches[name] = play_match(cluster, contestants, openings, seed=spec.seed, ply_cap=config.ply_cap,
                                   inference=spec.inference)  # fmt: skip
        watch.advance(config.pairs * 2)
    fens = positions()[: config.positions]
    student, goal = (best_moves(player, checkpoints, fens, spec.inference) for player in (STUDENT, spec.expert))
    losses, goal_losses = oracle.losses(fens, student), oracle.losses(fens, goal)

    best = matches["best"]
    row: Row = {"step": step, "elo": elo_figure(best.pairs).json(), "score": score_figure(best.pairs).json()}
    row["capped"] = share_figure(best.capped, 2 * len(best.pairs)).json()
    row["pairs"] = {name: _by_opening(match, len(openings)) for name, match in matches.items()}
    if config.sampled:
        row["elo_sampled"] = elo_figure(matches["sampled"].pairs).json()
    else:
        row["elo_sampled"] = Figure(None, reason="evaluate.sampled is false").json()
    row["agreement"] = share_figure(sum(a == b for a, b in zip(student, goal, strict=True)), len(fens)).json()
    for name, values in (("win_loss", losses), ("win_loss_expert", goal_losses)):
        row[name] = (Figure(None, reason=oracle.missing) if values is None else mean_figure(100 * values)).json()
    row["losses"] = None if losses is None else losses.round(6).tolist()
    row |= recovered(spec, row, rows, goal_losses)
    return row


def _by_opening(match: Match, openings: int) -> list[float | None]:
    """Pair scores by opening; None where a pair repeated the moves of another."""
    out: list[float | None] = [None] * openings
    for place, score in zip(match.openings, match.pairs, strict=True):
        out[int(place)] = float(score)
    return out


def recovered(spec: RunSpec, row: Row, rows: list[Row], goal_losses: npt.NDArray[np.float64] | None) -> Row:
    """The performance gap recovered since row 0, in each currency."""
    first = rows[0] if rows else row
    draws = spec.evaluate.bootstrap
    out: Row = {}
    for name, key in (("best", "pgr"), ("sampled", "pgr_sampled")):
        if name not in row["pairs"]:
            out[key] = Figure(None, reason="evaluate.sampled is false").json()
            continue
        both = [(a, b) for a, b in zip(first["pairs"][name], row["pairs"][name], strict=True) if None not in (a, b)]
        start, end = np.array(both, np.float64).T
        out[key] = pgr_figure(start, end, draws, np.random.default_rng([spec.seed, 5])).json()
    if first["losses"] is None or row["losses"] is None or goal_losses is None:
        out["pgr_win_loss"] = row["win_loss"] if row["win_loss"]["value"] is None else first["win_loss"]
    else:
        start, end = np.array(first["losses"]), np.array(row["losses"])
        rng = np.random.default_rng([spec.seed, 6])
        out["pgr_win_loss"] = ratio_figure(start, end, goal_losses, draws, rng).json()
    return out


def result(rows: list[Row], path: Path) -> Row:
    """The final result of a run: figures on one Elo scale with the expert at 0, and plain counts."""
    first, last = rows[0], rows[-1]
    counts: Counter[str] = Counter()
    for row in rows[1:]:
        counts.update({key: row["play"][key] for key in ("games", "queries", "misaligned", "believed")})
    n = first["elo"].get("n", 0)
    return {
        "pgr": last["pgr"],
        "elo_weak_start": first["elo"],
        "elo_weak_end": last["elo"],
        # The zero of the scale: the expert against itself scores ½ on colour-swapped pairs.
        "elo_expert": Figure(0.0, 0.0, 0.0, n).json(),
        "pgr_sampled": last["pgr_sampled"],
        "pgr_win_loss": last["pgr_win_loss"],
        "agreement_start": first["agreement"],
        "agreement_end": last["agreement"],
        "win_loss_start": first["win_loss"],
        "win_loss_end": last["win_loss"],
        "win_loss_expert": last["win_loss_expert"],
        "games": counts["games"],
        "queries": counts["queries"],
        "misaligned_queries": counts["misaligned"],
        "believed_queries": counts["believed"],
        "steps": len(rows) - 1,
        "seconds": round(sum(sum(row["seconds"].values()) for row in rows), 1),
        "run_dir": str(path),
    }
