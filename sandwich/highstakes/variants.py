"""Other filters on the same data: with fewer labels, of another size, with a look-ahead; and what each of them costs.

Owns what a variant learns from and begins as, and the comparison with the experiment's first filter;
training and calibration are those of `sandwich.highstakes.adversarial_training`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from engines import filter as filters
from engines import network, planes
from engines.inference import OnnxEvaluator
from engines.network import PolicyValueNet
from engines.settings import SpecError
from sandwich.highstakes import lookahead
from sandwich.highstakes.calibrate import Calibrated, CalibrationConfig, difference
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.fit import FilterConfig, ranking, risks
from sandwich.highstakes.lookahead import LookaheadConfig
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import read_if_there, read_kept, write_kept
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import Prefixed, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import Figure

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]

BATCH = 256
REPEATS = 7
DRAWS = 400
"""Draws of the bootstrap over openings behind the interval of an area."""
COMPARED = ("residual", "rejected", "served_filtered", "played", "preferred")
"""Figures in which a variant is compared with the first filter."""


class VariantConfig(FilterConfig):
    """Another filter: how it differs from the experiment's own in what it learns from, is, and looks at."""

    positions: float | None = Field(None, gt=0)
    """Positions learned from, drawn at random: their number, or where it is under 1 their share; None: all."""
    lookahead: LookaheadConfig | None = None
    """What is looked at behind a move; None: nothing is."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.positions is not None and self.positions >= 1 and self.positions != round(self.positions):
            raise SpecError(f"positions: expected a whole number, or a share under 1, got {self.positions:g}")
        return self


def begun(config: FilterConfig, checkpoints: Mapping[str, bytes], seed: int) -> PolicyValueNet:
    """The network that a filter begins as."""
    if config.network is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PolicyValueNet(config.network)
    return network.from_bytes(checkpoints[config.start], config.start)


def dealt(name: str, config: VariantConfig, learn: Catastrophes, seed: int) -> tuple[Catastrophes, Catastrophes]:
    """What a variant's network learns from, and what its look-ahead is weighed up on (nothing without one).

    Variants of fewer positions learn from some of those that others learn from. Raises SpecError where there are
    not so many.
    """
    kept, held = np.arange(len(learn)), np.arange(0)
    if config.lookahead is not None:
        openings = make_rng(RngStream.VARIANT_HELD, seed).permutation(np.unique(learn.openings))
        away = np.isin(learn.openings, openings[: max(1, round(config.lookahead.held * len(openings)))])
        kept, held = np.flatnonzero(~away), np.flatnonzero(away)
    if config.positions is not None:
        count = round(config.positions * len(kept)) if config.positions < 1 else int(config.positions)
        if not 2 <= count <= len(kept):
            raise SpecError(f"variants.{name}.positions: expected 2 to {len(kept)} positions, got {count}")
        kept = np.sort(make_rng(RngStream.VARIANT_POSITIONS, seed).permutation(kept)[:count])
    return learn.take(kept), learn.take(held)


# ---- what a filter costs


def parameters(net: PolicyValueNet) -> int:
    """Weights of a network."""
    return sum(parameter.numel() for parameter in net.parameters())


def milliseconds(net: PolicyValueNet, packed: planes.Packed) -> float:
    """Milliseconds of one core for one position in a batch of 256: the fastest of several batches of `packed`."""
    batch = packed[np.arange(BATCH) % len(packed)]
    evaluator = OnnxEvaluator(net, threads=1)
    spent = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        evaluator.logits(batch)
        spent.append(time.perf_counter() - began)
    return min(spent[1:]) / BATCH * 1e3


# ---- comparison


@dataclass(frozen=True, eq=False)
class Area:
    """Area under a filter's ROC over proposals, and in each draw of a bootstrap over openings, `[R]`."""

    value: float
    draws: Floats64

    def figure(self, n: int, other: "Area | None" = None) -> Figure:
        """The area with its interval, or by how much it is above another one; `n` positions."""
        draws = self.draws - (0 if other is None else other.draws)
        low, high = np.nanquantile(draws, [0.025, 0.975])
        return Figure(self.value - (0 if other is None else other.value), float(low), float(high), n)


def area(positions: Catastrophes, risk: Sequence[Floats], proposer: str, seed: int) -> Area:
    """Area under the ROC over the proposals of one proposer; the same draws for every filter."""
    moves = ranking(positions, risk)
    weight = np.concatenate(positions.proposals[proposer]).astype(np.float64)
    openings, place = np.unique(positions.openings, return_inverse=True)
    opening = np.repeat(place, [len(row) for row in risk])
    rng = make_rng(RngStream.ROC, seed)
    counts = rng.multinomial(len(openings), np.full(len(openings), 1 / len(openings)), size=DRAWS)
    return Area(moves.area(weight), np.array([moves.area(weight * count[opening]) for count in counts]))


