"""Many episodes in lock-step: one block of a step's games, played whole by whoever calls.

A block is a plain function of plain values. What is in a block, and so the make-up of every batch,
depends on the spec alone: the same block gives the same rows wherever and whenever it is played.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import chess
import pyarrow as pa

from agents.assistant import Assistant
from agents.misalignment.base import Misalignment
from agents.players.base import Player
from agents.sampling import draw_all
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluator, all_locked, locked
from engines.positions import GameBatch
from sandwich.oversight.base import Oversight, OwnView, budget_of
from sandwich.oversight.consult import ActionRequest
from sandwich.protocol import ledger
from sandwich.protocol.annotated_games import annotated_pgn
from sandwich.protocol.episode import Episode
from sandwich.protocol.query_executor import PendingQuery, QueryExecutor
from sandwich.runtime.networks import InferenceConfig, evaluator, tools
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.spec.run_spec import PlayConfig
from sandwich.spec.schedule import UncertaintyWindow


@dataclass(frozen=True, eq=False)
class Roles:
    """Who plays in a block.

    student: checkpoint of the student.
    base: the assistant's honest self.
    expert: who gives true answers to a strategy that may have some.
    second: the honest self of the second assistant, where there is one.
    checkpoints: contents of all checkpoints that the spec names.
    """

    student: bytes
    base: Player
    expert: Player
    second: Player | None
    checkpoints: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class Block:
    """Games `first` to `first + len(openings) − 1` of one step.

    openings: FEN of each game.
    second: misalignment of the second assistant, where there is one.
    study: what the oversight strategy's `study` made of earlier steps.
    """

    seed: int
    step: int
    first: int
    openings: tuple[str, ...]
    play: PlayConfig
    misalignment: Misalignment
    oversight: Oversight
    inference: InferenceConfig
    second: Misalignment | None = None
    study: Any = None


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
        assistants = [Assistant(opened.player(roles.base), block.misalignment, opened)]
        if roles.second is not None and block.second is not None:
            assistants.append(Assistant(opened.player(roles.second), block.second, opened))
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
        self._episodes = [_episode(block, number, len(assistants)) for number in range(len(self._batch))]
        self._executor = QueryExecutor(student, assistants, block.oversight, expert, opened, block.play.candidates)
        self._window = UncertaintyWindow()
        self._evaluations = 0
        self._ply: _Ply | None = None
        self._waiting: list[PendingQuery] = []

    def finish(self) -> Played:
        """Play to the end. Raises PluginError for a strategy that leaves its actions to others."""
        while self.played is None:
            if ply := self._next_ply():
                self._executor.resolve(ply.asked)
                self._move(ply)
        return self.played

    def resume(self, actions: Sequence[int]) -> None:
        """Take an action for each of the `pending`, in their order, and play on."""
        assert self._ply is not None
        self._waiting = self._executor.resume(self._waiting, actions)
        if not self._waiting:
            self._move(self._ply)
        self.start()

    def start(self) -> None:
        """Play until actions are wanted, or to the end."""
        while not self._waiting and (ply := self._next_ply()):
            self._waiting = self._executor.begin(ply.asked)
            if not self._waiting:
                self._move(ply)
        self.pending = [
            (query.game, query.request) for query in self._waiting if isinstance(query.request, ActionRequest)
        ]

    def _next_ply(self) -> "_Ply | None":
        """The next ply of all games that go on, with the questions in it; None once `played` is there."""
        batch, block, episodes = self._batch, self._block, self._episodes
        games = batch.active
        if not games:
            self.played = _played(block, batch, episodes, self._evaluations)
            return None
        packed, legal = batch.packed(games), batch.legal(games)
        evaluation = self._student(packed, legal)
        places = draw_all(evaluation.policy, block.play.temperature, [episodes[game].rng for game in games])
        # Strategies see nothing but copies: these.
        policies, copies = all_locked(evaluation.policy), locked(packed)
        views = [
            OwnView(numbers[place], policy, value)
            for numbers, place, policy, value in zip(legal, places, policies, evaluation.value.tolist(), strict=True)
        ]
        turns = batch.turns(games)
        for game, turn, own in zip(games, turns, views, strict=True):
            if turn == episodes[game].student_color:
                self._window.add(block.play.ask, own.policy)
        queries = [
            episodes[game].query(turn, row, numbers, batch.plies[game], own, self._window)
            for game, turn, row, numbers, own in zip(games, turns, copies, legal, views, strict=True)
        ]
        self._ply = _Ply(games, turns, packed, views, queries)
        return self._ply

    def _move(self, ply: "_Ply") -> None:
        """Make the moves of a ply whose questions are all resolved."""
        batch = self._batch
        fens = batch.positions(ply.games)
        chosen = [
            self._episodes[game].move(fen, words, turn, batch.plies[game], own, query)
            for game, fen, words, turn, own, query in zip(
                ply.games, fens, ply.packed.tolist(), ply.turns, ply.views, ply.queries, strict=True
            )
        ]
        batch.apply(ply.games, chosen)
        self._evaluations += len(ply.games) + sum(query.questions + query.evaluations for query in ply.asked)


@dataclass(frozen=True, eq=False)
class _Ply:
    """One ply of the games that go on: their positions `[G, 10]`, the mover's own view, and what is asked."""

    games: list[int]
    turns: list[chess.Color]
    packed: planes.Packed
    views: list[OwnView]
    queries: list[PendingQuery | None]

    @property
    def asked(self) -> list[PendingQuery]:
        return [query for query in self.queries if query is not None]


def _episode(block: Block, number: int, assistants: int) -> Episode:
    game = block.first + number
    key = block.seed, block.step, game
    # Both games of an opening's pair are neighbours; the student has White in the first of them.
    swapped = assistants > 1 and bool(make_rng(RngStream.ORDER, *key).integers(2))
    players, answers = make_rng(RngStream.PLAYERS, *key), make_rng(RngStream.ASSISTANT, *key)
    return Episode(block.play, block.oversight, game, game % 2 == 0, players, answers, block.study, swapped)


def _played(block: Block, batch: GameBatch, episodes: list[Episode], evaluations: int) -> Played:
    columns: dict[str, list[Any]] = {name: [] for name in ledger.SCHEMA.names}
    pgn: list[str] = []
    ends: list[str] = []
    for episode, result in zip(episodes, batch.results, strict=True):
        assert result is not None
        rows = episode.finish(result)
        for name, values in rows.items():
            columns[name] += values
        ends.append(result.end)
        if episode.game < block.play.pgn_games:
            pgn.append(annotated_pgn(rows, block.step, result.end))
    plies = len(columns["game"])
    for values in columns.values():
        values += [None] * (plies - len(values))  # the oracle's columns: nobody has looked yet
    return Played(pa.table(columns, schema=ledger.SCHEMA), pgn, plies, evaluations, tuple(ends))
