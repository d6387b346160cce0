"""Batched evaluation of positions by a network: torch or ONNX Runtime, CPU or CUDA.

Both give the same probabilities (1e-4 on the CPU, 1e-3 on CUDA). For one network, device and number
of threads the answer to a batch is always the same; it may differ in the last bits between batches
of different make-up, so whoever promises equal games must promise equal batches.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import chess
import numpy as np
import numpy.typing as npt

from engines import planes
from engines.ragged import MoveLists, Policies
from engines.settings import SpecError

if TYPE_CHECKING:  # torch and ONNX Runtime take seconds to load: only who builds a network does
    from engines.network import PolicyValueNet

Backend = Literal["auto", "onnx", "torch"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
Floats = npt.NDArray[np.float32]


Content = TypeVar("Content")


def read_only(content: Content) -> Content:
    """The same numbers, not copied, in an array that can't be written to; what is no array comes back as it is."""
    if not isinstance(content, np.ndarray) or not content.flags.writeable:  # a plugin may say anything
        return content
    view = content.view()
    view.flags.writeable = False
    return view


def locked(content: Content) -> Content:
    """A copy that nobody can write to, whoever asks for it; what is no array comes back as it is.

    Always a copy: torch writes to what numpy calls read-only.
    """
    if not isinstance(content, np.ndarray):
        return content
    copy: Content = np.frombuffer(content.tobytes(), content.dtype)  # type: ignore[assignment]
    return copy if content.ndim == 1 else copy.reshape(content.shape)  # type: ignore[attr-defined]


def all_locked(contents: Sequence[Floats]) -> Sequence[Floats]:
    """The same for arrays of one dimension and one type, copied together."""
    if isinstance(contents, Policies):
        return Policies(locked(contents.flat), contents.starts)
    kinds = {getattr(content, "dtype", None) for content in contents}
    if len(kinds) != 1 or None in kinds:
        return [locked(content) for content in contents]
    ends = np.cumsum([len(content) for content in contents]).tolist()
    flat = locked(np.concatenate(contents))
    return [flat[start:end] for start, end in pairwise([0, *ends])]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network thinks of `B` positions, each for its side to move. Its arrays are read-only.

    legal: numbers of the legal moves of each position.
    policy: for each position `[M]`, probability of each of its legal moves, in the order of `legal`.
    wdl: `[B, 3]`, probability of win, draw and loss.
    """

    legal: Sequence[Sequence[int]]
    policy: Sequence[Floats]
    wdl: Floats

    def __post_init__(self) -> None:
        rows: object = self.policy  # a plugin may say anything
        if isinstance(rows, list) and any(isinstance(row, np.ndarray) and row.flags.writeable for row in rows):
            object.__setattr__(self, "policy", [read_only(row) for row in self.policy])
        object.__setattr__(self, "wdl", read_only(self.wdl))

    @cached_property
    def value(self) -> Floats:
        """Expected score of each position in 0..1, `[B]`."""
        return np.asarray(self.wdl[:, 0] + self.wdl[:, 1] / 2)

    def best(self, row: int) -> int:
        """Number of the most probable move of one position."""
        return self.legal[row][int(self.policy[row].argmax())]


def wdl_of(value: Floats) -> Floats:
    """Win, draw and loss `[B, 3]` for expected scores `[B]` of a source that knows no draws.

    A draw is given ½·(1 − |2v − 1|): half at an even position, none at a decided one.
    """
    draw = 0.5 * (1 - np.abs(2 * value - 1))
    return np.stack([value - draw / 2, draw, 1 - value - draw / 2], 1).astype(np.float32)


class Evaluator(Protocol):
    """Evaluates batches of positions."""

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        """Evaluate packed positions `[B, 10]` with the numbers of their legal moves (at least one each)."""
        ...


def one_by_one(look: Callable[[chess.Board, Sequence[int], npt.NDArray[np.float32]], float]) -> Evaluator:
    """Evaluator of one that looks at positions one after the other, such as an engine.

    look: given a board, its legal moves' numbers and zeros `[M]`, fills these with the policy and returns
        the expected score of the side to move, 0..1.
    """

    def evaluate(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        policy, value = [np.zeros(len(numbers), np.float32) for numbers in legal], np.empty(len(legal), np.float32)
        for row, numbers in enumerate(legal):
            value[row] = look(planes.unpack(packed[row]), numbers, policy[row])
        return Evaluation(legal, policy, wdl_of(value))

    return evaluate


def legal_policy(logits: Floats, legal: Sequence[Sequence[int]]) -> Policies:
    """Softmax of `[B, A]` logits over the legal moves of each position."""
    numbers = MoveLists.of(legal)
    rows, begins = numbers.owners, numbers.starts[:-1]
    flat = logits[rows, numbers.flat]
    flat = np.exp(flat - np.maximum.reduceat(flat, begins)[rows])
    flat /= np.add.reduceat(flat, begins)[rows]
    return Policies(flat, numbers.starts)


def _softmax(logits: Floats) -> Floats:
    spread = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(spread / spread.sum(1, keepdims=True))


def _evaluation(logits: Floats, wdl: Floats, legal: Sequence[Sequence[int]]) -> Evaluation:
    return Evaluation(legal, legal_policy(logits, legal), _softmax(wdl))


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """`auto` → cuda where there is one; SpecError for a cuda that is not there."""
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise SpecError("device: 'cuda' asked for, but torch sees no CUDA device; allowed here: auto, cpu")
    return "cuda" if there and device != "cpu" else "cpu"


def resolve(backend: Backend, device: Device) -> tuple[Literal["onnx", "torch"], Literal["cpu", "cuda"]]:
    """`auto` → torch on CUDA where there is one, else ONNX Runtime on the CPU; SpecError for what can't be."""
    where = resolve_device(device)
    if backend == "onnx" and where == "cuda":
        if device == "cuda":
            raise SpecError("backend: 'onnx' runs on the CPU; allowed with device cuda: auto, torch")
        where = "cpu"
    return "torch" if backend == "torch" or where == "cuda" else "onnx", where


