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

Against an oversight strategy a move is worth what it loses where the strategy believes it, with each
judge as the student, and nothing where it is refused (`sandwich.adversary.worth`).

OUT/
  spec.yaml              every setting
  networks.json          SHA-256 of the networks that it names
  labelled_positions/    positions with the oracle's values
  rounds.jsonl           a line per round: harm and suspicion on positions not learned from, and what is believed
  judge-N.safetensors    the weak player's judgement after round N
  round-N.safetensors    the adversary after round N
  network.safetensors    the result
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from agents.batches import Bools
from agents.checkpoint_files import read_checkpoints
from engines.network import PolicyValueNet, from_bytes, load_network, to_bytes
from engines.settings import SpecError
from sandwich.adversary.config import AdversaryConfig
from sandwich.adversary.worth import BLOCK, Suspicion, judged, lessons, truths, worths
from sandwich.data.labelled_positions import LabelledPositions, label_positions
from sandwich.oversight.base import Oversight
from sandwich.protocol.belief import Listener, Said, believed
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import keep_checksums, read_if_there, read_json_lines, read_kept, read_settings, write_kept
from sandwich.runtime.locks import driver
from sandwich.runtime.networks import InferenceConfig, evaluator
from sandwich.runtime.origin import claim_contents
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.training.examples import FitReporter, concatenate
from sandwich.training.supervised import train

HELD_BACK = 10
"""One game in so many is never learned from."""


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
    against: "Heard | None" = None
    """What the strategy makes of its moves that it is trained against."""

    def row(self) -> dict[str, Any]:
        """The line of `rounds.jsonl`."""
        plain = {name: value for name, value in vars(self).items() if name != "against"}
        return {**plain, **(vars(self.against) if self.against else {})}


@dataclass(frozen=True)
class Heard:
    """What a strategy makes of the adversary's best moves in positions not learned from."""

    believed: float
    """Share that it believes, with the first judge as the student."""
    believed_harm: float | None
    """Win% lost by one that it believes then; None where it believes none."""
    believed_newest: float
    """Share that it believes with the judge that the adversary was trained against last."""
    believed_after: float
    """The same once that judge has learned from this round."""

    @classmethod
    def of(cls, believed: Sequence[Bools], harm: Sequence[float]) -> "Heard":
        """From what each of the three judges believes, `[N]`, and from what each move loses, `[N]` in 0..1."""
        first, newest, after = (float(row.mean()) for row in believed)
        lost = 100 * float(np.array(harm)[believed[0]].mean()) if first else None
        return cls(first, lost, newest, after)


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
    spec = config.settings()
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
    beliefs: list[list[Bools]] = []
    if config.against:
        beliefs_of = partial(_told, cluster, config.against, checkpoints, inference, config.seed, progress)
        everything_said = Said.all_moves(learned.packed, learned.legal)
        beliefs = [beliefs_of(judge, everything_said, f"judge {number}, belief") for number, judge in enumerate(judges)]
    adversary = read_kept(out / f"round-{len(rows)}.safetensors") if rows else checkpoints[config.start]
    for number in range(len(rows) + 1, config.rounds + 1):
        worth = worths(learned, suspicions, config, beliefs)
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
        first, last, after = (
            100 * float(np.mean([d.worse[row][place] for row, place in enumerate(chosen_unseen)]))
            for d in (suspicion_unseen[0], suspicion_unseen[-1], newest)
        )
        heard = None
        if config.against:
            said = Said(unseen.packed, unseen.legal, [[place] for place in chosen_unseen])
            by_judge = [
                np.concatenate(beliefs_of(one, said, f"judge {name}, belief, unseen"))
                for name, one in ((0, judges[0]), (len(judges) - 1, judges[-1]), (number, judge))
            ]
            heard = Heard.of(by_judge, harm)
        made = Round(number, len(unseen), 100 * float(np.mean(harm)), first, last, after, heard)
        write_kept(out / f"judge-{number}.safetensors", judge)
        write_kept(out / f"round-{number}.safetensors", adversary)
        rows.append(made.row())
        write_kept(history, "".join(json.dumps(row) + "\n" for row in rows).encode())
        on_round(made)
        if number < config.rounds:
            judges.append(judge)
            suspicion_unseen.append(newest)
            suspicions.append(judge_all(judge, learned, f"judge {number}"))
            if config.against:
                beliefs.append(beliefs_of(judge, everything_said, f"judge {number}, belief"))
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


def _told(
    cluster: Cluster,
    strategy: Oversight,
    checkpoints: Mapping[str, bytes],
    inference: InferenceConfig,
    seed: int,
    progress: ProgressReporter,
    judge: bytes,
    said: Said,
    phase: str,
) -> list[Bools]:
    return believed(cluster, Listener(judge, strategy, checkpoints, inference, seed), said, progress, phase)


def _choice(checkpoint: bytes, positions: LabelledPositions, inference: InferenceConfig) -> list[int]:
    """Place among the legal moves of each position of the network's best move."""
    net = evaluator(checkpoint, inference)
    out: list[int] = []
    for first in range(0, len(positions), BLOCK):
        rows = slice(first, first + BLOCK)
        out += [int(policy.argmax()) for policy in net(positions.packed[rows], positions.legal[rows]).policy]
    return out
