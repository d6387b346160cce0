"""Networks in fewer bits on a CPU: `bf16`, or the middle of the trunk in whole numbers, `int8`.

oneDNN, which torch brings, multiplies either several times as fast as fp32 where a CPU has instructions for it
(AMX, AVX512-BF16; AMX, AVX512-VNNI). Convolutions alone are in fewer bits: what runs past the blocks, the squeezing and
the heads stay in fp32. In `int8` the stem and the last half of the blocks are as in `bf16`, and the rest is rounded so
that the moves stay the same:

- Activations have one scale for a layer, from 0 to the most that was seen where the network plays itself
  (`calibration`). So that one loud channel does not cost the others their precision, channels are first brought closer
  together, each divided by the square root of its largest value; the weights before and behind take that up.
- Weights have one scale for each output channel, and are rounded one column after the other, each error made good by
  the columns that follow (Frantar et al. 2022, GPTQ), by the second moments of what the layer is given.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import chess
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines import planes
from engines.network import Block, PolicyValueNet
from engines.positions import GameBatch

CHUNK = 64
"""Positions that go through the network at a time, so that what is between two layers stays in the cache."""
WIDE_SHARE = 2
"""With `int8`, one block in so many, the last ones, is not in whole numbers."""
DAMPING = 0.01
"""Share of the mean second moment that is added to each, so that rounding never divides by nearly nothing."""
GAMES, PLIES = 16, 40
"""Of which calibration consists."""
HALF = torch.tensor(0.5)
PATCHES = 16384
"""Places of a layer's input, at most, that its second moments are taken from."""


def fastest() -> Literal["fp32", "bf16", "int8"]:
    """What this CPU is best at: bf16 with AMX, which is nearly as fast as int8 and closer to fp32; int8 with VNNI."""
    able = torch.cpu.get_capabilities()
    if able.get("amx_bf16"):
        return "bf16"
    return "int8" if able.get("avx512_vnni") or able.get("avx_vnni") else "fp32"


def calibration(net: PolicyValueNet) -> planes.Packed:
    """Positions `[B, 10]` from games of a network against itself, the same whenever it is asked."""
    rng = np.random.default_rng(0)
    batch, found = GameBatch([chess.STARTING_FEN] * GAMES, PLIES), []
    while games := batch.active:
        packed, legal = batch.packed(games), batch.legal(games)
        found.append(packed)
        logits = net(torch.from_numpy(planes.planes(packed)))[0].numpy()
        # The greatest of logits with Gumbel noise is drawn from their softmax.
        batch.apply(games, [row[int((said[row] + rng.gumbel(size=len(row))).argmax())]
                            for row, said in zip(legal, logits, strict=True)])  # fmt: skip
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Activations:
    """How a layer's input is rounded: to whole numbers from 0 to 255 times `scale` times `channels` `[C]`."""

    scale: float
    channels: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor, channels: torch.Tensor | None = None) -> "Activations":
        """For inputs `[B, C, 8, 8]` like these, none below 0."""
        if channels is None:
            channels = evened(x)
        return cls(max(float((x / _wide(channels)).max()), 1e-6) / 255, channels)

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """What an input comes to when it is rounded, in units of `channels`."""
        return (x / _wide(self.channels) / self.scale).round().clamp(0, 255) * self.scale


def evened(x: torch.Tensor) -> torch.Tensor:
    """What to divide the channels of `[B, C, 8, 8]` by, so that they lie closer together, `[C]`."""
    return x.amax((0, 2, 3)).clamp_min(1e-3).sqrt()


def _wide(channels: torch.Tensor) -> torch.Tensor:
    return channels[None, :, None, None]


