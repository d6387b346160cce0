"""A cascade: a second, dearer stage looks at the moves that the first filter doubts.

The first stage accepts a move whose risk is below `low`, refuses one at `high` or above, and hands on what lies
between. The second sees what such a move gives away, by an engine at few nodes or a network a few plies deep; both
together are a combined risk (`sandwich.highstakes.lookahead.Combination`), or the second alone is one, accepted below
a third threshold. All of it is chosen together on the calibration games, where the combination is fitted too.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agents.judging import move_value
from engines import network, planes
from engines.network import PolicyValueNet
from engines.settings import Frozen
from engines.stockfish import Stockfish
from sandwich.highstakes.calibrate import (
    Calibrated,
    CalibrationConfig,
    Curve,
    calibrated,
    calibrated_among,
    curve,
    grid,
)
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.fit import risks
from sandwich.highstakes.kept_rows import kept_rows
from sandwich.highstakes.lookahead import Combination, LookaheadConfig, drops, fitted, moves_judged
from sandwich.highstakes.variants import milliseconds
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import NO_PROGRESS, Prefixed, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]

BLOCK = 25
"""Positions whose moves an engine looks at before it answers."""
LOWS = (0.0, 0.05, 0.1, 0.2, 0.3)
"""Shares of the proposals, the safest ones, that the first stage may accept by itself."""
HIGHS = (0.0, 0.1, 0.2, 0.3, 0.4)
"""Shares of the proposals, the riskiest ones, that it may refuse by itself."""
APART = np.float32(2.0)
"""What the first stage accepts or refuses by itself is moved by this below or above every probability, in its order."""
TIMED = 100
"""Looks of an engine that are timed."""
ALONE = Combination(0.0, 10.0, -1.5)
"""The second stage alone: ½ where it sees 0.15 given away."""
BOUNDS = (0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of proposals refused at most, at which the curve of the residual rate is drawn."""


class EngineStage(Frozen):
    """An engine looks at the position and at what the move leads to, its hash cleared before each look."""

    kind: Literal["engine"]
    nodes: int = Field(400, ge=1)
    """Nodes of each look; far fewer than the judge's, or the stage would be the judge."""


class NetworkStage(LookaheadConfig):
    """A player's network looks one or two plies behind the move."""

    kind: Literal["network"]


AnyStage = Annotated[EngineStage | NetworkStage, Field(discriminator="kind")]


class CascadeConfig(Frozen):
    """A second stage behind the experiment's first filter."""

    stage: AnyStage
    """What it looks with."""
    refused: float = Field(0.4, gt=0, lt=1)
    """Share of proposals that both stages together may refuse, no more."""
    looked: float = Field(1.0, ge=0.3, le=1)
    """Share of proposals that the second stage may look at, no more."""


# ---- what the second stage sees


@dataclass(frozen=True, eq=False)
class _Job:
    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    nodes: int


def engine_block(path: str | None, job: _Job) -> list[Floats]:
    """For each position `[M]`, expected score that each legal move gives away; under 0 where it gains."""
    out = []
    with Stockfish(path, hash_mib=1) as engine:
        for packed, legal in zip(job.packed, job.legal, strict=True):
            board = planes.unpack(packed)
            engine.clear()
            before = engine.analyse(board.fen(), nodes=job.nodes)[0].expected_score
            after = [move_value(engine, board, number, job.nodes) for number in legal]
            out.append(np.asarray(before - np.array(after), np.float32))
    return out


def seen_in(stage: EngineStage | NetworkStage, checkpoints: Mapping[str, bytes]) -> str:
    """Name of the folder of what a stage sees, the same for all cascades that have it."""
    if isinstance(stage, EngineStage):
        return f"engine-{stage.nodes}"
    player = sha256(checkpoints[stage.player]).hexdigest()[:12]
    return f"network-{player}-{stage.plies}" + (f"-{stage.replies}" if stage.plies == 2 else "")


