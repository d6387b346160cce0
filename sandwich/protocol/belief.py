"""What a strategy believes of moves said of any positions, which nobody played and nobody can be asked about again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.advice import Channel, Query
from agents.batches import Bools
from engines import planes
from sandwich.oversight.base import Oversight, OwnView
from sandwich.protocol.pending import PendingQuery
from sandwich.protocol.query_executor import BATCH, QueryExecutor
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, evaluator, tools
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng

BLOCK = 256
"""Positions that one worker judges at a time."""


@dataclass(frozen=True, eq=False)
class Listener:
    """A student that hears moves, and the strategy by which it decides what to believe.

    student: contents of its checkpoint.
    strategy: one that asks once.
    checkpoints: contents of those that the strategy names.
    seed: what it draws follows from this, from the number of the position and from the move.
    """

    student: bytes
    strategy: Oversight
    checkpoints: Mapping[str, bytes]
    inference: InferenceConfig
    seed: int


@dataclass(frozen=True, eq=False)
class Said:
    """Moves said of `N` positions.

    packed: `[N, 10]` packed positions.
    legal: for each the numbers of its legal moves, in rising order.
    places: for each `[K]`, places in `legal` of the moves said of it.
    """

    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    places: Sequence[Sequence[int]]

    @classmethod
    def all_moves(cls, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> "Said":
        """Every legal move of each position."""
        return cls(packed, legal, [range(len(row)) for row in legal])

    def take(self, first: int, last: int) -> "Said":
        """What was said of some of them, one behind the other."""
        return Said(self.packed[first:last], self.legal[first:last], self.places[first:last])


def believed(
    cluster: Cluster, listener: Listener, said: Said, progress: ProgressReporter = NO_PROGRESS, phase: str = "believe"
) -> list[Bools]:
    """Whether each move is believed, for each position `[K]`; every position is the first question of a game.

    Raises PluginError, naming strategy and position.
    """
    progress.begin(phase, len(said.packed))
    starts = range(0, len(said.packed), BLOCK)
    jobs = [(start, said.take(start, start + BLOCK)) for start in starts]
    parts = cluster.map(_believed, listener, jobs, lambda part: progress.advance(len(part)))
    return [row for part in parts for row in part]


def _believed(listener: Listener, job: tuple[int, Said]) -> list[Bools]:
    first_number, said = job
    network = evaluator(listener.student, listener.inference)
    view = network(said.packed, said.legal)
    turns = []
    for row in range(len(said.packed)):
        query = Query(said.packed[row], said.legal[row], Channel.MOVE, 0, 0)
        own = OwnView(view.best(row), view.policy[row], float(view.value[row]))
        for place in said.places[row]:
            move = query.legal[place]
            rng = make_rng(RngStream.BELIEF, listener.seed, first_number + row, move)
            turns.append(PendingQuery.heard(query, own, move, rng))
    with tools(listener.checkpoints, listener.inference) as opened:
        executor = QueryExecutor(network, [], listener.strategy, None, opened.facing(network))
        for first in range(0, len(turns), BATCH):
            executor.decide_on(turns[first : first + BATCH])
    decided = np.array([turn.decision.believed for turn in turns], np.bool_)
    return np.split(decided, np.cumsum([len(places) for places in said.places])[:-1])
