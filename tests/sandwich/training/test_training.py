"""Learning: mirrored examples, a falling loss, and the same weights from the same call, broken off or not."""

from typing import Any

import chess
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load, save

from engines import moves, planes
from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from sandwich.training.examples import Examples, FitProgress, TrainConfig, concatenate
from sandwich.training.supervised import Trainer, _mirror_half, _mirrored, total_steps, train, validate
from tests.helpers.project import random_games

TINY = NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)
CPU = {"device": "cpu", "threads": 1}


def fresh(seed: int = 1) -> PolicyValueNet:
    """A small network of random weights, always the same."""
    torch.manual_seed(seed)
    return PolicyValueNet(TINY)


def boards(count: int = 48, seed: int = 4) -> list[chess.Board]:
    """Different positions of random games, some of them without castling rights."""
    found = {
        board.epd(): board for game in random_games(4, seed=seed, plies=80) for board in game if any(board.legal_moves)
    }
    some = list(found.values())
    return some[:: max(1, len(some) // count)][:count]


def examples_of(positions: list[chess.Board]) -> Examples:
    """For each position two of its legal moves as targets (one where it has no more) and a result."""
    rng = np.random.default_rng(1)
    targets = np.full((len(positions), 2), -1, np.int16)
    policy = np.zeros((len(positions), 2), np.float32)
    for row, board in enumerate(positions):
        chosen = rng.permutation(moves.encode_all(board.legal_moves, board.turn))[:2]
        targets[row, : len(chosen)] = chosen
        policy[row, : len(chosen)] = [0.75, 0.25] if len(chosen) == 2 else [1]
    return Examples(
        np.array([planes.pack(board) for board in positions], np.uint64),
        targets,
        policy,
        np.eye(3, dtype=np.float32)[rng.integers(3, size=len(positions))],
        np.ones(len(positions), np.float32),
    )


def changed(examples: Examples, **arrays: npt.NDArray[Any]) -> Examples:
    """The examples with some of their arrays exchanged."""
    names = ("packed", "moves", "policy", "wdl", "weight")
    return Examples(**{name: arrays.get(name, getattr(examples, name)) for name in names})


def without_castling(positions: list[chess.Board]) -> list[chess.Board]:
    """The same positions after both kings have moved."""
    out = [board.copy(stack=False) for board in positions]
    for board in out:
        board.castling_rights = chess.BB_EMPTY
    return out


# Mirroring


def test_a_mirrored_position_is_that_of_python_chess() -> None:
    positions = without_castling(boards(200))
    positions += [
        chess.Board("8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3"),
        chess.Board("4k3/8/8/pP6/8/8/8/4K3 w - a6 0 3"),
        chess.Board("4k3/8/8/6Pp/8/8/8/4K3 w - h6 7 3"),
    ]
    flipped = [board.transform(chess.flip_horizontal) for board in positions]
    before, after = (np.array([planes.pack(board) for board in side], np.uint64) for side in (positions, flipped))
    assert np.array_equal(_mirrored(before), after)
    assert np.array_equal(_mirrored(after), before)


def test_mirrored_targets_are_the_same_moves_on_the_mirrored_board() -> None:
    for board in without_castling(boards(100)):
        flipped = board.transform(chess.flip_horizontal)
        for move in board.legal_moves:
            there = chess.Move(move.from_square ^ 7, move.to_square ^ 7, move.promotion)
            assert flipped.is_legal(there)
            assert moves.MIRROR[moves.encode(move, board.turn)] == moves.encode(there, board.turn)


def test_half_of_the_positions_without_castling_rights_are_mirrored_with_their_targets() -> None:
    castling = [chess.Board() for _ in range(100)]
    without = without_castling(boards(100)) * 4
    batch = examples_of([*castling, *without])
    shown = _mirror_half(batch, np.random.default_rng(1))
    same = (shown.packed == batch.packed).all(1)
    assert same[:100].all()
    assert np.array_equal(shown.moves[:100], batch.moves[:100])
    assert 0.4 < 1 - same[100:].mean() < 0.6
    for row in range(100, len(batch)):
        board = planes.unpack(batch.packed[row])
        if not same[row]:
            assert planes.unpack(shown.packed[row]) == board.transform(chess.flip_horizontal)
        expected = [m if same[row] or m < 0 else moves.MIRROR[m] for m in batch.moves[row]]
        assert shown.moves[row].tolist() == expected
    for name in ("policy", "wdl", "weight"):
        assert np.array_equal(getattr(shown, name), getattr(batch, name))


def test_mirroring_leaves_the_batch_itself_as_it_is() -> None:
    batch = examples_of(without_castling(boards()))
    packed, targets = batch.packed.copy(), batch.moves.copy()
    _mirror_half(batch, np.random.default_rng(1))
    assert np.array_equal(batch.packed, packed)
    assert np.array_equal(batch.moves, targets)


# Examples


@pytest.mark.parametrize(
    ("name", "shape"),
    [("packed", (48, 9)), ("packed", (47, 10)), ("policy", (48, 3)), ("wdl", (48, 2)), ("weight", (48, 1))],
)
def test_examples_whose_shapes_disagree_are_refused(name: str, shape: tuple[int, ...]) -> None:
    good = examples_of(boards())
    with pytest.raises(ValueError, match=f"expected {name} of shape .*, got") as caught:
        changed(good, **{name: np.zeros(shape, getattr(good, name).dtype)})
    assert str(shape) in str(caught.value)


def test_examples_of_different_width_are_joined_in_order() -> None:
    both = examples_of(boards(10))
    narrow = changed(both, moves=both.moves[:, :1], policy=both.policy[:, :1])
    joined = concatenate([narrow, both])
    assert len(joined) == 20
    assert joined.moves[:10].tolist() == [[move, -1] for move in both.moves[:, 0]]
    assert (joined.policy[:10, 1] == 0).all()
    assert np.array_equal(joined.moves[10:], both.moves)
    assert np.array_equal(joined.packed, np.concatenate([both.packed, both.packed]))


@pytest.mark.parametrize(
    ("examples", "epochs", "batch", "expected"),
    [
        (1000, 2.0, 100, 20),
        (1000, 0.25, 100, 2),  # 2.5, to the even number
        (1000, 1.5, 64, 23),  # 23.4
        (10, 3.0, 1024, 3),  # a batch is never more than there is
        (1, 1.0, 1024, 1),
        (1000, 0.001, 100, 1),  # at least one
    ],
)
def test_steps_of_a_training(examples: int, epochs: float, batch: int, expected: int) -> None:
    assert total_steps(examples, TrainConfig(epochs=epochs, batch=batch)) == expected


# Learning


def test_learning_lowers_the_loss_and_finds_the_moves() -> None:
    examples = examples_of(boards())
    config = TrainConfig(epochs=60, batch=48, learning_rate=1e-2, mirror=False, **CPU)
    seen: list[FitProgress] = []
    before = validate(fresh().eval(), examples)
    after = validate(train(fresh(), examples, config, 1, seen.append), examples)
    assert after.n == 48
    assert before.top1 < 0.1
    assert after.top1 > 0.95
    floor = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert floor - 0.01 < after.policy_loss < before.policy_loss / 4
    assert after.value_loss < before.value_loss / 4
    assert [progress.step for progress in seen] == [20, 40, 60]
    assert {progress.steps for progress in seen} == {60}
    assert seen[0].policy_loss > seen[1].policy_loss > seen[2].policy_loss


def cross_entropies(net: PolicyValueNet, examples: Examples) -> dict[str, float]:
    """Mean policy loss of a network in training by each objective for wrong labels, written out by its paper."""
    with torch.no_grad():
        logits, _ = net.train()(torch.from_numpy(planes.planes(examples.packed)))
    said = torch.softmax(logits.double(), 1).numpy()
    target = np.zeros_like(said)
    for row, (numbers, shares) in enumerate(zip(examples.moves, examples.policy, strict=True)):
        target[row, numbers[numbers >= 0]] = shares[numbers >= 0]
    forward = -(target * np.log(said)).sum(1)
    reverse = -(said * np.where(target > 0, np.log(np.maximum(target, 1e-9)), -4)).sum(1)
    mixed = -((0.95 * target + 0.05 * said) * np.log(said)).sum(1)
    return {"symmetric": float((0.1 * forward + reverse).mean()), "bootstrapped": float(mixed.mean())}


@pytest.mark.parametrize("objective", ["symmetric", "bootstrapped"])
def test_losses_for_wrong_labels_are_those_of_their_papers(objective: str) -> None:
    examples = examples_of(boards())
    examples.moves[:, 1], examples.policy[:] = -1, (1, 0)  # whole labels, as in the papers
    config = TrainConfig(epochs=1, batch=48, mirror=False, objective=objective, **CPU)
    seen: list[FitProgress] = []
    train(fresh(), examples, config, 1, seen.append)
    assert seen[0].policy_loss == pytest.approx(cross_entropies(fresh(), examples)[objective], rel=1e-4)


def test_the_same_call_gives_the_same_bytes() -> None:
    examples = examples_of(boards())
    config = TrainConfig(epochs=2, batch=16, **CPU)
    one, same, other = (to_bytes(train(fresh(), examples, config, seed)) for seed in (7, 7, 8))
    assert one == same
    assert one != other


@pytest.mark.parametrize("stop", [1, 3, 5])  # 3 steps are an epoch
def test_a_training_that_was_broken_off_goes_on_to_the_same_bytes(stop: int) -> None:
    examples = examples_of(boards())
    config = TrainConfig(epochs=3, batch=16, **CPU)
    whole = to_bytes(train(fresh(), examples, config, 7))
    first = Trainer(fresh(), examples, config, 7)
    first.run(stop, lambda progress: None)
    kept = load(save(first.state()))  # by way of a file
    second = Trainer(fresh(seed=2), examples, config, 7)
    second.restore(kept)
    assert second.step == stop
    second.run(second.steps, lambda progress: None)
    assert to_bytes(second.finish()) == whole


def test_looking_at_the_state_changes_nothing() -> None:
    examples = examples_of(boards())
    config = TrainConfig(epochs=2, batch=16, **CPU)
    trainer = Trainer(fresh(), examples, config, 7)
    for step in range(1, trainer.steps + 1):
        trainer.run(step, lambda progress: None)
        kept = trainer.state()
    assert int(kept["step"]) == trainer.steps == 6
    assert to_bytes(trainer.finish()) == to_bytes(train(fresh(), examples, config, 7))


def parts_of(net: PolicyValueNet, names: tuple[str, ...]) -> list[torch.Tensor]:
    """Weights of the layers of these names."""
    return [value for name, value in net.state_dict().items() if name.split(".")[0] in names]


VALUE = ("value", "value_hidden", "value_out")
POLICY = ("policy", "start", "end", "promote")


@pytest.mark.parametrize(("silent", "untaught"), [("policy", POLICY), ("wdl", VALUE)])
def test_rows_of_zeros_teach_nothing(silent: str, untaught: tuple[str, ...]) -> None:
    examples = examples_of(boards())
    quiet = changed(examples, **{silent: np.zeros_like(getattr(examples, silent))})
    config = TrainConfig(epochs=2, batch=16, weight_decay=0, **CPU)
    net = train(fresh(), quiet, config, 1)
    taught = VALUE if untaught == POLICY else POLICY
    assert all(torch.equal(a, b) for a, b in zip(parts_of(net, untaught), parts_of(fresh(), untaught), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(parts_of(net, taught), parts_of(fresh(), taught), strict=True))


def test_an_example_without_weight_teaches_nothing() -> None:
    examples = examples_of(boards())
    weight = np.ones(48, np.float32)
    weight[::2] = 0
    config = TrainConfig(epochs=2, batch=48, **CPU)
    lies = changed(examples, weight=weight, moves=examples.moves.copy(), wdl=examples.wdl.copy())
    lies.moves[::2] = 5
    lies.wdl[::2] = (1, 0, 0)
    honest = changed(examples, weight=weight)
    assert to_bytes(train(fresh(), lies, config, 1)) == to_bytes(train(fresh(), honest, config, 1))


def test_nothing_to_learn_from_is_refused() -> None:
    nothing = examples_of(boards()).take(np.array([], np.int64))
    with pytest.raises(ValueError, match="no examples"):
        train(fresh(), nothing, TrainConfig(**CPU), 1)
