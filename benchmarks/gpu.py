"""What a GPU does with this program, beside what it could do: training, self-play, and the default run.

Training: positions per second of `Trainer` at several batch sizes, beside the bare step (forward, backward, optimiser)
on tensors that lie on the device. Self-play: evaluations per second of the protocol with many games in lock-step, one
process, beside the bare network on batches of the same size. Then the default run whole, its wall time and its PGR.
Under four minutes on a GPU of a data centre; without one it says what the CPU does, and `--small` ends in a minute.

usage: .venv/bin/python benchmarks/gpu.py [--small] [--no-run] [--json]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chess
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from agents.assistant import Assistant
from agents.checkpoint_files import load_player
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines import moves, planes
from engines.inference import make_evaluator, resolve_device
from engines.network import PolicyValueNet
from engines.positions import GameBatch
from sandwich.data.openings import book
from sandwich.oversight.trust import Trust
from sandwich.protocol.selfplay import Block, play_episodes
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig
from sandwich.training.examples import Examples, TrainConfig
from sandwich.training.supervised import Trainer

REPORT = 20
"""Steps of the trainer between two reports, at which it waits for the device."""


def waited(device: str) -> float:
    """The time, once the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def per_second(device: str, step: Callable[[], None], size: int, seconds: float) -> float:
    """Positions per second of a step that is done again and again, the first ones left out."""
    step()
    begun, steps = waited(device), 0
    while (now := waited(device)) - begun < seconds:
        step()
        steps += 1
    return size * steps / (now - begun)


def examples(count: int) -> Examples:
    """Positions of random games, a legal move of each to be learned."""
    rng = np.random.default_rng(0)
    batch = GameBatch([chess.STARTING_FEN] * 512, 200)
    packed: list[planes.Packed] = []
    chosen: list[npt.NDArray[np.int16]] = []
    while sum(len(part) for part in packed) < count:
        games = batch.active
        taken = [row[int(rng.integers(len(row)))] for row in batch.legal(games)]
        packed.append(batch.packed(games))
        chosen.append(np.array(taken, np.int16))
        batch.apply(games, taken)
    n = sum(len(part) for part in packed)
    wdl = np.full((n, 3), 1 / 3, np.float32)
    return Examples(
        np.concatenate(packed),
        np.concatenate(chosen)[:, None],
        np.ones((n, 1), np.float32),
        wdl,
        np.ones(n, np.float32),
    )


def training(device: str, content: Examples, batch: int, seconds: float) -> dict[str, float]:
    """Positions per second of the trainer and of the bare step."""
    config = TrainConfig(epochs=1000, batch=batch, precision="auto", device=device)
    trainer = Trainer(PolicyValueNet(), content, config, 0)

    def ours() -> None:
        trainer.run(trainer.step + REPORT, lambda progress: None)

    net = PolicyValueNet().to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    x = torch.from_numpy(planes.planes(content.packed[:batch])).to(device).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, moves.SIZE, (batch,), device=device)
    results = torch.randint(0, 3, (batch,), device=device)

    def bare() -> None:
        for _ in range(REPORT):
            bare_step()

    def bare_step() -> None:
        with torch.autocast(device, torch.bfloat16):
            logits, values = net(x)
        loss = functional.cross_entropy(logits.float(), targets) + functional.cross_entropy(values.float(), results)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    rates = {
        "trainer": per_second(device, ours, batch * REPORT, seconds),
        "bare": per_second(device, bare, batch * REPORT, seconds),
    }
    return rates | {"ratio": rates["trainer"] / rates["bare"]}


def selfplay(device: str, games: int, cap: int, seconds: float) -> dict[str, float]:
    """Evaluations per second of the protocol in one process, and of the bare network."""
    weak, expert = (
        make_evaluator(load_player(name), device=device, precision="auto")  # type: ignore[arg-type]
        for name in ("weak", "expert")
    )
    openings = (list(book("play")) * (games // len(book("play")) + 1))[:games]
    play = PlayConfig(games=games, block=games, ply_cap=cap, pgn_games=0)
    packed = GameBatch(openings, 2).packed(range(games))

    def bare() -> None:
        weak.logits(packed)

    alone = per_second(device, bare, games, seconds)
    block = Block(0, 0, 0, tuple(openings), play, RandomMove(p=0.25), Trust(), InferenceConfig())
    begun = time.perf_counter()
    played = play_episodes(weak, [Assistant(expert, block.misalignment, Tools())], block)
    rate = played.evaluations / (time.perf_counter() - begun)
    return {"games": games, "protocol": rate, "bare": alone, "ratio": rate / alone}


def default_run(*overrides: str) -> dict[str, Any]:
    """The default run's wall time in seconds and its PGR."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "sandwich",
            "run",
            str(root / "experiments/specs/default.yaml"),
            "--out",
            folder,
        ]
        begun = time.perf_counter()
        done = subprocess.run(
            [*command, "--json", *overrides], cwd=root, capture_output=True, text=True, encoding="utf-8", check=False
        )
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1]}
        return {"seconds": time.perf_counter() - begun, "pgr": json.loads(done.stdout)["pgr"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small batches, few games")
    parser.add_argument("--no-run", action="store_true", help="leave the default run out")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    device = resolve_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    batches, seconds = ((64,), 0.5) if options.small else ((256, 1024, 4096), 4.0)
    content = examples(2 * max(batches))
    figures: dict[str, Any] = {"device": name}
    for batch in batches:
        figures[f"training {batch}"] = training(device, content, batch, seconds)
        print(f"training, batches of {batch}: {figures[f'training {batch}']}", file=sys.stderr)
    figures["selfplay"] = selfplay(device, *((32, 10) if options.small else (4096, 120)), seconds)
    print(f"self-play: {figures['selfplay']}", file=sys.stderr)
    if not options.no_run:
        figures["default run"] = default_run()
    print(json.dumps(figures) if options.json else json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
