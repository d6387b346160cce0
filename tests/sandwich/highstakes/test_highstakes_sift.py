"""SiFT: what it perturbs and by how much, what it brings about, and that nothing changes without it."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from engines import moves, planes
from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.fit import VerdictFit, lessons, train_filter
from sandwich.highstakes.sift import Sift, adversarial, divergence, frozen_norms, unit
from sandwich.training.examples import Examples
from sandwich.training.supervised import Trainer, train
from tests.helpers.project import random_games

FIT = VerdictFit(epochs=6, batch=16, learning_rate=5e-3, threads=1, device="cpu", precision="fp32")


def fresh(seed: int = 1) -> PolicyValueNet:
    torch.manual_seed(seed)
    return PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16))


def examples(count: int = 48) -> Examples:
    """Positions of random games; catastrophes are the moves of one half of the board."""
    boards = [board for game in random_games(4, seed=4, plies=60) for board in game if any(board.legal_moves)][:count]
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    values = [np.where(moves.TO[row] % 8 < 4, 0.2, 0.6).astype(np.float32) for row in legal]
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    return lessons(Catastrophes(packed, legal, values, {}, {}, np.arange(len(legal)), np.arange(len(legal)), 0.15), 2.0)


def tensors(part: Examples) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Planes, moves and verdicts of examples."""
    x = torch.from_numpy(planes.planes(part.packed))
    return x, torch.from_numpy(part.moves.astype(np.int64)), torch.from_numpy(part.policy)


def under_attack(net: PolicyValueNet, part: Examples, radius: float) -> tuple[float, float]:
    """Mean divergence under the adversarial perturbation, and under a random one of the same size."""
    x, numbers, verdicts = tensors(part)
    net.eval()
    with torch.no_grad():
        embedding = net.embedded(x)
        clean, _ = net.above(embedding)
        rng = np.random.default_rng(5)
        away = adversarial(net, embedding, clean, numbers, verdicts, radius, rng)
        noise = unit(torch.from_numpy(rng.standard_normal(embedding.shape, np.float32)))
        random = radius * embedding.std((1, 2, 3), keepdim=True) * noise
        divergences = [divergence(clean, net.above(embedding + step)[0], numbers, verdicts) for step in (away, random)]
    return float(divergences[0].mean()), float(divergences[1].mean())


def test_the_divergence_is_that_of_bernoullis_worked_out_by_hand() -> None:
    logits = torch.logit(torch.tensor([[0.5, 0.2, 0.9]]))
    other = torch.logit(torch.tensor([[0.25, 0.2, 0.1]]))
    numbers = torch.tensor([[0, 1, -1]])
    by_hand = 0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75) + 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    got = divergence(logits, other, numbers, torch.tensor([[-3.0, 1.0, 0.0]]))  # the third move is not listed
    assert float(got) == pytest.approx(0.75 * by_hand, rel=1e-5)


def test_a_perturbation_is_as_large_as_said_whatever_the_scale_of_the_embedding() -> None:
    net, (x, numbers, verdicts) = fresh().eval(), tensors(examples(8))
    with torch.no_grad():
        for scale in (1.0, 1000.0):
            embedding = scale * net.embedded(x)
            clean, _ = net.above(embedding)
            away = adversarial(net, embedding, clean, numbers, verdicts, 0.1, np.random.default_rng(1))
            sizes = away.square().mean((1, 2, 3)).sqrt() / embedding.std((1, 2, 3))
            assert sizes == pytest.approx(np.full(8, 0.1), rel=1e-4)


def test_one_step_of_power_iteration_finds_a_worse_direction_than_chance() -> None:
    part = examples()
    adverse, random = under_attack(train_filter(fresh(), part, FIT, 0), part, 0.1)
    assert adverse > 5 * random


def test_training_with_sift_makes_verdicts_change_less_under_attack() -> None:
    part = examples()
    plain, _ = under_attack(train_filter(fresh(), part, FIT, 0), part, 0.1)
    config = FIT.model_copy(update={"sift": 1.0, "sift_radius": 0.1})
    steady, _ = under_attack(train_filter(fresh(), part, config, 0), part, 0.1)
    assert steady < 0.7 * plain


def test_without_sift_the_weights_are_those_of_a_fit_that_knows_nothing_of_it() -> None:
    part = examples()
    bare = to_bytes(train(fresh(), part, FIT, 3))
    assert to_bytes(train_filter(fresh(), part, FIT, 3)) == bare
    assert to_bytes(train_filter(fresh(), part, FIT.model_copy(update={"sift_radius": 5.0}), 3)) == bare
    assert to_bytes(train_filter(fresh(), part, FIT.model_copy(update={"sift": 1.0}), 3)) != bare


def test_only_the_clean_pass_counts_in_running_averages() -> None:
    net, (x, numbers, verdicts) = fresh().train(), tensors(examples(8))
    logits, _ = net(x)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items() if "running" in name}
    net.stem_norm.momentum = 0.25
    loss = Sift(2.0, 0.1)(net, x, logits, numbers, verdicts, np.random.default_rng(0))
    assert loss.shape == (8,)
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())
    assert net.stem_norm.momentum == 0.25
    with pytest.raises(ValueError, match="inside"), frozen_norms(net):
        raise ValueError("inside")
    assert net.stem_norm.momentum == 0.25


def test_a_training_with_sift_that_was_cut_short_goes_on_to_the_same_weights() -> None:
    part, penalty = examples(), Sift(1.0, 0.1)
    uninterrupted = to_bytes(train(fresh(), part, FIT, 7, penalty=penalty))
    first = Trainer(fresh(), part, FIT, 7, penalty)
    first.run(4, lambda progress: None)
    second = Trainer(fresh(seed=2), part, FIT, 7, penalty)
    second.restore(first.state())
    second.run(second.steps, lambda progress: None)
    assert to_bytes(second.finish()) == uninterrupted


@pytest.mark.parametrize("wrong", [{"sift": -1}, {"sift_radius": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(wrong))}\n"):
        VerdictFit(**wrong)
