"""A proposer fine-tuned against a filter, so that it is rarely refused and stays near what it was.

It learns from positions of its own training games, without the oracle: where the filter accepts something,
to propose what it would play behind the filter; everywhere, not to leave its former policy. What it learns
of the filter's errors along the way is seen in the residual rate, which is why that is measured anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agents.players.base import Player
from agents.players.network import Network
from engines import filter as filters
from engines import network
from engines.filter import filtered_policy
from engines.inference import Evaluation
from engines.settings import Frozen, SpecError
from sandwich.highstakes.calibrate import Calibrated, CalibrationConfig, calibrated, curve, difference
from sandwich.highstakes.catastrophes import Catastrophes, split_of
from sandwich.highstakes.fit import risks
from sandwich.runtime.kept import read_if_there, write_kept
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import mean_figure
from sandwich.training.examples import Examples, FitProgress, TrainConfig
from sandwich.training.supervised import train

Floats = npt.NDArray[np.float32]

BATCH = 512


class ImitationFit(TrainConfig):
    """How a policy is fitted to what it is to imitate."""

    epochs: float = Field(4.0, gt=0)
    """Passes over the examples."""
    batch: int = Field(512, ge=2)
    """Positions per optimiser step."""
    learning_rate: float = Field(5e-4, gt=0)
    """Peak of the one-cycle schedule."""
    value_weight: float = Field(0.2, ge=0)
    """Weight of the value loss, which holds the value to what it was, beside the policy's."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it saves time."""
    objective: Literal["imitate"] = "imitate"
    """A policy is the target of a cross-entropy."""


class TuneConfig(Frozen):
    """How a proposer is fine-tuned against the filter."""

    kl: float = Field(0.1, ge=0)
    """Weight of the divergence from the former policy, KL(former ‖ tuned), beside the imitation of the filtered one;
    0: nothing is learned where the filter accepts nothing."""
    fit: ImitationFit = ImitationFit()
    """Schedule, batch."""


def tunable(proposers: Mapping[str, Player], who: str) -> str:
    """The checkpoint of a proposer that is a network; SpecError in one line for one that is something else."""
    player = proposers[who]
    if not isinstance(player, Network):
        raise SpecError(f"dataset.proposers.{who}: expected a network to fine-tune, got {type(player).__name__}")
    return player.checkpoint


def own(data: Catastrophes, who: str) -> Catastrophes:
    """The positions of a proposer's own training games, labelled or not."""
    names = list(data.proposals)  # the games are dealt out to the proposers in turn
    rows = [
        row
        for row, (game, opening) in enumerate(zip(data.games, data.openings.tolist(), strict=True))
        if game % len(names) == names.index(who) and split_of(opening) == "train"
    ]
    return data.take(rows)


def lessons(
    positions: Catastrophes, who: str, risk: Sequence[Floats], wdl: Floats, threshold: float, proposals: int, kl: float
) -> Examples:
    """Examples whose cross-entropy is, but for a constant, KL(filtered ‖ tuned) + kl·KL(former ‖ tuned).

    The sum of both is (1 + kl) times the cross-entropy of their mixture: (filtered + kl·former) / (1 + kl) is
    the target, and 1 + kl the weight. Filtered is what is played behind the filter after at most so many `proposals`;
    where the filter accepts no legal move the first term is absent.

    wdl: `[N, 3]` what the former value head says, for the value to stay as it is.
    """
    width = max(map(len, positions.legal))
    numbers = np.full((len(positions), width), -1, np.int16)
    policy = np.zeros((len(positions), width), np.float32)
    weight = np.full(len(positions), kl, np.float32)
    for row, legal in enumerate(positions.legal):
        target = former = positions.proposals[who][row]
        if risk[row].min() < threshold:
            target = filtered_policy(former, risk[row], threshold, proposals) + np.float32(kl) * former
            weight[row] = 1 + kl
        numbers[row, : len(legal)] = legal
        policy[row, : len(legal)] = target / target.sum()
    kept = np.flatnonzero(weight > 0)
    return Examples(positions.packed, numbers, policy, wdl, weight).take(kept)


