"""Supervised learning: examples and a network in, a better network out.

Owns the loss, the schedule and the order of the examples, for the training of expert and weak
player and for the fine-tuning inside the loop alike. The order follows from the seed, so that a
training cut short goes on to the same weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from engines import moves, planes
from engines.inference import resolve_device
from engines.network import PolicyValueNet
from sandwich.training.examples import Examples, FitProgress, TrainConfig


def _share(of: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Share of the weight `[B]` that these examples have; 1 where none of them has any."""
    share = (weight * of).sum() / weight.sum()
    return torch.where(share > 0, share, torch.ones_like(share))


def total_steps(examples: int, config: TrainConfig) -> int:
    """Optimiser steps of a training."""
    return max(1, round(config.epochs * examples / min(config.batch, examples)))


def _mirrored(packed: planes.Packed) -> planes.Packed:
    """Positions mirrored left to right (files a–h swapped), castling rights assumed absent."""
    out = packed.copy()
    boards = out[:, :8]
    for shift, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        by, keep = np.uint64(shift), np.uint64(mask)
        boards[:] = (boards >> by & keep) | ((boards & keep) << by)
    state = out[:, 9]
    ep = state >> np.uint64(1) & np.uint64(127)
    turned = np.where(ep > 0, ((ep - np.uint64(1)) ^ np.uint64(7)) + np.uint64(1), np.uint64(0))
    out[:, 9] = state & ~np.uint64(127 << 1) | turned << np.uint64(1)
    return out


def _mirror_half(batch: Examples, rng: np.random.Generator) -> Examples:
    chosen = (rng.random(len(batch)) < 0.5) & (batch.packed[:, 8] == 0)
    packed, targets = batch.packed.copy(), batch.moves.copy()
    packed[chosen] = _mirrored(packed[chosen])
    targets[chosen] = np.where(targets[chosen] < 0, -1, moves.MIRROR[targets[chosen]])
    return Examples(packed, targets, batch.policy, batch.wdl, batch.weight)


def _use_bf16(config: TrainConfig, device: str) -> bool:
    if config.precision != "auto":
        return config.precision == "bf16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


FORWARD, REVERSE, LOG_OF_NOTHING = 0.1, 1.0, -4.0
"""Of the symmetric cross-entropy, as for CIFAR-10 in the paper: weights of both parts, and what stands for log 0."""
GIVEN = 0.95
"""Share of the examples' policy in a bootstrapped target, as for the paper's soft form; the rest is the network's."""


