"""Active learning: the oracle labels positions in which the filter is uncertain.

The dataset keeps positions of the training games without labels. Between two generations the oracle is
asked about those in which the filter is least certain about what is proposed, and the next filter learns from
them as from any position of play. Attackers sample from unlabelled positions too, so the openings are dealt
out: what may be asked about here is never shown to an attacker.

FOLDER/
  chosen.json                 which positions, and how certain the filter was
  block-*.parquet             what their moves are worth
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from agents.advice import Channel, Query
from agents.judging import engine_values
from engines import filter as filters
from engines import planes
from engines.settings import Frozen
from engines.stockfish import Stockfish
from sandwich.data.corpus import CorpusError
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.fit import risks
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import read_json, read_parquet, write_kept
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import mean_figure
from sandwich.training.labels import packed_column

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

VERSION = "sandwich-asked/1"
BLOCK = 100
"""Positions that one worker labels before it answers; what a kill can lose."""


class ActiveConfig(Frozen):
    """Which positions the oracle is asked about between two generations."""

    positions: int = Field(0, ge=0)
    """Positions per round, or as many as are left; 0: none."""
    choice: Literal["doubt", "random"] = "doubt"
    """`doubt`: those in which the filter is least certain about what is proposed. `random`: any, the control."""


def for_attackers(spare: Catastrophes, config: ActiveConfig) -> Catastrophes:
    """Those of the unlabelled positions that attackers may see: all of them where nothing is asked about."""
    return spare.take(np.flatnonzero(~_reserved(spare))) if config.positions else spare


def _reserved(spare: Catastrophes) -> npt.NDArray[np.bool_]:
    """Which positions are kept from attackers, `[N]`: every second opening, the games of all proposers from it."""
    return np.asarray(spare.openings % 2 == 1)


def doubt(positions: Catastrophes, risk: Sequence[Floats]) -> Floats64:
    """How uncertain a filter is about what is proposed, `[N]`, in bits, 0..1.

    Σ_m π(m)·H(r(m)) with H(r) = −r·log₂ r − (1 − r)·log₂(1 − r): the entropy of its verdict on a move,
    expected over proposals (π: mean over proposers). Uncertainty sampling (Lewis and Gale 1994, SIGIR) with
    entropy as the measure (Settles 2009, "Active learning literature survey", section 3.1).
    """
    out = np.zeros(len(positions))
    for row, risk_of_move in enumerate(risk):
        policy = np.mean([lists[row] for lists in positions.proposals.values()], axis=0, dtype=np.float64)
        r = risk_of_move.astype(np.float64)
        terms = [np.where(p > 0, -p * np.log2(np.maximum(p, 1e-300)), 0) for p in (r, 1 - r)]
        out[row] = policy @ (terms[0] + terms[1])
    return out


def choose(doubts: Floats64, free: Rows, config: ActiveConfig, rng: np.random.Generator) -> Rows:
    """Rows, in rising order, out of those that are free: of greatest doubt (the first of equals), or drawn by lot."""
    if config.choice == "doubt":
        return np.sort(free[np.argsort(-doubts[free], kind="stable")[: config.positions]])
    return np.sort(rng.permutation(free)[: config.positions])


@dataclass(frozen=True, eq=False)
class _Job:
    rows: Rows
    packed: planes.Packed
    legal: list[list[int]]


def label_block(nodes: int, job: _Job) -> pa.Table:
    """What every legal move of some positions is worth; the nodes are shared by the moves of a position."""
    with Stockfish(hash_mib=1) as engine:
        values = [
            engine_values(engine, Query(packed, legal, Channel.MOVE, 0, 0), nodes).astype(np.float32)
            for packed, legal in zip(job.packed, job.legal, strict=True)
        ]
    columns = {"row": job.rows, "position": [row.astype("<u8").tobytes() for row in job.packed], "values": values}
    return pa.table(columns, schema=SCHEMA)


SCHEMA = pa.schema(
    [
        pa.field("row", pa.uint32(), nullable=False),  # among the unlabelled positions of the training split
        pa.field("position", pa.binary(8 * planes.WORDS), nullable=False),
        pa.field("values", pa.list_(pa.float32()), nullable=False),
    ],
    metadata={"version": VERSION},
)


def asked(
    cluster: Cluster,
    spare: Catastrophes,
    content: bytes,
    config: ActiveConfig,
    folder: Path,
    earlier: Sequence[Path],
    nodes: int,
    seed: tuple[int, ...],
    inference: InferenceConfig,
    progress: ProgressReporter = NO_PROGRESS,
) -> Catastrophes:
    """Positions chosen by a filter, all their moves labelled; what `folder` holds already is only read.

    spare: the unlabelled positions of the training split. content: the filter, as the bytes of its file.
    earlier: folders of earlier rounds, whose positions are not chosen again. nodes: of the oracle for a
    position. Raises EngineError, and CorpusError where the folder belongs to another dataset.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "chosen.json").exists():
        taken = [row for other in earlier for row in choice(other)["rows"]]
        free = np.setdiff1d(np.flatnonzero(_reserved(spare)), np.array(taken, np.int64))
        doubts = np.zeros(len(spare))
        net, _ = filters.from_bytes(content)
        pool = spare.take(free)
        doubts[free] = doubt(pool, risks(net, pool.packed, pool.legal, inference))
        rows = choose(doubts, free, config, make_rng(RngStream.ACTIVE, *seed))
        means = [float(doubts[some].mean()) if len(some) else None for some in (rows, free)]
        chosen = {"rows": rows.tolist(), "pool": len(free), "doubt": means[0], "pool_doubt": means[1]}
        write_kept(folder / "chosen.json", json.dumps(chosen).encode())
    rows = np.array(choice(folder)["rows"], np.int64)
    wanted = {first: rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK)}
    files = {first: folder / f"block-{first // BLOCK:05d}.parquet" for first in wanted}
    missing = [first for first in wanted if not files[first].exists()]
    progress.begin("positions asked about", len(rows), len(rows) - sum(len(wanted[first]) for first in missing))

    def written(table: pa.Table) -> None:
        first = int(np.searchsorted(rows, table["row"][0].as_py()))
        write_kept(files[first], parquet_bytes(table))
        progress.advance(table.num_rows)

    jobs = [
        _Job(wanted[first], spare.packed[wanted[first]], [list(spare.legal[r]) for r in wanted[first]])
        for first in missing
    ]
    cluster.map(label_block, nodes, jobs, written)
    values: list[Floats] = []
    for first, path in files.items():
        table = _read(path)
        if not np.array_equal(packed_column(table["position"]), spare.packed[wanted[first]]):
            raise CorpusError(f"{path} holds other positions than {folder / 'chosen.json'} names")
        values += [np.array(row, np.float32) for row in table["values"].to_pylist()]
    return replace(spare.take(rows), values=values)


