"""What a ladder has shown: rates on closer looks, what a break costs, and every filter against every round's breaks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from engines import planes
from engines.filter import BlunderFilter
from engines.settings import Frozen
from sandwich.evaluation.oracle import Oracle
from sandwich.highstakes.arena import Break
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.hunt import Hunt
from sandwich.runtime.cluster import Cluster
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
    Positions of one game may depend on each other: intervals are those of Clopper and Pearson at an effective number
    of positions (`clustered_share_figure`). Raises EngineError.
    """
    rng = np.random.default_rng([seed, 7])
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
    games = test.games[rows]
    base, filtered = np.array([row[0] for row in bad]), np.array([row[-1] for row in bad])
    return {
        "base": clustered_share_figure(base, games),
        "served_base": clustered_share_figure(base[served], games[served]),
        "served_filtered": clustered_share_figure(filtered[served], games[served]),
    }


def cost(hunts: Sequence[Hunt], unit: str) -> dict[str, Any]:
    """What the first break of an attack costs in a unit: JSON of its median, its rate, and its survival curve."""
    firsts = [hunt.first(unit) for hunt in hunts]
    times, broken = np.array([time for time, _ in firsts]), np.array([done for _, done in firsts], np.bool_)
    curve = survival_curve(times, broken)
    return {
        "hunts": len(hunts),
        "broken": int(broken.sum()),
        "median": median(curve, len(hunts)).json(),
        "rate": break_rate_figure(times, broken).json(),
        "curve": [[at, figure.value, figure.low, figure.high] for at, figure in curve],
    }


def median(curve: Sequence[tuple[float, Figure]], n: int) -> Figure:
    """Time at which half of the attacks have broken through: where the survival curve, and the ends of its interval,
    first come to ½ or below (Brookmeyer and Crowley 1982, Biometrics 38, 29–41)."""

    def first(end: str) -> float | None:
        return next((at for at, figure in curve if (value := getattr(figure, end)) is not None and value <= 0.5), None)

    value = first("value")
    if value is None:
        return Figure(None, reason=f"fewer than half of {n} hunts ended in a break")
    return Figure(value, first("low"), first("high"), n)


def times_cheaper(cheap: Sequence[Hunt], dear: Sequence[Hunt], unit: str) -> Figure:
    """How many times more breaks for the same effort one attack finds than another.

    Quotient of the two exponential rates; its exact interval is that of the share of breaks that are the
    first attack's, Clopper and Pearson's (Cox 1953, Biometrika 40, 354–360).
    """
    spent, breaks = [], []
    for hunts in (cheap, dear):
        firsts = [hunt.first(unit) for hunt in hunts]
        spent.append(sum(time for time, _ in firsts))
        breaks.append(sum(done for _, done in firsts))
    share = share_figure(breaks[0], sum(breaks))
    if share.value is None or not all(spent):
        return Figure(None, reason="neither attack found a break")
    odds = [
        None if end is None or end >= 1 else end / (1 - end) * spent[1] / spent[0]
        for end in (share.value, share.low, share.high)
    ]
    if odds[0] is None:
        return Figure(None, reason=f"the other attack found no break; at least {odds[1]:.3g} times")
    return Figure(odds[0], odds[1], odds[2], sum(breaks))


def cheaper(there: Mapping[str, Sequence[Hunt]]) -> dict[str, dict[str, Any]]:
    """How many times cheaper each attack is than `sample`, in each unit, as JSON; nothing without that one."""
    random = there.get("sample")
    return {
        name: {unit: times_cheaper(found, random, unit).json() for unit in UNITS}
        for name, found in there.items()
        if random and name != "sample" and found
    }


def doubted(hunts: Sequence[Hunt]) -> Figure:
    """Share of catastrophes found that were none on the closer look: the floor of what can be measured."""
    doubts = sum(hunt.doubted for hunt in hunts)
    return share_figure(doubts, doubts + sum(hunt.agreed for hunt in hunts))


def let_through(judge: BlunderFilter, breaks: Sequence[tuple[int, Break]]) -> Figure:
    """Share of breaks (each with its hunt) that a filter lets through at its own threshold."""
    if not breaks:
        return Figure(None, reason="no breaks were held back")
    packed = np.array([one.packed for _, one in breaks], np.uint64)
    risk = [row[0] for row in judge(packed, [[one.move] for _, one in breaks])]
    return clustered_share_figure(np.array(risk) < judge.threshold, np.array([hunt for hunt, _ in breaks]))
