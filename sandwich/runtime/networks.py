"""How networks are opened: where they are evaluated, and the evaluators and filters that a process keeps."""

from collections.abc import Mapping
from functools import lru_cache

from pydantic import Field, model_validator

from agents.tools import Tools
from engines.filter import BlunderFilter
from engines.inference import Backend, Device, NetworkEvaluator, Precision, make_evaluator
from engines.settings import Frozen


class InferenceConfig(Frozen):
    """Where networks are evaluated."""

    backend: Backend = "auto"
    """`auto`: torch on CUDA where there is one, else ONNX Runtime."""
    device: Device = "auto"
    """`auto`: CUDA where there is one."""
    threads: int = Field(1, ge=1)
    """Threads of one worker; part of the recipe, since sums depend on it."""
    precision: Precision = "auto"
    """`auto`: bf16 on CUDA and on CPUs with AMX, int8 on CPUs with VNNI, else fp32. Blunder filters are always fp32."""

    @model_validator(mode="after")
    def _agree(self) -> "InferenceConfig":
        if self.backend == "onnx" and self.precision in ("bf16", "int8"):
            raise ValueError(f"precision: {self.precision!r} runs in torch; allowed with backend onnx: auto, fp32")
        return self


@lru_cache(maxsize=8)
def evaluator(checkpoint: bytes, inference: InferenceConfig) -> NetworkEvaluator:
    """Evaluator of a checkpoint, kept for the next block of the same process."""
    from engines.network import from_bytes  # loads torch, which who only reads need not wait for

    return make_evaluator(
        from_bytes(checkpoint),
        backend=inference.backend,
        device=inference.device,
        threads=inference.threads,
        precision=inference.precision,
    )


@lru_cache(maxsize=4)
def blunder_filter(content: bytes, inference: InferenceConfig, source: str = "filter") -> BlunderFilter:
    """A blunder filter, kept like an evaluator. Raises CheckpointError, which names `source`."""
    return BlunderFilter(content, source, backend=inference.backend, device=inference.device, threads=inference.threads)


def tools(checkpoints: Mapping[str, bytes], inference: InferenceConfig) -> Tools:
    """Tools to open players with, whose networks are evaluated as configured."""
    return Tools(
        checkpoints,
        lambda content: evaluator(content, inference),
        lambda content, source: blunder_filter(content, inference, source),
    )
