"""torch and ONNX Runtime say the same of the same position, and say it about legal moves only."""

from functools import cache

import chess
import numpy as np
import pytest
import torch

from engines import moves, planes
from engines.inference import (
    Backend,
    Device,
    Evaluation,
    OnnxEvaluator,
    TorchEvaluator,
    legal_policy,
    make_evaluator,
    resolve_device,
)
from engines.network import NetworkConfig, PolicyValueNet, from_bytes, to_bytes
from engines.settings import SpecError
from tests.helpers.project import random_games

SMALL = NetworkConfig(blocks=2, channels=16, squeeze=2, head=16)
PROMOTIONS = ["n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 w - - 0 1", "n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 b - - 0 1"]

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")


def test_torch_evaluates_with_so_many_threads_and_leaves_the_process_its_own() -> None:
    net, before = from_bytes(checkpoint(SMALL)), torch.get_num_threads()
    seen: list[int] = []
    net.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    packed = np.array([planes.pack(chess.Board())], np.uint64)
    for threads in (1, before + 1):
        evaluator = make_evaluator(net, backend="torch", device="cpu", threads=threads)
        assert isinstance(evaluator, TorchEvaluator)
        evaluator.logits(packed)
    assert seen == [1, before + 1]
    assert torch.get_num_threads() == before


@cache
def checkpoint(config: NetworkConfig) -> bytes:
    """Checkpoint of a network of random weights whose answers are not all alike: its norms have seen positions."""
    torch.manual_seed(5)
    net = PolicyValueNet(config).train()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        for _ in range(3):
            net(torch.from_numpy(planes.planes(packed()[::4])))
        for sharper in (net.value_out.weight, net.start.weight):
            sharper.mul_(20)
        _, wdl = net.eval()(torch.from_numpy(planes.planes(packed())))
        net.value_out.bias.sub_(wdl.mean(0))
    return to_bytes(net.eval())


def make(config: NetworkConfig) -> PolicyValueNet:
    """The network of that size."""
    return from_bytes(checkpoint(config))


@cache
def boards() -> list[chess.Board]:
    """More than 200 positions with legal moves: of random games, and of promotions for both colours."""
    games = [*random_games(6, seed=2, plies=120)]
    games += [game for fen in PROMOTIONS for game in random_games(2, seed=3, plies=20, fen=fen)]
    found = [board for game in games for board in game[::3] if any(board.legal_moves)]
    return [*map(chess.Board, PROMOTIONS), *found]


@cache
def packed() -> planes.Packed:
    """The positions of `boards`, packed."""
    return np.array([planes.pack(board) for board in boards()], np.uint64)


@cache
def legal_moves() -> list[list[int]]:
    """Numbers of the legal moves of the positions of `boards`."""
    return [moves.encode_all(board.legal_moves, board.turn) for board in boards()]


def assert_close(one: Evaluation, other: Evaluation, tolerance: float) -> None:
    """Probabilities of the two agree."""
    for mine, theirs in zip(one.policy, other.policy, strict=True):
        assert mine == pytest.approx(theirs, abs=tolerance)
    assert one.wdl == pytest.approx(other.wdl, abs=tolerance)


def test_the_positions_compared_are_many_and_varied() -> None:
    found = boards()
    promotions = sum(any(move.promotion for move in board.legal_moves) for board in found)
    assert len(found) >= 200
    assert min(sum(board.turn for board in found), sum(not board.turn for board in found)) >= 80
    assert promotions >= 5


@pytest.mark.parametrize("config", [SMALL, NetworkConfig()], ids=["small", "6x64"])
def test_torch_and_onnx_runtime_agree(config: NetworkConfig) -> None:
    by_torch = TorchEvaluator(make(config))(packed(), legal_moves())
    by_onnx = OnnxEvaluator(make(config))(packed(), legal_moves())
    assert_close(by_torch, by_onnx, 1e-4)
    assert np.std([policy.max() for policy in by_torch.policy]) > 0.02  # or agreement would mean little
    assert by_torch.wdl.std(0).min() > 0.01


