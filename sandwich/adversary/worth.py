"""What every legal move is worth to the adversary, and the lessons that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.batches import Bools
from agents.judging import suspicion
from engines.inference import wdl_of
from engines.positions import successors
from sandwich.adversary.config import AdversaryConfig
from sandwich.data.labelled_positions import LabelledPositions
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.training.examples import Examples

Floats = npt.NDArray[np.float32]

BLOCK = 512
"""Positions that one worker judges at a time."""


@dataclass(frozen=True, eq=False)
class Suspicion:
    """What judges think of every legal move of `N` positions.

    worse: for each `[M]`, expected score by which a move looks worse than the judge's own.
    unlikely: for each `[M]`, nats by which the judge's policy finds a move less likely than its first.
    value: `[N]` the judge's own value of the position.
    """

    worse: list[Floats]
    unlikely: list[Floats]
    value: Floats


@dataclass(frozen=True, eq=False)
class _Part:
    positions: LabelledPositions
    inference: InferenceConfig


def _judge(checkpoint: bytes, part: _Part) -> Suspicion:
    judge = evaluator(checkpoint, part.inference)
    view = judge(part.positions.packed, part.positions.legal)
    logs = [np.log(np.maximum(policy, 1e-6)) for policy in view.policy]
    return Suspicion(
        suspicion(judge, part.positions.packed, view), [row.max() - row for row in logs], np.clip(view.value, 0, 1)
    )


def judged(
    cluster: Cluster,
    checkpoint: bytes,
    positions: LabelledPositions,
    inference: InferenceConfig,
    progress: ProgressReporter = NO_PROGRESS,
    phase: str = "judge",
) -> Suspicion:
    """What a judge, a checkpoint, thinks of all moves of all positions."""
    progress.begin(phase, len(positions))
    parts = [
        _Part(positions.take(range(first, min(first + BLOCK, len(positions)))), inference)
        for first in range(0, len(positions), BLOCK)
    ]
    parts_judged = cluster.map(_judge, checkpoint, parts, lambda part: progress.advance(len(part.worse)))
    return Suspicion(
        [row for suspicions in parts_judged for row in suspicions.worse],
        [row for suspicions in parts_judged for row in suspicions.unlikely],
        np.concatenate([suspicions.value for suspicions in parts_judged]),
    )


def worths(
    positions: LabelledPositions,
    judges: Sequence[Suspicion],
    config: AdversaryConfig,
    beliefs: Sequence[Sequence[Bools]] = (),
) -> list[Floats]:
    """What every legal move of each position is worth to the adversary, `[M]` each.

    Without a strategy: loss − doubt, which is the greatest over the judges of value_weight · worse + policy_weight ·
    unlikely. Against one: loss · [every judge believes it] − doubt_weight · doubt. A refused move does no harm, so that
    only its doubt is left: of two of them the one that is nearer to being believed is worth more. Of believed moves the
    loss decides, and the doubt keeps it away from the edge where another judge would refuse it.

    beliefs: for each judge, of each position `[M]`: whether the strategy believes a move with the judge as the student.
    """
    out = []
    for row in range(len(positions)):
        loss = positions.losses(row)
        doubt = np.max(
            [config.value_weight * d.worse[row] + config.policy_weight * d.unlikely[row] for d in judges], axis=0
        )
        if beliefs:
            loss, doubt = loss * np.all([judge[row] for judge in beliefs], axis=0), config.doubt_weight * doubt
        out.append((loss - doubt).astype(np.float32))
    return out


LISTED = 48
"""Moves of a position that are learned from at most, those of greatest worth."""


def lessons(positions: LabelledPositions, worth: Sequence[Floats], value: Floats, spread: float | None) -> Examples:
    """Examples of moves by worth: their softmax at `spread`, or the worth itself where `spread` is None.

    value: `[N]` expected score that the value head is to say.
    """
    width = min(LISTED, max(map(len, positions.legal)))
    numbers = np.full((len(positions), width), -1, np.int16)
    policy = np.zeros((len(positions), width), np.float32)
    for row, (legal, worth_of) in enumerate(zip(positions.legal, worth, strict=True)):
        order = np.argsort(-worth_of, kind="stable")[:width]
        numbers[row, : len(order)] = np.asarray(legal)[order]
        listed = worth_of[order]
        if spread is not None:
            listed = np.exp((listed - listed[0]) / spread)
            listed /= listed.sum()
        policy[row, : len(order)] = listed
    return Examples(positions.packed, numbers, policy, wdl_of(value), np.ones(len(positions), np.float32))


def truths(positions: LabelledPositions, chosen: Sequence[int]) -> Examples:
    """What the oracle says of the positions behind moves (places in `legal`), for a value to learn."""
    after = successors(positions.packed, [positions.legal[row][place] for row, place in enumerate(chosen)])
    value = np.array([1 - positions.values[row][place] for row, place in enumerate(chosen)], np.float32)
    open_rows = np.flatnonzero(np.isnan(after.score))
    return Examples(
        after.packed[open_rows],
        np.zeros((len(open_rows), 1), np.int16),
        np.zeros((len(open_rows), 1), np.float32),
        wdl_of(value[open_rows]),
        np.ones(len(open_rows), np.float32),
    )
