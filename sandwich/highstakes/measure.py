"""Figures of attacks: rates on closer looks, what an adversarial example costs, and which filter lets it through."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from engines import planes
from engines.filter import BlunderFilter
from engines.settings import Frozen
from sandwich.evaluation.oracle import Oracle
from sandwich.highstakes.attack_runs import AttackRun
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.environment import AdversarialExample
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import (
    Figure,
    break_rate_figure,
    clustered_share_figure,
    share_figure,
    survival_curve,
)

Floats = npt.NDArray[np.float32]
UNITS = ("queries", "oracle", "seconds")
"""What an attacker spends: positions looked at by the filter, moves judged by the oracle, time of one process."""


class VerifyConfig(Frozen):
    """A closer look at what is proposed and played in the test split."""

    positions: int = Field(1000, ge=20)
    """Positions of the test split at most."""
    nodes: int = Field(20_000, ge=1)
    """Nodes of the oracle for the position and for what each move leads to, hash cleared."""


def verified(
    cluster: Cluster,
    oracle: Oracle,
    test: Catastrophes,
    risk: Sequence[Floats],
    proposer: str,
    threshold: float,
    config: VerifyConfig,
    seed: int,
) -> dict[str, Figure]:
    """Rates of catastrophes among single proposals, each judged by itself.

    One proposal is drawn in each position, and, where the filter accepts any, one of those it accepts.
    Positions of games from one opening may depend on each other: intervals are those of Clopper and Pearson at an
    effective number of positions (`clustered_share_figure`). Raises EngineError.
    """
    rng = make_rng(RngStream.VERIFY, seed)
    rows = np.sort(rng.permutation(len(test))[: config.positions])
    boards = [planes.unpack(test.packed[row]) for row in rows]
    drawn, kept = [], []
    for row in rows:
        policy = test.proposals[proposer][row].astype(np.float64)
        accepted = policy * (risk[row] < threshold)
        drawn.append(int(test.drawn[proposer][row]))
        kept.append(int(rng.choice(len(policy), p=accepted / accepted.sum())) if accepted.sum() > 1e-9 else None)
    asked = [
        [test.legal[row][first]] + ([test.legal[row][second]] if second is not None else [])
        for row, first, second in zip(rows, drawn, kept, strict=True)
    ]
    losses = oracle.losses(cluster, boards, asked)
    if losses is None:
        reason = Figure(None, reason=oracle.missing)
        return {"base": reason, "served_base": reason, "served_filtered": reason}
    bad = [loss >= test.threshold for loss in losses]
    served = np.array([second is not None for second in kept])
    openings = test.openings[rows]
    base, filtered = np.array([row[0] for row in bad]), np.array([row[-1] for row in bad])
    return {
        "base": clustered_share_figure(base, openings),
        "served_base": clustered_share_figure(base[served], openings[served]),
        "served_filtered": clustered_share_figure(filtered[served], openings[served]),
    }


def cost(runs: Sequence[AttackRun], unit: str) -> dict[str, Any]:
    """What the first adversarial example of an attack costs in a unit: JSON of its median, rate and survival curve.

    otherwise: of the runs that ended without an example, those that ended on something else than the budget in this
        unit. When they did may tell when they would have found one (informative censoring), which Kaplan and Meier's
        estimate takes not to be so. soonest, latest: the median if each of them had found one there and then, and
        if none had before the last of all runs ended; without such runs all three are the same.
    """
    firsts = [run.first(unit) for run in runs]
    times, successful = np.array([time for time, _ in firsts]), np.array([success for _, success in firsts], np.bool_)
    otherwise = ~successful & np.array([run.ended not in (unit, None) for run in runs], np.bool_)
    curve = survival_curve(times, successful)
    soonest = survival_curve(times, successful | otherwise)
    latest = survival_curve(np.where(otherwise, times.max(initial=0), times), successful)
    return {
        "runs": len(runs),
        "successful": int(successful.sum()),
        "median": median(curve, len(runs)).json(),
        "otherwise": int(otherwise.sum()),
        "soonest": median(soonest, len(runs)).json(),
        "latest": median(latest, len(runs)).json(),
        "rate": break_rate_figure(times, successful).json(),
        "curve": [[at, figure.value, figure.low, figure.high] for at, figure in curve],
    }


def median(curve: Sequence[tuple[float, Figure]], n: int) -> Figure:
    """Time at which half of the runs have found an example: where the survival curve, and the ends of its interval,
    first come to ½ or below (Brookmeyer and Crowley 1982, Biometrics 38, 29–41)."""

    def first(end: str) -> float | None:
        return next((at for at, figure in curve if (value := getattr(figure, end)) is not None and value <= 0.5), None)

    value = first("value")
    if value is None:
        return Figure(None, reason=f"fewer than half of {n} runs found an example")
    return Figure(value, first("low"), first("high"), n)


def times_cheaper(cheap: Sequence[AttackRun], dear: Sequence[AttackRun], unit: str) -> Figure:
    """How many times more first examples for the same effort one attack finds than another.

    Quotient of the two exponential rates; its exact interval is that of the share of examples that are the
    first attack's, Clopper and Pearson's (Cox 1953, Biometrika 40, 354–360).
    """
    spent, successes = [], []
    for runs in (cheap, dear):
        firsts = [run.first(unit) for run in runs]
        spent.append(sum(time for time, _ in firsts))
        successes.append(sum(success for _, success in firsts))
    share = share_figure(successes[0], sum(successes))
    if share.value is None or not all(spent):
        return Figure(None, reason="neither attack found an example")
    odds = [
        None if end is None or end >= 1 else end / (1 - end) * spent[1] / spent[0]
        for end in (share.value, share.low, share.high)
    ]
    if odds[0] is None:
        return Figure(None, reason=f"the other attack found no example; at least {odds[1]:.3g} times")
    return Figure(odds[0], odds[1], odds[2], sum(successes))


def cheaper(runs_by_attack: Mapping[str, Sequence[AttackRun]]) -> dict[str, dict[str, Any]]:
    """How many times cheaper each attack is than `sample`, in each unit, as JSON; nothing without that one."""
    random = runs_by_attack.get("sample")
    return {
        name: {unit: times_cheaper(runs, random, unit).json() for unit in UNITS}
        for name, runs in runs_by_attack.items()
        if random and name != "sample" and runs
    }


def unconfirmed(runs: Sequence[AttackRun]) -> Figure:
    """Share of catastrophes found that were none on the closer look: the floor of what can be measured."""
    count = sum(run.unconfirmed for run in runs)
    return share_figure(count, count + sum(run.confirmed for run in runs))


def let_through(blunder_filter: BlunderFilter, examples: Sequence[tuple[int, AdversarialExample]]) -> Figure:
    """Share of examples (each with the number of its run) that a filter lets through at its own threshold."""
    if not examples:
        return Figure(None, reason="no examples were held back")
    packed = np.array([example.packed for _, example in examples], np.uint64)
    risk = [row[0] for row in blunder_filter(packed, [[example.move] for _, example in examples])]
    return clustered_share_figure(np.array(risk) < blunder_filter.threshold, np.array([run for run, _ in examples]))
