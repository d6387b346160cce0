"""A filter with a shallow look-ahead: the risk of a move, and what a player's network sees one or two plies behind it.

The two are combined by a logistic regression on games that the filter did not learn from, since it is
too sure of those that it did: risk' = sigmoid(a · logit(risk) + b · drop + c). The drop is the expected
score of the position less that of the move, for who moves, both by the player's value head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agents.checkpoint_files import Checkpoint
from engines import planes
from engines.filter import sigmoid
from engines.inference import Evaluator
from engines.lookahead import move_values
from engines.settings import Frozen
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.kept_rows import kept_rows
from sandwich.oversight.consult import Consultation, Evaluate, searched_values
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]

T = TypeVar("T")


class LookaheadConfig(Frozen):
    """How far is looked, and with what."""

    player: Checkpoint = "weak"
    """The network whose value head sees what a move leads to."""
    plies: Literal[1, 2] = 1
    """1: the position behind a move. 2: those behind the likeliest replies to it, of which the opponent has the best.
    """
    replies: int = Field(4, ge=1)
    """With two plies: replies looked at behind a move, the likeliest by the player's policy."""
    held: float = Field(0.1, gt=0, lt=1)
    """Share of the training games from which the filter does not learn, and on which the two are weighed up."""

    @property
    def evaluations(self) -> int:
        """Network evaluations that one move takes, at most."""
        return 1 if self.plies == 1 else 1 + self.replies


@dataclass(frozen=True, eq=False)
class _Job:
    config: LookaheadConfig
    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    inference: InferenceConfig


def drops_block(checkpoint: bytes, job: _Job) -> list[Floats]:
    """For each position `[M]`, expected score that a player sees each legal move give away; under 0 where it gains."""
    player = evaluator(checkpoint, job.inference)
    before = player(job.packed, job.legal).value
    if job.config.plies == 1:
        after = move_values(player, job.packed, job.legal)
    else:
        after = [
            _answered(searched_values(packed, legal, job.config.replies), player)
            for packed, legal in zip(job.packed, job.legal, strict=True)
        ]
    return [np.asarray(value - moves, np.float32) for value, moves in zip(before, after, strict=True)]


def _answered(consultation: Consultation[T], player: Evaluator) -> T:
    """What a consultation comes to that only looks."""
    try:
        request = next(consultation)
        while True:
            assert isinstance(request, Evaluate)
            request = consultation.send(player(request.packed, request.legal))
    except StopIteration as done:
        value: T = done.value
        return value


def drops(
    cluster: Cluster,
    config: LookaheadConfig,
    checkpoint: bytes,
    positions: Sequence[Catastrophes],
    inference: InferenceConfig,
    folder: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> list[Floats]:
    """What a player sees each legal move give away, `[M]` for each position of all sets in order.

    Blocks that `folder` holds already are only read.
    """
    packed = np.concatenate([part.packed for part in positions])
    legal = [row for part in positions for row in part.legal]
    return kept_rows(
        cluster, drops_block, checkpoint, lambda packed, legal: _Job(config, packed, legal, inference),
        packed, legal, folder, "drops", progress,
    )  # fmt: skip


@dataclass(frozen=True)
class Combination:
    """risk' = sigmoid(risk · logit(risk) + drop · drop + bias)."""

    risk: float
    drop: float
    bias: float

    def __call__(self, risk: Sequence[Floats], drop: Sequence[Floats]) -> list[Floats]:
        """The combined risk of every legal move, for each position `[M]`."""
        return [
            sigmoid(np.asarray(self.risk * _logit(risks) + self.drop * drops + self.bias, np.float32))
            for risks, drops in zip(risk, drop, strict=True)
        ]


def _logit(risk: Floats) -> Floats64:
    clipped = np.clip(risk.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def fitted(positions: Catastrophes, risk: Sequence[Floats], drop: Sequence[Floats], proposed: float) -> Combination:
    """The combination under which the labels of these positions are likeliest.

    A position's moves weigh as in the filter's own training: 1 spread evenly, and `proposed` by how likely they are
    proposed. A very small ridge (1e-5) keeps it finite where the labels can be told apart without a mistake.
    """
    from scipy.optimize import minimize  # takes most of a second to import

    means = [np.mean([lists[row] for lists in positions.proposals.values()], axis=0) for row in range(len(positions))]
    weight = np.concatenate([1 / len(mean) + proposed * mean for mean in means]).astype(np.float64)
    weight /= weight.sum()
    bad = np.concatenate([positions.bad(row) for row in range(len(positions))]).astype(np.float64)
    score = [_logit(np.concatenate(risk)), np.concatenate(drop).astype(np.float64), np.ones(len(bad))]
    x = np.stack(score, 1)  # [N, 3]

    def loss(at: Floats64) -> tuple[float, Floats64]:
        z = x @ at
        value = weight @ (np.logaddexp(0, z) - bad * z) + 5e-6 * at[:2] @ at[:2]
        slope = x.T @ (weight * (np.exp(-np.logaddexp(0, -z)) - bad))
        return float(value), slope + np.append(1e-5 * at[:2], 0)

    best = minimize(loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B").x
    return Combination(*map(float, best))


@dataclass(frozen=True)
class Judged:
    """What one decision takes, in the mean over positions.

    moves: different moves that are judged. any: share of the decisions in which there is one.
    """

    moves: float
    any: float


def moves_judged(
    positions: Catastrophes,
    risk: Sequence[Floats],
    proposer: str,
    threshold: float,
    proposals: int,
    doubted: Sequence[npt.NDArray[np.bool_]] | None = None,
) -> Judged:
    """Different moves that are judged for one decision: those proposed up to the first that is accepted.

    Proposals are drawn anew each time, at most so many; a move that was judged is not judged again. doubted: for each
    position `[M]` the moves that are judged at all, others being accepted or refused unseen; None: all.
    """
    moves = some = 0.0
    for row, policy in enumerate(positions.proposals[proposer]):
        share = policy.astype(np.float64) / policy.sum(dtype=np.float64)
        refuses = risk[row] >= threshold
        seen = np.ones(len(share), np.bool_) if doubted is None else doubted[row]
        refused = share[refuses & seen]
        accepted = max(0.0, 1 - float(share[refuses].sum()))
        of_those = float(share[~refuses & seen].sum()) / accepted if accepted > 0 else 0.0
        others = np.clip(1 - accepted - refused, 0, 1 - 1e-12)  # drawn: another refused move
        moves += (1 - (1 - accepted) ** proposals) * of_those
        moves += float((refused * (1 - others**proposals) / (1 - others)).sum())
        unseen = np.clip(float(share[refuses & ~seen].sum()), 0, 1 - 1e-12)  # refused without a look, again and again
        nothing = unseen**proposals
        some += 1 - nothing - accepted * (1 - of_those) * (1 - nothing) / (1 - unseen)
    count = max(1, len(positions))
    return Judged(moves / count, some / count)
