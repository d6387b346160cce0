"""A proposer fine-tuned against a filter: what it imitates, what it stays near, and what is said of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from agents.players.assistant import AssistantPlayer
from agents.players.filtered import Filtered
from agents.players.network import Network
from agents.tools import Tools
from engines import filter as filters
from engines import moves, network, planes
from engines.filter import filtered_policy
from engines.inference import make_evaluator
from engines.network import NetworkConfig, PolicyValueNet
from engines.settings import SpecError
from experiments.cli.highstakes import highstakes
from experiments.figures.highstakes_page import page
from sandwich.highstakes import outcome
from sandwich.highstakes.adversarial_training import AdversarialTraining
from sandwich.highstakes.calibrate import CalibrationConfig
from sandwich.highstakes.catastrophes import Catastrophes, split_of
from sandwich.highstakes.fit import VerdictFit, lessons, risks, train_filter
from sandwich.highstakes.tune import ImitationFit, TuneConfig, Tuning, own, tunable
from sandwich.highstakes.tune import lessons as examples_of
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.loading import validate
from tests.helpers.highstakes import small_spec
from tests.helpers.project import needs_stockfish, random_games
from tests.helpers.small_players import INLINE, checkpoint

INFERENCE = InferenceConfig()
PLAYER = checkpoint(2)
FIT = ImitationFit(epochs=12, batch=16, learning_rate=3e-3, threads=1, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def data() -> Catastrophes:
    """Positions of random games, with proposals by a small network; catastrophes are moves to half of the board."""
    boards = [board for game in random_games(12, seed=4, plies=60) for board in game[4::6] if any(board.legal_moves)]
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    values = [np.where(moves.TO[row] % 8 < 4, 0.2, 0.6).astype(np.float32) for row in legal]
    policy = make_evaluator(network.from_bytes(PLAYER))(packed, legal).policy
    each = np.arange(len(legal))
    return Catastrophes(
        packed, legal, values, {"weak": policy}, {"weak": np.zeros(len(legal), np.int64)}, each, each, 0.15
    )  # fmt: skip


@pytest.fixture(scope="module")
def judge(data: Catastrophes) -> bytes:
    """A filter that has learned something of these catastrophes."""
    torch.manual_seed(1)
    net = PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16))
    fit = VerdictFit(epochs=10, batch=16, learning_rate=1e-2, threads=1, device="cpu", precision="fp32")
    return filters.to_bytes(train_filter(net, lessons(data, 2.0), fit, 0), 0.3)


def tuning(path: Path, judge: bytes, kl: float = 0.1) -> Tuning:
    calibration = CalibrationConfig(bootstrap=100)
    return Tuning(path, "weak", judge, 2, TuneConfig(kl=kl, fit=FIT), calibration, 0, INFERENCE)


def test_the_target_is_the_filtered_policy_and_the_former_one_by_its_weight() -> None:
    policy = np.array([0.6, 0.3, 0.1], np.float32)
    risk = [np.array([0.9, 0.05, 0.01], np.float32), np.array([0.9, 0.8, 0.7], np.float32)]
    both = Catastrophes(
        np.zeros((2, 10), np.uint64), [[1, 2, 3]] * 2, [np.empty(0, np.float32)] * 2, {"weak": [policy] * 2},
        {}, np.zeros(2, np.int64), np.zeros(2, np.int64), 0.15,
    )  # fmt: skip
    wdl = np.full((2, 3), 1 / 3, np.float32)
    out = examples_of(both, "weak", risk, wdl, 0.1, 4, 0.5)
    assert out.policy[0] == pytest.approx((filtered_policy(policy, risk[0], 0.1, 4) + 0.5 * policy) / 1.5)
    assert out.policy[1] == pytest.approx(policy)  # nothing is accepted: stay as you are
    assert out.weight == pytest.approx([1.5, 0.5])
    alone = examples_of(both, "weak", risk, wdl, 0.1, 4, 0.0)
    assert len(alone) == 1
    assert alone.policy[0, 0] == 0


def test_a_tuned_proposer_is_refused_less_and_a_weight_keeps_it_near_what_it_was(
    data: Catastrophes, judge: bytes, tmp_path: Path
) -> None:
    net, threshold = filters.from_bytes(judge)
    risk = risks(net, data.packed, data.legal, INFERENCE)
    figures_by_kl = []
    for kl in (0.0, 5.0):
        tuned = tuning(tmp_path / f"{kl}.safetensors", judge, kl)
        assert tuned.figures(data, risk) is None
        tuned.make(PLAYER, data)
        figures_by_kl.append(tuned.figures(data, risk))
    free, near = figures_by_kl
    assert free and near
    assert free["threshold"] == pytest.approx(threshold)
    assert free["positions"] == len(own(data, "weak")) >= free["accepting"] > 0
    assert free["change"]["rejected"]["high"] < near["change"]["rejected"]["value"]
    assert free["after"]["rejected"]["value"] < free["before"]["rejected"]["value"] - 0.1
    assert free["kl"]["value"] > near["kl"]["value"] >= 0
    assert free["before"] == near["before"]
    # Figures of the former proposer are what they come to by hand.
    refused = np.mean([policy @ (row >= threshold) for policy, row in zip(data.proposals["weak"], risk, strict=True)])
    assert free["before"]["rejected"]["value"] == pytest.approx(refused, abs=1e-5)
    lost = np.mean([data.proposals["weak"][row] @ data.losses(row) for row in range(len(data))])
    assert free["before"]["loss"]["value"] == pytest.approx(lost, abs=1e-5)
    # The same call gives the same file, which is an ordinary player's.
    again = tuning(tmp_path / "again.safetensors", judge, 0.0)
    again.make(PLAYER, data)
    assert again.path.read_bytes() == (tmp_path / "0.0.safetensors").read_bytes()
    network.load_network(again.path)


def test_a_proposer_that_was_tuned_against_another_filter_is_none_against_this_one(
    data: Catastrophes, judge: bytes, tmp_path: Path
) -> None:
    net, threshold = filters.from_bytes(judge)
    risk = risks(net, data.packed, data.legal, INFERENCE)
    quick = TuneConfig(fit=FIT.model_copy(update={"epochs": 0.5}))
    first = replace(tuning(tmp_path / "tuned.safetensors", judge), config=quick)
    first.make(PLAYER, data)
    before = first.path.read_bytes()
    other = replace(first, judge=filters.to_bytes(net, threshold * 0.9))
    assert other.figures(data, risk) is None
    other.make(PLAYER, data)
    assert first.path.read_bytes() != before
    assert other.figures(data, risk) is not None
    assert first.figures(data, risk) is None
    first.path.write_bytes(network.to_bytes(network.from_bytes(PLAYER), {"generation": 2}))  # does not say which filter
    assert first.figures(data, risk) is None


def test_it_learns_from_its_own_training_games_alone(data: Catastrophes) -> None:
    both = Catastrophes(
        data.packed, data.legal, data.values, {"other": data.proposals["weak"], "weak": data.proposals["weak"]},
        {}, data.games, data.games // 2, 0.15,
    )  # fmt: skip
    games = own(both, "weak").games
    assert set(games) == {game for game in data.games if game % 2 == 1 and split_of(game // 2) == "train"}


def test_what_cannot_be_tuned_ends_in_one_line(data: Catastrophes, judge: bytes, tmp_path: Path) -> None:
    proposers = {"weak": Network(checkpoint="weak"), "assistant": AssistantPlayer()}
    assert tunable(proposers, "weak") == "weak"
    with pytest.raises(SpecError, match=r"^dataset\.proposers\.assistant: expected a network .*, got AssistantPlayer$"):
        tunable(proposers, "assistant")
    shut = filters.to_bytes(filters.from_bytes(judge)[0], 0.0)
    with pytest.raises(SpecError, match=r"^tuned: filter 2 accepts nothing in \d+ positions$"):
        tuning(tmp_path / "shut.safetensors", shut).make(PLAYER, data)
    for wrong in ({"kl": -1}, {"fit": {"objective": "worth"}}):
        with pytest.raises(SpecError) as error:
            validate(TuneConfig, wrong, Path())
        assert "\n" not in str(error.value)


@needs_stockfish
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_experiment_tunes_its_proposer_where_that_is_asked_for(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "start.safetensors")
    few = {"sample": spec.attacks["sample"].model_copy(update={"runs": 2})}
    fit = ImitationFit(epochs=1, batch=16, threads=1, device="cpu")
    harden = spec.harden.model_copy(update={"rounds": 0})
    spec = spec.model_copy(
        update={
            "attacks": few, "variants": {}, "verify": None, "strength": None, "harden": harden,
            "tuned": TuneConfig(fit=fit),
        }
    )  # fmt: skip
    out = tmp_path / "out"
    result = outcome.run(AdversarialTraining(spec, out, INLINE), tune=True)
    assert set(result["tuned"]["change"]) >= {"base", "rejected", "residual", "loss"}
    content = (out / "tuned.safetensors").read_bytes()
    assert outcome.run(AdversarialTraining(spec, out, INLINE))["tuned"] == result["tuned"]  # it stays in the report
    assert (out / "tuned.safetensors").read_bytes() == content
    assert "weak fine-tuned against filter 0" in page(json.loads(json.dumps(result)))
    assert "fine-tuned" not in page(json.loads(json.dumps({**result, "tuned": None})))
    reported = CliRunner().invoke(highstakes, ["report", str(out)])
    assert reported.exit_code == 0
    assert "before" in reported.output
    player = Filtered.model_validate(
        {"player": str(out / "tuned.safetensors"), "filter": str(out / "generation-0" / "filter.safetensors")}
    )
    data = AdversarialTraining(spec, out, INLINE).dataset()
    with Tools() as tools:
        evaluation = tools.player(player)(data.packed[:4], data.legal[:4])
    assert [row.sum() for row in evaluation.policy] == pytest.approx([1] * 4, abs=1e-4)
    other = spec.dataset.model_copy(update={"proposers": {"assistant": AssistantPlayer()}})
    with pytest.raises(SpecError, match="expected a network to fine-tune"):
        outcome.run(
            AdversarialTraining(spec.model_copy(update={"dataset": other}), tmp_path / "other", INLINE), tune=True
        )
