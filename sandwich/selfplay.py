"""Many episodes in lock-step: one block of a step's games, played whole by whoever calls.

A block is a plain function of plain values. What is in a block, and so the make-up of every batch,
depends on the spec alone: the same block gives the same rows wherever and whenever it is played.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from agents.assistant import Assistant
from agents.misalignment.base import Misalignment
from agents.players.base import Player
from agents.tools import Tools
from engines.inference import Evaluator, make_evaluator
from engines.network import from_bytes
from engines.positions import GameBatch
from sandwich import ledger
from sandwich.annotated import annotated_pgn
from sandwich.config import InferenceConfig, PlayConfig
from sandwich.episode import Episode
from sandwich.oversight.base import Oversight

PLAYERS, ASSISTANT, OPENINGS = 0, 1, 2
"""Kinds of random streams; each game has one of each, keyed by (seed, step, game, kind)."""


@dataclass(frozen=True, eq=False)
class Roles:
    """Who plays in a block.

    weak: the student's checkpoint.
    base: the assistant's honest self.
    checkpoints: contents of all checkpoints that the spec names.
    """

    weak: bytes
    base: Player
    checkpoints: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class Block:
    """Games `first` to `first + len(openings) − 1` of one step.

    openings: FEN of each game.
    """

    seed: int
    step: int
    first: int
    openings: tuple[str, ...]
    play: PlayConfig
    misalignment: Misalignment
    oversight: Oversight
    inference: InferenceConfig


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


@lru_cache(maxsize=8)
def evaluator(checkpoint: bytes, inference: InferenceConfig) -> Evaluator:
    """Evaluator of a checkpoint, kept for the next block of the same process."""
    return make_evaluator(
        from_bytes(checkpoint), backend=inference.backend, device=inference.device, threads=inference.threads
    )


def tools(checkpoints: Mapping[str, bytes], inference: InferenceConfig) -> Tools:
    """Tools to open players with, whose networks are evaluated as configured."""
    return Tools(checkpoints, lambda content: evaluator(content, inference))


def play_block(roles: Roles, block: Block) -> Played:
    """Play a block to its end."""
    with tools(roles.checkpoints, block.inference) as opened:
        assistant = Assistant(opened.player(roles.base), block.misalignment, opened)
        return play_episodes(evaluator(roles.weak, block.inference), assistant, block)


def play_episodes(weak: Evaluator, assistant: Assistant, block: Block) -> Played:
    """Play a block with evaluators that are there already."""
    batch = GameBatch(block.openings, block.play.ply_cap)
    episodes = [_episode(block, batch, number) for number in range(len(batch))]
    evaluations = 0
    while active := batch.active:
        words, legal = batch.words(active), batch.legal(active)
        own = weak(words, legal)
        queries = [
            episodes[game].query(batch.boards[game], words[row], legal[row], batch.plies[game])
            for row, game in enumerate(active)
        ]
        asked = [(query, episodes[game].assistant_rng) for query, game in zip(queries, active, strict=True) if query]
        answers = iter(assistant.answer([query for query, _ in asked], [rng for _, rng in asked]))
        chosen = [
            episodes[game].move(
                batch.boards[game], batch.plies[game], own, row, query, next(answers) if query else None
            )
            for row, (game, query) in enumerate(zip(active, queries, strict=True))
        ]
        batch.apply(active, chosen)
        evaluations += len(active) + len(asked)
    return _played(block, batch, episodes, evaluations)


def _episode(block: Block, batch: GameBatch, number: int) -> Episode:
    game = block.first + number
    streams = [np.random.default_rng([block.seed, block.step, game, kind]) for kind in (PLAYERS, ASSISTANT)]
    # Both games of an opening's pair are neighbours; the student has White in the first of them.
    return Episode(block.play, block.oversight, game, game % 2 == 0, streams[0], streams[1])


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
