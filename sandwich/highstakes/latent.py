"""Latent adversarial training of a filter: a known catastrophe shall be seen although its activations are disturbed.

An adversary moves what the trunk makes of a position, behind a chosen number of blocks, within a ball, so that the
catastrophes in it look as safe as can be; the filter learns its verdicts there too (targeted latent adversarial
training: Casper et al. 2024, "Defending against unforeseen failure modes with latent adversarial training"; Sheshadri
et al. 2024). It is a relaxation: no position need have these activations. So the ball is measured in real edits: its
radius is a share of how far one random legal edit moves the activations. A whole one is far too much, since the worst
direction of so many moves a verdict some twenty times as far as an edit does.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from engines import moves, planes
from engines.network import PolicyValueNet
from sandwich.highstakes.attacks.unaided import edited
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.sift import frozen_norms, unit
from sandwich.statistics import Figure, clustered_share_figure
from sandwich.training.supervised import verdict_loss

EDITED = 200
"""Positions by whose edits the ball is measured."""
BATCH = 256
STRIDE = 0.5
"""Of the radius, in one step of the adversary."""


Pairs = tuple[torch.Tensor, torch.Tensor]
"""Planes `[B, P, 8, 8]` of positions, and of the same with one random legal edit each."""


def edited_pairs(packed: planes.Packed, rng: np.random.Generator, count: int = EDITED) -> Pairs:
    """Some positions before and after an edit, drawn by lot."""
    pairs: list[tuple[planes.Packed, planes.Packed]] = []
    for row in rng.permutation(len(packed))[:count]:
        board = planes.unpack(packed[row])
        legal = [moves.encode(move, board.turn) for move in board.legal_moves]
        if legal and (after := edited(packed[row], legal[int(rng.integers(len(legal)))], 1, rng)) is not None:
            pairs.append((packed[row], after))
    if not pairs:
        raise ValueError("expected positions that can be edited")
    before, behind = (torch.from_numpy(planes.planes(np.stack(side))) for side in zip(*pairs, strict=True))
    return before, behind


def moved(net: PolicyValueNet, pairs: Pairs, depth: int) -> float:
    """How far an edit moves a position's activations behind so many blocks: root mean square over the entries, in
    standard deviations of the position's own; the median over the pairs. The network is left in the mode that it is in.
    """
    device, training = next(net.parameters()).device, net.training
    net.eval()
    with torch.no_grad():
        was, now = (net.embedded(side.to(device), depth).float() for side in pairs)
    net.train(training)
    return float(((now - was).square().mean((1, 2, 3)).sqrt() / was.std((1, 2, 3))).median())


def displacement(net: PolicyValueNet, packed: planes.Packed, depth: int, rng: np.random.Generator) -> float:
    """`moved`, over edits of these positions."""
    return moved(net, edited_pairs(packed, rng), depth)


@dataclass(frozen=True)
class Latent:
    """A `sandwich.training.supervised.Penalty`: `weight` times the loss of the verdicts on disturbed activations.

    depth: blocks of the trunk behind which they are disturbed; 0: the stem's output. radius: of the ball, root mean
    square over the entries in standard deviations of the position's own; with `pairs` in what these edits move, by the
    network as it is at each step. steps: of the adversary.
    """

    weight: float
    depth: int
    radius: float
    steps: int
    pairs: Pairs | None = None

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
            activation = net.embedded(x, self.depth)
            here = (
                self if self.pairs is None else replace(self, radius=self.radius * moved(net, self.pairs, self.depth))
            )
            away = here.disturbance(net, activation.detach(), moves, policy, rng)
            disturbed, _ = net.above(activation + away, self.depth)
        return self.weight * verdict_loss(disturbed.float(), moves, policy)

    def disturbance(
        self,
        net: PolicyValueNet,
        activation: torch.Tensor,
        moves: torch.Tensor,
        policy: torch.Tensor,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """What is added to activations `[B, C, 8, 8]`: steps of projected gradient descent on the logits of the
        catastrophes, from a random point of the ball; nothing where there is no catastrophe."""
        scale = activation.float().std((1, 2, 3), keepdim=True)
        noise = torch.from_numpy(rng.standard_normal(activation.shape, np.float32)).to(activation.device)
        away = self.radius * STRIDE * unit(noise)
        bad = policy.clamp(min=0) * (moves >= 0)
        for _ in range(self.steps):
            away = away.detach().requires_grad_()
            with torch.enable_grad():
                logits, _ = net.above(activation + scale * away, self.depth)
                safe = functional.softplus(-logits.float().gather(1, moves.clamp(min=0)))
                (slope,) = torch.autograd.grad((safe * bad).sum(), away)
            away = away.detach() + self.radius * STRIDE * unit(slope)
            size = away.square().mean((1, 2, 3), keepdim=True).sqrt()
            away = away * (self.radius / size.clamp(min=1e-12)).clamp(max=1)
        return scale * away * (bad.sum(1) > 0)[:, None, None, None]


def fooled(
    net: PolicyValueNet,
    positions: Catastrophes,
    threshold: float,
    proposer: str,
    adversary: Latent,
    rng: np.random.Generator,
) -> tuple[Figure, Figure]:
    """Of the proposals that are catastrophes the share that is accepted, as the positions are and with the adversary at
    work on their activations; one drawn proposal of each position, those of one opening depending on each other."""
    rows = [row for row in range(len(positions)) if positions.bad(row)[positions.drawn[proposer][row]]]
    if not rows:
        none = Figure(None, reason="no proposal is a catastrophe")
        return none, none
    some = positions.take(rows)
    numbers = np.array([legal[place] for legal, place in zip(some.legal, some.drawn[proposer], strict=True)])
    calm: list[npt.NDArray[np.bool_]] = []
    disturbed: list[npt.NDArray[np.bool_]] = []
    net.eval()
    for first in range(0, len(some), BATCH):
        listed = torch.from_numpy(numbers[first : first + BATCH, None].astype(np.int64))
        with torch.no_grad():
            activation = net.embedded(
                torch.from_numpy(planes.planes(some.packed[first : first + BATCH])), adversary.depth
            )
        away = adversary.disturbance(net, activation, listed, torch.ones(listed.shape), rng)
        with torch.no_grad():
            for step, out in ((torch.zeros_like(away), calm), (away, disturbed)):
                logits, _ = net.above(activation + step, adversary.depth)
                out.append((torch.sigmoid(logits.gather(1, listed)[:, 0]) < threshold).numpy())
    both = (clustered_share_figure(np.concatenate(part), some.openings) for part in (calm, disturbed))
    return next(both), next(both)
