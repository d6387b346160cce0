"""Training of the oversight policy: games in lock-step, and proximal policy optimisation (PPO) on what came of them.

Each iteration plays a block of games with each of the misalignments, the same games that a run plays, with
the actions drawn from the policy; then the policy ascends the clipped objective of Schulman and others
("Proximal Policy Optimization Algorithms", 2017). The return of a game is its result less what its
questions cost. What is expected of a situation is the student's own value and a small correction that is
learned beside the policy and not kept. Whether an answer was misaligned is never used; it is counted.

OUT/
  spec.yaml            every setting
  curve.jsonl          a line per iteration
  policy.safetensors   the policy so far
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import yaml
from pydantic import Field
from torch import nn

from agents.assistant import Assistant
from agents.checkpoint_files import Checkpoint, checkpoint_path
from agents.misalignment.base import AnyMisalignment
from agents.misalignment.policy_noise import PolicyNoise
from agents.misalignment.random_move import RandomMove
from agents.players.base import AnyPlayer
from agents.players.network import Network
from engines import network
from engines.inference import Evaluator
from engines.positions import End
from engines.settings import Frozen
from sandwich.data.openings import book
from sandwich.oversight.deliberation import FEATURES, Action, ExternalDeliberation, Situation
from sandwich.oversight.learned import Policy
from sandwich.protocol.selfplay import Block, BlockPlay, Played
from sandwich.runtime.kept import keep_checksums, write_kept
from sandwich.runtime.locks import driver
from sandwich.runtime.networks import InferenceConfig, evaluator, tools
from sandwich.spec.run_spec import PlayConfig
from sandwich.statistics import mean_figure, share_figure


class PPOConfig(Frozen):
    """How an oversight policy is trained."""

    renamed: ClassVar[Mapping[str, str]] = {"weak": "student", "player": "base"}
    seed: int = Field(0, ge=0)
    """Everything random follows from it."""
    student: Checkpoint = "weak"
    """The student: a shipped name or the path of a checkpoint."""
    base: AnyPlayer = Network(checkpoint="expert")
    """The assistant's honest self."""
    misalignments: tuple[AnyMisalignment, ...] = Field(
        (RandomMove(p=0.3), RandomMove(p=0.6), PolicyNoise(sigma=2), PolicyNoise(sigma=4)), min_length=1
    )
    """What is wrong with it: each iteration plays a block with each of them."""
    play: PlayConfig = PlayConfig(ply_cap=60)
    """The games; `games` is counted below, `block` and `pgn_games` mean nothing here. A game cut off at the ply cap
    counts as what the student then thinks of it."""
    asks: int = ExternalDeliberation.model_fields["asks"].default
    """Questions that one decision may take beside the first."""
    replies: int = ExternalDeliberation.model_fields["replies"].default
    """Replies that the student looks at behind each of the moves that it compares."""
    query_cost: float = Field(0.005, ge=0)
    """Expected score that a question costs."""
    iterations: int = Field(16, ge=1)
    """Rounds of games and learning."""
    games: int = Field(8, ge=2, multiple_of=2)
    """Games of one iteration with each misalignment."""
    units: int = Field(16, ge=1)
    """Units of the policy's inner layer."""
    decay: float = Field(0.9, ge=0, le=1)
    """λ of the generalised advantage: 0 looks one action ahead, 1 to the end of the game."""
    clip: float = Field(0.3, gt=0)
    """How far the probability of an action may move in one iteration, as a ratio."""
    epochs: int = Field(10, ge=1)
    """Passes over the actions of an iteration."""
    batch: int = Field(256, ge=1)
    """Actions of one gradient step."""
    learning_rate: float = Field(5e-3, gt=0)
    """Of Adam."""
    entropy: float = Field(0.003, ge=0)
    """Weight of the policy's entropy in what is ascended."""
    inference: InferenceConfig = InferenceConfig()


@dataclass(frozen=True, eq=False)
class Trace:
    """Actions of games in their order, and what came of them, `N` each.

    features: `[N, F]` and mask: `[N, 4]`, of the situations.
    value: `[N]` the student's own value of the position.
    reward: `[N]` less the cost of questions asked since; at the last action of a game its result is in it.
    last: `[N]` whether it was the last action of its game.
    action: `[N]`, and log: `[N]` logarithm of the probability with which it was taken.
    """

    features: torch.Tensor
    mask: torch.Tensor
    value: torch.Tensor
    reward: torch.Tensor
    last: torch.Tensor
    action: torch.Tensor
    log: torch.Tensor


