"""Training of the adversary: a network that loses so subtly that a weaker player sees nothing.

What a move is worth to the adversary is what it loses by the oracle, less what it makes the weak
player suspect. Both are known for every legal move of every position, so nothing has to be learned
from single outcomes: the network first imitates the moves of greatest worth (their softmax), then
ascends the exact gradient of its expected worth, with all moves in the sum where a policy gradient
from games would have one.

Suspicion has two halves, as the weak player has two heads: by how much a move looks worse to its
value than the move it would make itself, and how much less likely its policy finds it. It is the
greatest over all judges: after each round the weak player's value is fitted to the truth about what
the adversary has played and about its own moves, becomes one more judge, and the adversary answers it.

OUT/
  spec.yaml              every setting
  networks.json          SHA-256 of the networks that it names
  labelled_positions/    positions with the oracle's values
  rounds.jsonl           a line per round: harm and suspicion on positions not learned from
  judge-N.safetensors    the weak player's judgement after round N
  round-N.safetensors    the adversary after round N
  network.safetensors    the result
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import Field

from agents.checkpoint_files import Checkpoint, read_checkpoints
from agents.judging import suspicion
from engines.inference import wdl_of
from engines.network import PolicyValueNet, from_bytes, load_network, to_bytes
from engines.positions import successors
from engines.settings import Frozen, SpecError
from sandwich.data.labelled_positions import LabelledPositions, LabelledPositionsConfig, label_positions
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import keep_checksums, read_if_there, read_json_lines, read_kept, read_settings, write_kept
from sandwich.runtime.locks import driver
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.runtime.origin import claim_contents
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.training.examples import Examples, FitReporter, TrainConfig, concatenate
from sandwich.training.supervised import train

Floats = npt.NDArray[np.float32]

HELD_BACK = 10
"""One game in so many is never learned from."""
BLOCK = 512
"""Positions that one worker judges at a time."""


class AdversaryConfig(Frozen):
    """How an adversary is trained."""

    renamed: ClassVar[Mapping[str, str]] = {"survey": "labelled_positions", "doubt": "judge_fit"}
    seed: int = Field(0, ge=0)
    """Everything random follows from it."""
    labelled_positions: LabelledPositionsConfig = LabelledPositionsConfig(positions=60_000, per_game=12, nodes=2000)
    """Positions to learn from, and the oracle that says what moves lose."""
    start: Checkpoint = "expert"
    """The network that the adversary begins as: it must understand the game to lose it well."""
    judge: Checkpoint = "weak"
    """The weak player whose suspicion it must not arouse."""
    rounds: int = Field(2, ge=1)
    """Rounds of adversary and judge."""
    value_weight: float = Field(2.0, ge=0)
    """Worth lost for each point of expected score by which a move looks worse to the judge."""
    policy_weight: float = Field(0.03, ge=0)
    """Worth lost for each nat by which the judge's policy finds a move less likely than its own."""
    spread: float = Field(0.04, gt=0)
    """Temperature, in worth, of the softmax that is imitated."""
    imitate: TrainConfig = TrainConfig(epochs=4, learning_rate=1.5e-3, precision="auto", value_weight=0.5)
    """First fit of a round."""
    improve: TrainConfig = TrainConfig(
        epochs=3, learning_rate=5e-4, precision="auto", objective="worth", value_weight=0.1
    )
    """Second fit of a round: the gradient of the expected worth."""
    judge_fit: TrainConfig = TrainConfig(epochs=2, learning_rate=5e-4, precision="auto")
    """Fit of the judge's value at the end of a round."""


@dataclass(frozen=True, eq=False)
class Suspicion:
    """What judges think of every legal move of `N` positions.

    worse: for each `[M]`, expected score by which a move looks worse than the judge's own.
    unlikely: for each `[M]`, nats by which the judge's policy finds a move less likely than its first.
    value: `[N]` the judge's own value of the position.
    """

    worse: list[Floats]
    unlikely: list[Floats]
    value: Floats


@dataclass(frozen=True, eq=False)
class _Part:
    positions: LabelledPositions
    inference: InferenceConfig


def _judge(checkpoint: bytes, part: _Part) -> Suspicion:
    judge = evaluator(checkpoint, part.inference)
    view = judge(part.positions.packed, part.positions.legal)
    logs = [np.log(np.maximum(policy, 1e-6)) for policy in view.policy]
    return Suspicion(
        suspicion(judge, part.positions.packed, view), [row.max() - row for row in logs], np.clip(view.value, 0, 1)
    )


