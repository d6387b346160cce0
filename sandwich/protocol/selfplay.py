"""Many episodes in lock-step: one block of a step's games, played whole by whoever calls.

A block is a plain function of plain values. What is in a block, and so the make-up of every batch,
depends on the spec alone: the same block gives the same rows wherever and whenever it is played.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from agents.advice import Channel
from agents.assistant import Assistant
from agents.batches import Integers, Questions
from agents.misalignment.base import Misalignment
from agents.players.base import Player
from agents.sampling import draw_all
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluator, locked
from engines.positions import GameBatch
from engines.ragged import MoveLists, Policies
from sandwich.oversight.base import Oversight, budget_of
from sandwich.oversight.batches import OwnViews
from sandwich.oversight.consult import ActionRequest
from sandwich.protocol.episode import Episodes
from sandwich.protocol.pending import Outcomes, PendingQuery
from sandwich.protocol.query_executor import QueryExecutor
from sandwich.runtime.networks import InferenceConfig, evaluator, tools
from sandwich.spec.run_spec import PlayConfig, Seats


@dataclass(frozen=True, eq=False)
class Roles:
    """Who plays in a block.

    student: checkpoint of the student.
    base: the assistant's honest self.
    expert: who gives true answers to a strategy that may have some.
    second: the honest selves of the further assistants.
    checkpoints: contents of all checkpoints that the spec names.
    """

    student: bytes
    base: Player
    expert: Player
    second: tuple[Player, ...]
    checkpoints: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class Block:
    """Games `first` to `first + len(openings) − 1` of one step.

    openings: FEN of each game.
    second: misalignments of the further assistants.
    study: what the oversight strategy's `study` made of earlier steps.
    seats: for how long the assistants keep their order.
    """

    seed: int
    step: int
    first: int
    openings: tuple[str, ...]
    play: PlayConfig
    misalignment: Misalignment
    oversight: Oversight
    inference: InferenceConfig
    second: tuple[Misalignment, ...] = ()
    study: Any = None
    seats: Seats = "game"


@dataclass(frozen=True, eq=False)
class Played:
    """What came of a block: ledger rows, annotated PGN of the first games, and counts."""

    rows: pa.Table
    pgn: list[str]
    plies: int
    evaluations: int
    """Positions that networks have evaluated."""
    ends: tuple[str, ...]
    """Why each game ended (`engines.positions.End`), in their order."""


def play_block(roles: Roles, block: Block) -> Played:
    """Play a block to its end."""
    student = evaluator(roles.student, block.inference)
    with tools(roles.checkpoints, block.inference) as kept:
        opened = kept.facing(student)
        both = zip((roles.base, *roles.second), (block.misalignment, *block.second), strict=True)
        assistants = [Assistant(opened.player(base), misalignment, opened) for base, misalignment in both]
        expert = opened.player(roles.expert) if budget_of(block.oversight, "ground_truth_budget") else None
        return play_episodes(student, assistants, block, expert, opened)


def play_episodes(
    student: Evaluator,
    assistants: Sequence[Assistant],
    block: Block,
    expert: Evaluator | None = None,
    opened: Tools | None = None,
) -> Played:
    """Play a block with evaluators that are there already. Raises PluginError for a strategy that fails."""
    return BlockPlay(student, assistants, block, expert, opened).finish()


class BlockPlay:
    """The games of a block on their way, for a strategy that leaves its actions to whoever carries the games on.

    Each `resume` takes an action for each of the `pending`, and plays on until some are wanted again or all games
    are over: then nothing is pending, and `played` says what came of them.
    """

    def __init__(
        self,
        student: Evaluator,
        assistants: Sequence[Assistant],
        block: Block,
        expert: Evaluator | None = None,
        opened: Tools | None = None,
    ) -> None:
        self.pending: list[tuple[int, ActionRequest]] = []
        """The actions that are waited for, each with its game's number."""
        self.played: Played | None = None
        """What came of the block; None while it goes on."""
        self._student = student
        self._block = block
        self._batch = GameBatch(block.openings, block.play.ply_cap)
        self._episodes = Episodes(
            block.play, block.oversight, len(self._batch), seed=block.seed, step=block.step, first=block.first,
            assistants=len(assistants), seats=block.seats, study=block.study,
        )  # fmt: skip
        self._executor = QueryExecutor(student, assistants, block.oversight, expert, opened, block.play.candidates)
        self._evaluations = 0
        self._ply: _Ply | None = None
        self._waiting: list[PendingQuery] = []

    def finish(self) -> Played:
        """Play to the end. Raises PluginError for a strategy that leaves its actions to others."""
        in_arrays = self._executor.is_batched and self._block.play.channel is not Channel.CANDIDATES
        while self.played is None:
            if ply := self._next_ply():
                if in_arrays and len(ply.rows):
                    self._move(ply, self._resolved(ply))
                else:
                    self._ask(ply)
                    self._executor.resolve(ply.queries)
                    self._move(ply, Outcomes.of(ply.queries))
        return self.played

    def resume(self, actions: Sequence[int]) -> None:
        """Take an action for each of the `pending`, in their order, and play on."""
        assert self._ply is not None
        self._waiting = self._executor.resume(self._waiting, actions)
        if not self._waiting:
            self._move(self._ply, Outcomes.of(self._ply.queries))
        self.start()

    def start(self) -> None:
        """Play until actions are wanted, or to the end."""
        while not self._waiting and (ply := self._next_ply()):
            self._ask(ply)
            self._waiting = self._executor.begin(ply.queries)
            if not self._waiting:
                self._move(ply, Outcomes.of(ply.queries))
        self.pending = [
            (query.game, query.request) for query in self._waiting if isinstance(query.request, ActionRequest)
        ]

    def _next_ply(self) -> "_Ply | None":
        """The next ply of all games that go on, and where the student asks in it; None once `played` is there."""
        batch, block, episodes = self._batch, self._block, self._episodes
        games = batch.active
        if not games:
            self.played = self._played()
            return None
        numbers = np.array(games)
        packed, legal = batch.packed(games), batch.legal(games)
        evaluation = self._student(packed, legal)
        places = draw_all(evaluation.policy, block.play.temperature, [episodes.rngs[game] for game in games])
        own = OwnViews(legal.at(np.array(places)).astype(np.int64), Policies.of(evaluation.policy), evaluation.value)
        white = (packed[:, 9] & np.uint64(1)).astype(bool)
        self._ply = _Ply(numbers, packed, legal, own, episodes.asked(numbers, white, own))
        return self._ply

    def _questions(self, ply: "_Ply") -> tuple[Questions, OwnViews]:
        """What is asked in a ply, and what the student thinks itself; copies that a strategy may be given."""
        rows = ply.rows
        plies = np.array(self._batch.plies)[ply.games[rows]]
        own = ply.own.take(rows)
        own = OwnViews(own.move, Policies(locked(own.policy.flat), own.policy.starts), own.value)
        questions = self._episodes.questions(ply.games[rows], locked(ply.packed[rows]), ply.legal.take(rows), plies)
        return questions, own

    def _ask(self, ply: "_Ply") -> None:
        """Make an object of each question of a ply."""
        questions, own = self._questions(ply)
        ply.queries = self._episodes.pending(ply.games[ply.rows], questions, own)

    def _resolved(self, ply: "_Ply") -> Outcomes:
        """What comes of the questions of a ply, all in arrays."""
        questions, own = self._questions(ply)
        asking = ply.games[ply.rows].tolist()
        rngs, theirs = self._episodes.rngs, self._episodes.assistant_rngs
        return self._executor.resolve_all(questions, own, [rngs[game] for game in asking], [theirs[g] for g in asking])

    def _move(self, ply: "_Ply", outcomes: Outcomes) -> None:
        """Make the moves of a ply whose questions are all resolved."""
        batch, games = self._batch, ply.games
        fens, plies = batch.positions(games.tolist()), np.array(batch.plies)[games]
        played = self._episodes.move(games, ply.packed, fens, plies, ply.own, ply.rows, outcomes)
        batch.apply(games.tolist(), played.tolist())
        self._evaluations += len(games) + int(outcomes.questions.sum() + outcomes.evaluations.sum())

    def _played(self) -> Played:
        results = [result for result in self._batch.results if result is not None]
        rows, pgn = self._episodes.finish(results, self._block.step)
        return Played(rows, pgn, rows.num_rows, self._evaluations, tuple(result.end for result in results))


@dataclass(eq=False)
class _Ply:
    """One ply of the `B` games that go on: positions `[B, 10]`, the mover's own view, and where the student asks.

    queries: an object for each question, where there has to be one.
    """

    games: Integers
    packed: planes.Packed
    legal: MoveLists
    own: OwnViews
    rows: Integers
    queries: list[PendingQuery] = field(default_factory=list)
