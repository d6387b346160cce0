"""Self-play against what a researcher would write or take: plies per second with networks of the same size.

In one process, on one core, one after the other and `--rounds` times in turns:

- a loop with python-chess that calls a network for each move, in torch;
- PettingZoo's chess, and OpenSpiel's with one game and with 256 at a time, each with its own observations and actions;
- this program with 256 games at a time, each precision: whole games by its own protocol, with the ledger that it keeps;
- rules alone, random moves: this program's and pgx's, both batched.

All networks have the blocks and channels of the shipped ones; their stems take the planes of each environment. What is
not installed (`pip install -e '.[bench]'`) is left out and named.

usage: .venv/bin/python benchmarks/peers.py [--seconds 8] [--rounds 3] [--only WORD] [--json]
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache

import chess
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from agents.assistant import Assistant
from agents.checkpoint_files import load_player
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines import moves, planes
from engines.inference import Precision, make_evaluator
from engines.network import PolicyValueNet
from engines.positions import GameBatch
from sandwich.data.openings import book
from sandwich.oversight.ignore import Ignore
from sandwich.protocol.selfplay import Block, play_episodes
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig

GAMES = 256
CAP = 200
"""Plies of a game at most, everywhere."""
Plies = Callable[[float], float]
"""Plays for so many seconds; plies per second."""


def network(inputs: int = planes.PLANES) -> PolicyValueNet:
    """A network like the shipped ones, for so many planes."""
    torch.manual_seed(0)
    net = PolicyValueNet()
    net.stem = nn.Conv2d(inputs, net.config.channels, 3, padding=1, bias=False)
    return net.eval()


def drawn(logits: npt.NDArray[np.float32], legal: npt.NDArray[np.int64], rng: np.random.Generator) -> int:
    """One of the legal moves, by the softmax of their logits."""
    chances = np.exp(logits[legal] - logits[legal].max())
    return int(rng.choice(legal, p=chances / chances.sum()))


def python_chess_naive(seconds: float) -> float:
    """A board, its pieces put into planes, one call of the network, a legal move drawn."""
    net, rng, plies = network(), np.random.default_rng(0), 0
    board = chess.Board()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        if board.is_game_over(claim_draw=True) or board.ply() >= CAP:
            board = chess.Board()
        x = np.zeros((1, planes.PLANES, 8, 8), np.float32)
        for square, piece in board.piece_map().items():
            x[0, piece.piece_type - 1 + 6 * (piece.color != board.turn), square // 8, square % 8] = 1
        with torch.inference_mode():
            logits = net(torch.from_numpy(x))[0].numpy()[0]
        legal = np.array([moves.encode(move, board.turn) for move in board.legal_moves])
        board.push(moves.decode(drawn(logits, legal, rng), board))
        plies += 1
    return plies / (time.perf_counter() - start)


def pettingzoo(seconds: float) -> float:
    """The environment's observations and masks, one call of the network for each move."""
    from pettingzoo.classic import chess_v6

    rng, plies = np.random.default_rng(0), 0
    env = chess_v6.env()
    env.reset(seed=0)
    seen, *_ = env.last()
    net = network(seen["observation"].shape[2])
    start = time.perf_counter()
    length = 0
    while time.perf_counter() - start < seconds:
        seen, _, ended, cut, _ = env.last()
        if ended or cut or length >= CAP:
            env.reset(seed=plies)
            length = 0
            continue
        x = torch.from_numpy(np.ascontiguousarray(seen["observation"].transpose(2, 0, 1)[None], np.float32))
        with torch.inference_mode():
            logits = net(x)[0].numpy()[0]
        legal = np.flatnonzero(seen["action_mask"])
        env.step(int(legal[drawn(logits, np.arange(len(legal)), rng)]))
        plies, length = plies + 1, length + 1
    return plies / (time.perf_counter() - start)


def open_spiel(seconds: float, count: int) -> float:
    """So many games at a time, their observations stacked for one call of the network."""
    import pyspiel

    rng, plies = np.random.default_rng(0), 0
    game = pyspiel.load_game("chess")
    net = network(game.observation_tensor_shape()[0])
    states = [game.new_initial_state() for _ in range(count)]
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        x = np.array([state.observation_tensor() for state in states], np.float32)
        with torch.inference_mode():
            logits = net(torch.from_numpy(x.reshape(count, -1, 8, 8)))[0].numpy()
        for number, state in enumerate(states):
            legal = state.legal_actions()
            state.apply_action(legal[drawn(logits[number], np.arange(len(legal)), rng)])
            if state.is_terminal() or state.move_number() >= CAP:
                states[number] = game.new_initial_state()
        plies += count
    return plies / (time.perf_counter() - start)


