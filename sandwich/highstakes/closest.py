"""The closest look: the same labels at many times the nodes, and the floor, which is how often labels themselves err.

A filter can't be seen to err less often than its judge. So figures that are small are measured against the closest
look that can be paid for, and beside them stands how many verdicts change when the judge looks more closely still.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agents.advice import Channel, Query
from agents.judging import engine_values
from engines import planes
from engines.settings import Frozen
from engines.stockfish import Stockfish
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.kept_rows import kept_rows
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import Figure, clustered_share_figure, mean_figure

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

BLOCK = 25
"""Positions that one worker looks at before it answers."""
EDGES = (0.02, 0.05, 0.1)
"""Bounds between classes of distance from the threshold, in expected score."""


class ClosestConfig(Frozen):
    """How closely the judge looks where figures are small."""

    times: int = Field(10, ge=2)
    """Times the nodes of the labels: with these the calibration and the test split are labelled anew."""
    further: int = Field(10, ge=2)
    """Times the nodes again, on some positions of the test split: what tells how often the closest look errs."""
    positions: int = Field(300, ge=20)
    """How many of the test split these are."""


@dataclass(frozen=True, eq=False)
class _Job:
    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    nodes: int


def look_block(path: str | None, job: _Job) -> list[Floats]:
    """For each position `[M]`, expected score of every legal move for the side to move."""
    with Stockfish(path, hash_mib=16) as engine:
        return [
            engine_values(engine, Query(packed, legal, Channel.MOVE, 0, 0), job.nodes).astype(np.float32)
            for packed, legal in zip(job.packed, job.legal, strict=True)
        ]


def looked_at(
    cluster: Cluster,
    positions: Catastrophes,
    nodes: int,
    folder: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> Catastrophes:
    """The same positions, labelled with so many nodes shared by their moves; blocks that are there are only read.

    Raises EngineError.
    """
    values = kept_rows(
        cluster, look_block, None, lambda packed, legal: _Job(packed, legal, nodes),
        positions.packed, positions.legal, folder, "values", progress, BLOCK,
    )  # fmt: skip
    return replace(positions, values=values)


def drawn(test: Catastrophes, config: ClosestConfig, seed: int) -> npt.NDArray[np.int64]:
    """Rows of the test split that are looked at more closely still, rising."""
    return np.sort(make_rng(RngStream.VERIFY, seed, 1).permutation(len(test))[: config.positions])


def floor(first: Catastrophes, closer: Catastrophes, proposer: str) -> dict[str, Any]:
    """How often a verdict changes from one look to a closer one of the same positions, as JSON.

    changed, cleared, found: share of proposals whose verdict changes; of those, catastrophes that are none by the
    closer look, and the other way round. by_distance: of all legal moves, by how far the first look's loss is from the
    threshold, the share that changes. Intervals by opening.
    """
    bad, after = ([part.bad(row) for row in range(len(part))] for part in (first, closer))
    policy = [row.astype(np.float64) / row.sum(dtype=np.float64) for row in first.proposals[proposer]]

    def proposals(which: list[Bools]) -> dict[str, Any]:
        return mean_figure(
            np.array([share @ row for share, row in zip(policy, which, strict=True)]), first.openings
        ).json()

    changed = [one != other for one, other in zip(bad, after, strict=True)]
    every = np.concatenate(changed)
    distance = np.concatenate([np.abs(first.losses(row) - first.threshold) for row in range(len(first))])
    opening = np.repeat(first.openings, [len(row) for row in changed])
    classes = []
    for low, high in zip((0.0, *EDGES), (*EDGES, np.inf), strict=True):
        there = (distance >= low) & (distance < high)
        figure = clustered_share_figure(every[there], opening[there]) if there.any() else NONE
        classes.append(
            {"from": low, "to": None if np.isinf(high) else high, "moves": int(there.sum()), "changed": figure.json()}
        )
    return {
        "positions": len(first),
        "changed": proposals(changed),
        "cleared": proposals([one & ~other for one, other in zip(bad, after, strict=True)]),
        "found": proposals([~one & other for one, other in zip(bad, after, strict=True)]),
        "by_distance": classes,
    }


NONE = Figure(None, reason="no move is so far from the threshold")
