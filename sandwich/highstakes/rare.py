"""How likely a break is under a stated distribution, where it is too rare to be seen by sampling from it.

The distribution: a catastrophe of the training games is drawn by lot (as `unaided` draws one), then the position is
changed by one random edit after the other, which leaves the move legal and its squares as they are. A break is a
path of edits on which the filter comes to accept the move, and the oracle calls it a catastrophe there, twice.
The probability is estimated by splitting (`sandwich.statistics.splitting`), whose importance function is the
filter's own score; and by plain sampling with as many filter queries, which is what splitting is checked against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from engines import planes
from engines.filter import BlunderFilter
from engines.settings import Frozen, SpecError
from sandwich.highstakes.attacks.base import catastrophe
from sandwich.highstakes.attacks.unaided import edited
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.edits import legal_board
from sandwich.highstakes.environment import Judge, JudgeConfig
from sandwich.highstakes.forecast import safety
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, blunder_filter, tools
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import Figure, Floats, share_figure, splitting, splitting_figure

States = npt.NDArray[np.uint64]
"""`[B, 11]`: a packed position and the number of the move in it."""
PER_JOB = 2
"""Splittings that one worker does before it answers."""


class RareConfig(Frozen):
    """The distribution, and how much is spent on it."""

    least: float = Field(0.25, gt=0, lt=1)
    """Expected score that the catastrophe gives away at least from which the edits begin."""
    edits: int = Field(4, ge=1)
    """Edits of a path."""
    paths: int = Field(200, ge=20)
    """Paths of one splitting; a tenth of them is begun again in each round."""
    repeats: int = Field(30, ge=20)
    """Splittings, each by itself: their spread is the interval."""


@dataclass(frozen=True, eq=False)
class EditChain:
    """Random edits of catastrophes as a `sandwich.statistics.splitting.Chain`; its level is minus the logit of the
    filter's risk, so that a move is accepted above minus that of the threshold."""

    labelled: Catastrophes
    judge: BlunderFilter
    least: float

    @property
    def level(self) -> float:
        """At or above which a move is accepted: the next number above minus the logit of the threshold."""
        return float(np.nextafter(float(safety(self.judge.threshold)), np.inf))

    def start(self, count: int, rng: np.random.Generator) -> States:
        drawn = [catastrophe(self.labelled, self.least, rng) for _ in range(count)]
        moves = np.array([[self.labelled.legal[row][place]] for row, place in drawn], np.uint64)
        return np.concatenate([self.labelled.packed[[row for row, _ in drawn]], moves], 1)

    def step(self, states: States, rng: np.random.Generator) -> States:
        out = states.copy()
        for row in range(len(states)):
            move = int(states[row, -1])
            after = edited(states[row, : planes.WORDS], move, 1, rng)
            if after is not None:  # nothing can be edited: it stays what it is
                out[row, : planes.WORDS] = after
        return out

    def levels(self, states: States) -> Floats:
        risk = self.judge(np.ascontiguousarray(states[:, : planes.WORDS]), [[int(move)] for move in states[:, -1]])
        return safety(np.array([row[0] for row in risk], np.float64))


@dataclass(frozen=True, eq=False)
class _Shared:
    content: bytes
    labelled: Catastrophes
    config: RareConfig
    judge: JudgeConfig
    inference: InferenceConfig


@dataclass(frozen=True)
class _Job:
    """Splittings with these numbers; or so many plain paths with the number of the first."""

    seed: tuple[int, ...]
    numbers: tuple[int, ...]
    plain: int = 0


@dataclass
class _Verdicts:
    """Which accepted moves are catastrophes by both looks; each is asked about once."""

    judge: Judge
    known: dict[bytes, bool] = field(default_factory=dict)
    accepted: int = 0
    """States that were asked about in all."""

    def __call__(self, states: States) -> Floats:
        self.accepted += len(states)
        return np.array([self._of(row) for row in states], np.float64)

    def _of(self, state: npt.NDArray[np.uint64]) -> bool:
        key = state.tobytes()
        if key not in self.known:
            move, config = int(state[-1]), self.judge.config
            board = legal_board(state[: planes.WORDS], move)
            assert board is not None, "edits are of legal positions"
            looks = (config.nodes, config.nodes * config.again)
            self.known[key] = all(self.judge.verdict(board, move, nodes).loss >= config.threshold for nodes in looks)
        return self.known[key]