@cache
def evaluator(precision: Precision):  # type: ignore[no-untyped-def]  # one of three
    return make_evaluator(load_player("weak"), device="cpu", precision=precision)


def sandwich(seconds: float, precision: Precision) -> float:
    """Blocks of whole games by the protocol, the student asking nobody."""
    play = PlayConfig(games=GAMES, block=GAMES, ply_cap=CAP, pgn_games=0, queries_per_turn=1e-6)
    student, misalignment = evaluator(precision), RandomMove()
    student(*_start())
    plies = number = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        openings = tuple(book("play")[:GAMES])
        block = Block(number, 0, 0, openings, play, misalignment, Ignore(), InferenceConfig())
        plies += play_episodes(student, [Assistant(student, misalignment, Tools())], block).plies
        number += 1
    return plies / (time.perf_counter() - start)


def _start() -> tuple[planes.Packed, Sequence[Sequence[int]]]:
    batch = GameBatch([chess.STARTING_FEN], 2)
    return batch.packed([0]), batch.legal([0])


def rules_sandwich(seconds: float) -> float:
    """Random games in lock-step: legal moves, results, repetitions and all."""
    rng, plies = np.random.default_rng(0), 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        batch = GameBatch([chess.STARTING_FEN] * 1024, CAP)
        while games := batch.active:
            batch.apply(games, [row[int(u * len(row))] for row, u in zip(
                batch.legal(games), rng.random(len(games)).tolist(), strict=True
            )])  # fmt: skip
            plies += len(games)
    return plies / (time.perf_counter() - start)


def rules_pgx(seconds: float) -> float:
    """The same, compiled by JAX."""
    import jax
    import pgx

    env = pgx.make("chess")

    def turn(state, key):  # type: ignore[no-untyped-def]
        noise = jax.random.gumbel(key, state.legal_action_mask.shape)
        chosen = jax.numpy.where(state.legal_action_mask, noise, -jax.numpy.inf).argmax(1)
        return jax.vmap(env.step)(state, chosen)

    go = jax.jit(turn)
    state = jax.jit(jax.vmap(env.init))(jax.random.split(jax.random.PRNGKey(0), GAMES))
    key = jax.random.PRNGKey(1)
    state = go(state, key)  # compiled, not timed
    state.current_player.block_until_ready()
    plies, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        key, now = jax.random.split(key)
        state = go(state, now)
        state.current_player.block_until_ready()
        plies += GAMES
    return plies / (time.perf_counter() - start)


PEERS: dict[str, Plies] = {
    "python_chess_naive": python_chess_naive,
    "pettingzoo": pettingzoo,
    "open_spiel_1": lambda seconds: open_spiel(seconds, 1),
    "open_spiel_256": lambda seconds: open_spiel(seconds, GAMES),
    "sandwich_fp32": lambda seconds: sandwich(seconds, "fp32"),
    "sandwich_bf16": lambda seconds: sandwich(seconds, "bf16"),
    "sandwich_int8": lambda seconds: sandwich(seconds, "int8"),
    "rules_sandwich": rules_sandwich,
    "rules_pgx": rules_pgx,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8, help="that each plays in a round, at least")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", metavar="WORD", help="those whose name holds this, or another such")
    parser.add_argument("--json", action="store_true", help="one JSON object of medians on stdout")
    options = parser.parse_args()
    names = [name for name in PEERS if not options.only or any(word in name for word in options.only)]
    if options.rounds < 1 or options.seconds <= 0 or not names:
        parser.error(f"expected a round at least, seconds above 0 and words of these names: {', '.join(PEERS)}")
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found: dict[str, list[float]] = {}
    for number in range(options.rounds):
        for name in list(names):
            try:
                found.setdefault(name, []).append(PEERS[name](options.seconds))
            except ImportError as error:
                print(f"{name}: left out, since {error.name} is not installed", file=sys.stderr)
                names.remove(name)
                del found[name]
                continue
            print(f"round {number + 1} of {options.rounds}: {name} {found[name][-1]:,.0f} plies/s", file=sys.stderr)
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    if options.json:
        print(json.dumps(medians | {"rounds": found}))
        return
    print("| | plies per second | lowest, highest |\n| --- | --- | --- |")
    for name, rates in found.items():
        print(f"| {name} | {medians[name]:,.0f} | {min(rates):,.0f}, {max(rates):,.0f} |")


if __name__ == "__main__":
    main()
