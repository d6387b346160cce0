"""The policy/value network: its shape, and its files.

One residual architecture for expert, weak player and assistant. A checkpoint is a safetensors file
that carries its configuration and the names of its move vocabulary and planes, so that a file that
does not fit this code is refused and never half understood.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional

from engines import moves, planes
from engines.checkpoints import NETWORK
from engines.checkpoints import CheckpointError as CheckpointError
from engines.checkpoints import read as read
from engines.settings import Frozen


class NetworkConfig(Frozen):
    """Size of a network."""

    blocks: int = Field(6, ge=1, le=64)
    """Residual blocks of two 3×3 convolutions each."""
    channels: int = Field(64, ge=8, le=1024, multiple_of=8)
    """Channels of every block."""
    squeeze: int = Field(4, ge=1, le=8)
    """Squeeze-and-excitation narrows the channels by this factor."""
    head: int = Field(64, ge=1, le=1024)
    """Width of the from–to attention of the policy head, and of the value head's hidden layer."""


class Block(nn.Module):
    """Two convolutions, squeeze-and-excitation with a bias, and the way round them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        c = config.channels
        self.conv1 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(c)
        self.squeeze = nn.Linear(c, c // config.squeeze)
        self.excite = nn.Linear(c // config.squeeze, 2 * c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        # A mean over planes would send its gradient back plane by plane, to be added to one that lies square by square.
        pooled = y.permute(0, 2, 3, 1).flatten(1, 2).mean(1) if self.training else y.mean((2, 3))
        gate, bias = self.excite(functional.relu(self.squeeze(pooled))).chunk(2, dim=1)
        return functional.relu(x + y * torch.sigmoid(gate)[..., None, None] + bias[..., None, None])


class PolicyValueNet(nn.Module):
    """Planes `[B, P, 8, 8]` → policy logits `[B, A]` and win/draw/loss logits `[B, 3]`, for the side to move.

    The policy head scores each pair of squares by the product of what the start and the end square
    say (Leela Chess Zero's attention policy); a promotion to less than a queen adds a term of its own.
    """

    gather: torch.Tensor

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        c = config.channels
        self.stem = nn.Conv2d(planes.PLANES, c, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(c)
        self.blocks = nn.Sequential(*[Block(config) for _ in range(config.blocks)])
        self.policy = nn.Conv2d(c, c, 1)
        self.start = nn.Conv2d(c, config.head, 1)
        self.end = nn.Conv2d(c, config.head, 1)
        self.promote = nn.Conv2d(c, len(moves.UNDER_PROMOTIONS), 1)
        self.value = nn.Conv2d(c, 8, 1)
        self.value_hidden = nn.Linear(8 * 64, config.head)
        self.value_out = nn.Linear(config.head, 3)
        plain = moves.FROM * 64 + moves.TO
        kind = np.array([moves.UNDER_PROMOTIONS.index(p) if p else 0 for p in moves.PROMOTION])
        under = 4096 + kind * 64 + (moves.FROM - 48) * 8 + (moves.TO - 56)
        self.register_buffer("gather", torch.from_numpy(np.where(moves.PROMOTION == 0, plain, under)), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.above(self.embedded(x))

    def embedded(self, x: torch.Tensor, depth: int = 0) -> torch.Tensor:
        """What the trunk makes of planes behind so many of its blocks, `[B, C, 8, 8]`; 0: the stem's normalised output,
        which is not rectified yet."""
        stem = self.stem_norm(self.stem(x))
        return self.blocks[:depth](functional.relu(stem)) if depth else stem  # type: ignore[no-any-return]

    def above(self, embedding: torch.Tensor, depth: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Policy logits and win/draw/loss logits from what `embedded` returns at this depth."""
        x = _channels_last_gradient(self.blocks[depth:](functional.relu(embedding)))
        p = _channels_last_gradient(functional.relu(self.policy(x)))
        start = self.start(p).flatten(2).transpose(1, 2)  # [B, 64, head]
        end = self.end(p).flatten(2)  # [B, head, 64]
        pairs = start @ end / self.config.head**0.5  # [B, from, to]
        promoted = pairs[:, None, 48:56, 56:] + self.promote(p).flatten(2)[:, :, None, 56:]  # [B, 3, 8, 8]
        logits = torch.cat([pairs.flatten(1), promoted.flatten(1)], 1).index_select(1, self.gather)
        v = functional.relu(self.value(x)).flatten(1)
        return logits, self.value_out(functional.relu(self.value_hidden(v)))


def _channels_last_gradient(x: torch.Tensor) -> torch.Tensor:
    """The same tensor `[B, C, 8, 8]`, whose gradient lies in memory as the convolutions below want it."""
    if x.requires_grad:
        x.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))  # type: ignore[no-untyped-call]
    return x


