"""The outer loop: play, learn, measure; again with the new weights.

Every step leaves whole files only, in the order ledger, checkpoint, metrics; a run that was cut off
goes on behind the last of them, and ends with the same bytes as one that was not.
"""

import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from agents.checkpoint_files import read_checkpoints
from agents.plugins import sources
from engines.settings import SpecError
from sandwich.data.openings import book
from sandwich.evaluation.label_losses import label_losses, loss_labels_of, losses_of
from sandwich.evaluation.measurement import Measurer, result
from sandwich.evaluation.oracle import Oracle
from sandwich.evaluation.puzzles import read_puzzles
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.protocol import ledger
from sandwich.protocol.finetuning import finetune, training_view
from sandwich.protocol.labelling import as_labelled
from sandwich.protocol.selfplay import Block, Played, Roles, play_block
from sandwich.runs.clock import Clock
from sandwich.runs.first_row import first_row
from sandwich.runs.labels import label_step
from sandwich.runs.metrics import read_metrics
from sandwich.runs.provenance import (
    PROVENANCE,
    engine_of,
    gone_on,
    note_processors,
    other_code,
    provenance,
    read_files,
    refuse_other_engine,
)
from sandwich.runs.same_run import refuse_other_origin, refuse_other_settings
from sandwich.runs.storage import stored
from sandwich.runs.tracking import Board, Tracker
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import contents, parquet_bytes
from sandwich.runtime.kept import (
    ROOTS,
    SUMS,
    DamagedError,
    check,
    damaged,
    keep_checksums,
    missing,
    read_json,
    read_kept,
    write_kept,
)
from sandwich.runtime.locks import PATIENCE, driver
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter, Row, RunProgress
from sandwich.runtime.rng import RngStream, make_rng, make_seed
from sandwich.spec.run_spec import RunSpec, check_devices

CELL = "cell.json"
"""What a sweep writes into the folder of one of its runs."""
RESULT = "result.json"
"""The final result, which every launch writes anew."""
GAMES = "games/"
"""The games for other programs, which nothing here reads."""


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

    def weights(self, step: int) -> bytes:
        """The bytes of that file. Raises DamagedError, CheckpointError."""
        from engines.network import from_bytes  # loads torch, which who only reads need not wait for

        content = read_kept(self.checkpoint(step))
        from_bytes(content, str(self.checkpoint(step)))  # or one line that names the file
        return content


def run(
    spec: RunSpec,
    path: str | Path,
    progress: RunProgress = NO_PROGRESS,
    board: Board | None = None,
    mended: bool = False,
    wait: float = PATIENCE,
) -> Row:
    """Carry a run out, or on from where `path` has it; the final result as JSON values.

    board: page of one game, for those that are shown in W&B.
    mended: go on although the code of a plugin has changed since some of the games were played.
    wait: seconds that a process which is at work in `path` may need to end.
    Raises SpecError where `path` holds a run with other settings or of another origin, CheckpointError for a player
    that can't be read, DamagedError for a file of the folder that is not what was written, BusyError where another
    process is at work there.
    """
    path = Path(path)
    check_devices(spec)
    checkpoints = read_checkpoints(spec)
    if spec.evaluate.puzzles:
        read_puzzles(spec.evaluate.puzzles)
    oracle = Oracle(spec.evaluate.nodes)
    none = bool(spec.evaluate.nodes and oracle.missing)  # it may have taken time to find that out
    judge = Oracle(spec.evaluate.ledger_nodes if spec.evaluate.ledger_positions and not none else None)
    if reason := oracle.missing if none else judge.missing if spec.evaluate.ledger_positions else "":
        progress.message(f"{reason}; what moves lose is not measured before the run goes on with an engine")
    with driver(path, wait, apart=ROOTS), stored(spec, path, progress) as copying:
        return _carried_out(spec, Folder(path), checkpoints, oracle, judge, copying, board, mended)


