"""What a run's label model makes of the answers so far, kept beside the ledgers, and figures of it for the analyst."""

import json
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sandwich.label_models.base import Bools
from sandwich.protocol.labelling import Bench, advising, answer_set, label_table, labelled
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import read_json, read_kept, read_parquet, write_kept
from sandwich.runtime.progress import ProgressReporter, Row
from sandwich.spec.run_spec import RunSpec
from sandwich.statistics import auc

FOLDER = "labels"
"""Folder of a run that holds a folder for each step's labels."""
LABELS = "labels.parquet"
COUNTS = "labels.json"
"""What the labels took and how good they are; the last file of a step's labels to be written."""
MEMORY = ".safetensors"
"""Ending of the checkpoints that a label model leaves for its next step."""


def folder_of(run: Path, step: int) -> Path:
    """Where the labels lie that were made after the games of a step."""
    return run / FOLDER / f"step-{step:03d}"


def label_step(
    cluster: Cluster,
    spec: RunSpec,
    run: Path,
    step: int,
    student: bytes,
    checkpoints: Mapping[str, bytes],
    ledgers: Sequence[pa.Table],
    progress: ProgressReporter,
) -> tuple[pa.Table, Row]:
    """Labels of all answers so far, made after the games of a step unless they are there, and figures of them.

    checkpoints: contents of those that the spec names. ledgers: of the steps so far, oldest first.
    Raises PluginError, DamagedError.
    """
    there, before = folder_of(run, step), folder_of(run, step - 1)
    if not (there / COUNTS).exists():
        memory = {file.stem: read_kept(file) for file in sorted(before.glob(f"*{MEMORY}"))}
        bench = bench_of(spec, step, student, memory, cluster, progress, checkpoints)
        answers = answer_set(ledgers)
        progress.begin("label", 0)
        table = label_table(answers, labelled(spec.label_model, answers, bench))
        there.mkdir(parents=True, exist_ok=True)
        for name, checkpoint in memory.items():
            write_kept(there / f"{name}{MEMORY}", checkpoint)
        write_kept(there / LABELS, parquet_bytes(table))
        counts = {"evaluations": bench.evaluations, "fits": bench.fits, "fitted": round(bench.passed)}
        write_kept(there / COUNTS, (json.dumps({**_figures(table, ledgers), **counts}) + "\n").encode())
    return read_parquet(there / LABELS), read_json(there / COUNTS)


def bench_of(
    spec: RunSpec,
    step: int,
    student: bytes,
    memory: MutableMapping[str, bytes],
    cluster: Cluster,
    progress: ProgressReporter,
    checkpoints: Mapping[str, bytes],
) -> Bench:
    """What a label model works with after the games of a step; `label_step` says of what."""
    fit = spec.finetune.fit
    return Bench(student, fit, memory, spec.seed, step, spec.inference, cluster, progress, checkpoints)


def _figures(table: pa.Table, ledgers: Sequence[pa.Table]) -> Row:
    """How many answers there are, how many are believed, how likely they are honest; and how well that detects lies."""
    lie, learned_lie = lies(table, ledgers)
    believed, honest = table["believed"].to_numpy(), table["honest"].to_numpy().astype(np.float64)
    area = auc(honest, lie)
    return {
        "answers": len(lie),
        "believed": int(believed.sum()),
        "lies": int(lie.sum()),
        "lies_believed": int((learned_lie & believed).sum()),
        "honest": float(honest.mean()) if len(honest) else None,
        "auc": None if np.isnan(area) else area,
    }


def lies(table: pa.Table, ledgers: Sequence[pa.Table]) -> tuple[Bools, Bools]:
    """Of each answer that was labelled, whether it was a lie, and whether the move is one that would be learned.

    Another move than that advised is one where it is not the honest move.
    """
    answers = pa.concat_tables([content.filter(pa.array(advising(content))) for content in ledgers])
    lie = answers["misaligned"].to_numpy(zero_copy_only=False).astype(bool)
    advised, honest, move = (np.array(column) for column in (answers["advised"], answers["honest"], table["move"]))
    return lie, np.where(move == advised, lie, move != honest)