def to_bytes(net: PolicyValueNet, about: dict[str, Any] | None = None, form: str = NETWORK) -> bytes:
    """A checkpoint as the bytes of its file; `about` (JSON values) says where the weights come from.

    form: what the network is for; `from_bytes` refuses a file of another form.
    """
    metadata = {
        "format": form,
        "config": net.config.model_dump_json(),
        "vocabulary": moves.DIGEST,
        "planes": planes.PLANES_ID,
        "about": json.dumps(about or {}, sort_keys=True),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    return _ordered(save(tensors, metadata))


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata in order: safetensors itself writes them in a new order every time."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the weights stay aligned
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def from_bytes(content: bytes, source: str = "checkpoint", form: str = NETWORK) -> PolicyValueNet:
    """The network of a checkpoint's bytes, in evaluation mode on the CPU.

    Raises CheckpointError in one line, which names `source`.
    """
    metadata = metadata_of(content, source)
    for key, expected in (("format", form), ("vocabulary", moves.DIGEST), ("planes", planes.PLANES_ID)):
        if metadata.get(key) != expected:
            raise CheckpointError(f"{source}: expected {key} {expected!r}, got {metadata.get(key)!r}")
    try:
        tensors = load(content)
        config = NetworkConfig.model_validate_json(metadata["config"])
        _check_shapes(config, tensors)
        net = PolicyValueNet(config)
        net.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{source}: its configuration and its weights do not agree ({reason})") from None
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise CheckpointError(f"{source}: it holds weights that are not finite")
    return net.eval()


def _check_shapes(config: NetworkConfig, tensors: Mapping[str, torch.Tensor]) -> None:
    """ValueError for tensors that are not those of a network of this size, of which none is built for it."""
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in PolicyValueNet(config).state_dict().items()}
    if missing := expected.keys() - tensors.keys():
        raise ValueError(f"missing key {min(missing)}")
    if unexpected := tensors.keys() - expected.keys():
        raise ValueError(f"unexpected key {min(unexpected)}")
    for name, shape in expected.items():
        if (found := tuple(tensors[name].shape)) != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {found}")


def metadata_of(content: bytes, source: str) -> dict[str, str]:
    """Metadata in the header of a safetensors file: eight bytes of its length, then JSON.

    Raises CheckpointError in one line, which names `source`, for a file that is not whole.
    """
    try:
        load(content)  # checks that header and data are whole
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return dict(header.get("__metadata__") or {})
    except Exception as error:  # safetensors raises errors of many kinds for a header that it can't read
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{source} is not a whole safetensors file ({reason})") from None


def load_network(path: Path) -> PolicyValueNet:
    """The network of a checkpoint file; CheckpointError in one line."""
    return from_bytes(read(path), str(path))


def about(path: Path) -> dict[str, Any]:
    """What a checkpoint says of where it comes from; CheckpointError where it can't be read."""
    return description(read(path), str(path))


def description(content: bytes, source: str = "checkpoint") -> dict[str, Any]:
    """The same of a checkpoint's bytes."""
    try:
        found = json.loads(metadata_of(content, source).get("about", "{}"))
    except (json.JSONDecodeError, RecursionError):
        raise CheckpointError(f"{source}: what it says of itself is not JSON") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{source}: what it says of itself is no JSON object")
    return found