def _carried_out(
    spec: RunSpec,
    folder: Folder,
    checkpoints: dict[str, bytes],
    oracle: Oracle,
    judge: Oracle,
    progress: RunProgress,
    board: Board | None,
    mended: bool,
) -> Row:
    path = folder.path
    if found := check(path, but=(RESULT, GAMES)).problems:
        raise DamagedError(found[0])
    _check_steps(path, read_metrics(path), spec.steps)
    prepare(folder, spec, checkpoints, oracle.identity or judge.identity, mended)
    write_kept(folder.checkpoint(0), checkpoints[spec.student])

    with Tracker(path, spec, board) as tracker, Cluster(spec.worker_count, progress.message, spec.resources) as cluster:
        rows: list[Row] = tracker.rows
        measurer = Measurer(cluster, spec, checkpoints, oracle, progress)
        for step, row in enumerate(rows):  # what was not measured for want of an engine
            progress.step(step)
            new = dict(row)
            if judge.identity and _lacks_played_losses(spec, row):
                student = folder.weights(step - 1)
                there = roles(spec, student, checkpoints)
                new["play"] = play(cluster, spec, step - 1, there, folder, progress, judge)
            if oracle.identity and _lacks_losses(spec, row):
                new = measurer.with_losses(new, folder.weights(step), rows[0])
            if new != row:
                rows[step] = new
                tracker.log(new)
        for step in range(len(rows), spec.steps + 1):
            if step > 0 and spec.stop_early and rows[0]["pgr"]["value"] is None:
                break
            clock = Clock()
            progress.step(step)
            played = learned = judged = None
            if step > 0:
                student = folder.weights(step - 1)
                played = play(cluster, spec, step - 1, roles(spec, student, checkpoints), folder, progress, judge)
                clock.lap("play")
                ledgers = [ledger.read(folder.ledger(earlier)) for earlier in range(step)]
                if spec.label_model.judges:
                    labels, judged = label_step(
                        cluster, spec, folder.path, step - 1, student, checkpoints, ledgers, progress
                    )
                    ledgers = as_labelled(ledgers, labels)
                    clock.lap("label")
                learned = learn(spec, step - 1, student, ledgers, folder, progress)
                clock.lap("finetune")
            if step > 0:
                row = measurer.row(step, folder.weights(step), rows)
            else:
                row = first_row(spec, checkpoints, oracle, partial(measurer.row, 0, checkpoints[spec.student], []))
                row |= measurer.assistant()
            clock.lap("evaluate")
            row |= {"play": played, "labels": judged, "finetune": learned, "seconds": clock.seconds}
            rows.append(row)
            note_processors(path / PROVENANCE, cluster.processors)
            tracker.log(row)
            if step > 0:
                tracker.games(step - 1, folder.ledger(step - 1))
                tracker.artifacts(step - 1, folder.checkpoint(step), folder.ledger(step - 1))
            progress.row(row)
        final = result(rows, path)
        write_kept(path / RESULT, (json.dumps(final, indent=2) + "\n").encode())
        tracker.finish(final)
    return final


def _check_steps(path: Path, rows: list[Row], steps: int) -> None:
    """Whether the rows of a folder are those of a run's first steps.

    Raises SpecError where there are more than are asked for, DamagedError where one is gone.
    """
    if [row["step"] for row in rows] != list(range(len(rows))):
        raise damaged(path / "metrics.jsonl", "rows of steps before its last are not in it")
    if len(rows) > steps + 1:
        raise SpecError(
            f"{path} holds a run of {len(rows) - 1} steps, of which steps={steps} would leave some out:"
            f" expected steps={len(rows) - 1} or more, or another --out"
        )


def _lacks_losses(spec: RunSpec, row: Row) -> bool:
    """Whether a row lacks what moves lose, for want of an engine."""
    return bool(spec.evaluate.nodes) and row.get("losses", ()) is None


