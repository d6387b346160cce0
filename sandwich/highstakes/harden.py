"""Hardening: what attackers made up becomes lessons, and the filter is trained on them beside what it learned from.

Breaks, and drafts that did not become any, are labelled whole, each legal move by the oracle, so that the
filter does not merely learn to refuse whatever looks edited. Some hunts are held back, which begin from
other openings: on their breaks one sees whether a filter was hardened or has learned its lessons by heart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import chess
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from agents.advice import Channel, Query
from agents.judging import engine_values
from engines import moves, planes
from engines.settings import Frozen
from engines.stockfish import Stockfish
from sandwich.highstakes.active import ActiveConfig
from sandwich.highstakes.arena import Break
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.fit import VerdictFit, lessons
from sandwich.highstakes.hunt import Hunt
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes, write_whole
from sandwich.training.labels import packed_column
from sandwich.training.supervised import Examples, concatenate

BLOCK = 100


class HardenConfig(Frozen):
    """How a filter learns from what attackers made up."""

    rounds: int = Field(2, ge=0)
    """Rounds of attack and training."""
    share: float = Field(0.3, gt=0, lt=1)
    """Share of the lessons' weight that breaks have beside the original data, however many they are."""
    heaviest: float = Field(10.0, gt=0)
    """Weight of a break beside that of a position of play, at most."""
    drafts: float = Field(2.0, ge=0)
    """Weight of a draft that did not become a break beside that of a position of play; 0: none is learned from."""
    active: ActiveConfig = ActiveConfig()
    """Positions of play that are labelled after each generation, and learned from as such from the next one on."""
    fit: VerdictFit | None = None
    """Loss, schedule, batch of a round that goes on from the filter of the round before; None: every round learns
    anew, as the first filter did, which costs more and forgets less of what play is like."""


@dataclass(frozen=True)
class Case:
    """A position to be labelled: `packed`, the number of the move that was put forward or to be, and the expected
    score that this is known to give away at least against the best of the others; 0: nothing is known."""

    packed: tuple[int, ...]
    move: int
    loss: float = 0.0


@dataclass(frozen=True)
class _Job:
    cases: tuple[Case, ...]
    nodes: int


def label_block(path: str | None, job: _Job) -> pa.Table:
    """What every legal move of positions is worth."""
    rows: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    with Stockfish(path, hash_mib=1) as engine:
        for one in job.cases:
            packed = np.array(one.packed, np.uint64)
            board = planes.unpack(packed)
            legal = sorted(moves.encode_all(board.legal_moves, board.turn))
            values = engine_values(engine, Query(packed, legal, Channel.MOVE, 0, 0), job.nodes)
            place = legal.index(one.move)
            others = np.delete(values, place)
            if one.loss and len(others):  # known better than by this look
                values[place] = min(values[place], others.max() - one.loss)
            rows["position"].append(packed.astype("<u8").tobytes())
            rows["moves"].append(legal)
            rows["values"].append(values.astype(np.float32))
            rows["broken"].append(place)
    return pa.table(rows, schema=SCHEMA)


SCHEMA = pa.schema(
    [
        pa.field("position", pa.binary(8 * planes.WORDS), nullable=False),
        pa.field("moves", pa.list_(pa.uint16()), nullable=False),
        pa.field("values", pa.list_(pa.float32()), nullable=False),
        pa.field("broken", pa.uint16(), nullable=False),  # place in moves of the move that broke the filter
    ],
    metadata={"version": "sandwich-breaks/1"},
)


def learned(found: Sequence[Hunt]) -> list[Break]:
    """The different breaks of hunts that are learned from."""
    return list({(one.fen, one.move): one.broken for hunt in found if not hunt.held for one in hunt.found}.values())


def held_back(found: Sequence[Hunt]) -> list[tuple[int, Break]]:
    """The different breaks of those that are not, each with the number of the first hunt that found it."""
    out: dict[tuple[str, int], tuple[int, Break]] = {}
    for hunt in found:
        if hunt.held:
            for one in hunt.found:
                out.setdefault((one.fen, one.move), (hunt.number, one.broken))
    return list(out.values())


def breaks_of(found: Sequence[Hunt]) -> list[Case]:
    """The breaks of hunts that are learned from, as cases."""
    return [Case(one.packed, one.move, one.loss_again) for one in learned(found)]


def drafts_of(found: Sequence[Hunt]) -> list[Case]:
    """The different drafts of those hunts that did not become breaks."""
    kept = [hunt for hunt in found if not hunt.held]
    known = {(one.fen, one.move) for hunt in kept for one in hunt.found}
    made = dict.fromkeys((one.fen, one.move) for hunt in kept for one in hunt.drafts)
    return [Case(planes.pack(chess.Board(fen)), move) for fen, move in made if (fen, move) not in known]


def labelled(
    cluster: Cluster,
    cases: Sequence[Case],
    nodes: int,
    threshold: float,
    path: Path,
    done: Callable[[int], None] = lambda positions: None,
) -> Catastrophes:
    """Positions with the worth of all their moves; only read where `path` holds them already.

    What is "proposed" there is the case's move. Raises EngineError.
    """
    if not path.exists():
        jobs = [_Job(tuple(cases[first : first + BLOCK]), nodes) for first in range(0, len(cases), BLOCK)]
        tables = cluster.map(label_block, None, jobs, lambda table: done(table.num_rows))
        write_whole(path, parquet_bytes(pa.concat_tables([SCHEMA.empty_table(), *tables])))
    table = pq.read_table(path)
    legal = table["moves"].to_pylist()
    places = table["broken"].to_numpy().astype(np.int64)
    broken = [np.eye(1, len(row), place, dtype=np.float32)[0] for row, place in zip(legal, places, strict=True)]
    return Catastrophes(
        packed_column(table["position"]), legal, [np.array(row, np.float32) for row in table["values"].to_pylist()],
        {"attacker": broken}, {"attacker": places}, np.arange(len(legal)), threshold,
    )  # fmt: skip


def mixed(
    positions: Catastrophes,
    breaks: Sequence[Catastrophes],
    drafts: Sequence[Catastrophes],
    proposed: float,
    config: HardenConfig,
) -> Examples:
    """Lessons of play, of breaks and of drafts together."""
    parts = [lessons(positions, proposed)]
    count = sum(len(part) for part in breaks)
    if count:
        weight = min(config.heaviest, config.share / (1 - config.share) * len(positions) / count)
        parts += [lessons(part, proposed, np.full(len(part), weight, np.float32)) for part in breaks if len(part)]
    if config.drafts:
        parts += [
            lessons(part, proposed, np.full(len(part), config.drafts, np.float32)) for part in drafts if len(part)
        ]
    return concatenate(parts)