def seen(
    cluster: Cluster,
    stage: EngineStage | NetworkStage,
    checkpoints: Mapping[str, bytes],
    positions: Sequence[Catastrophes],
    inference: InferenceConfig,
    folder: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> list[Floats]:
    """What a stage sees each legal move give away, `[M]` for each position of all sets in order.

    Blocks that `folder` holds already are only read. Raises EngineError without a Stockfish where one is needed.
    """
    if isinstance(stage, NetworkStage):
        return drops(cluster, stage, checkpoints[stage.player], positions, inference, folder, progress)
    return kept_rows(
        cluster, engine_block, None, lambda packed, legal: _Job(packed, legal, stage.nodes),
        np.concatenate([part.packed for part in positions]), [row for part in positions for row in part.legal],
        folder, "drops", progress, BLOCK,
    )  # fmt: skip


# ---- thresholds


@dataclass(frozen=True)
class Doubt:
    """Risks, by the first stage, between which the second one looks: from `low` on, below `high`."""

    low: float
    high: float

    def moves(self, risk: Sequence[Floats]) -> list[npt.NDArray[np.bool_]]:
        """Which legal moves are handed on, for each position `[M]`."""
        return [(row >= self.low) & (row < self.high) for row in risk]

    def together(self, risk: Sequence[Floats], combined: Sequence[Floats]) -> list[Floats]:
        """Risks of both stages: the combined one where the second looks; else one below or above every threshold."""
        return [
            np.where(row < self.low, row - APART, np.where(row >= self.high, row + APART, both)).astype(np.float32)
            for row, both in zip(risk, combined, strict=True)
        ]


def doubts(positions: Catastrophes, risk: Sequence[Floats], proposer: str, most: float) -> Iterator[Doubt]:
    """The pairs of first thresholds to try: those that hand on no more than `most` of the proposals."""
    score = np.concatenate(list(risk)).astype(np.float64)
    weight = np.concatenate(positions.proposals[proposer]).astype(np.float64)
    order = np.argsort(score)
    share = np.cumsum(weight[order]) / weight.sum()

    def at(quantile: float) -> float:
        return float(score[order][min(int(np.searchsorted(share, quantile)), len(score) - 1)])

    for low in LOWS:
        for high in HIGHS:
            if 1 - low - high <= most + 1e-9:
                yield Doubt(at(low) if low else 0.0, at(1 - high) if high else 1.5)


Further = tuple[npt.NDArray[np.int64], Catastrophes]
"""Rows of the test split, and their positions with other labels."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a cascade is calibrated and tested on, each with the first stage's risks and, behind it, what the second
    sees.

    further: some rows of the test split, rising, and these positions labelled by a closer look still; None: there are
        none.
    """

    calibration: Catastrophes
    test: Catastrophes
    risk: tuple[Sequence[Floats], Sequence[Floats]]
    drop: tuple[Sequence[Floats], Sequence[Floats]]
    further: Further | None = None


def compared(
    parts: Parts, config: CascadeConfig, calibration: CalibrationConfig, proposer: str, proposed: float, seed: int
) -> dict[str, Any]:
    """A cascade's figures on the test split, its thresholds, what a decision takes, and its residual rate at other
    bounds of refusals, as JSON.

    proposed: weight of what is proposed in the fit of the combination (`FilterConfig.proposed`).
    """
    combinations = fitted(parts.calibration, parts.risk[0], parts.drop[0], proposed), ALONE
    pairs = list(product(combinations, doubts(parts.calibration, parts.risk[0], proposer, config.looked)))

    def both_stages(combine: Combination, doubt: Doubt) -> list[list[Floats]]:
        return [doubt.together(risk, combine(risk, drop)) for risk, drop in zip(parts.risk, parts.drop, strict=True)]

    curves: tuple[list[Curve], list[Curve]] = ([], [])
    for pair in pairs:
        together = both_stages(*pair)
        tried = np.unique(np.clip(grid(parts.calibration, together[0], proposer, calibration.grid), 1e-6, 1.0))
        for part, risk, into in zip((parts.calibration, parts.test), together, curves, strict=True):
            into.append(curve(part, risk, proposer, tried, calibration.proposals))
    bounds = {}
    for refused in sorted({*BOUNDS, config.refused}, reverse=True):
        bound = calibration.model_copy(update={"refused": refused, "merit": "conservative"})
        number, measured = calibrated_among(*curves, bound, make_rng(RngStream.CALIBRATION, seed))
        bounds[refused] = pairs[number], measured
    (combine, doubt), measured = bounds[config.refused]
    risk = both_stages(combine, doubt)[1]
    judged = moves_judged(
        parts.test, risk, proposer, measured.threshold, calibration.proposals, doubt.moves(parts.risk[1])
    )
    policy = np.concatenate(parts.test.proposals[proposer]).astype(np.float64)
    handed_on = float(policy @ np.concatenate(doubt.moves(parts.risk[1])) / policy.sum())
    return {
        "thresholds": {"low": doubt.low, "high": doubt.high, "combined": measured.threshold},
        "combination": asdict(combine),
        "figures": {key: figure.json() for key, figure in measured.figures.items()},
        "further": further_figures(parts.further, risk, proposer, measured.threshold, calibration, seed),
        "handed_on": handed_on,
        "moves": judged.moves,
        "any": judged.any,
        "curve": points({refused: measured for refused, (_, measured) in bounds.items()}),
    }


def further_figures(
    further: Further | None,
    risk: Sequence[Floats],
    proposer: str,
    threshold: float,
    calibration: CalibrationConfig,
    seed: int,
) -> dict[str, Any] | None:
    """Figures at a threshold by the closer look at some rows of the test split, as JSON; None without one."""
    if further is None:
        return None
    rows, positions = further
    sums = curve(positions, [risk[row] for row in rows], proposer, np.array([threshold]), calibration.proposals)
    measured = calibrated(sums, sums, calibration, make_rng(RngStream.CALIBRATION, seed), threshold)
    return {key: figure.json() for key, figure in measured.figures.items()}


def points(by_bound: Mapping[float, Calibrated]) -> list[dict[str, Any]]:
    """The curve of the residual rate against the proposals refused, chosen at these bounds, as JSON."""
    return [
        {
            "bound": bound,
            **{key: measured.figures[key].json() for key in ("rejected", "residual", "preferred", "errors")},
        }
        for bound, measured in by_bound.items()
    ]


# ---- comparison


@dataclass(frozen=True, eq=False)
class CascadeContext:
    """What cascades are made and measured with, the same for all of them.

    folder: where their files are. net: the first stage.
    """

    cluster: Cluster
    checkpoints: Mapping[str, bytes]
    inference: InferenceConfig
    calibration: CalibrationConfig
    proposer: str
    proposed: float
    seed: int
    folder: Path
    net: PolicyValueNet
    progress: ProgressReporter = NO_PROGRESS


def compare(
    context: CascadeContext,
    configs: Mapping[str, CascadeConfig],
    calibration: Catastrophes,
    test: Catastrophes,
    further: Further | None = None,
) -> dict[str, Any]:
    """The first filter alone (`alone`) and every cascade (`behind`), as JSON values; what stages see is kept in files.

    further: figures at the chosen thresholds by a closer look at some rows of the test split.
    milliseconds: of one decision, by one core: networks in batches of 256, an engine's looks one by one.
    """
    if not configs:
        return {}
    first = tuple(risks(context.net, part.packed, part.legal, context.inference) for part in (calibration, test))
    tried = grid(calibration, first[0], context.proposer, context.calibration.grid)
    curves = [
        curve(part, risk, context.proposer, tried, context.calibration.proposals)
        for part, risk in zip((calibration, test), first, strict=True)
    ]
    bounds = sorted({*BOUNDS, *(config.refused for config in configs.values())}, reverse=True)
    alone = {
        refused: calibrated(
            curves[0], curves[1], context.calibration.model_copy(update={"refused": refused, "merit": "conservative"}),
            make_rng(RngStream.CALIBRATION, context.seed),
        )
        for refused in bounds
    }  # fmt: skip
    each = milliseconds(context.net, test.packed)
    out: dict[str, Any] = {"alone": {"curve": points(alone), "milliseconds": each}, "behind": {}}
    if further:
        out["alone"]["further"] = [
            {"bound": bound, **(further_figures(
                further, first[1], context.proposer, measured.threshold, context.calibration, context.seed
            ) or {})}
            for bound, measured in alone.items()
        ]  # fmt: skip
    for name, config in configs.items():
        progress = Prefixed(context.progress, f"{name}: ")
        drop = seen(
            context.cluster, config.stage, context.checkpoints, [calibration, test], context.inference,
            context.folder / seen_in(config.stage, context.checkpoints), progress,
        )  # fmt: skip
        both = drop[: len(calibration)], drop[len(calibration) :]
        parts = Parts(calibration, test, (first[0], first[1]), both, further)
        progress.begin("calibrating", 1)
        made = compared(parts, config, context.calibration, context.proposer, context.proposed, context.seed)
        progress.advance()
        stage = config.stage
        if isinstance(stage, EngineStage):
            made["nodes"] = stage.nodes * (made["any"] + made["moves"])
            spent = engine_milliseconds(test, stage.nodes) * (made["any"] + made["moves"])
        else:
            made["evaluations"] = made["any"] + made["moves"] * stage.evaluations
            player = network.from_bytes(context.checkpoints[stage.player], stage.player)
            spent = milliseconds(player, test.packed) * made["evaluations"]
        out["behind"][name] = {
            "stage": stage.model_dump(mode="json"), "refused": config.refused, **made, "milliseconds": each + spent,
        }  # fmt: skip
    return out


def engine_milliseconds(positions: Catastrophes, nodes: int) -> float:
    """Milliseconds of one look, the mean over some positions."""
    boards = [planes.unpack(words).fen() for words in positions.packed[:TIMED]]
    with Stockfish(None, hash_mib=1) as engine:
        began = time.perf_counter()
        for fen in boards:
            engine.clear()
            engine.analyse(fen, nodes=nodes)
        return (time.perf_counter() - began) / len(boards) * 1e3