@dataclass(frozen=True, eq=False)
class Tuning:
    """A proposer against a filter.

    path: where the fine-tuned checkpoint is, or will be. who: name of the proposer in a dataset.
    judge: the filter, as the bytes of its file. generation: its number.
    """

    path: Path
    who: str
    judge: bytes
    generation: int
    config: TuneConfig
    calibration: CalibrationConfig
    seed: int
    inference: InferenceConfig

    def make(
        self, player: bytes, data: Catastrophes, on_progress: Callable[[FitProgress], None] = lambda progress: None
    ) -> None:
        """Fine-tune a proposer's checkpoint, unless that has been done against this filter; the same call gives the
        same file.

        Raises SpecError where the filter accepts nothing.
        """
        if self._made() is not None:
            return
        positions = own(data, self.who)
        net, threshold = filters.from_bytes(self.judge)
        risk = risks(net, positions.packed, positions.legal, self.inference)
        accepting = sum(bool(row.min() < threshold) for row in risk)
        if not accepting:
            raise SpecError(f"tuned: filter {self.generation} accepts nothing in {len(positions)} positions")
        wdl = np.concatenate([part.wdl for part in _evaluated(player, positions, self.inference)])
        proposals, config = self.calibration.proposals, self.config
        examples = lessons(positions, self.who, risk, wdl, threshold, proposals, config.kl)
        out = train(network.from_bytes(player), examples, config.fit, self.seed, on_progress)
        about = {
            "tuned": config.model_dump(mode="json"), "generation": self.generation, "positions": len(positions),
            "accepting": accepting, "filter": sha256(self.judge).hexdigest(),
        }  # fmt: skip
        write_kept(self.path, network.to_bytes(out, about))

    def _made(self) -> bytes | None:
        """The fine-tuned checkpoint; None where there is none, or one against another filter."""
        content = read_if_there(self.path)
        if content is None:
            return None
        judge = network.description(content, str(self.path)).get("filter")
        return content if judge == sha256(self.judge).hexdigest() else None

    def figures(self, test: Catastrophes, risk: Sequence[Floats]) -> dict[str, Any] | None:
        """What the fine-tuned proposer is on labelled positions beside what it was, as JSON; None where there is none
        against this filter.

        risk: what the filter says of the positions.
        generation, positions, accepting: what it was tuned against, on how many positions, and in how many of them
        the filter accepts a move. before, after, change: figures of `calibrate` at the filter's own threshold, which
        is not chosen anew, with intervals by the bootstrap over openings (the same ones before and after); and `loss`,
        expected score that a proposal gives away. kl: nats per position by which the policy has moved,
        KL(tuned ‖ former).
        """
        content, (_, threshold) = self._made(), filters.from_bytes(self.judge)
        if content is None:
            return None
        about = network.description(content, str(self.path))
        former = test.proposals[self.who]
        now = [row for part in _evaluated(content, test, self.inference) for row in part.policy]
        before, after = (self._measured(test, risk, policies, threshold) for policies in (former, now))
        losses = [
            np.array([float(policy[row] @ test.losses(row)) for row in range(len(test))]) for policy in (former, now)
        ]
        moved = [
            float(new @ (np.log(np.maximum(new, 1e-12)) - np.log(np.maximum(old, 1e-12))))
            for new, old in zip(now, former, strict=True)
        ]
        change = {name: difference(after, before, name) for name in DIFFERENCES}
        loss = [mean_figure(values, test.openings) for values in (*losses, losses[1] - losses[0])]
        parts = zip(("before", "after", "change"), (before.figures, after.figures, change), loss, strict=True)
        return {
            **{key: about[key] for key in ("generation", "positions", "accepting")},
            "proposer": self.who,
            "threshold": threshold,
            **{
                name: {key: figure.json() for key, figure in {**figures, "loss": lost}.items()}
                for name, figures, lost in parts
            },
            "kl": mean_figure(np.array(moved), test.openings).json(),
        }

    def _measured(
        self, test: Catastrophes, risk: Sequence[Floats], policies: Sequence[Floats], threshold: float
    ) -> Calibrated:
        proposed, config = replace(test, proposals={self.who: policies}), self.calibration
        sums = curve(proposed, risk, self.who, np.array([threshold]), config.proposals)
        return calibrated(sums, sums, config, make_rng(RngStream.CALIBRATION, self.seed), threshold)


def _evaluated(player: bytes, positions: Catastrophes, inference: InferenceConfig) -> list[Evaluation]:
    """What a network thinks of positions, batch by batch."""
    look, count = evaluator(player, inference), len(positions)
    return [look(positions.packed[at : at + BATCH], positions.legal[at : at + BATCH]) for at in range(0, count, BATCH)]


DIFFERENCES = ("base", "rejected", "residual", "served", "served_filtered", "played")
"""Figures (`calibrate.FIGURES`) of which the change is given."""