@dataclass(frozen=True)
class _Estimate:
    """accepted, broken: estimates of the two probabilities; of plain paths, how many of them. looked: states that the
    filter looked at. oracle: moves judged."""

    accepted: float
    broken: float
    looked: int
    oracle: int


def rare_block(shared: _Shared, job: _Job) -> list[_Estimate]:
    """A few splittings, or some plain paths."""
    config = shared.config
    out = []
    with tools({}, shared.inference) as opened:
        chain = EditChain(shared.labelled, blunder_filter(shared.content, shared.inference), config.least)
        for number in job.numbers:
            verdicts = _Verdicts(Judge(opened.stockfish(), shared.judge))
            rng = make_rng(RngStream.RARE, *job.seed, number)
            if job.plain:
                out.append(_plain(chain, job.plain, config.edits, verdicts, rng))
                continue
            made = splitting(
                chain, config.edits, chain.level, rng,
                paths=config.paths, discarded=config.paths // 10, worth=verdicts,
            )  # fmt: skip
            accepted = made.scale * made.reached
            out.append(_Estimate(accepted, made.value, made.looked, len(verdicts.known)))
    return out


def _plain(chain: EditChain, count: int, steps: int, verdicts: _Verdicts, rng: np.random.Generator) -> _Estimate:
    """So many paths, each until the filter accepts the move."""
    states, looked, accepted, broken = chain.start(count, rng), 0, 0, 0.0
    for step in range(steps + 1):
        if step:
            states = chain.step(states, rng)
        there = chain.levels(states) >= chain.level
        looked += len(states)
        accepted += int(there.sum())
        broken += float(verdicts(states[there]).sum())
        states = states[~there]
        if not len(states):
            break
    return _Estimate(accepted, broken, looked, len(verdicts.known))


def rare(
    cluster: Cluster,
    content: bytes,
    labelled: Catastrophes,
    config: RareConfig,
    judge: JudgeConfig,
    inference: InferenceConfig,
    seed: tuple[int, ...],
    progress: ProgressReporter = NO_PROGRESS,
) -> dict[str, Any]:
    """JSON of the probability that a filter comes to accept the move of a path of edits (`accepted`), and that it is a
    break (`broken`): by splitting, and by plain sampling with as many filter queries.

    content: the filter, as the bytes of its file. Raises EngineError without a Stockfish.
    """
    if not any(labelled.losses(row).max() >= config.least for row in range(len(labelled))):
        raise SpecError(f"rare.least: no labelled move gives away {config.least} or more")
    shared = _Shared(content, labelled, config, judge, inference)
    numbers = range(config.repeats)
    jobs = [_Job(seed, tuple(numbers[first : first + PER_JOB])) for first in numbers[::PER_JOB]]
    progress.begin("splittings", config.repeats)
    split = [
        one for part in cluster.map(rare_block, shared, jobs, lambda done: progress.advance(len(done))) for one in part
    ]
    looked = sum(one.looked for one in split)
    each = max(1, round(looked / (config.edits + 1) / len(jobs)))
    progress.begin("plain paths", each * len(jobs))
    plain_jobs = [_Job(seed, (config.repeats + number,), each) for number in range(len(jobs))]
    plain = [
        one for part in cluster.map(rare_block, shared, plain_jobs, lambda done: progress.advance(each)) for one in part
    ]
    of_plain: Mapping[str, Figure] = {
        name: share_figure(round(sum(getattr(one, name) for one in plain)), each * len(jobs))
        for name in ("accepted", "broken")
    }
    return {
        "least": config.least,
        "edits": config.edits,
        "splitting": {
            **{
                name: splitting_figure(np.array([getattr(one, name) for one in split])).json()
                for name in ("accepted", "broken")
            },
            "queries": looked,
            "oracle": sum(one.oracle for one in split),
        },
        "plain": {
            **{name: figure.json() for name, figure in of_plain.items()},
            "queries": sum(one.looked for one in plain),
            "oracle": sum(one.oracle for one in plain),
        },
    }