@cuda
@pytest.mark.parametrize("config", [SMALL, NetworkConfig()], ids=["small", "6x64"])
def test_cuda_agrees_with_the_cpu(config: NetworkConfig) -> None:
    there = make_evaluator(make(config), device="cuda")(packed(), legal_moves())
    here = make_evaluator(make(config), device="cpu")(packed(), legal_moves())
    assert_close(there, here, 1e-3)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_policy_is_a_distribution_over_the_legal_moves_alone(backend: Backend) -> None:
    net = make(SMALL)
    seen = make_evaluator(net, backend=backend, device="cpu")(packed(), legal_moves())
    assert [len(policy) for policy in seen.policy] == [len(row) for row in legal_moves()]
    assert all(policy.min() >= 0 for policy in seen.policy)
    assert [float(policy.sum()) for policy in seen.policy] == pytest.approx([1] * len(packed()), abs=1e-5)
    assert seen.wdl.sum(1) == pytest.approx(np.ones(len(packed())), abs=1e-5)
    assert all(seen.best(row) in legal for row, legal in enumerate(legal_moves()))


def test_a_policy_by_hand() -> None:
    logits = np.zeros((2, moves.SIZE), np.float32)
    logits[0, [3, 8]] = np.log(1), np.log(3)
    logits[0, 9] = 80  # not legal, and so not heard
    logits[1, 7] = 1e4  # must not overflow
    first, second = legal_policy(logits, [[8, 3], [7, 0, 1]])
    assert first == pytest.approx([0.75, 0.25])
    assert second == pytest.approx([1, 0, 0])


def test_a_value_is_wins_and_half_the_draws() -> None:
    wdl = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.2, 0.3]], np.float32)
    seen = Evaluation([[4, 6]] * 4, [np.array([0.1, 0.9], np.float32)] * 4, wdl)
    assert seen.value == pytest.approx([1, 0.5, 0, 0.6])
    assert seen.best(2) == 6


def test_both_colours_see_the_same_in_a_mirrored_position() -> None:
    pairs = [board for board in boards()[:60] if any(board.legal_moves)]
    mirrored = [board.mirror() for board in pairs]
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in pairs]
    assert legal == [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in mirrored]
    evaluate = make_evaluator(make(SMALL), device="cpu")
    one, other = (
        evaluate(np.array([planes.pack(board) for board in side], np.uint64), legal) for side in (pairs, mirrored)
    )
    assert_close(one, other, 0)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_the_same_batch_has_the_same_answer(backend: Backend) -> None:
    one, other = (make_evaluator(make(SMALL), backend=backend, device="cpu")(packed(), legal_moves()) for _ in range(2))
    assert_close(one, other, 0)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_position_is_seen_alike_alone_and_among_others(backend: Backend) -> None:
    evaluate = make_evaluator(make(SMALL), backend=backend, device="cpu")
    together = evaluate(packed(), legal_moves())
    for row in (0, 1, 100):
        alone = evaluate(packed()[row : row + 1], legal_moves()[row : row + 1])
        assert alone.policy[0] == pytest.approx(together.policy[row], abs=1e-5)
        assert alone.wdl[0] == pytest.approx(together.wdl[row], abs=1e-5)


@pytest.mark.parametrize(
    ("backend", "device", "kind"),
    [("auto", "cpu", OnnxEvaluator), ("onnx", "auto", OnnxEvaluator), ("torch", "cpu", TorchEvaluator)],
)
def test_backend_and_device_choose_the_evaluator(backend: Backend, device: Device, kind: type) -> None:
    assert isinstance(make_evaluator(make(SMALL), backend=backend, device=device), kind)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("backend", ["auto", "torch", "onnx"])
def test_a_device_that_is_not_there_is_refused_in_one_line(backend: Backend) -> None:
    with pytest.raises(SpecError, match="device: 'cuda'.*allowed here: auto, cpu") as caught:
        make_evaluator(make(SMALL), backend=backend, device="cuda")
    assert "\n" not in str(caught.value)
    assert resolve_device("auto") == "cpu"


@cuda
def test_onnx_on_cuda_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="backend: 'onnx'.*allowed with device cuda: auto, torch") as caught:
        make_evaluator(make(SMALL), backend="onnx", device="cuda")
    assert "\n" not in str(caught.value)
    assert isinstance(make_evaluator(make(SMALL), backend="onnx"), OnnxEvaluator)
    assert isinstance(make_evaluator(make(SMALL)), TorchEvaluator)