def round_weights(weights: torch.Tensor, moments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights `[O, K]` as whole numbers from −127 to 127, and the scale of each row `[O]`.

    moments: `[K, K]` second moments of what they are multiplied with. GPTQ's algorithm 1, with one column a block.
    """
    moments = moments.double()
    moments = moments + DAMPING * moments.diag().mean().clamp_min(1e-9) * torch.eye(len(moments), dtype=torch.float64)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(moments)), upper=True)
    scale = (weights.abs().amax(1) / 127).clamp_min(1e-9).double()
    rest, whole = weights.double().clone(), torch.empty_like(weights, dtype=torch.int8)
    for column in range(weights.shape[1]):
        rounded = (rest[:, column] / scale).round().clamp(-127, 127)
        whole[:, column] = rounded.to(torch.int8)
        error = (rest[:, column] - rounded * scale) / inverse[column, column]
        rest[:, column:] -= error[:, None] * inverse[column, column:]
    return whole, scale.float()


class Convolution:
    """A 3×3 convolution of whole numbers, its batch norm folded in.

    conv: fp32 weights `[O, C, 3, 3]` and bias `[O]`. inputs: how its input is rounded.
    seen: inputs `[B, C, 8, 8]` in units of `inputs.channels`, as they are after rounding.
    """

    def __init__(self, conv: nn.Conv2d, inputs: Activations, seen: torch.Tensor) -> None:
        assert conv.bias is not None
        weights = (conv.weight * _wide(inputs.channels)).flatten(1)
        patches = functional.unfold(seen, 3, padding=1).transpose(1, 2).reshape(-1, weights.shape[1])
        patches = patches[:: -(-len(patches) // PATCHES)]
        whole, scale = round_weights(weights, patches.T @ patches / len(patches))
        self.inputs = inputs
        self.whole = whole.view_as(conv.weight)
        self.scale = scale
        self.bias = conv.bias + (weights - whole * scale[:, None]) @ patches.mean(0)
        self._packed: Any = None
        self._zeros = torch.zeros(len(scale), dtype=torch.int32)

    def exactly(self, seen: torch.Tensor) -> torch.Tensor:
        """What it says of inputs `seen`, worked out in fp32, `[B, O, 8, 8]`."""
        return functional.conv2d(seen, self.whole * self.scale[:, None, None, None], self.bias, padding=1)

    def settle(self, output: torch.Tensor) -> None:
        """Fix in what units `[O]` its output is, so that it can be called."""
        self.scale, self.bias = self.scale / output, self.bias / output
        self._packed = torch.ops.onednn.qconv_prepack(
            self.whole, self.scale, self.inputs.scale, 0, [1, 1], [1, 1], [1, 1], 1, None
        )

    def __call__(self, x: torch.Tensor, output: Activations | None = None) -> torch.Tensor:
        """`[B, C, 8, 8]` uint8, channels last → fp32, or what is above 0 of it rounded as `output`."""
        return torch.ops.onednn.qconv2d_pointwise(  # type: ignore[no-any-return]
            x, self.inputs.scale, 0, self._packed, self.scale, self._zeros, self.bias, [1, 1], [1, 1], [1, 1], 1,
            1.0 if output is None else output.scale, 0, torch.float32 if output is None else None,
            "none" if output is None else "relu", [], "",
        )  # fmt: skip


class Wide:
    """A 3×3 convolution in bf16 where the CPU multiplies that, else in fp32: inputs and outputs in the units `[C]`."""

    def __init__(self, conv: nn.Conv2d, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
        able = torch.cpu.get_capabilities()
        self._dtype = torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32
        assert conv.bias is not None
        weights = conv.weight * _wide(inputs) / outputs[:, None, None, None]
        self._weights = weights.to(self._dtype, memory_format=torch.channels_last)
        self._bias = (conv.bias / outputs).to(self._dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self._dtype, memory_format=torch.channels_last)
        return functional.conv2d(x, self._weights, self._bias, padding=1)


class _Gate:
    """Squeeze-and-excitation with inputs and outputs in units of `channels`."""

    def __init__(self, squeeze: nn.Linear, excite: nn.Linear, channels: torch.Tensor) -> None:
        self._squeeze = squeeze.weight * channels, squeeze.bias
        scale = torch.cat([torch.ones_like(channels), 1 / channels])
        self._excite = excite.weight * scale[:, None], excite.bias * scale

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What comes of a block's input and of what its convolutions say, which is overwritten."""
        hidden = functional.linear(y.mean((2, 3)), *self._squeeze).relu_()
        gate, bias = functional.linear(hidden, *self._excite).chunk(2, dim=1)
        return y.mul_(gate.sigmoid()[..., None, None]).add_(x).add_(bias[..., None, None]).relu_()


class ReducedNet:
    """A network in fewer bits.

    net: in evaluation mode on the CPU; it is not changed.
    """

    def __init__(self, net: PolicyValueNet, precision: Literal["bf16", "int8"]) -> None:
        with torch.inference_mode():
            self._build(net, len(net.blocks) - -(-len(net.blocks) // WIDE_SHARE) if precision == "int8" else 0)

    def _build(self, net: PolicyValueNet, whole: int) -> None:
        """`whole`: how many of the blocks, from the first on, are in whole numbers."""
        self._head = net.config.head
        self._gather = net.gather
        blocks = [
            (fuse_conv_bn_eval(block.conv1, block.norm1), fuse_conv_bn_eval(block.conv2, block.norm2), block)
            for block in cast("list[Block]", list(net.blocks))
        ]
        stem = fuse_conv_bn_eval(net.stem, net.stem_norm)
        x = torch.from_numpy(planes.planes(calibration(net) if whole else np.empty((0, planes.WORDS), np.uint64)))
        # Units of the stream that runs past the blocks: the same for all, so that it is never converted.
        stream = self._stream(stem, blocks[:whole], x) if whole else torch.ones(net.config.channels)
        self._stem = Wide(stem, torch.ones(planes.PLANES), stream)
        x = self._stem(x).float().relu_()
        self._blocks: list[tuple[Convolution, Convolution, _Gate]] = []
        for conv1, conv2, block in blocks[:whole]:
            gate = _Gate(block.squeeze, block.excite, stream)
            given = Activations.of(x * _wide(stream), stream)
            first = Convolution(conv1, given, given.rounded(x * _wide(stream)))
            y = first.exactly(given.rounded(x * _wide(stream))).relu_()
            between = Activations.of(y)
            second = Convolution(conv2, between, between.rounded(y))
            y = second.exactly(between.rounded(y)) / _wide(stream)
            first.settle(between.channels)
            second.settle(stream)
            x = gate(x, y)
            self._blocks.append((first, second, gate))
        plain = torch.ones_like(stream)
        self._last = [
            (Wide(conv1, stream, plain), Wide(conv2, plain, stream), _Gate(block.squeeze, block.excite, stream))
            for conv1, conv2, block in blocks[whole:]
        ]
        self._finish(net, stream)

    @staticmethod
    def _stream(stem: nn.Conv2d, blocks: list[Any], x: torch.Tensor) -> torch.Tensor:
        """Units of the stream: the largest value of each channel before any of the blocks, brought closer together."""
        x = functional.relu(stem(x))
        most = x.amax((0, 2, 3))
        for conv1, conv2, block in blocks:
            most = torch.maximum(most, x.amax((0, 2, 3)))
            y = conv2(functional.relu(conv1(x)))
            x = _Gate(block.squeeze, block.excite, torch.ones_like(most))(x, y)
        return most.clamp_min(1e-3).sqrt()

    def _finish(self, net: PolicyValueNet, stream: torch.Tensor) -> None:
        """The heads."""

        def flat(conv: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
            assert conv.bias is not None
            return conv.weight[:, :, 0, 0], conv.bias

        policy, value = flat(net.policy), flat(net.value)
        self._heads = torch.cat([policy[0], value[0]]) * stream, torch.cat([policy[1], value[1]])
        squares = [flat(net.start), flat(net.end), flat(net.promote)]
        self._squares = torch.cat([part[0] for part in squares]), torch.cat([part[1] for part in squares])
        self._width = len(policy[1])
        self._value_hidden = net.value_hidden.weight, net.value_hidden.bias
        self._value_out = net.value_out.weight, net.value_out.bias

    def __call__(self, packed: planes.Packed) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Policy logits `[B, A]` and win/draw/loss logits `[B, 3]` of packed positions `[B, 10]`."""
        return self.run(planes.planes(packed))

    def run(self, inputs: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The same of planes `[B, P, 8, 8]`."""
        with torch.inference_mode():
            x = torch.from_numpy(inputs)
            parts = [self._forward(x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)]
            return torch.cat([part[0] for part in parts]).numpy(), torch.cat([part[1] for part in parts]).numpy()

    def _forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._stem(x).float().relu_()
        for first, second, gate in self._blocks:
            x = gate(x, second(first(_rounded(x, first.inputs.scale), second.inputs)))
        for conv1, conv2, gate in self._last:
            x = gate(x, conv2(conv1(x).relu_()).float())
        return self._above(x)

    def _above(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The heads, from what the last block says `[B, C, 8, 8]`; the same as those of the network."""
        n, head = len(x), self._head
        squares = x.permute(0, 2, 3, 1).reshape(n * 64, -1)
        both = functional.linear(squares, *self._heads).relu_().view(n, 64, -1)
        said = functional.linear(both[..., : self._width], *self._squares)
        pairs = torch.bmm(said[..., :head], said[..., head : 2 * head].transpose(1, 2)) / head**0.5
        promoted = pairs[:, None, 48:56, 56:] + said[:, 56:, 2 * head :].transpose(1, 2)[:, :, None]
        logits = torch.cat([pairs.flatten(1), promoted.flatten(1)], 1).index_select(1, self._gather)
        value = functional.linear(both[..., self._width :].transpose(1, 2).flatten(1), *self._value_hidden).relu_()
        return logits, functional.linear(value, *self._value_out)


def _rounded(x: torch.Tensor, scale: float) -> torch.Tensor:
    """What is not below 0, in units of `scale`, as uint8."""
    return torch.add(HALF, x, alpha=1 / scale).clamp_(max=255).to(torch.uint8)