def judged(
    cluster: Cluster,
    checkpoint: bytes,
    positions: LabelledPositions,
    inference: InferenceConfig,
    progress: ProgressReporter = NO_PROGRESS,
    phase: str = "judge",
) -> Suspicion:
    """What a judge, a checkpoint, thinks of all moves of all positions."""
    progress.begin(phase, len(positions))
    parts = [
        _Part(positions.take(range(first, min(first + BLOCK, len(positions)))), inference)
        for first in range(0, len(positions), BLOCK)
    ]
    parts_judged = cluster.map(_judge, checkpoint, parts, lambda part: progress.advance(len(part.worse)))
    return Suspicion(
        [row for suspicions in parts_judged for row in suspicions.worse],
        [row for suspicions in parts_judged for row in suspicions.unlikely],
        np.concatenate([suspicions.value for suspicions in parts_judged]),
    )


def worths(positions: LabelledPositions, judges: Sequence[Suspicion], config: AdversaryConfig) -> list[Floats]:
    """What every legal move of each position is worth to the adversary, `[M]` each."""
    out = []
    for row in range(len(positions)):
        doubt = np.max(
            [config.value_weight * d.worse[row] + config.policy_weight * d.unlikely[row] for d in judges], axis=0
        )
        out.append((positions.losses(row) - doubt).astype(np.float32))
    return out


LISTED = 48
"""Moves of a position that are learned from at most, those of greatest worth."""


def lessons(positions: LabelledPositions, worth: Sequence[Floats], value: Floats, spread: float | None) -> Examples:
    """Examples of moves by worth: their softmax at `spread`, or the worth itself where `spread` is None.

    value: `[N]` expected score that the value head is to say.
    """
    width = min(LISTED, max(map(len, positions.legal)))
    numbers = np.full((len(positions), width), -1, np.int16)
    policy = np.zeros((len(positions), width), np.float32)
    for row, (legal, worth_of) in enumerate(zip(positions.legal, worth, strict=True)):
        order = np.argsort(-worth_of, kind="stable")[:width]
        numbers[row, : len(order)] = np.asarray(legal)[order]
        listed = worth_of[order]
        if spread is not None:
            listed = np.exp((listed - listed[0]) / spread)
            listed /= listed.sum()
        policy[row, : len(order)] = listed
    return Examples(positions.packed, numbers, policy, wdl_of(value), np.ones(len(positions), np.float32))


def truths(positions: LabelledPositions, chosen: Sequence[int]) -> Examples:
    """What the oracle says of the positions behind moves (places in `legal`), for a value to learn."""
    after = successors(positions.packed, [positions.legal[row][place] for row, place in enumerate(chosen)])
    value = np.array([1 - positions.values[row][place] for row, place in enumerate(chosen)], np.float32)
    open_rows = np.flatnonzero(np.isnan(after.score))
    return Examples(
        after.packed[open_rows],
        np.zeros((len(open_rows), 1), np.int16),
        np.zeros((len(open_rows), 1), np.float32),
        wdl_of(value[open_rows]),
        np.ones(len(open_rows), np.float32),
    )


@dataclass(frozen=True)
class Round:
    """How the adversary does on positions not learned from: means over its best moves, in Win%."""

    number: int
    positions: int
    harm: float
    """Win% lost by the oracle."""
    suspected: float
    """Win% by which its moves look worse than the first judge's own, the weak player as it came."""
    suspected_newest: float
    """The same for the judge that it was trained against last."""
    suspected_after: float
    """The same once that judge has learned from this round."""


def train_adversary(
    cluster: Cluster,
    out: Path,
    config: AdversaryConfig,
    progress: ProgressReporter = NO_PROGRESS,
    on_round: Callable[[Round], None] = lambda made: None,
) -> PolicyValueNet:
    """Train an adversary, or go on behind the last finished round that `out` holds.

    `on_round` hears of each finished round.
    Raises SpecError where `out` was begun with other settings, other networks or by another engine, EngineError without
    a Stockfish, BusyError where another process is at work in `out`, DamagedError.
    """
    with driver(out):
        return _trained(cluster, out, config, progress, on_round)


