"""Latent adversarial training: a ball measured in edits, an adversary within it, and a filter that sees through it."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from engines import moves, planes
from engines.network import PolicyValueNet, to_bytes
from engines.settings import SpecError
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.fit import VerdictFit, lessons, train_filter
from sandwich.highstakes.latent import Latent, displacement, fooled
from sandwich.training.examples import Examples
from sandwich.training.supervised import train, verdict_loss
from tests.helpers.highstakes import small_network
from tests.helpers.project import random_games

FIT = VerdictFit(epochs=30, batch=16, learning_rate=1e-2, threads=1, device="cpu", precision="fp32", value_weight=0)


@pytest.fixture(scope="module")
def data() -> Catastrophes:
    """Positions of random games; catastrophes are the moves to one half of the board."""
    boards = [board for game in random_games(4, seed=4, plies=60) for board in game if any(board.legal_moves)][:48]
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    values = [np.where(moves.TO[row] % 8 < 4, 0.2, 0.6).astype(np.float32) for row in legal]
    packed, each = np.array([planes.pack(board) for board in boards], np.uint64), np.arange(48)
    policy = [np.full(len(row), 1 / len(row), np.float32) for row in legal]
    places = np.array([int(np.argmin(row)) for row in values])
    return Catastrophes(packed, legal, values, {"weak": policy}, {"weak": places}, each, each, 0.15)


@pytest.fixture(scope="module")
def part(data: Catastrophes) -> Examples:
    return lessons(data, 2.0)


def tensors(part: Examples) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(planes.planes(part.packed))
    return x, torch.from_numpy(part.moves.astype(np.int64)), torch.from_numpy(part.policy)


@pytest.mark.parametrize("depth", [0, 1])
def test_what_is_above_a_depth_is_the_rest_of_the_network(depth: int, part: Examples) -> None:
    net, (x, _, _) = small_network(0), tensors(part)
    with torch.no_grad():
        for whole, split in zip(net(x), net.above(net.embedded(x, depth), depth), strict=True):
            assert torch.equal(whole, split)


@pytest.mark.parametrize("depth", [0, 1])
def test_the_adversary_stays_in_its_ball_and_makes_catastrophes_look_safe(depth: int, part: Examples) -> None:
    net, (x, numbers, policy) = small_network(0), tensors(part)
    adversary = Latent(1.0, depth, 0.2, 3)
    with torch.no_grad():
        activation = net.embedded(x, depth)
    away = adversary.disturbance(net, activation, numbers, policy, np.random.default_rng(0))
    sizes = (away.square().mean((1, 2, 3)).sqrt() / activation.std((1, 2, 3))).numpy()
    has_bad = (policy > 0).any(1).numpy()
    assert sizes[has_bad] == pytest.approx(np.full(has_bad.sum(), 0.2), rel=0.05)
    assert (sizes <= 0.2 * (1 + 1e-5)).all()
    with torch.no_grad():
        before, after = (
            net.above(at, depth)[0].gather(1, numbers.clamp(min=0)) for at in (activation, activation + away)
        )
    bad = (policy > 0) & (numbers >= 0)
    assert float((after - before)[bad].mean()) < 0
    only_good = policy.clamp(max=0)
    assert not adversary.disturbance(net, activation, numbers, only_good, np.random.default_rng(0)).any()


def test_the_ball_is_as_large_as_what_edits_move(part: Examples) -> None:
    net = small_network(0).train()
    far = displacement(net, part.packed, 0, np.random.default_rng(0))
    assert 0.01 < far < 2
    assert far == displacement(net, part.packed, 0, np.random.default_rng(0))
    grown = small_network(0)
    with torch.no_grad():
        grown.stem_norm.weight.mul_(50)
    assert displacement(grown, part.packed, 1, np.random.default_rng(0)) != displacement(
        net, part.packed, 1, np.random.default_rng(0)
    )
    assert net.training  # as it was


def test_the_loss_is_that_of_verdicts_where_the_adversary_moves_nothing(part: Examples) -> None:
    net, (x, numbers, policy) = small_network(0), tensors(part)
    with torch.no_grad():
        logits, _ = net(x)
    term = Latent(2.0, 1, 1e-9, 1)(net, x, logits, numbers, policy, np.random.default_rng(0))
    assert torch.allclose(term, 2 * verdict_loss(logits, numbers, policy), atol=1e-4)


def test_a_filter_trained_so_is_fooled_less_often(part: Examples, data: Catastrophes) -> None:
    plain = train_filter(small_network(0), part, FIT, 0)
    latent = FIT.model_copy(update={"latent": 1.0, "latent_depth": 1, "latent_radius": 0.5})
    steady = train_filter(small_network(0), part, latent, 0)
    shares = []
    for net in (plain, steady):
        radius = 0.5 * displacement(net, part.packed, 1, np.random.default_rng(1))
        calm, moved = fooled(net, data, 0.5, "weak", Latent(1.0, 1, radius, 4), np.random.default_rng(2))
        assert calm.value is not None and moved.value is not None
        assert calm.value <= moved.value
        shares.append(moved.value)
    assert shares[1] < shares[0]


def test_without_it_the_weights_are_those_of_a_fit_that_knows_nothing_of_it(part: Examples) -> None:
    short = FIT.model_copy(update={"epochs": 2})
    bare = to_bytes(train(small_network(0), part, short, 3))
    assert to_bytes(train_filter(small_network(0), part, short.model_copy(update={"latent_radius": 5.0}), 3)) == bare
    one, other = (
        to_bytes(train_filter(small_network(0), part, short.model_copy(update={"latent": 1.0, "latent_depth": 1}), 3))
        for _ in range(2)
    )
    assert one == other != bare


def test_settings_that_make_no_sense_are_refused_in_one_line(part: Examples) -> None:
    with pytest.raises(ValidationError, match="expected sift or latent, not both"):
        VerdictFit(sift=1, latent=1)
    deep = FIT.model_copy(update={"latent": 1.0, "latent_depth": 2})
    with pytest.raises(
        SpecError, match=r"^filter\.fit\.latent_depth: expected at most 1, the blocks of the network, got 2$"
    ):
        train_filter(small_network(0), part, deep, 0)


def test_where_no_proposal_is_a_catastrophe_nothing_is_measured(data: Catastrophes) -> None:
    fine = data.take(np.flatnonzero(np.array([False] * len(data))))
    net: PolicyValueNet = small_network(0)
    calm, moved = fooled(net, fine, 0.5, "weak", Latent(1.0, 1, 0.1, 1), np.random.default_rng(0))
    assert calm.reason == moved.reason == "no proposal is a catastrophe"
