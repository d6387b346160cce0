"""Many episodes in lock-step: one block of a step's games, played whole by whoever calls.

A block is a plain function of plain values. What is in a block, and so the make-up of every batch,
depends on the spec alone: the same block gives the same rows wherever and whenever it is played.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from agents.assistant import Assistant
from agents.misalignment.base import Misalignment
from agents.players.base import Player
from agents.tools import Tools
from engines.inference import Evaluator
from engines.positions import GameBatch
from sandwich.oversight.base import Oversight, budget_of
from sandwich.protocol import ledger
from sandwich.protocol.annotated_games import annotated_pgn
from sandwich.protocol.episode import Episode
from sandwich.protocol.query_executor import Choices, Desk, unled
from sandwich.runtime.networks import InferenceConfig, evaluator, tools
from sandwich.runtime.rng import Use, stream
from sandwich.spec.run_spec import PlayConfig
from sandwich.spec.schedule import Doubts


@dataclass(frozen=True, eq=False)
class Roles:
    """Who plays in a block.

    weak: the student's checkpoint.
    base: the assistant's honest self.
    expert: who gives true answers to a strategy that may have some.
    second: the honest self of the second assistant, where there is one.
    checkpoints: contents of all checkpoints that the spec names.
    """

    weak: bytes
    base: Player
    expert: Player
    second: Player | None
    checkpoints: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class Block:
    """Games `first` to `first + len(openings) − 1` of one step.

    openings: FEN of each game.
    second: misalignment of the second assistant, where there is one.
    memory: what the oversight strategy remembers of earlier steps.
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
    memory: Any = None


@dataclass(frozen=True, eq=False)
class Played:
    """What came of a block: ledger rows, annotated PGN of the first games, and counts."""

    rows: pa.Table
    pgn: list[str]
    plies: int
    evaluations: int
    """Positions that networks have evaluated."""
    ends: dict[str, int]
    """Games by the reason of their end."""


def play_block(roles: Roles, block: Block) -> Played:
    """Play a block to its end."""
    with tools(roles.checkpoints, block.inference) as opened:
        assistants = [Assistant(opened.player(roles.base), block.misalignment, opened)]
        if roles.second is not None and block.second is not None:
            assistants.append(Assistant(opened.player(roles.second), block.second, opened))
        expert = opened.player(roles.expert) if budget_of(block.oversight, "audit_budget") else None
        return play_episodes(evaluator(roles.weak, block.inference), assistants, block, expert, opened)


def play_episodes(
    weak: Evaluator,
    assistants: Sequence[Assistant],
    block: Block,
    expert: Evaluator | None = None,
    opened: Tools | None = None,
) -> Played:
    """Play a block with evaluators that are there already."""
    return unled(played_episodes(weak, assistants, block, expert, opened))


def played_episodes(
    weak: Evaluator,
    assistants: Sequence[Assistant],
    block: Block,
    expert: Evaluator | None = None,
    opened: Tools | None = None,
) -> Choices[Played]:
    """`play_episodes` for a strategy that leaves choices to others: yields those of all games that wait for one."""
    batch = GameBatch(block.openings, block.play.ply_cap)
    episodes = [_episode(block, batch, number, len(assistants)) for number in range(len(batch))]
    desk = Desk(weak, assistants, block.oversight, block.memory, expert, opened, block.play.candidates)
    doubts = Doubts()
    evaluations = 0
    while active := batch.active:
        packed, legal = batch.packed(active), batch.legal(active)
        seen = weak(packed, legal)
        views = [episodes[game].view(seen, row) for row, game in enumerate(active)]
        for game, own in zip(active, views, strict=True):
            if batch.boards[game].turn == episodes[game].student_color:
                doubts.add(block.play.ask, own.policy)
        matters = [
            episodes[game].matter(batch.boards[game], packed[row], legal[row], batch.plies[game], views[row], doubts)
            for row, game in enumerate(active)
        ]
        settled = yield from desk.settling([matter for matter in matters if matter])
        rest = iter(settled)
        chosen = [
            episodes[game].move(batch.boards[game], batch.plies[game], own, next(rest) if matter else None)
            for game, own, matter in zip(active, views, matters, strict=True)
        ]
        batch.apply(active, chosen)
        evaluations += len(active) + sum(one.questions + one.evaluations for one in settled)
    return _played(block, batch, episodes, evaluations)


def _episode(block: Block, batch: GameBatch, number: int, assistants: int) -> Episode:
    game = block.first + number
    key = block.seed, block.step, game
    # Both games of an opening's pair are neighbours; the student has White in the first of them.
    swapped = assistants > 1 and bool(stream(Use.ORDER, *key).integers(2))
    players, answers = stream(Use.PLAYERS, *key), stream(Use.ASSISTANT, *key)
    return Episode(block.play, block.oversight, game, game % 2 == 0, players, answers, swapped)


def _played(block: Block, batch: GameBatch, episodes: list[Episode], evaluations: int) -> Played:
    columns: dict[str, list[Any]] = {name: [] for name in ledger.SCHEMA.names}
    pgn: list[str] = []
    ends: Counter[str] = Counter()
    for episode, result in zip(episodes, batch.results, strict=True):
        assert result is not None
        rows = episode.finish(result)
        for name, values in rows.items():
            columns[name] += values
        ends[result.end] += 1
        if episode.game < block.play.pgn_games:
            pgn.append(annotated_pgn(rows, block.step, result.end))
    plies = len(columns["game"])
    for values in columns.values():
        values += [None] * (plies - len(values))  # the oracle's columns: nobody has looked yet
    return Played(pa.table(columns, schema=ledger.SCHEMA), pgn, plies, evaluations, dict(ends))