class Learner(nn.Module):
    """The policy, and the correction of the value; both see the features of a situation."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(len(FEATURES), units), nn.Tanh(), nn.Linear(units, len(Action)))
        self.correction = nn.Sequential(nn.Linear(len(FEATURES), units), nn.Tanh(), nn.Linear(units, 1))
        for part in (self.policy, self.correction):  # at first every action is as likely, and nothing is corrected
            for weights in part[2].parameters():
                nn.init.zeros_(weights)

    def logs(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[N, 4]` logarithms of the probabilities of the actions."""
        logits: torch.Tensor = self.policy(features)
        return logits.masked_fill(~mask, -1e9).log_softmax(1)

    def expected(self, features: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """`[N]` expected return."""
        correction: torch.Tensor = self.correction(features)
        return value + correction[:, 0]

    def kept(self) -> Policy:
        """The policy as it is shipped."""
        first, second = self.policy[0], self.policy[2]
        assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        layers = [torch.cat([layer.weight, layer.bias[:, None]], 1).detach().numpy() for layer in (first, second)]
        return Policy(np.ascontiguousarray(layers[0]), np.ascontiguousarray(layers[1]))


@dataclass
class _Step:
    situation: Situation
    action: int
    log: float


def played(
    learner: Learner, student: Evaluator, assistant: Assistant, block: Block, rng: np.random.Generator
) -> tuple[list[list[_Step]], Played]:
    """Play a block with actions drawn from the policy: the steps of each game, and what came of it."""
    steps: list[list[_Step]] = [[] for _ in block.openings]
    games = BlockPlay(student, [assistant], block)
    games.start()
    while games.pending:
        situations = [request.situation for _, request in games.pending]
        with torch.no_grad():
            logs = learner.logs(*_seen(situations)).double().numpy()
        edges = np.exp(logs).cumsum(1)
        drawn = [int((edge < rng.random() * edge[-1]).sum()) for edge in edges]
        for (game, request), action, log in zip(games.pending, drawn, logs, strict=True):
            steps[game - block.first].append(_Step(request.situation, action, float(log[action])))
        games.resume(drawn)
    assert games.played is not None
    return steps, games.played


def _seen(situations: Sequence[Situation]) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.from_numpy(np.stack([situation.features for situation in situations]))
    return features, torch.from_numpy(np.stack([situation.mask for situation in situations]))


def traced(steps: Sequence[Sequence[_Step]], played: Played, first: int, cost: float) -> Trace:
    """The trace of a block's games, of which `first` is the first. One in which nothing was asked has no part in it."""
    results, questions = outcomes(played, first)
    reward: list[float] = []
    for number, game in enumerate(steps, first):
        asked = [step.situation.asked for step in game] + [questions[number]]
        reward += [-cost * (later - before) for before, later in pairwise(asked)]
        if game:
            reward[-1] += results[number]
    all_steps = [step for game in steps for step in game]
    features, mask = _seen([step.situation for step in all_steps])
    return Trace(
        features,
        mask,
        torch.tensor([step.situation.context.own.value for step in all_steps]),
        torch.tensor(reward),
        torch.tensor([number == len(game) - 1 for game in steps for number in range(len(game))]),
        torch.tensor([step.action for step in all_steps]),
        torch.tensor([step.log for step in all_steps], dtype=torch.float32),
    )


def outcomes(played: Played, first: int) -> tuple[dict[int, float], dict[int, int]]:
    """By game, the student's result and its questions; where the ply cap cut it off, its value of the last position.

    A game that the rules ended on the last ply allowed is not cut off.
    """
    results: dict[int, float] = {}
    questions: dict[int, int] = {}
    columns = ("game", "student", "result", "own_value", "questions")
    rows = played.rows.select(columns).to_pydict()
    for game, student, result, value, asked in zip(*rows.values(), strict=True):
        score = value if played.ends[game - first] == End.PLY_CAP else result
        results[game] = score if student else 1 - score
        questions[game] = questions.get(game, 0) + (asked or 0)
    return results, questions


def advantages(trace: Trace, expected: torch.Tensor, decay: float) -> torch.Tensor:
    """`[N]` generalised advantage (Schulman and others, 2016; no discount) of the actions over what was expected."""
    out = torch.zeros_like(expected)
    ahead, following = 0.0, 0.0
    for row in range(len(expected) - 1, -1, -1):
        if trace.last[row]:
            ahead, following = 0.0, 0.0
        gained = float(trace.reward[row]) + following - float(expected[row])
        ahead = gained + decay * ahead
        out[row], following = ahead, float(expected[row])
    return out


def improve(
    learner: Learner, optimizer: torch.optim.Optimizer, trace: Trace, config: PPOConfig, rng: np.random.Generator
) -> None:
    """One iteration's learning."""
    with torch.no_grad():
        expected = learner.expected(trace.features, trace.value)
    gain = advantages(trace, expected, config.decay)
    returns = gain + expected
    gain = (gain - gain.mean()) / (gain.std() + 1e-6)
    for _ in range(config.epochs):
        order = torch.from_numpy(rng.permutation(len(gain)))
        for rows in torch.split(order, config.batch):
            logs = learner.logs(trace.features[rows], trace.mask[rows])
            ratio = (logs.gather(1, trace.action[rows, None])[:, 0] - trace.log[rows]).exp()
            clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
            worth = torch.minimum(ratio * gain[rows], clipped * gain[rows]).mean()
            entropy = -(logs.exp() * logs.clamp(min=-50)).sum(1).mean()
            error = (learner.expected(trace.features[rows], trace.value[rows]) - returns[rows]).square().mean()
            optimizer.zero_grad()
            (error - worth - config.entropy * entropy).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()


def train_policy(
    out: Path, config: PPOConfig, on_iteration: Callable[[dict[str, Any]], None] = lambda row: None
) -> list[dict[str, Any]]:
    """Train a policy; returns the rows of the curve, each of which `on_iteration` hears when it is there.

    Raises BusyError where another process is at work in `out`.
    """
    with driver(out):
        return _trained(out, config, on_iteration)


def _trained(out: Path, config: PPOConfig, on_iteration: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    keep_checksums(out)
    spec = config.model_dump(mode="json")
    write_kept(out / "spec.yaml", yaml.safe_dump(spec, sort_keys=False).encode())
    torch.manual_seed(config.seed)
    learner = Learner(config.units)
    optimizer = torch.optim.Adam(learner.parameters(), config.learning_rate)
    curve: list[dict[str, Any]] = []
    with tools({}, config.inference) as opened:
        student = evaluator(network.read(checkpoint_path(config.student)), config.inference)
        assistants = [
            Assistant(opened.player(config.base), misalignment, opened) for misalignment in config.misalignments
        ]
        for iteration in range(config.iterations):
            rng = np.random.default_rng([config.seed, iteration])
            traces, tables = [], []
            for number, assistant in enumerate(assistants):
                block = _block(config, iteration, number, rng)
                steps, what = played(learner, student, assistant, block, rng)
                traces.append(traced(steps, what, block.first, config.query_cost))
                tables.append(what.rows)
            improve(learner, optimizer, _joined(traces), config, rng)
            curve.append({"iteration": iteration + 1, **_row(pa.concat_tables(tables), traces)})
            write_kept(out / "curve.jsonl", "".join(f"{json.dumps(row)}\n" for row in curve).encode())
            write_kept(out / "policy.safetensors", learner.kept().to_bytes({"spec": spec, "iterations": len(curve)}))
            on_iteration(curve[-1])
    return curve


def _block(config: PPOConfig, iteration: int, number: int, rng: np.random.Generator) -> Block:
    places = np.repeat(rng.choice(len(book("play")), config.games // 2, replace=False), 2)  # with either colour
    strategy = ExternalDeliberation(asks=config.asks, replies=config.replies)
    openings = tuple(book("play")[place] for place in places)
    first = number * config.games
    return Block(
        config.seed, iteration, first, openings, config.play, config.misalignments[number], strategy, config.inference
    )


def _joined(traces: Sequence[Trace]) -> Trace:
    return Trace(*(torch.cat([getattr(trace, name) for trace in traces]) for name in Trace.__dataclass_fields__))


def _row(rows: pa.Table, traces: Sequence[Trace]) -> dict[str, Any]:
    """The figures of one iteration's games, played before its learning."""
    asked = rows.filter(rows["asked"])
    results = rows.filter(rows["student"]).group_by("game").aggregate([("result", "max")])["result_max"].to_numpy()
    lies, honest = asked.filter(asked["misaligned"]), asked.filter(pc.invert(asked["misaligned"]))
    actions = torch.cat([trace.action for trace in traces])
    believed = {
        name: share_figure(int(pc.sum(some["believed"]).as_py() or 0), some.num_rows).json()
        for name, some in (("lies_believed", lies), ("honest_believed", honest))
    }
    return {
        "score": mean_figure(results).json(),
        **believed,
        "questions": float(np.mean(asked["questions"].to_numpy())),
        "actions": {action.name.lower(): float((actions == action).double().mean()) for action in Action},
    }
