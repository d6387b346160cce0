"""Attack runs: an attack works on a filter until it finds adversarial examples or its budget is spent, many times.

A run's random numbers are its own, so that what it finds does not depend on which other runs there are, or where
they are done. Seconds are those of one process.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from agents.players.base import Player
from engines import planes
from engines.settings import Frozen
from sandwich.highstakes.attacks.base import REGISTRY, AnyAttack, Attack
from sandwich.highstakes.catastrophes import HELD
from sandwich.highstakes.environment import (
    AdversarialExample,
    AttackData,
    AttackEnvironment,
    Budget,
    BudgetExhausted,
    Judge,
    JudgeConfig,
)
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import damaged, read_json_lines, write_kept
from sandwich.runtime.networks import InferenceConfig, tools
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng

IDLE = 1000
"""Attempts in a row that cost nothing after which a run has nothing to go on with."""
PER_JOB = 4
"""Runs that one worker does before it answers; what a kill can lose."""
HUMAN = "human"
"""Name of the attack that a person makes (`sandwich.highstakes.human`), among those of an experiment."""


class AttackRunConfig(Frozen):
    """An attack, and what it may spend."""

    renamed: ClassVar[Mapping[str, str]] = {"hunts": "runs", "breaks": "examples"}

    attack: AnyAttack
    """`type` and the settings of that type."""
    runs: int = Field(40, ge=1)
    """Attack runs; each begins anew, with random numbers of its own."""
    queries: int = Field(2000, ge=1)
    """Positions that a run may have the filter look at."""
    oracle: int = Field(400, ge=1)
    """Moves that a run may have the oracle judge."""
    examples: int = Field(1, ge=1)
    """Adversarial examples after which a run ends. The first is what it is timed by; the others are for the filter to
    learn from."""
    drafts: int = Field(50, ge=0)
    """Of the positions that a run made up and showed to the filter, so many are kept to learn from, drawn by lot."""
    plausible: float = Field(0.0, ge=0, lt=1)
    """Least probability that the proposer gives a move that may be put forward; 0: any legal move."""


@dataclass(frozen=True)
class Draft:
    """A position that was made up to break a filter, and the move (its number) that was to be put forward in it."""

    fen: str
    move: int


@dataclass(frozen=True)
class AttackRun:
    """What came of an attack run: its adversarial examples in order, what it had spent at its end, and some drafts.

    unconfirmed, confirmed: catastrophes by the first look that were none, or were, at ten times the nodes.
    illegal: moves put forward that are not legal.
    ended: the budget that ended it; "" where something else did: its examples, nothing left to try, a person. None: it
        was not noted.
    """

    number: int
    examples: tuple[AdversarialExample, ...]
    queries: int
    oracle: int
    seconds: float
    unconfirmed: int
    confirmed: int
    drafts: tuple[Draft, ...] = ()
    illegal: int = 0
    ended: Budget | Literal[""] | None = None

    @property
    def held_back(self) -> bool:
        """Whether it is held back: never learned from."""
        return self.number % HELD == 0

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "AttackRun":
        """The reverse of `dataclasses.asdict`."""
        examples = tuple(AdversarialExample(**example) for example in row["examples"])
        return cls(**{**row, "examples": examples, "drafts": tuple(Draft(**draft) for draft in row["drafts"])})

    def first(self, unit: str) -> tuple[float, bool]:
        """What was spent (`queries`, `oracle`, `seconds`) up to the first example or the end, and which of the two."""
        return float(getattr(self.examples[0] if self.examples else self, unit)), bool(self.examples)


@dataclass(frozen=True, eq=False)
class AttackJobContext:
    """What the runs of one attack share.

    content: the filter, as the bytes of its file. prepared: what the attack prepared for it.
    data: what runs are given; held_data: what those are given that are held back.
    proposer: whose plausible moves may be put forward.
    """

    content: bytes
    config: AttackRunConfig
    judge: JudgeConfig
    data: AttackData
    held_data: AttackData
    prepared: bytes | None
    proposer: Player
    checkpoints: Mapping[str, bytes]
    inference: InferenceConfig


@dataclass(frozen=True)
class _Job:
    seed: tuple[int, ...]
    first: int
    count: int


def run_block(context: AttackJobContext, job: _Job) -> list[AttackRun]:
    """A few attack runs, one after the other."""
    config = context.config
    with tools(context.checkpoints, context.inference) as opened:
        judge = Judge(opened.stockfish(), context.judge)
        proposer = opened.player(context.proposer) if config.plausible else None
        environment: AttackEnvironment | None = None
        runs = []
        for number in range(job.first, job.first + job.count):
            before, data = environment, context.held_data if number % HELD == 0 else context.data
            environment = AttackEnvironment(
                context.content, judge, data, queries=config.queries, oracle=config.oracle,
                plausible=config.plausible, proposer=proposer, prepared=context.prepared, inference=context.inference,
            )  # fmt: skip
            environment.network = before.network if before else None
            rng = make_rng(RngStream.ATTACK, *job.seed, number)
            runs.append(attack_run(config.attack, environment, number, config.examples, rng, config.drafts))
    return runs


def prepared(attack: Attack, content: bytes, data: AttackData, inference: InferenceConfig, seed: int) -> bytes | None:
    """What an attack prepares for a filter; a failure ends in one line that names the attack."""
    with REGISTRY.attribute_errors(attack):
        made: object = attack.prepare(content, data, inference, seed)  # a plugin may say anything
        if made is not None and not isinstance(made, bytes):
            raise TypeError(f"expected bytes or None of prepare, got a {type(made).__name__}")
        return made


def attack_run(
    attack: Attack,
    environment: AttackEnvironment,
    number: int,
    examples: int,
    rng: np.random.Generator,
    drafts: int = 0,
) -> AttackRun:
    """One run: attempts until so many different examples are found, or the budget is spent; keeps so many drafts."""
    meter, idle = environment.meter, 0
    ended: Budget | Literal[""] = ""
    found: dict[tuple[str, int], AdversarialExample] = {}
    while len(found) < examples and idle < IDLE:
        before = meter.queries, meter.oracle
        try:
            example = _attempted(attack, environment, rng)
        except BudgetExhausted as spent:
            ended = spent.budget
            break
        idle = idle + 1 if before == (meter.queries, meter.oracle) else 0
        if example:
            found.setdefault((example.fen, example.move), example)
    seconds = environment.seconds()
    made = list({(packed.tobytes(), move): packed for packed, move in environment.drafts}.items())
    kept = np.sort(rng.choice(len(made), min(drafts, len(made)), replace=False)) if made else ()
    return AttackRun(
        number, tuple(found.values()), meter.queries, meter.oracle, seconds, meter.unconfirmed, meter.confirmed,
        tuple(Draft(planes.fen(planes.unpack(made[place][1])), made[place][0][1]) for place in kept), meter.illegal,
        ended,
    )  # fmt: skip


def _attempted(attack: Attack, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
    """One attempt; PluginError, naming the attack, where it fails or returns what the environment did not make."""
    with REGISTRY.attribute_errors(attack, passing=BudgetExhausted):
        example = attack.attempt(environment, rng)
        if example is not None and not environment.made(example):
            raise TypeError(f"expected what submit returned, or None, got {example!r}")
        return example


def attack_runs(
    cluster: Cluster,
    context: AttackJobContext,
    seed: tuple[int, ...],
    folder: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> list[AttackRun]:
    """All runs of an attack on a filter; those that `folder` holds already are only read."""
    folder.mkdir(parents=True, exist_ok=True)
    count = context.config.runs
    jobs = [_Job(seed, first, min(PER_JOB, count - first)) for first in range(0, count, PER_JOB)]
    known = {job.first: read(run_file(folder, job.first)) for job in jobs if run_file(folder, job.first).exists()}
    progress.begin("attack runs", count, sum(map(len, known.values())))

    def written(runs: list[AttackRun]) -> None:
        known[runs[0].number] = runs
        write(run_file(folder, runs[0].number), runs)
        progress.advance(len(runs))

    cluster.map(run_block, context, [job for job in jobs if job.first not in known], written)
    return [run for job in jobs for run in known[job.first]]


def run_file(folder: Path, first: int) -> Path:
    """Where runs are written, the first of which has this number."""
    return folder / f"runs-{first:05d}.jsonl"


def write(path: Path, runs: Sequence[AttackRun]) -> None:
    """Write runs to a file, a line of JSON each."""
    write_kept(path, "".join(json.dumps(asdict(run)) + "\n" for run in runs).encode())


def read(path: Path) -> list[AttackRun]:
    """The runs of a file. Raises DamagedError."""
    try:
        return [AttackRun.from_json(row) for row in read_json_lines(path)]
    except (KeyError, TypeError) as error:
        raise damaged(path, f"expected attack runs, a line each ({error})") from None
