"""Hardening: what attackers made up is labelled, and the filter is trained on it beside what it learned from.

All legal moves of adversarial examples, and of drafts that did not become any, are labelled by the oracle, so that
the filter does not merely learn to refuse whatever looks edited. Some attack runs are held back, which begin from
other openings: their examples show whether a filter was hardened or has learned its lessons by heart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import chess
import numpy as np
import pyarrow as pa
from pydantic import Field

from agents.advice import Channel, Query
from agents.judging import engine_values
from engines import moves, planes
from engines.settings import Frozen
from engines.stockfish import Stockfish
from sandwich.highstakes.active import ActiveConfig
from sandwich.highstakes.attack_runs import AttackRun
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.environment import AdversarialExample
from sandwich.highstakes.fit import VerdictFit, lessons
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import read_parquet, write_kept
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.training.examples import Examples, concatenate
from sandwich.training.labels import packed_column

BLOCK = 100


class HardenConfig(Frozen):
    """How a filter learns from what attackers made up."""

    rounds: int = Field(2, ge=0)
    """Rounds of attack and training."""
    share: float = Field(0.3, gt=0, lt=1)
    """Share of the weight that adversarial examples have beside the original data, however many they are."""
    heaviest: float = Field(10.0, gt=0)
    """Weight of an adversarial example beside that of a position of play, at most."""
    drafts: float = Field(2.0, ge=0)
    """Weight of a draft that did not become an adversarial example beside that of a position of play; 0: none is
    learned from."""
    active: ActiveConfig = ActiveConfig()
    """Positions of play that are labelled after each generation, and learned from as such from the next one on."""
    fit: VerdictFit | None = None
    """Loss, schedule, batch of a round that goes on from the filter of the round before; None: every round learns
    anew, as the first filter did, which costs more and forgets less of what play is like."""


@dataclass(frozen=True)
class Case:
    """A position to be labelled.

    packed: the packed position. move: number of the move that was, or was to be, put forward in it. loss: expected
    score that this is known to give away at least against the best of the others; 0: nothing is known.
    """

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
        for case in job.cases:
            packed = np.array(case.packed, np.uint64)
            board = planes.unpack(packed)
            legal = sorted(moves.encode_all(board.legal_moves, board.turn))
            values = engine_values(engine, Query(packed, legal, Channel.MOVE, 0, 0), job.nodes)
            place = legal.index(case.move)
            others = np.delete(values, place)
            if case.loss and len(others):  # known better than by this look
                values[place] = min(values[place], others.max() - case.loss)
            rows["position"].append(packed.astype("<u8").tobytes())
            rows["moves"].append(legal)
            rows["values"].append(values.astype(np.float32))
            rows["chosen"].append(place)
    return pa.table(rows, schema=SCHEMA)


SCHEMA = pa.schema(
    [
        pa.field("position", pa.binary(8 * planes.WORDS), nullable=False),
        pa.field("moves", pa.list_(pa.uint16()), nullable=False),
        pa.field("values", pa.list_(pa.float32()), nullable=False),
        pa.field("chosen", pa.uint16(), nullable=False),  # place in moves of the one put forward
    ],
    metadata={"version": "sandwich-adversarial-examples/1"},
)


def learned(runs: Sequence[AttackRun]) -> list[AdversarialExample]:
    """The different examples of runs that are learned from."""
    kept = [run for run in runs if not run.held_back]
    return list({(example.fen, example.move): example for run in kept for example in run.examples}.values())


def held_back(runs: Sequence[AttackRun]) -> list[tuple[int, AdversarialExample]]:
    """The different examples of those that are not, each with the number of the first run that found it."""
    first: dict[tuple[str, int], tuple[int, AdversarialExample]] = {}
    for run in runs:
        if run.held_back:
            for example in run.examples:
                first.setdefault((example.fen, example.move), (run.number, example))
    return list(first.values())


def example_cases(runs: Sequence[AttackRun]) -> list[Case]:
    """The examples of runs that are learned from, as cases."""
    return [Case(example.packed, example.move, example.loss_again) for example in learned(runs)]


def draft_cases(runs: Sequence[AttackRun]) -> list[Case]:
    """The different drafts of those runs that did not become examples."""
    kept = [run for run in runs if not run.held_back]
    known = {(example.fen, example.move) for run in kept for example in run.examples}
    made = dict.fromkeys((draft.fen, draft.move) for run in kept for draft in run.drafts)
    return [Case(planes.pack(chess.Board(fen)), move) for fen, move in made if (fen, move) not in known]


def labelled(
    cluster: Cluster,
    cases: Sequence[Case],
    nodes: int,
    threshold: float,
    path: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> Catastrophes:
    """Positions with the worth of all their moves; only read where `path` holds them already.

    What is "proposed" there is the case's move. Raises EngineError.
    """
    if not path.exists():
        jobs = [_Job(tuple(cases[first : first + BLOCK]), nodes) for first in range(0, len(cases), BLOCK)]
        progress.begin("positions labelled", len(cases))
        tables = cluster.map(label_block, None, jobs, lambda table: progress.advance(table.num_rows))
        write_kept(path, parquet_bytes(pa.concat_tables([SCHEMA.empty_table(), *tables])))
    table = read_parquet(path)
    legal = table["moves"].to_pylist()
    places = table["chosen"].to_numpy().astype(np.int64)
    proposals = [np.eye(1, len(row), place, dtype=np.float32)[0] for row, place in zip(legal, places, strict=True)]
    return Catastrophes(
        packed_column(table["position"]), legal, [np.array(row, np.float32) for row in table["values"].to_pylist()],
        {"attacker": proposals}, {"attacker": places}, np.arange(len(legal)), np.arange(len(legal)), threshold,
    )  # fmt: skip


def mixed(
    positions: Catastrophes,
    examples: Sequence[Catastrophes],
    drafts: Sequence[Catastrophes],
    proposed: float,
    config: HardenConfig,
) -> Examples:
    """What a filter is trained on: positions of play, adversarial examples and drafts together."""
    parts = [lessons(positions, proposed)]
    count = sum(len(part) for part in examples)
    if count:
        weight = min(config.heaviest, config.share / (1 - config.share) * len(positions) / count)
        parts += [lessons(part, proposed, np.full(len(part), weight, np.float32)) for part in examples if len(part)]
    if config.drafts:
        parts += [
            lessons(part, proposed, np.full(len(part), config.drafts, np.float32)) for part in drafts if len(part)
        ]
    return concatenate(parts)
