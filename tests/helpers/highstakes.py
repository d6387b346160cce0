"""A small dataset, filters of random weights and a small spec, for tests of the high-stakes half."""

from pathlib import Path

import chess
import numpy as np
import torch

from agents.checkpoint_files import checkpoint_path
from agents.players.network import Network
from engines import filter as filters
from engines import moves, network, planes
from engines.network import NetworkConfig, PolicyValueNet
from sandwich.highstakes.attack_runs import AttackRun, AttackRunConfig, read
from sandwich.highstakes.attacks.sample import Sample
from sandwich.highstakes.attacks.tool_assisted import ToolAssisted
from sandwich.highstakes.calibrate import CalibrationConfig
from sandwich.highstakes.cascade import CascadeConfig, EngineStage, NetworkStage
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.closest import ClosestConfig
from sandwich.highstakes.dataset import DatasetConfig
from sandwich.highstakes.environment import JudgeConfig
from sandwich.highstakes.fit import FilterConfig, VerdictFit
from sandwich.highstakes.harden import HardenConfig
from sandwich.highstakes.lookahead import LookaheadConfig
from sandwich.highstakes.measure import VerifyConfig
from sandwich.highstakes.rare import RareConfig
from sandwich.highstakes.shift import Unbalanced
from sandwich.highstakes.spec import HighStakesSpec
from sandwich.highstakes.strength import StrengthConfig
from sandwich.highstakes.variants import VariantConfig

HANGS = "r3k2r/ppp2ppp/2n5/8/8/2N5/PPPQ1PPP/R3K2R w KQkq - 0 1"
"""The queen can be given away by `QUEEN_AWAY`."""
QUEEN_AWAY = moves.encode(chess.Move.from_uci("d2d7"), True)
START = np.array(planes.pack(chess.Board()), np.uint64)
LEGAL = sorted(moves.encode_all(chess.Board().legal_moves, True))
"""Numbers of the legal moves of `START`."""
DATA = DatasetConfig(
    positions=48, per_game=2, spare=2, nodes=300, plies=12, draws=2, proposers={"weak": Network(checkpoint="weak")}
)
CHECKPOINTS = {"weak": network.read(checkpoint_path("weak"))}


def small_network(seed: int) -> PolicyValueNet:
    """A very small network of random weights."""
    torch.manual_seed(seed)
    return PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)).eval()


def biased_filter(bias: float) -> bytes:
    """A filter of random weights, threshold ½, that finds everything fine (bias under 0) or nothing (over 0)."""
    net = small_network(1)
    with torch.no_grad():
        for layer, value in ((net.start, 1.0), (net.end, bias)):
            layer.weight.zero_()
            assert layer.bias is not None
            layer.bias.fill_(value)
    return filters.to_bytes(net, 0.5)


def decided_filter(threshold: float) -> bytes:
    """A filter of random weights, which make it decided about moves."""
    net = small_network(0)
    with torch.no_grad():
        net.start.weight.mul_(20)
    return filters.to_bytes(net, threshold)


def random_catastrophes(count: int, seed: int = 0, games: int = 40) -> Catastrophes:
    """Positions in which a fifth of the moves are catastrophes, drawn by lot, and proposals too."""
    rng = np.random.default_rng(seed)
    values = [np.where(rng.random(len(LEGAL)) < 0.2, 0.2, 0.5 + 0.1 * rng.random(len(LEGAL))) for _ in range(count)]
    proposals = [rng.dirichlet(np.ones(len(LEGAL))).astype(np.float32) for _ in range(count)]
    numbers = rng.integers(games, size=count)
    return Catastrophes(
        np.tile(START, (count, 1)), [LEGAL] * count, [row.astype(np.float32) for row in values],
        {"weak": proposals}, {"weak": np.zeros(count, np.int64)}, numbers, numbers, 0.15,
    )  # fmt: skip


def runs_in(folder: Path) -> list[AttackRun]:
    """The attack runs that are written in a folder."""
    return [run for file in sorted(folder.glob("runs-*.jsonl")) for run in read(file)]


def small_spec(start: Path) -> HighStakesSpec:
    """An experiment whose filters begin as a very small network, written to `start`."""
    torch.manual_seed(3)
    start.write_bytes(network.to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16))))
    small = {"runs": 4, "queries": 40, "oracle": 20}
    fit = VerdictFit(epochs=1, batch=16, threads=1, device="cpu")
    return HighStakesSpec(
        name="tiny", workers=1, dataset=DATA, filter=FilterConfig(start=str(start), fit=fit),
        variants={
            "head": VariantConfig(start=str(start), head_only=True, fit=fit),
            "scratch": VariantConfig(network=NetworkConfig(blocks=1, channels=8, squeeze=2, head=8), fit=fit),
            "look": VariantConfig(
                start=str(start), positions=0.5, fit=fit, lookahead=LookaheadConfig(player=str(start))
            ),
        },
        calibration=CalibrationConfig(bootstrap=100, grid=20), judge=JudgeConfig(nodes=300, again=2),
        attacks={
            "sample": AttackRunConfig(attack=Sample(), **small),
            "tool_assisted": AttackRunConfig(attack=ToolAssisted(least=0.2, steps=2), examples=2, **small),
        },
        cascades={
            "engine": CascadeConfig(stage=EngineStage(kind="engine", nodes=40)),
            "network": CascadeConfig(stage=NetworkStage(kind="network", player=str(start)), looked=0.8),
        },
        closest=ClosestConfig(times=2, further=2, positions=20),
        rare=RareConfig(least=0.2, edits=1, paths=20, repeats=20),
        shifts={"unbalanced": Unbalanced(kind="unbalanced", games=6, per_game=1, plies=4)},
        harden=HardenConfig(rounds=1, fit=fit), verify=VerifyConfig(positions=20, nodes=200),
        strength=StrengthConfig(pairs=3, ply_cap=10),
    )  # fmt: skip