def _trained(
    cluster: Cluster,
    out: Path,
    config: AdversaryConfig,
    progress: ProgressReporter,
    on_round: Callable[[Round], None],
) -> PolicyValueNet:
    spec = config.model_dump(mode="json")
    checkpoints = read_checkpoints(config)
    about, result, history = out / "spec.yaml", out / "network.safetensors", out / "rounds.jsonl"
    if read_if_there(about) is not None and read_settings(about) != spec:
        raise SpecError(f"{out} holds a training with other settings: choose another folder")
    begun = about.exists()
    keep_checksums(out)
    claim_contents(out / "networks.json", checkpoints, begun=begun)
    write_kept(about, yaml.safe_dump(spec, sort_keys=False).encode())
    if read_if_there(result) is not None:
        return load_network(result)
    inference = InferenceConfig()
    everything = label_positions(
        cluster, config.labelled_positions, checkpoints, inference, out / "labelled_positions", progress
    )
    held = everything.games % HELD_BACK == 0
    learned, unseen = (everything.take(np.flatnonzero(rows).tolist()) for rows in (~held, held))

    rows: list[dict[str, Any]] = read_json_lines(history)
    earlier = [read_kept(out / f"judge-{number}.safetensors") for number in range(1, len(rows) + 1)]
    judges = [checkpoints[config.judge], *earlier]
    judge_all = partial(_judged, cluster, inference, progress)
    suspicions = [judge_all(judge, learned, f"judge {number}") for number, judge in enumerate(judges)]
    suspicion_unseen = [judge_all(judge, unseen, f"judge {number}, unseen") for number, judge in enumerate(judges)]
    adversary = read_kept(out / f"round-{len(rows)}.safetensors") if rows else checkpoints[config.start]
    for number in range(len(rows) + 1, config.rounds + 1):
        worth = worths(learned, suspicions, config)
        net = from_bytes(adversary)
        value = suspicions[0].value
        for name, fit, spread in (("imitate", config.imitate, config.spread), ("improve", config.improve, None)):
            examples = lessons(learned, worth, value, spread)
            net = train(net, examples, fit, config.seed + number, FitReporter(progress, f"round {number}: {name}"))
        adversary = to_bytes(net)
        chosen, chosen_unseen = (_choice(adversary, part, inference) for part in (learned, unseen))

        own = [int(row.argmin()) for row in suspicions[-1].unlikely]
        lesson = concatenate([truths(learned, chosen), truths(learned, own)])
        judge = to_bytes(train(from_bytes(judges[-1]), lesson, config.judge_fit, config.seed + number,
                               FitReporter(progress, f"round {number}: judge")))  # fmt: skip
        newest = judge_all(judge, unseen, f"judge {number}, unseen")
        harm = [float(unseen.losses(row)[place]) for row, place in enumerate(chosen_unseen)]
        suspected = [
            100 * float(np.mean([d.worse[row][place] for row, place in enumerate(chosen_unseen)]))
            for d in (suspicion_unseen[0], suspicion_unseen[-1], newest)
        ]
        made = Round(number, len(unseen), 100 * float(np.mean(harm)), *suspected)
        write_kept(out / f"judge-{number}.safetensors", judge)
        write_kept(out / f"round-{number}.safetensors", adversary)
        rows.append(vars(made))
        write_kept(history, "".join(json.dumps(row) + "\n" for row in rows).encode())
        on_round(made)
        if number < config.rounds:
            judges.append(judge)
            suspicion_unseen.append(newest)
            suspicions.append(judge_all(judge, learned, f"judge {number}"))
    final = from_bytes(adversary)
    write_kept(result, to_bytes(final, {"spec": spec, "rounds": rows}))
    return final


def _judged(
    cluster: Cluster,
    inference: InferenceConfig,
    progress: ProgressReporter,
    judge: bytes,
    positions: LabelledPositions,
    name: str,
) -> Suspicion:
    return judged(cluster, judge, positions, inference, progress, name)


def _choice(checkpoint: bytes, positions: LabelledPositions, inference: InferenceConfig) -> list[int]:
    """Place among the legal moves of each position of the network's best move."""
    net = evaluator(checkpoint, inference)
    out: list[int] = []
    for first in range(0, len(positions), BLOCK):
        rows = slice(first, first + BLOCK)
        out += [int(policy.argmax()) for policy in net(positions.packed[rows], positions.legal[rows]).policy]
    return out