def _to_onnx(net: "PolicyValueNet") -> bytes:
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(2, planes.PLANES, 8, 8),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,  # the exporter by tracing takes a tenth of the time of the other
            input_names=["planes"],
            output_names=["policy", "wdl"],
            dynamic_axes={name: {0: "batch"} for name in ("planes", "policy", "wdl")},
        )
    return buffer.getvalue()


class OnnxEvaluator:
    """A network in ONNX Runtime on the CPU."""

    def __init__(self, net: "PolicyValueNet", *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(_to_onnx(net), options, providers=["CPUExecutionProvider"])
        """Input `planes`, outputs `policy` and `wdl` logits; for measuring the network alone."""

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        return _evaluation(*self.logits(packed), legal)

    def logits(self, packed: planes.Packed) -> tuple[Floats, Floats]:
        """What the network says itself: of each move `[B, A]`, and of win, draw and loss `[B, 3]`."""
        policy, wdl = self.session.run(None, {"planes": planes.planes(packed)})
        return policy, wdl


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Torch with so many threads: it has one number for all that a process does, and what trains sets it too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ReducedEvaluator:
    """A network in fewer bits on the CPU (`engines.reduced`)."""

    def __init__(self, net: "PolicyValueNet", precision: Literal["bf16", "int8"], *, threads: int = 1) -> None:
        from engines.reduced import ReducedNet

        self._threads = threads
        with _torch_threads(threads):
            self.net = ReducedNet(net, precision)

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        return _evaluation(*self.logits(packed), legal)

    def logits(self, packed: planes.Packed) -> tuple[Floats, Floats]:
        """What the network says itself: of each move `[B, A]`, and of win, draw and loss `[B, 3]`."""
        with _torch_threads(self._threads):
            return self.net.run(planes.planes(packed))


class TorchEvaluator:
    """A network in torch, on the CPU or on CUDA."""

    def __init__(
        self,
        net: "PolicyValueNet",
        *,
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int = 1,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        import torch

        self._device = torch.device(device)
        self._threads = threads
        self._bf16 = precision == "bf16"
        self._net = net.to(self._device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        return _evaluation(*self.logits(packed), legal)

    def logits(self, packed: planes.Packed) -> tuple[Floats, Floats]:
        """What the network says itself: of each move `[B, A]`, and of win, draw and loss `[B, 3]`."""
        import torch

        with torch.inference_mode(), _torch_threads(self._threads):
            x = torch.from_numpy(planes.planes(packed)).to(self._device).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                policy, wdl = self._net(x)
        return policy.float().cpu().numpy(), wdl.float().cpu().numpy()


def _has_onednn() -> bool:
    import torch

    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def resolve_precision(
    precision: Precision, backend: Backend, where: Literal["cpu", "cuda"]
) -> Literal["fp32", "bf16", "int8"]:
    """`auto` → what is fastest there (`engines.reduced.fastest`; bf16 on CUDA); SpecError for what can't be.

    ONNX Runtime has fp32 alone here: its own int8 reaches half of the speed, at a third of the precision.
    """
    if precision == "auto" and backend != "onnx":
        from engines.reduced import fastest

        return "bf16" if where == "cuda" else fastest()
    if precision == "int8" and where == "cuda":
        raise SpecError("precision: 'int8' runs on the CPU; allowed on CUDA: auto, fp32, bf16")
    if precision == "int8" and not _has_onednn():
        raise SpecError("precision: 'int8' needs oneDNN, which this torch lacks; allowed here: auto, fp32, bf16")
    if precision in ("bf16", "int8") and backend == "onnx":
        raise SpecError(f"precision: {precision!r} runs in torch; allowed with backend onnx: auto, fp32")
    return "fp32" if precision == "auto" else precision


NetworkEvaluator = OnnxEvaluator | ReducedEvaluator | TorchEvaluator


def make_evaluator(
    net: "PolicyValueNet",
    *,
    backend: Backend = "auto",
    device: Device = "auto",
    threads: int = 1,
    precision: Precision = "fp32",
) -> NetworkEvaluator:
    """Evaluator of a network; `auto` as in `resolve` and `resolve_precision`. Raises SpecError."""
    kind, where = resolve(backend, device)
    bits = resolve_precision(precision, backend, where)
    if where == "cpu" and bits != "fp32":
        return ReducedEvaluator(net, bits, threads=threads)
    if kind == "torch":
        return TorchEvaluator(net, device=where, threads=threads, precision="bf16" if bits == "bf16" else "fp32")
    return OnnxEvaluator(net, threads=threads)
