"""Networks in fewer bits: their moves are those of fp32, and rounding makes its errors good."""

import warnings
from typing import Literal

import numpy as np
import pytest
import torch

from agents.checkpoint_files import load_player
from engines.inference import Backend, Evaluation, OnnxEvaluator, ReducedEvaluator, make_evaluator, resolve_precision
from engines.network import NetworkConfig, PolicyValueNet
from engines.positions import GameBatch
from engines.reduced import Activations, calibration, round_weights
from engines.settings import SpecError
from sandwich.data.openings import positions
from sandwich.spec.run_spec import load_spec

PRECISIONS: tuple[Literal["bf16", "int8"], ...] = ("bf16", "int8")
able = torch.cpu.get_capabilities()
needs_fast_multiplication = pytest.mark.skipif(
    not (able.get("avx512_vnni") or able.get("avx_vnni")), reason="this CPU has no VNNI"
)
pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this torch has no oneDNN",
)


def seen(player: str, precision: Literal["fp32", "bf16", "int8"], count: int = 500) -> Evaluation:
    batch = GameBatch(positions()[:count], 4)
    games = batch.active
    evaluate = make_evaluator(load_player(player), device="cpu", precision=precision)
    return evaluate(batch.packed(games), batch.legal(games))


@needs_fast_multiplication
@pytest.mark.parametrize("player", ["expert", "weak", "adversary"])
@pytest.mark.parametrize(("precision", "moves", "apart"), [("bf16", 0.985, 0.006), ("int8", 0.975, 0.012)])
def test_shipped_networks_keep_their_moves(
    player: str, precision: Literal["bf16", "int8"], moves: float, apart: float
) -> None:
    exact, fewer = seen(player, "fp32"), seen(player, precision)
    pairs = list(zip(exact.policy, fewer.policy, strict=True))
    assert np.mean([p.argmax() == q.argmax() for p, q in pairs]) >= moves
    assert np.mean([np.abs(p - q).sum() / 2 for p, q in pairs]) <= apart
    assert np.abs(exact.value - fewer.value).mean() < 0.005
    assert not np.array_equal(exact.wdl, fewer.wdl)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_asked_again_has_the_same_answer_and_no_warning(precision: Literal["bf16", "int8"]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = seen("weak", precision, 40), seen("weak", precision, 40)
    assert np.array_equal(one.wdl, other.wdl)
    assert all(np.array_equal(p, q) for p, q in zip(one.policy, other.policy, strict=True))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_small_networks_are_reduced_too(precision: Literal["bf16", "int8"], blocks: int) -> None:
    torch.manual_seed(blocks)
    net = PolicyValueNet(NetworkConfig(blocks=blocks, channels=16, squeeze=2, head=16)).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    batch = GameBatch(positions()[:130], 4)  # more than go through at a time
    evaluate = make_evaluator(net, device="cpu", precision=precision)
    assert isinstance(evaluate, ReducedEvaluator)
    policy, wdl = evaluate.logits(batch.packed(batch.active))
    exact_policy, exact_wdl = OnnxEvaluator(net).logits(batch.packed(batch.active))
    assert policy.shape == exact_policy.shape
    assert np.abs(policy - exact_policy).max() < 0.05 * max(1, np.abs(exact_policy).max())
    assert np.abs(wdl - exact_wdl).max() < 0.05 * max(1, np.abs(exact_wdl).max())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_weights_are_rounded_so_that_what_comes_of_them_stays() -> None:
    rng = torch.Generator().manual_seed(0)
    weights, inputs = torch.randn(8, 40, generator=rng), torch.randn(1000, 40, generator=rng)
    inputs[:, 10:] = inputs[:, 10:] / 10 + inputs[:, :10] @ torch.randn(10, 30, generator=rng)  # they go together
    whole, scale = round_weights(weights, inputs.T @ inputs / len(inputs))
    assert whole.dtype == torch.int8 and int(whole.abs().max()) <= 127
    each = (weights / scale[:, None]).round() * scale[:, None]
    ours, plain = (((w - weights) @ inputs.T).pow(2).mean() for w in (whole * scale[:, None], each))
    assert ours < plain / 3


def test_activations_are_rounded_to_256_steps_of_each_channel() -> None:
    x = torch.rand(4, 3, 8, 8) * torch.tensor([1.0, 4, 100])[None, :, None, None]
    rounding = Activations.of(x)
    steps = rounding.rounded(x) / rounding.scale
    assert torch.allclose(steps, steps.round(), atol=1e-3) and float(steps.min()) >= 0 and float(steps.max()) == 255
    error = (rounding.rounded(x) * rounding.channels[None, :, None, None] - x).abs().amax((0, 2, 3))
    assert (error / x.amax((0, 2, 3)) < torch.tensor([0.05, 0.03, 0.003])).all()


def test_calibration_is_a_walk_through_games_the_same_each_time() -> None:
    net = load_player("weak")
    with torch.inference_mode():
        one, other = calibration(net), calibration(net)
    assert np.array_equal(one, other)
    assert len(np.unique(one, axis=0)) > 500


@pytest.mark.parametrize(
    ("precision", "backend", "where", "said"),
    [
        ("int8", "auto", "cuda", "precision: 'int8' runs on the CPU; allowed on CUDA: auto, fp32, bf16"),
        ("int8", "onnx", "cpu", "precision: 'int8' runs in torch; allowed with backend onnx: auto, fp32"),
        ("bf16", "onnx", "cpu", "precision: 'bf16' runs in torch; allowed with backend onnx: auto, fp32"),
    ],
)
def test_a_precision_that_is_not_there_is_refused(
    precision: Literal["bf16", "int8"], backend: Backend, where: Literal["cpu", "cuda"], said: str
) -> None:
    with pytest.raises(SpecError) as refused:
        resolve_precision(precision, backend, where)
    assert str(refused.value) == said


def test_a_spec_is_refused_before_anything_is_done_for_it() -> None:
    with pytest.raises(SpecError, match="inference: precision: 'bf16' runs in torch; allowed with backend onnx"):
        load_spec("quick", "inference.precision=bf16", "inference.backend=onnx")


@pytest.mark.parametrize(
    ("able", "best"),
    [
        ({"amx_bf16": True, "avx512_vnni": True}, "bf16"),
        ({"avx512_vnni": True}, "int8"),
        ({"avx_vnni": True}, "int8"),
        ({"avx2": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_is_what_the_cpu_is_best_at(monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], best: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert resolve_precision("auto", "auto", "cpu") == best
    assert resolve_precision("auto", "onnx", "cpu") == "fp32"
    assert resolve_precision("auto", "torch", "cuda") == "bf16"