def choice(folder: Path) -> dict[str, Any]:
    """What a round has chosen: `rows`, mean `doubt` of these, size of the `pool` and its mean `pool_doubt` (bits)."""
    return read_json(folder / "chosen.json")


def _read(path: Path) -> pa.Table:
    table = read_parquet(path)
    if (table.schema.metadata or {}).get(b"version") != VERSION.encode():
        raise CorpusError(f"{path} is not of version {VERSION}")
    return table


def joined(parts: Sequence[Catastrophes]) -> Catastrophes:
    """Positions of several sets with the same proposers, in order; the threshold is that of the first."""
    first = parts[0]
    return Catastrophes(
        np.concatenate([part.packed for part in parts]),
        [row for part in parts for row in part.legal],
        [row for part in parts for row in part.values],
        {name: [row for part in parts for row in part.proposals[name]] for name in first.proposals},
        {name: np.concatenate([part.drawn[name] for part in parts]) for name in first.drawn},
        np.concatenate([part.games for part in parts]),
        np.concatenate([part.openings for part in parts]),
        first.threshold,
    )


def figures(folder: Path, positions: Catastrophes, proposer: str) -> dict[str, Any]:
    """What a round's questions were about, as JSON: how many, how doubtful beside the pool, and how many catastrophes.

    base: catastrophes among the proposer's proposals in these positions.
    """
    chosen = choice(folder)
    base = np.array([float(positions.proposals[proposer][row] @ positions.bad(row)) for row in range(len(positions))])
    return {
        "positions": len(positions),
        **{name: chosen[name] for name in ("pool", "doubt", "pool_doubt")},
        "base": mean_figure(base, positions.openings).json(),
    }
