"""Training a filter on labelled positions; its threshold is calibrated afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from torch import nn

from agents.checkpoint_files import Checkpoint
from engines import planes
from engines.filter import sigmoid
from engines.inference import make_evaluator, wdl_of
from engines.network import NetworkConfig, PolicyValueNet
from engines.settings import Frozen, SpecError
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.latent import Latent, edited_pairs
from sandwich.highstakes.sift import Sift
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import Ranking
from sandwich.training.examples import Examples, FitProgress, TrainConfig
from sandwich.training.supervised import Penalty, train

Floats = npt.NDArray[np.float32]

BATCH = 512
MEASURED = 64
"""Edits by which the ball of latent training is measured, at every step."""


class VerdictFit(TrainConfig):
    """How a network is fitted to verdicts."""

    epochs: float = Field(6.0, gt=0)
    """Passes over the examples."""
    batch: int = Field(512, ge=2)
    """Positions per optimiser step."""
    value_weight: float = Field(0.2, ge=0)
    """Weight of the value loss beside that of the verdicts."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it saves time."""
    objective: Literal["judge"] = "judge"
    """Each move is a yes or a no."""
    sift: float = Field(0.0, ge=0)
    """Weight of the divergence under an adversarial perturbation of the embedding (`sandwich.highstakes.sift`); 0:
    none."""
    sift_radius: float = Field(0.02, gt=0)
    """Size of that perturbation, in standard deviations of the embedding (root mean square over its entries)."""
    latent: float = Field(0.0, ge=0)
    """Weight of the loss on activations that an adversary has moved (`sandwich.highstakes.latent`); 0: none."""
    latent_depth: int = Field(3, ge=0)
    """Blocks of the trunk behind which it moves them; 0: the stem's output."""
    latent_radius: float = Field(0.1, gt=0)
    """How far, as a share of how far one random edit of a position moves them."""
    latent_steps: int = Field(2, ge=1)
    """Steps of the adversary."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.sift and self.latent:
            raise ValueError("expected sift or latent, not both")
        return self


class FilterConfig(Frozen):
    """How a filter is trained."""

    start: Checkpoint = "weak"
    """The network that the filter begins as: `weak` is what the weak side can afford to have."""
    network: NetworkConfig | None = None
    """Size of a network that learns from nothing; None: the filter begins as `start`, and has its size."""
    head_only: bool = False
    """Train the from–to map alone and leave the trunk as it is: an extra head on the player's own network."""
    proposed: float = Field(2.0, ge=0)
    """Weight of a position's moves by how likely they are proposed, beside a weight of 1 spread evenly over all."""
    fit: VerdictFit = VerdictFit()
    """Loss, schedule, batch."""

    @model_validator(mode="after")
    def _trunk(self) -> Self:
        if self.network is not None and self.head_only:
            raise SpecError("head_only: a network that learns from nothing (network) has no trunk to leave as it is")
        return self


def lessons(positions: Catastrophes, proposed: float, weight: Floats | None = None) -> Examples:
    """Examples that teach of every legal move of labelled positions whether it is a catastrophe.

    proposed: weight of what is proposed (the mean over proposers), beside 1 spread evenly over the moves.
    weight: `[N]` weight of each position; None: all alike.
    """
    width = max(map(len, positions.legal))
    numbers = np.full((len(positions), width), -1, np.int16)
    verdict = np.zeros((len(positions), width), np.float32)
    for row, legal in enumerate(positions.legal):
        counts = np.full(len(legal), 1 / len(legal), np.float32)
        if positions.proposals:
            counts += proposed * np.mean([lists[row] for lists in positions.proposals.values()], axis=0)
        numbers[row, : len(legal)] = legal
        verdict[row, : len(legal)] = np.where(positions.bad(row), counts, -counts)
    best = np.array([values.max() for values in positions.values], np.float32)
    if weight is None:
        weight = np.ones(len(positions), np.float32)
    return Examples(positions.packed, numbers, verdict, wdl_of(best), weight)


def train_filter(
    net: PolicyValueNet,
    examples: Examples,
    config: TrainConfig,
    seed: int,
    *,
    head_only: bool = False,
    on_progress: Callable[[FitProgress], None] = lambda progress: None,
) -> PolicyValueNet:
    """Fit a network (changed in place) to verdicts; the same call gives the same weights."""
    if head_only:
        for name, parameter in net.named_parameters():
            parameter.requires_grad = name.split(".")[0] in {"policy", "start", "end", "promote"}
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0  # the trunk's norms keep the averages that they have
    return train(net, examples, config, seed, on_progress, _penalty(net, examples, config, seed))


def _penalty(net: PolicyValueNet, examples: Examples, config: TrainConfig, seed: int) -> Penalty | None:
    """What the loss has besides. Raises SpecError for a depth that the network has not."""
    if not isinstance(config, VerdictFit) or not (config.sift or config.latent):
        return None
    if not config.latent:
        return Sift(config.sift, config.sift_radius)
    if config.latent_depth > net.config.blocks:
        raise SpecError(
            f"filter.fit.latent_depth: expected at most {net.config.blocks}, the blocks of the network, got"
            f" {config.latent_depth}"
        )
    pairs = edited_pairs(examples.packed, make_rng(RngStream.LATENT, seed), MEASURED)
    return Latent(config.latent, config.latent_depth, config.latent_radius, config.latent_steps, pairs)


def risks(
    net: PolicyValueNet, packed: planes.Packed, legal: Sequence[Sequence[int]], inference: InferenceConfig
) -> list[Floats]:
    """For each position `[M]`, probability that each legal move is a catastrophe."""
    evaluator = make_evaluator(net, backend=inference.backend, device=inference.device, threads=inference.threads)
    out: list[Floats] = []
    for first in range(0, len(packed), BATCH):
        logits, _ = evaluator.logits(packed[first : first + BATCH])
        out += [
            sigmoid(row[np.asarray(numbers)]) for row, numbers in zip(logits, legal[first : first + BATCH], strict=True)
        ]
    return out


@dataclass(frozen=True, eq=False)
class Roc:
    """Share of catastrophes refused against that of other moves refused, over proposals.

    refused_bad, refused_fine: `[K]`, rising; empty where all moves are of one kind. auc: area under the curve, or None.
    """

    refused_bad: Floats
    refused_fine: Floats
    auc: float | None


def ranking(positions: Catastrophes, risk: Sequence[Floats]) -> Ranking:
    """All legal moves of all positions, the riskiest first."""
    bad = np.concatenate([positions.bad(row) for row in range(len(positions))])
    return Ranking.of(-np.concatenate(list(risk)).astype(np.float64), bad)


def roc(positions: Catastrophes, risk: Sequence[Floats], proposer: str | None, points: int = 200) -> Roc:
    """ROC of a filter over the proposals of one proposer (each counted by its probability), or over all legal moves."""
    weight = np.concatenate(positions.proposals[proposer]).astype(np.float64) if proposer else None
    moves = ranking(positions, risk)
    curve = moves.roc(weight)
    if curve is None:
        return Roc(np.empty(0, np.float32), np.empty(0, np.float32), None)
    at = np.linspace(0, 1, points)
    return Roc(np.interp(at, *curve).astype(np.float32), at.astype(np.float32), moves.area(weight))
