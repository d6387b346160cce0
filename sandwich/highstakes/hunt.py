"""Hunts: an attack working on a filter until it breaks it or its budget is spent, many times over.

A hunt's random numbers are its own, so that what it finds does not depend on who else hunts, or where.
Seconds are those of one process.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from agents.players.base import Player
from agents.plugins import SELF_EXPLANATORY
from engines import moves, planes
from engines.positions import parse_fen
from engines.settings import Frozen
from sandwich.highstakes.arena import Arena, Break, Judge, JudgeConfig, Material, Meter, Spent, Watch
from sandwich.highstakes.attacks.base import REGISTRY, AnyAttack, Attack
from sandwich.highstakes.catastrophes import HELD
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import write_whole
from sandwich.runtime.networks import InferenceConfig, tools

IDLE = 1000
"""Attempts in a row that cost nothing after which a hunt has nothing to go on with."""
PER_JOB = 4
"""Hunts that one worker does before it answers; what a kill can lose."""
HUMAN = "human"
"""Name of the attack that a person makes (`sandwich.highstakes.human`), among those of a ladder."""


class HuntConfig(Frozen):
    """An attack, and what it may spend."""

    attack: AnyAttack
    """`type` and the settings of that type."""
    hunts: int = Field(40, ge=1)
    """Hunts; each begins anew, with random numbers of its own."""
    queries: int = Field(2000, ge=1)
    """Positions that a hunt may have the filter look at."""
    oracle: int = Field(400, ge=1)
    """Moves that a hunt may have the oracle judge."""
    breaks: int = Field(1, ge=1)
    """Breaks after which a hunt ends. The first is what it is timed by; the others are for the filter to learn from."""
    drafts: int = Field(50, ge=0)
    """Of the positions that a hunt made up and showed to the filter, so many are kept to learn from, drawn by lot."""
    plausible: float = Field(0.0, ge=0, lt=1)
    """Least probability that the proposer gives a move that may be put forward; 0: any legal move."""


@dataclass(frozen=True)
class Found:
    """A break, and what had been spent on its hunt when it was found."""

    fen: str
    move: int
    uci: str
    risk: float
    loss: float
    loss_again: float
    queries: int
    oracle: int
    seconds: float

    @property
    def broken(self) -> Break:
        """The break itself."""
        return Break(planes.pack(parse_fen(self.fen)), self.move, self.risk, self.loss, self.loss_again)


@dataclass(frozen=True)
class Draft:
    """A position that was made up to break a filter, and the move (its number) that was to be put forward in it."""

    fen: str
    move: int


@dataclass(frozen=True)
class Hunt:
    """What came of a hunt: its breaks in order, what it had spent at its end, and some of what it tried."""

    number: int
    found: tuple[Found, ...]
    queries: int
    oracle: int
    seconds: float
    doubted: int
    agreed: int
    drafts: tuple[Draft, ...] = ()

    @property
    def held(self) -> bool:
        """Whether it is held back: never learned from."""
        return self.number % HELD == 0

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Hunt":
        """The reverse of `dataclasses.asdict`."""
        found = tuple(Found(**one) for one in row["found"])
        return cls(**{**row, "found": found, "drafts": tuple(Draft(**one) for one in row.get("drafts", ()))})

    def first(self, unit: str) -> tuple[float, bool]:
        """What was spent (`queries`, `oracle`, `seconds`) up to the first break or the end, and which of the two."""
        return float(getattr(self.found[0] if self.found else self, unit)), bool(self.found)


@dataclass(frozen=True, eq=False)
class Ground:
    """What the hunts of one attack share.

    content: the filter, as the bytes of its file. prepared: what the attack prepared for it.
    held: what the hunts that are held back are given, as `material` is to the others.
    proposer: whose plausible moves may be put forward.
    """

    content: bytes
    config: HuntConfig
    judge: JudgeConfig
    material: Material
    held: Material
    prepared: bytes | None
    proposer: Player
    checkpoints: Mapping[str, bytes]
    inference: InferenceConfig


@dataclass(frozen=True)
class _Job:
    seed: tuple[int, ...]
    first: int
    count: int


def hunt_block(ground: Ground, job: _Job) -> list[Hunt]:
    """A few hunts, one after the other."""
    config = ground.config
    with tools(ground.checkpoints, ground.inference) as opened:
        judge = Judge(opened.stockfish(), ground.judge)
        proposer = opened.player(ground.proposer) if config.plausible else None
        arena: Arena | None = None
        out = []
        for number in range(job.first, job.first + job.count):
            before, material = arena, ground.held if number % HELD == 0 else ground.material
            arena = Arena(
                ground.content, judge, material, queries=config.queries, oracle=config.oracle,
                plausible=config.plausible, proposer=proposer, prepared=ground.prepared, inference=ground.inference,
            )  # fmt: skip
            arena.opened = before.opened if before else None
            rng = np.random.default_rng([*job.seed, number])
            out.append(hunt(config.attack, arena, number, config.breaks, rng, config.drafts))
    return out


def hunt(attack: Attack, arena: Arena, number: int, breaks: int, rng: np.random.Generator, drafts: int = 0) -> Hunt:
    """One hunt: attempts until so many different breaks are found, or the budget is spent; keeps so many drafts."""
    watch, meter, idle = Watch(), arena.meter, 0
    found: dict[tuple[tuple[int, ...], int], Found] = {}
    while len(found) < breaks and idle < IDLE:
        before = meter.queries, meter.oracle
        try:
            one = attack.attempt(arena, rng)
        except Spent:
            break
        except SELF_EXPLANATORY:
            raise
        except Exception as error:
            raise REGISTRY.failure(attack, error) from error
        idle = idle + 1 if before == (meter.queries, meter.oracle) else 0
        if one:
            found.setdefault((one.packed, one.move), found_now(one, meter, watch.seconds()))
    seconds, made = watch.seconds(), list({(packed.tobytes(), move): packed for packed, move in arena.drafts}.items())
    kept = np.sort(rng.choice(len(made), min(drafts, len(made)), replace=False)) if made else ()
    return Hunt(
        number, tuple(found.values()), meter.queries, meter.oracle, seconds, meter.doubted, meter.agreed,
        tuple(Draft(planes.fen(planes.unpack(made[place][1])), made[place][0][1]) for place in kept),
    )  # fmt: skip


def found_now(one: Break, meter: Meter, seconds: float) -> Found:
    """A break, with what has been spent by now."""
    board = planes.unpack(np.array(one.packed, np.uint64))
    return Found(
        planes.fen(board), one.move, moves.uci(one.move, board), one.risk, one.loss, one.loss_again,
        meter.queries, meter.oracle, seconds,
    )  # fmt: skip


def hunts(
    cluster: Cluster,
    ground: Ground,
    seed: tuple[int, ...],
    folder: Path,
    done: Callable[[Sequence[Hunt]], None] = lambda found: None,
) -> list[Hunt]:
    """All hunts of an attack on a filter; those that `folder` holds are only read. `done` hears of each few."""
    folder.mkdir(parents=True, exist_ok=True)
    count = ground.config.hunts
    jobs = [_Job(seed, first, min(PER_JOB, count - first)) for first in range(0, count, PER_JOB)]
    known = {job.first: read(hunt_file(folder, job.first)) for job in jobs if hunt_file(folder, job.first).exists()}
    for there in known.values():
        done(there)

    def written(found: list[Hunt]) -> None:
        known[found[0].number] = found
        write(hunt_file(folder, found[0].number), found)
        done(found)

    cluster.map(hunt_block, ground, [job for job in jobs if job.first not in known], written)
    return [one for job in jobs for one in known[job.first]]


def hunt_file(folder: Path, first: int) -> Path:
    """Where hunts are written, the first of which has this number."""
    return folder / f"hunts-{first:05d}.jsonl"


def write(path: Path, hunts: Sequence[Hunt]) -> None:
    """Write hunts to a file, a line of JSON each."""
    write_whole(path, "".join(json.dumps(asdict(one)) + "\n" for one in hunts).encode())


def read(path: Path) -> list[Hunt]:
    """The hunts of a file."""
    return [Hunt.from_json(json.loads(line)) for line in path.read_text().splitlines()]
