"""How far a player agrees with another: the same best move, as probable moves, moves valued in the same order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.players.base import Player
from engines.inference import Evaluator
from engines.lookahead import move_values
from engines.positions import GameBatch, parse_fen
from sandwich.data.phase import Phase, phase_of
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, tools
from sandwich.statistics import Figure, kendall_figure, mean_figure, share_figure

BLOCK = 50
"""Positions that one worker looks at."""
LEAST = 1e-9
"""A probability under this counts as this: a player's 0 would make the divergence infinite."""


@dataclass(frozen=True, eq=False)
class View:
    """What a player thinks of `N` positions.

    best: number of the best move of each.
    policy: for each `[M]`, probability of each legal move, in rising order of the moves' numbers.
    values: for each `[M]`, expected score of each legal move for who makes it, from the value one ply on.
    """

    best: list[int]
    policy: list[npt.NDArray[np.float32]]
    values: list[npt.NDArray[np.float32]]


def view(evaluator: Evaluator, fens: Sequence[str]) -> View:
    """What an evaluator thinks of positions."""
    batch = GameBatch(fens, ply_cap=1)
    games = range(len(batch))
    packed, legal = batch.packed(games), batch.legal(games)
    evaluation = evaluator(packed, legal)
    return View([evaluation.best(row) for row in games], list(evaluation.policy), move_values(evaluator, packed, legal))


@dataclass(frozen=True, eq=False)
class _Block:
    player: Player
    fens: tuple[str, ...]
    inference: InferenceConfig


def _view_block(checkpoints: Mapping[str, bytes], block: _Block) -> View:
    with tools(checkpoints, block.inference) as opened:
        return view(opened.player(block.player), block.fens)


def view_of(
    cluster: Cluster,
    player: Player,
    checkpoints: Mapping[str, bytes],
    fens: Sequence[str],
    inference: InferenceConfig,
) -> View:
    """What a player thinks of positions, on all workers. Raises CheckpointError, EngineError."""
    blocks = [_Block(player, tuple(fens[first : first + BLOCK]), inference) for first in range(0, len(fens), BLOCK)]
    parts = cluster.map(_view_block, checkpoints, blocks)
    return View(
        [best for part in parts for best in part.best],
        [policy for part in parts for policy in part.policy],
        [values for part in parts for values in part.values],
    )


def divergence(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    """Kullback–Leibler divergence of `theirs` from `ours`, both `[M]`, in nats: Σ ours · log(ours / theirs)."""
    p, q = (np.maximum(policy.astype(np.float64), LEAST) for policy in (ours, theirs))
    return float((p * np.log(p / q)).sum())


def agreement(student: View, expert: View, fens: Sequence[str]) -> dict[str, dict[str, Figure]]:
    """Agreement of a student with its goal, over all positions (`all`) and in each phase of the game.

    For each: `agreement`, the share with the same best move; `kl`, the mean divergence of the student's
    policy from the goal's, KL(goal‖student) in nats; `tau_b`, Kendall's τ-b of the values of the moves.
    The positions are taken as independent: one of a game.
    """
    phases = [phase_of(parse_fen(fen)) for fen in fens]
    groups = {"all": list(range(len(fens)))}
    groups |= {phase.value: [row for row, other in enumerate(phases) if other is phase] for phase in Phase}
    return {name: _agreement(student, expert, rows) for name, rows in groups.items()}


def _agreement(student: View, expert: View, rows: Sequence[int]) -> dict[str, Figure]:
    same = sum(student.best[row] == expert.best[row] for row in rows)
    apart = np.array([divergence(expert.policy[row], student.policy[row]) for row in rows])
    ours, theirs = ([view.values[row].astype(np.float64) for row in rows] for view in (student, expert))
    return {
        "agreement": share_figure(same, len(rows)),
        "kl": mean_figure(apart),
        "tau_b": kendall_figure(ours, theirs),
    }
