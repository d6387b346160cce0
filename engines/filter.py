"""The blunder filter: what every legal move's probability of being a catastrophe is, in one forward pass.

A filter is a network of the players' architecture. Its from–to map, which is a player's policy, here
says of each move by itself how likely it is a catastrophe (the sigmoid of its logit). Its file is a
safetensors of a form of its own, with the threshold from which on a move is refused.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engines import planes
from engines.checkpoints import FILTER, CheckpointError
from engines.inference import Backend, Device, make_evaluator

if TYPE_CHECKING:  # the networks' libraries take seconds to load: only who builds one does
    from engines.network import PolicyValueNet

Floats = npt.NDArray[np.float32]


def to_bytes(net: "PolicyValueNet", threshold: float, about: dict[str, Any] | None = None) -> bytes:
    """A filter as the bytes of its file: moves of this probability of a catastrophe, or more, are refused."""
    from engines import network

    return network.to_bytes(net, {**(about or {}), "threshold": threshold}, FILTER)


def from_bytes(content: bytes, source: str = "filter") -> "tuple[PolicyValueNet, float]":
    """Network and threshold of a filter's bytes; CheckpointError in one line, which names `source`."""
    from engines import network

    net = network.from_bytes(content, source, FILTER)
    threshold = network.description(content, source).get("threshold")
    if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise CheckpointError(f"{source}: expected a threshold in 0..1, got {threshold!r}")
    return net, float(threshold)


class BlunderFilter:
    """A filter at work, made from the bytes of its file. Raises CheckpointError.

    threshold: probability of a catastrophe from which on a move is refused, as the file says.
    """

    def __init__(
        self,
        content: bytes,
        source: str = "filter",
        *,
        backend: Backend = "auto",
        device: Device = "auto",
        threads: int = 1,
    ) -> None:
        net, self.threshold = from_bytes(content, source)
        self._evaluator = make_evaluator(net, backend=backend, device=device, threads=threads)

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> list[Floats]:
        """For each packed position of `[B, 10]` the probability `[M]` that each legal move is a catastrophe."""
        logits, _ = self._evaluator.logits(packed)
        return [sigmoid(row[np.asarray(numbers, np.int64)]) for row, numbers in zip(logits, legal, strict=True)]


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + e^−x), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits.astype(np.float64))), np.float32)


def filtered_policy(policy: Floats, risk: Floats, threshold: float, proposals: int) -> Floats:
    """What is played in the end, `[M]`: propose, refuse, propose again, at most so many times.

    policy: `[M]` what is proposed, each time anew. risk: `[M]` probability of a catastrophe; at
    `threshold` or more a move is refused. Where all proposals are, the move of least risk is played.
    """
    accepted = policy * (risk < threshold)
    share = min(1.0, float(accepted.sum()))
    none = (1 - share) ** proposals
    out = accepted * ((1 - none) / share) if share > 0 else np.zeros_like(accepted)
    out[int(risk.argmin())] += none
    return np.asarray(out, np.float32)