class Measured(Protocol):
    """Figures of a network by proposer, and its risks in the calibration and in the test split.

    adjusted: what its risks in the calibration split and in the test split, one behind the other, are turned into.
    """

    def __call__(
        self,
        net: PolicyValueNet,
        data: Catastrophes,
        name: str,
        adjusted: Callable[[list[Floats]], list[Floats]] = ...,
    ) -> tuple[dict[str, Calibrated], list[Floats], list[Floats]]: ...


@dataclass(frozen=True, eq=False)
class VariantContext:
    """What variants are made and measured with, the same for all of them.

    folder: where their files are. fit: trains a filter of these settings on these positions, under this name.
    """

    cluster: Cluster
    checkpoints: Mapping[str, bytes]
    inference: InferenceConfig
    calibration: CalibrationConfig
    proposer: str
    seed: int
    folder: Path
    fit: Callable[[FilterConfig, Catastrophes, str], PolicyValueNet]
    measured: Measured
    progress: ProgressReporter


@dataclass(frozen=True, eq=False)
class Row:
    """What a variant came to: JSON values of its figures, and what differences are taken from."""

    calibrated: Calibrated
    area: Area
    n: int
    json: dict[str, Any]

    def less(self, other: "Row") -> dict[str, Any]:
        """By how much its figures are above another's, draw by draw."""
        figures = {key: difference(self.calibrated, other.calibrated, key).json() for key in COMPARED}
        return {"auc": self.area.figure(self.n, other.area).json(), **figures}


def row(
    context: VariantContext,
    net: PolicyValueNet,
    test: Catastrophes,
    measured: Calibrated,
    risk: Sequence[Floats],
    learned: int,
    look: tuple[LookaheadConfig, PolicyValueNet] | None = None,
) -> Row:
    """The figures of one filter and its cost; `look` has the look-ahead, and the network that looks.

    A decision is one pass of the filter; with a look-ahead, one more of the position itself and those behind every
    different move that is proposed, up to the first that is accepted.
    """
    under_roc = area(test, risk, context.proposer, context.seed)
    each = milliseconds(net, test.packed)
    evaluations = everything = 1.0
    spent = each
    if look is not None:
        config, player = look
        judged = lookahead.moves_judged(test, risk, context.proposer, measured.threshold, context.calibration.proposals)
        evaluations = 2 + judged.moves * config.evaluations
        everything = 2 + float(np.mean([len(row) for row in test.legal])) * config.evaluations
        spent += (evaluations - 1) * milliseconds(player, test.packed)
    figures = {
        "positions": learned,
        "auc": under_roc.figure(len(test)).json(),
        "figures": {key: figure.json() for key, figure in measured.figures.items()},
        "cost": {
            "parameters": parameters(net),
            "milliseconds": each,
            "evaluations": evaluations,
            "evaluations_all": everything,
            "milliseconds_decision": spent,
        },
    }
    return Row(measured, under_roc, len(test), figures)


def compare(
    context: VariantContext, configs: Mapping[str, VariantConfig], data: Catastrophes, first: bytes,
    measured: Calibrated, risk: Sequence[Floats],
) -> dict[str, Any]:  # fmt: skip
    """The first filter (`reference`) and every variant beside it, as JSON values; trained where missing.

    first: the filter's file. measured, risk: its figures and what it says of the test split.
    """
    if not configs:
        return {"reference": None, "variants": {}}
    learn, test = data.split("train"), data.split("test")
    reference = row(context, filters.from_bytes(first)[0], test, measured, risk, len(learn))
    out = {}
    for name, config in configs.items():
        made = _variant(context, name, config, data, learn)
        out[name] = {**made.json, "difference": made.less(reference)}
    return {"reference": reference.json, "variants": out}


def _variant(context: VariantContext, name: str, config: VariantConfig, data: Catastrophes, learn: Catastrophes) -> Row:
    path = context.folder / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    learned, held = dealt(name, config, learn, context.seed)
    if read_if_there(path) is None:
        write_kept(path, filters.to_bytes(context.fit(config, learned, name), 0.5))
    net, _ = filters.from_bytes(read_kept(path), str(path))
    test, look = data.split("test"), config.lookahead
    measured, _, risk = context.measured(net, data, name)
    plain = row(context, net, test, measured[context.proposer], risk, len(learned))
    if look is None:
        return plain
    parts = [held, data.split("calibration"), test]
    progress = Prefixed(context.progress, f"{name}: ")
    checkpoint = context.checkpoints[look.player]
    drops = lookahead.drops(
        context.cluster, look, checkpoint, parts, context.inference, context.folder / name, progress
    )
    own = risks(net, held.packed, held.legal, context.inference)
    combine = lookahead.fitted(held, own, drops[: len(held)], config.proposed)
    measured, _, risk = context.measured(net, data, name, lambda risk: combine(risk, drops[len(held) :]))
    player = network.from_bytes(checkpoint, look.player)
    made = row(context, net, test, measured[context.proposer], risk, len(learned), (look, player))
    made.json["lookahead"] = {
        **asdict(combine), "weighed on": len(held), "without": plain.json, "gain": made.less(plain),
    }  # fmt: skip
    return made