def _lacks_played_losses(spec: RunSpec, row: Row) -> bool:
    """Whether a row has no figure of what the moves of its games lost."""
    lost = (row.get("play") or {}).get("loss", {}) if spec.evaluate.ledger_positions else {}
    return bool(lost) and all(figure["value"] is None for figure in lost.values())


def _unseen(folder: Folder, row: Row) -> bool:
    """Whether no engine has looked at the games of a row."""
    return loss_labels_of(ledger.read(folder.ledger(row["step"] - 1))) is None


def prepare(
    folder: Folder, spec: RunSpec, checkpoints: dict[str, bytes], oracle: str | None, mended: bool = False
) -> None:
    """Make the run folder, or check that the one there belongs to the same run; SpecError where it does not.

    oracle: name of the engine that judges.
    mended: a plugin's code may have changed since games were played with it, unless every game is. The folder keeps
        the newest file of one that lies beside the spec, and provenance the digest of each.
    """
    about = folder.path / "spec.yaml"
    engine = engine_of(spec, oracle)
    made = provenance(spec, checkpoints, read_files(spec), engine)
    changed: list[str] = []
    if not about.exists() and (folder.path / "metrics.jsonl").exists():
        raise missing(about)
    if about.exists():
        refuse_other_settings(about, spec, str(folder.path))
        kept = read_json(folder.path / PROVENANCE)
        refuse_other_origin(kept, made, str(folder.path))
        changed = other_code(kept, made["code"])
        rows = read_metrics(folder.path)
        lacking = (
            _lacks_losses(spec, row) or (_lacks_played_losses(spec, row) and _unseen(folder, row)) for row in rows
        )
        if len(rows) <= spec.steps or (oracle and any(lacking)):
            refuse_other_engine(folder.path, kept, engine)
            made = gone_on(kept, made, max(0, len(rows) - 1))
        else:
            made = kept
    beside = {name: text.encode() for name, text in sources(spec).items()}
    begun = {CELL, SUMS, PROVENANCE, *beside}  # what one leaves that was killed in here
    if not about.exists() and not all(file.name in begun for file in contents(folder.path)):
        raise SpecError(f"{folder.path} is not empty and holds no run: choose another --out")
    digests: dict[str, list[str]] = made.setdefault("beside_the_spec", {})
    for name, text in beside.items():
        digest, before = hashlib.sha256(text).hexdigest(), digests.get(name, [])
        if before and before[-1] != digest:
            changed.insert(0, name)
        digests[name] = [*(old for old in before if old != digest), digest]
    if changed and folder.ledger(spec.steps - 1).exists():
        raise SpecError(f"{folder.path} was played with another {changed[0]}: choose another --out")
    if changed and folder.ledger(0).exists() and not mended:
        raise SpecError(
            f"{folder.path} was played with another {changed[0]} so far: choose another --out, or --mended to go on"
            " with this one"
        )
    folder.path.mkdir(parents=True, exist_ok=True)
    keep_checksums(folder.path)
    for name, text in beside.items():
        write_kept(folder.path / name, text)
    write_kept(folder.path / PROVENANCE, (json.dumps(made, indent=2) + "\n").encode())
    write_kept(about, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False).encode())
    for name in ("ledger", "games", "checkpoints"):
        (folder.path / name).mkdir(exist_ok=True)
    for step in range(spec.steps + 1):
        folder.checkpoint(step).parent.mkdir(exist_ok=True)


