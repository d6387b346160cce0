"""What attackers and the defender have spent, in one unit: the race between them over the rounds of hardening.

The unit is a pass: a network of the shipped size looks at one position; one of another size costs as much of it as it
has of its floating-point operations. A position that is learned from costs three passes, one forwards and about two
back. An engine's node counts `NODE` of a pass, which is what both take on one core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, ValidationError
from torch.utils.flop_counter import FlopCounterMode

from engines import planes
from engines.network import NetworkConfig, PolicyValueNet
from engines.settings import SpecError, explain
from sandwich.highstakes.attack_runs import AttackRun
from sandwich.highstakes.environment import JudgeConfig
from sandwich.statistics import Figure, Floats, break_rate_figure, seeds_figure

NODE = 1 / 300
"""Passes that a node is worth: 0.3 ms a position for the shipped size, a microsecond a node."""
LEARNED = 3
"""Passes of a position that is learned from, each time."""
LOOKS = 2
"""Of an engine for one verdict: at the position, and at what the move leads to."""


@cache
def passes(config: NetworkConfig) -> float:
    """What a network of this size costs for one position, in passes of the shipped size."""
    both = []
    for size in (config, NetworkConfig()):
        with torch.random.fork_rng(devices=[]), torch.no_grad(), FlopCounterMode(display=False) as counter:
            PolicyValueNet(size).eval()(torch.zeros(1, planes.PLANES, 8, 8))
        both.append(counter.get_total_flops())
    return float(both[0] / both[1])


@dataclass(frozen=True)
class Defender:
    """What a filter has cost up to its training, that of its predecessors included.

    learned: positions learned from, each time they were. labelled: positions labelled for it. nodes: of one label.
    look: passes of the filter for one position.
    """

    learned: float
    labelled: int
    nodes: int
    look: float = 1.0

    @property
    def passes(self) -> float:
        """In all."""
        return self.look * LEARNED * self.learned + NODE * self.labelled * self.nodes

    def json(self) -> dict[str, Any]:
        return {"learned": self.learned, "labelled": self.labelled, "passes": self.passes}


def passes_spent(
    runs: Sequence[AttackRun], judge: JudgeConfig, preparation: float, look: float = 1.0
) -> tuple[Floats, np.ndarray]:
    """Passes that each run had spent when it found its first example or ended, and which of the two, `[N]`.

    look: passes of the filter for one query. preparation: passes of what the attack prepared once for this filter: each
    run pays for the whole of it, as somebody does who comes to attack. Of the looks at more nodes that confirmed
    nothing the run's share up to then is counted.
    """
    spent, found = [], []
    for run in runs:
        queries, success = run.first("queries")
        oracle, _ = run.first("oracle")
        again = success + run.unconfirmed * (oracle / max(1, run.oracle))
        nodes = LOOKS * judge.nodes * (oracle + (judge.again - 1) * again)
        spent.append(preparation + look * queries + NODE * nodes)
        found.append(success)
    return np.array(spent), np.array(found, np.bool_)


def cost_of_break(spent: Floats, found: np.ndarray) -> Figure:
    """Passes of a first adversarial example: the inverse of the exponential rate, with its χ² interval.

    Without an example the low end alone is known, and there is no value.
    """
    rate = break_rate_figure(spent, found)
    if not rate.value:
        least = None if not rate.high else 1 / rate.high
        return Figure(None, reason=f"no run found an example: at least {least:.3g} passes" if least else rate.reason)
    return Figure(1 / rate.value, 1 / rate.high if rate.high else None, 1 / rate.low if rate.low else None, rate.n)


def race(
    defenders: Sequence[Defender],
    runs: Sequence[Mapping[str, Sequence[AttackRun]]],
    judge: JudgeConfig,
    preparation: Sequence[Mapping[str, float]],
) -> list[dict[str, Any]]:
    """For each generation what the defender had spent and what a first example costs each attack, as JSON."""
    return [
        {
            "defender": defender.json(),
            "attacks": {
                name: {
                    "successful": int(
                        (both := passes_spent(of_attack, judge, prepared.get(name, 0.0), defender.look))[1].sum()
                    ),
                    "runs": len(of_attack),
                    "spent": float(both[0].sum()),
                    "cost": cost_of_break(*both).json(),
                }
                for name, of_attack in by_attack.items()
                if of_attack
            },
        }
        for defender, by_attack, prepared in zip(defenders, runs, preparation, strict=True)
    ]


class _Cost(BaseModel):
    value: float | None


class _Attack(BaseModel):
    successful: NonNegativeInt
    spent: PositiveFloat
    cost: _Cost


class _Defender(BaseModel):
    passes: PositiveFloat


class _Round(BaseModel):
    defender: _Defender
    attacks: dict[str, _Attack]


class _Race(BaseModel):
    """What is read of a `result.json`; it has more."""

    compute: list[_Round] = Field(min_length=1)


def raced(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `race` returned, from an experiment's figures as they were read. Raises SpecError."""
    try:
        _Race.model_validate(result)
    except ValidationError as error:
        raise SpecError(explain(_Race, error)) from None
    return list(result["compute"])


def slope(rounds: Sequence[Mapping[str, Any]], attack: str) -> Figure:
    """Slope of log attacker's cost over log defender's spending of one experiment, by least squares; without interval.

    1: the attacker's cost grows as the defender's does; above, the defender gains. Half a break is added in every round
    (the mean cost is what all runs spent over their breaks and a half), so that rounds without any count too.
    """
    there = [(entry["defender"]["passes"], entry["attacks"][attack]) for entry in rounds if attack in entry["attacks"]]
    if len(there) < 3:
        return Figure(None, reason=f"expected at least 3 rounds with {attack}, got {len(there)}")
    if len({passes for passes, _ in there}) < 2:
        return Figure(None, reason="the defender had spent the same in every round")
    x = np.log([passes for passes, _ in there])
    y = np.log([of["spent"] / (of["successful"] + 0.5) for _, of in there])
    return Figure(float(np.polyfit(x, y, 1)[0]), n=len(there))


def slopes(experiments: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Figure]:
    """By attack the mean slope of several experiments that differ by seed, with Student's t over them."""
    names = dict.fromkeys(name for rounds in experiments for entry in rounds for name in entry["attacks"])
    return {name: seeds_figure([slope(rounds, name) for rounds in experiments]) for name in names}