def verdict_loss(logits: torch.Tensor, moves: torch.Tensor, policy: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the verdicts on the listed moves, `[B]`, each counting by its |`policy`| (`judge`)."""
    judged = logits.gather(1, moves.clamp(min=0))
    wrong = functional.binary_cross_entropy_with_logits(judged, (policy > 0).float(), reduction="none")
    counts = policy.abs() * (moves >= 0)
    return (wrong * counts).sum(1) / counts.sum(1).clamp(min=1e-9)


class Penalty(Protocol):
    """A further term of the loss."""

    def __call__(
        self,
        net: PolicyValueNet,
        x: torch.Tensor,
        logits: torch.Tensor,
        moves: torch.Tensor,
        policy: torch.Tensor,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """The term for each example, `[B]`.

        x: `[B, P, 8, 8]` planes. logits: `[B, A]` what the network, in training mode, says of them.
        moves, policy: `[B, K]` as in `Examples`. rng: the step's own, so that a training cut short goes on to the
        same weights.
        """
        ...


class Trainer:
    """One training, step by step; `state` and `restore` carry it over a break.

    penalty: what the loss has besides; None: nothing.
    """

    def __init__(
        self, net: PolicyValueNet, examples: Examples, config: TrainConfig, seed: int, penalty: Penalty | None = None
    ) -> None:
        if not len(examples):
            raise ValueError("no examples to learn from")
        self.config = config
        self.examples = examples
        self.seed = seed
        self.penalty = penalty
        self.step = 0
        self.steps = total_steps(len(examples), config)
        torch.set_num_threads(config.threads)
        self._device = resolve_device(config.device)
        self._bf16 = _use_bf16(config, self._device)
        self.net = net.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        matrices = [p for p in net.parameters() if p.ndim > 1]
        vectors = [p for p in net.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def _rate(self) -> float:
        warm = max(1, round(0.05 * self.steps))
        if self.step < warm:
            return self.config.learning_rate * (self.step + 1) / warm
        done = (self.step - warm) / max(1, self.steps - warm)
        return float(self.config.learning_rate * 0.5 * (1 + np.cos(np.pi * done)))

    def _batch(self) -> Examples:
        size = min(self.config.batch, len(self.examples))
        per_epoch = len(self.examples) // size
        epoch, place = divmod(self.step, per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.examples))
            self._epoch = epoch
        batch = self.examples.take(np.sort(self._order[place * size : (place + 1) * size]))
        rng = np.random.default_rng([self.seed, 1, self.step])
        return _mirror_half(batch, rng) if self.config.mirror else batch

    def run(self, until: int, on_progress: Callable[[FitProgress], None], every: int = 20) -> None:
        """Go on to step `until`, reporting every so many steps and at the end."""
        sums, count = torch.zeros(3, dtype=torch.float64, device=self._device), 0  # read at reports alone
        while self.step < until:
            batch = self._batch()
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate()
            x = self._there(planes.planes(batch.packed)).contiguous(memory_format=torch.channels_last)
            targets = self._there(batch.moves.astype(np.int64))
            chances, wdl, weight = self._there(batch.policy), self._there(batch.wdl), self._there(batch.weight)
            with torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
                logits, values = self.net(x)
                further = self._further(x, logits.float(), targets, chances)
            policy_loss = (self._policy_loss(logits.float(), targets, chances) * weight).sum() / weight.sum()
            value_loss = -((functional.log_softmax(values.float(), 1) * wdl).sum(1) * weight).sum() / weight.sum()
            loss = policy_loss + self.config.value_weight * value_loss
            if further is not None:
                loss = loss + (further * weight).sum() / weight.sum()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
            self.optimizer.step()
            self.step += 1
            moving, valued = chances.abs().sum(1) > 0, wdl.sum(1) > 0  # an example may have either target alone
            right = ((logits.argmax(1) == targets[:, 0]) & moving).sum() / moving.sum().clamp(min=1)
            losses = policy_loss.detach() / _share(moving, weight), value_loss.detach() / _share(valued, weight)
            sums += torch.stack([*losses, right])
            count += 1
            if self.step % every == 0 or self.step == until:
                on_progress(FitProgress(self.step, self.steps, *(sums / count).tolist()))
                sums, count = torch.zeros_like(sums), 0

    def _there(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """An array on the device, which is not waited for."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._device == "cuda" else tensor

    def _further(
        self, x: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, policy: torch.Tensor
    ) -> torch.Tensor | None:
        """The penalty of each example of a step, `[B]`; None without one."""
        if self.penalty is None:
            return None
        return self.penalty(self.net, x, logits, targets, policy, np.random.default_rng([self.seed, 2, self.step]))

    def _policy_loss(self, logits: torch.Tensor, targets: torch.Tensor, policy: torch.Tensor) -> torch.Tensor:
        """Loss of each example, `[B]`, from logits `[B, A]`, target moves `[B, K]` and what is said of each."""
        if self.config.objective == "imitate":
            return -(functional.log_softmax(logits, 1).gather(1, targets.clamp(min=0)) * policy).sum(1)
        if self.config.objective == "symmetric":
            log_policy = functional.log_softmax(logits, 1).gather(1, targets.clamp(min=0))
            missed = policy.sum(1) - (log_policy.exp() * policy).sum(1)
            return -FORWARD * (log_policy * policy).sum(1) - REVERSE * LOG_OF_NOTHING * missed
        if self.config.objective == "bootstrapped":
            every = functional.log_softmax(logits, 1)
            given = -(every.gather(1, targets.clamp(min=0)) * policy).sum(1)
            return GIVEN * given - (1 - GIVEN) * policy.sum(1) * (every.exp() * every).sum(1)
        listed = targets >= 0
        if self.config.objective == "judge":
            return verdict_loss(logits, targets, policy)
        log_policy = functional.log_softmax(logits.gather(1, targets.clamp(min=0)).masked_fill(~listed, -1e4), 1)
        chances = log_policy.exp()
        return -(chances * (policy - self.config.entropy * log_policy) * listed).sum(1)

    def finish(self) -> PolicyValueNet:
        """The trained network, on the CPU and ready to be used."""
        return self.net.cpu().to(memory_format=torch.contiguous_format).eval()  # type: ignore[no-any-return]

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that `restore` needs: weights, optimiser and the number of the step."""
        out = {
            f"net.{name}": tensor.detach().cpu().contiguous().clone() for name, tensor in self.net.state_dict().items()
        }
        for number, entry in self.optimizer.state_dict()["state"].items():
            out |= {
                f"optimizer.{number}.{key}": value.detach().cpu().contiguous().clone() for key, value in entry.items()
            }
        return out | {"step": torch.tensor(self.step)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` returned."""
        self.net.load_state_dict({name[4:]: value for name, value in state.items() if name.startswith("net.")})
        saved = self.optimizer.state_dict()
        for name, value in state.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                saved["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(saved)
        # The fused optimiser goes through memory as it lies: its averages must lie like their weights (channels last).
        for parameter, entry in self.optimizer.state.items():
            for key, value in entry.items():
                if value.shape == parameter.shape:
                    entry[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)
        self.step = int(state["step"])


def train(
    net: PolicyValueNet,
    examples: Examples,
    config: TrainConfig,
    seed: int,
    on_progress: Callable[[FitProgress], None] = lambda progress: None,
    penalty: Penalty | None = None,
) -> PolicyValueNet:
    """Fit `net` (changed in place) to the examples and return it; the same call gives the same weights."""
    trainer = Trainer(net, examples, config, seed, penalty)
    trainer.run(trainer.steps, on_progress)
    return trainer.finish()


@dataclass(frozen=True)
class Validation:
    """How a network does on examples it has not seen."""

    n: int
    top1: float
    """Share of the examples for the policy whose most probable move is the first target."""
    policy_loss: float
    value_loss: float


def validate(net: PolicyValueNet, examples: Examples, batch: int = 1024) -> Validation:
    """Loss and top-1 accuracy of a network (on the CPU) over examples."""
    net.eval()
    sums = np.zeros(3)
    with torch.inference_mode():
        for start in range(0, len(examples), batch):
            part = examples.take(np.arange(start, min(start + batch, len(examples))))
            logits, values = net(torch.from_numpy(planes.planes(part.packed)))
            log_policy = functional.log_softmax(logits, 1).numpy()
            targets = part.moves.astype(np.int64)
            chosen = np.take_along_axis(log_policy, np.maximum(targets, 0), 1)
            sums += (
                float((log_policy.argmax(1) == targets[:, 0]).sum()),
                float(-(chosen * part.policy).sum()),
                float(-(functional.log_softmax(values, 1).numpy() * part.wdl).sum()),
            )
    top1, policy, value = sums / len(examples)
    return Validation(len(examples), float(top1), float(policy), float(value))
