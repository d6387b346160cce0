"""What is made once and kept in files, to go on with: figures, and numbers for every legal move of many positions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engines import planes
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import read_if_there, read_json, read_parquet, write_kept
from sandwich.runtime.progress import ProgressReporter

Floats = npt.NDArray[np.float32]
Shared = TypeVar("Shared")
Job = TypeVar("Job")

BLOCK = 250
"""Positions that one worker looks at before it answers; what a kill can lose."""


def kept_figures(path: Path, asked: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Figures as JSON values, made where `path` has none, or has those of something else than what is `asked` for."""
    if read_if_there(path) is not None and (known := read_json(path)).get("asked") == asked:
        return dict(known["figures"])
    figures = make()
    write_kept(path, (json.dumps({"asked": asked, "figures": figures}, indent=1) + "\n").encode())
    return figures


def kept_rows(
    cluster: Cluster,
    block: Callable[[Shared, Job], list[Floats]],
    shared: Shared,
    job: Callable[[planes.Packed, Sequence[Sequence[int]]], Job],
    packed: planes.Packed,
    legal: Sequence[Sequence[int]],
    folder: Path,
    name: str,
    progress: ProgressReporter,
    size: int | None = None,
) -> list[Floats]:
    """For each position `[M]` numbers of its legal moves; blocks that `folder` holds already are only read.

    block: what a worker does with one job, made by `job` from `size` positions (`BLOCK`).
    name: of the numbers, and of their files: NAME-00000.parquet. Progress counts positions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = size or BLOCK
    starts = range(0, len(packed), size)
    files = {first: folder / f"{name}-{first // size:05d}.parquet" for first in starts}
    missing = [first for first in starts if not files[first].exists()]
    left = sum(min(size, len(packed) - first) for first in missing)
    progress.begin("positions looked at", len(packed), len(packed) - left)
    waiting = iter(missing)
    jobs = [job(packed[first : first + size], legal[first : first + size]) for first in missing]
    for rows in cluster.stream(block, shared, jobs):
        table = pa.table({name: pa.array(rows, pa.list_(pa.float32()))})
        write_kept(files[next(waiting)], parquet_bytes(table))
        progress.advance(len(rows))
    return [np.array(row, np.float32) for first in starts for row in read_parquet(files[first])[name].to_pylist()]
