"""Training of the expert and the weak player from a corpus, with a folder to go on from.

OUT/
  spec.yaml            every setting
  curve.jsonl          a line per report: step, loss, top-1; now and then the same on unseen games
  state.safetensors    weights, optimiser and step of an unfinished training
  network.safetensors  the result
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save

from engines.network import NetworkConfig, PolicyValueNet, load_network, to_bytes
from engines.settings import Frozen, SpecError
from sandwich.data import corpus
from sandwich.runtime.kept import (
    damaged,
    keep_checksums,
    read_if_there,
    read_json_lines,
    read_kept,
    read_settings,
    remove_kept,
    write_kept,
)
from sandwich.runtime.locks import driver
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.training.examples import Examples, FitReporter, TrainConfig, concatenate
from sandwich.training.labels import examples, places
from sandwich.training.supervised import Trainer, validate


class PretrainConfig(Frozen):
    """How a player is trained from corpora."""

    seed: int = 0
    """Everything random follows from it: first weights, share of the corpus, order of the examples."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of the corpus' games that is learned from."""
    lines: int = Field(4, ge=1)
    """Moves of a label that the policy target uses."""
    label_temperature: float = Field(0.03, gt=0)
    """Spread, in expected score, of the policy target over the labeller's lines."""
    network: NetworkConfig = NetworkConfig()
    """Size of the network."""
    fit: TrainConfig = TrainConfig(precision="auto")
    """Loss, schedule, batch."""
    max_positions: int | None = Field(None, ge=1)
    """Positions read at most, in the order of the corpora; None: all."""


HELD_BACK = 64
"""One game in so many is never learned from."""
HELD_BACK_POSITIONS = 20_000
"""Positions of the held-back games that a validation looks at, at most."""


def load_examples(folders: Sequence[Path], config: PretrainConfig, book: frozenset[bytes]) -> tuple[Examples, Examples]:
    """Examples to learn from and held back, split by game; positions of `book` (packed) are left out.

    Raises CorpusError where a folder holds no corpus.
    """
    train: list[Examples] = []
    held: list[Examples] = []
    read = 0
    for number, content in enumerate(corpus.read(folders)):
        part = examples(content, lines=config.lines, temperature=config.label_temperature)
        games = content["game"].to_numpy().astype(np.int64)
        draw = np.random.default_rng([config.seed, 2, number]).random(int(games.max()) - int(games.min()) + 1)
        outside = np.array([place not in book for place in places(part.packed)])
        back = games % HELD_BACK == 0
        keep = ~back & outside & (draw[games - games.min()] < config.fraction)
        train.append(part.take(np.flatnonzero(keep)))
        held.append(part.take(np.flatnonzero(back & outside)))
        read += len(part)
        if config.max_positions and read >= config.max_positions:
            break
    unseen = concatenate(held)
    rows = np.random.default_rng([config.seed, 3]).permutation(len(unseen))[:HELD_BACK_POSITIONS]
    return concatenate(train), unseen.take(np.sort(rows))


def pretrain(
    folders: Sequence[Path],
    out: Path,
    config: PretrainConfig,
    book: frozenset[bytes],
    progress: ProgressReporter = NO_PROGRESS,
    *,
    save_every: float = 120.0,
) -> PolicyValueNet:
    """Train a player, or go on with the training that `out` holds; a finished one is only read.

    Ten times in all the network is validated on unseen games, which `progress` has in a message.
    Raises SpecError where `out` was begun with other settings, CorpusError for a folder without a corpus, BusyError
    where another process is at work in `out`, DamagedError.
    """
    with driver(out):
        return _pretrained(folders, out, config, book, progress, save_every)


def _pretrained(
    folders: Sequence[Path],
    out: Path,
    config: PretrainConfig,
    book: frozenset[bytes],
    progress: ProgressReporter,
    save_every: float,
) -> PolicyValueNet:
    spec = {**config.model_dump(mode="json"), "corpora": [corpus.description(folder) for folder in folders]}
    about_file, state_file, result = out / "spec.yaml", out / "state.safetensors", out / "network.safetensors"
    if read_if_there(about_file) is not None and read_settings(about_file) != spec:
        raise SpecError(f"{out} holds a training with other settings: choose another folder")
    keep_checksums(out)
    write_kept(about_file, yaml.safe_dump(spec, sort_keys=False).encode())
    if read_if_there(result) is not None:
        return load_network(result)

    train, held = load_examples(folders, config, book)
    torch.manual_seed(config.seed)
    trainer = Trainer(PolicyValueNet(config.network), train, config.fit, config.seed)
    curve = out / "curve.jsonl"
    lines: list[dict[str, Any]] = []
    if read_if_there(state_file) is not None:
        try:
            trainer.restore(load(read_kept(state_file)))
            lines = [row for row in read_json_lines(curve) if row["step"] <= trainer.step]
        except (SafetensorError, KeyError, RuntimeError, TypeError) as error:
            raise damaged(state_file, f"it holds no training to go on with ({error})") from None
    every = max(20, trainer.steps // 400)
    reporter = FitReporter(progress, "training")
    last = time.monotonic()

    def save_all() -> None:
        write_kept(curve, "".join(json.dumps(row) + "\n" for row in lines).encode())
        write_kept(state_file, save(trainer.state()))

    saved = time.monotonic()
    while trainer.step < trainer.steps:
        before = trainer.step
        trainer.run(min(trainer.steps, before + every), reporter, every)
        fit = reporter.last
        assert fit is not None
        now = time.monotonic()
        rate = (trainer.step - before) * trainer.config.batch / max(1e-9, now - last)
        row: dict[str, Any] = {**asdict(fit), "positions_per_s": round(rate)}
        if trainer.step % (every * 40) == 0 or trainer.step == trainer.steps:
            copy = PolicyValueNet(config.network)
            copy.load_state_dict(trainer.net.state_dict())
            validation = validate(copy, held)
            row["validation"] = asdict(validation)
            progress.message(
                f"step {trainer.step}: on {validation.n} unseen positions top-1 {validation.top1:.1%}, policy loss"
                f" {validation.policy_loss:.3f}, value loss {validation.value_loss:.3f}"
            )
        last = time.monotonic()
        lines.append(row)
        if last - saved > save_every:
            save_all()
            saved = last
    save_all()
    net = trainer.finish()
    figures = lines[-1].get("validation", {})
    about = {
        "trained_on": len(train),
        "positions_shown": trainer.steps * trainer.config.batch,
        "validation": figures,
        "spec": spec,
    }
    write_kept(result, to_bytes(net, about))
    remove_kept(state_file)
    return net
