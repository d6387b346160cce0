"""SiFT for a filter: its verdicts shall not change when its embedding of a position is perturbed a little.

Scale-invariant fine-tuning (He et al. 2021, "DeBERTa", section 4) is virtual adversarial training
(Miyato et al. 2018, IEEE TPAMI 41(8)) on normalised embeddings. Planes are discrete, so what is
perturbed is the stem's normalised output z, in units of its own standard deviation σ over the channels
and squares of a position:

    z' = z + σ·δ,  rms(δ) = radius

which perturbs (z − mean z)/σ by δ and takes the normalisation back: the network stays the one it is, and
the size of the stem's weights has no part in the size of the perturbation. δ points to where the
divergence grows most, by one step of power iteration from a random direction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from engines.network import PolicyValueNet


@dataclass(frozen=True)
class Sift:
    """A `sandwich.training.supervised.Penalty`: `weight` times the divergence between verdicts, perturbed and not.

    radius: root mean square of δ, in standard deviations of the embedding.
    The gradient goes through both verdicts; the perturbation itself is a constant to it.
    """

    weight: float
    radius: float

    def __call__(
        self,
        net: PolicyValueNet,
        x: torch.Tensor,
        logits: torch.Tensor,
        moves: torch.Tensor,
        policy: torch.Tensor,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        with frozen_norms(net):
            embedding = net.embedded(x)
            away = adversarial(net, embedding.detach(), logits.detach(), moves, policy, self.radius, rng)
            perturbed, _ = net.above(embedding + away)
        return self.weight * divergence(logits, perturbed.float(), moves, policy)


def divergence(clean: torch.Tensor, other: torch.Tensor, moves: torch.Tensor, policy: torch.Tensor) -> torch.Tensor:
    """Symmetric Kullback–Leibler divergence between the verdicts of two rows of logits `[B, A]`, in nats, `[B]`.

    KL(p‖q) + KL(q‖p) = (p − q)·(logit p − logit q) for each of the listed moves `[B, K]`, then their mean, in which a
    move counts as much as in the loss of its verdict (|`policy`|).
    """
    places = moves.clamp(min=0)
    first, second = clean.gather(1, places), other.gather(1, places)
    apart = (torch.sigmoid(first) - torch.sigmoid(second)) * (first - second)
    counts = policy.abs() * (moves >= 0)
    return (apart * counts).sum(1) / counts.sum(1).clamp(min=1e-9)


def adversarial(
    net: PolicyValueNet,
    embedding: torch.Tensor,
    clean: torch.Tensor,
    moves: torch.Tensor,
    policy: torch.Tensor,
    radius: float,
    rng: np.random.Generator,
) -> torch.Tensor:
    """The perturbation σ·δ of an embedding, `[B, C, 8, 8]`: one step of power iteration from a random direction.

    embedding, clean: without gradient, of the network in the mode that it is in. The step is taken at the
    radius itself and not close to zero as in the source, where differences would drown in half precision.
    """
    noise = torch.from_numpy(rng.standard_normal(embedding.shape, np.float32)).to(embedding.device)
    scale = radius * embedding.float().std((1, 2, 3), keepdim=True)
    start = (scale * unit(noise)).requires_grad_()
    with torch.enable_grad():
        logits, _ = net.above(embedding + start)
        (slope,) = torch.autograd.grad(divergence(clean, logits.float(), moves, policy).sum(), start)
    return scale * unit(slope)


def unit(direction: torch.Tensor) -> torch.Tensor:
    """Each row of `[B, C, 8, 8]` at a root mean square of 1; a row of zeros stays one."""
    largest = direction.abs().amax((1, 2, 3), keepdim=True)
    direction = direction / largest.clamp(min=1e-30)  # slopes may be so small that their squares are none
    return direction / direction.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)


@contextmanager
def frozen_norms(net: nn.Module) -> Iterator[None]:
    """Leave the running averages of batch norms as they are, in training mode too: only the clean pass counts."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