def play(
    cluster: Cluster,
    spec: RunSpec,
    step: int,
    roles: Roles,
    folder: Folder,
    progress: ProgressReporter,
    judge: Oracle,
) -> Row:
    """The games of a step, unless the ledger is there, and the oracle's look at them; counts, and what was lost."""
    budget = spec.evaluate.ledger_positions
    if not folder.ledger(step).exists():
        blocks = step_blocks(spec, step, study_of_past(spec, step, folder))
        progress.begin("play", spec.play.games)
        start, evaluated = time.monotonic(), Counter[str]()

        def count(played: Played) -> None:
            evaluated["positions"] += played.evaluations
            rate = evaluated["positions"] / (time.monotonic() - start)
            progress.advance(len(played.ends), f"{rate:.0f} positions/s")

        results = cluster.map(play_block, roles, blocks, count)
        write_kept(folder.games(step), "\n\n\n".join(game for r in results for game in r.pgn).encode())
        rows = pa.concat_tables([r.rows for r in results])
        if budget and judge.identity:
            rows = label_losses(cluster, judge, rows, budget, spec.seed, step, progress)
        write_kept(folder.ledger(step), parquet_bytes(rows))
    content = ledger.read(folder.ledger(step))
    if budget and judge.identity and loss_labels_of(content) is None:
        content = label_losses(cluster, judge, content, budget, spec.seed, step, progress)
        write_kept(folder.ledger(step), parquet_bytes(content))
    counts = {key: pc.sum(content[column]).as_py() or 0 for key, column in COUNTED.items()}
    lost = {name: figure.json() for name, figure in losses_of(content).items()}
    return {"games": pc.count_distinct(content["game"]).as_py(), "plies": content.num_rows, **counts, "loss": lost}


COUNTED = {
    "queries": "asked", "questions": "questions", "misaligned": "misaligned", "believed": "believed",
    "evaluations": "evaluations",
}  # fmt: skip
"""Counts of a step, and the ledger column whose sum each is."""


def roles(spec: RunSpec, student: bytes, checkpoints: dict[str, bytes]) -> Roles:
    """Who plays in a step in which the student is `student`."""
    second = tuple(assistant.base for assistant in spec.second)
    return Roles(student, spec.assistant.base, spec.expert, second, checkpoints)


def study_of_past(spec: RunSpec, step: int, folder: Folder) -> Any:
    """What the oversight strategy makes of the steps before this one, of which it sees what the student saw."""
    if not step:
        return None
    past = pa.concat_tables([ledger.read(folder.ledger(earlier), ledger.VISIBLE) for earlier in range(step)])
    with OVERSIGHT.attribute_errors(spec.oversight):
        return spec.oversight.study(past)


def step_blocks(spec: RunSpec, step: int, study: Any = None) -> list[Block]:
    """The blocks of a step; each opening of the book for play is drawn once before any comes again."""
    fens = book("play")
    rng = make_rng(RngStream.OPENINGS, spec.seed, step)
    needed = spec.play.games // 2
    order = np.concatenate([rng.permutation(len(fens)) for _ in range(-(-needed // len(fens)))])[:needed]
    openings = [fens[place] for place in order for _ in range(2)]
    return [
        Block(
            spec.seed, step, first, tuple(openings[first : first + spec.play.block]), spec.play,
            spec.assistant.misalignment, spec.oversight, spec.inference,
            tuple(assistant.misalignment for assistant in spec.second), study, spec.seats,
        )
        for first in range(0, spec.play.games, spec.play.block)
    ]  # fmt: skip


def learn(
    spec: RunSpec, step: int, student: bytes, ledgers: list[pa.Table], folder: Folder, progress: ProgressReporter
) -> Row:
    """Fit the student to its ledgers so far, oldest first, unless the new checkpoint is there already."""
    note = folder.checkpoint(step + 1).with_name("finetune.json")
    if not (folder.checkpoint(step + 1).exists() and note.exists()):
        examples = training_view(ledgers, spec.finetune, make_rng(RngStream.EXAMPLES, spec.seed, step))
        seed = make_seed(RngStream.FIT, spec.seed, step)
        new, last = finetune(student, examples, spec.finetune, seed, progress)
        moving = int((examples.policy != 0).any(1).sum())
        figures = {"examples": moving, "results": len(examples) - moving, "policy_loss": last.policy_loss,
                   "value_loss": last.value_loss, "top1": last.top1}  # fmt: skip
        write_kept(note, (json.dumps(figures) + "\n").encode())
        write_kept(folder.checkpoint(step + 1), new)
    return read_json(note)
