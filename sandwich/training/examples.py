"""What a network is fitted to, how, and how far that is; loads no library of networks."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from engines import planes
from engines.inference import Device
from engines.settings import Frozen
from sandwich.runtime.progress import ProgressReporter


@dataclass(frozen=True, eq=False)
class Examples:
    """`N` positions with what is to be learned from each, for its side to move.

    packed: `[N, 10]` packed positions.
    moves: `[N, K]` numbers of the target moves, −1 where there are fewer than K.
    policy: `[N, K]` target probability of each; a row of zeros teaches the policy nothing. (For the
        objective `worth`: what each move is worth; for `judge`: how much its verdict counts, over 0 for
        yes and under 0 for no.)
    wdl: `[N, 3]` target probabilities of win, draw and loss; a row of zeros teaches the value nothing.
    weight: `[N]` weight of the example.
    """

    packed: planes.Packed
    moves: npt.NDArray[np.int16]
    policy: npt.NDArray[np.float32]
    wdl: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        n, k = self.moves.shape
        expected = {"packed": (n, planes.WORDS), "policy": (n, k), "wdl": (n, 3), "weight": (n,)}
        for name, shape in expected.items():
            got = getattr(self, name).shape
            if got != shape:
                raise ValueError(f"examples: expected {name} of shape {shape}, got {got}")

    def __len__(self) -> int:
        return len(self.packed)

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """The examples of these rows, in this order."""
        return Examples(self.packed[rows], self.moves[rows], self.policy[rows], self.wdl[rows], self.weight[rows])


def concatenate(parts: list[Examples]) -> Examples:
    """All examples of several sets, in order; the widest K of them."""
    width = max(part.moves.shape[1] for part in parts)

    def wide(array: npt.NDArray[np.generic], fill: float) -> npt.NDArray[np.generic]:
        return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)

    return Examples(
        np.concatenate([part.packed for part in parts]),
        np.concatenate([wide(part.moves, -1) for part in parts]).astype(np.int16),
        np.concatenate([wide(part.policy, 0) for part in parts]).astype(np.float32),
        np.concatenate([part.wdl for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


class TrainConfig(Frozen):
    """How a network is fitted to examples."""

    epochs: float = Field(2.0, gt=0)
    """Passes over the examples."""
    batch: int = Field(1024, ge=2)
    """Positions per optimiser step."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak of the one-cycle schedule (5 % of the steps up, a cosine down to zero)."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW, on everything but norms and biases."""
    value_weight: float = Field(1.0, ge=0)
    """Weight of the value loss beside the policy loss."""
    objective: Literal["imitate", "symmetric", "bootstrapped", "worth", "judge"] = "imitate"
    """`imitate`: the examples' policy is the target of a cross-entropy. `symmetric`: the same less strongly, and the
    reverse cross-entropy beside it (Wang et al. 2019). `bootstrapped`: the target is a mixture of it and of what the
    network itself says (Reed et al. 2015). `worth`: it is what each of the listed moves is worth, and the policy
    ascends the gradient of its expected worth. `judge`: each of the listed moves is a yes or a no, and the sigmoid of
    its logit is the probability of a yes."""
    entropy: float = Field(0.02, ge=0)
    """Worth of one nat of the policy's entropy, for the objective `worth`."""
    mirror: bool = True
    """Show positions without castling rights mirrored left to right half of the time."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """bf16 halves the time on a CPU with AVX512-BF16 and on CUDA; `auto` takes it there."""
    threads: int = Field(2, ge=1)
    """Threads of torch while it trains; part of the recipe, since sums depend on it."""
    device: Device = "auto"
    """Where to train."""


@dataclass(frozen=True)
class FitProgress:
    """Where a training stands: steps done and to do, and means over the steps since the last report.

    A loss is the mean over those examples of a step that have a target for it.
    """

    step: int
    steps: int
    policy_loss: float
    value_loss: float
    top1: float
    """Share of the examples for the policy whose most probable move is the first target."""


class FitReporter:
    """Shows the progress of a fit as one phase, and keeps the last that it heard."""

    def __init__(self, progress: ProgressReporter, phase: str) -> None:
        self._progress = progress
        self._phase = phase
        self.last: FitProgress | None = None

    def __call__(self, fit: FitProgress) -> None:
        if self.last is None:
            self._progress.begin(self._phase, fit.steps)
        done = self.last.step if self.last else 0
        self._progress.advance(fit.step - done, f"loss {fit.policy_loss:.2f}, top-1 {fit.top1:.0%}")
        self.last = fit
