"""Small players and short games, for tests that play."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import chess
import torch

from agents.players.network import Network
from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from sandwich.runtime.cluster import Cluster
from tests.helpers.project import random_games

MATES = [  # one move mates, every other does not end the game
    "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1",
    "3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1",
    "7k/8/6K1/8/8/8/8/R7 w - - 0 1",
    "r7/8/8/8/8/6k1/8/7K b - - 0 1",
    "8/8/8/8/8/1k6/7q/K7 b - - 0 1",
    "k7/7Q/1K6/8/8/8/8/8 w - - 0 1",
    "4k3/R7/8/8/8/8/8/1R2K3 w - - 0 1",
    "4k3/1r6/r7/8/8/8/8/4K3 b - - 0 1",
]


@cache
def checkpoint(seed: int) -> bytes:
    """Checkpoint of a small network whose random weights make it decided about its moves."""
    torch.manual_seed(seed)
    net = PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)).eval()
    with torch.no_grad():
        net.start.weight.mul_(20)
    return to_bytes(net)


def written(path: Path, seed: int) -> str:
    """The path of a file with a small network of random weights, as a spec names it."""
    torch.manual_seed(seed)
    path.write_bytes(to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=16, head=16)).eval()))
    return str(path)


def named(seed: int) -> Network:
    """The same as a player; `CHECKPOINTS` has its checkpoint."""
    return Network(checkpoint=f"small {seed}")


CHECKPOINTS = {f"small {seed}": checkpoint(seed) for seed in range(1, 20)}


@cache
def openings(count: int) -> tuple[str, ...]:
    """Different positions: those of `MATES`, and those of random games with few pieces."""
    games = random_games(40, seed=6, plies=12, fen="r3k3/p6p/8/8/8/8/P6P/R3K3 w - - 0 1")
    boards = [board for game in games for board in game[6:] if not board.is_game_over()]
    fens = {board.epd(): board.fen() for board in [*map(chess.Board, MATES), *boards]}
    return tuple(fens.values())[:count]


class Inline:
    """Stands for a cluster: does the jobs here, one after the other, and only those asked for."""

    workers = 1

    def stream(self, function: Callable[[Any, Any], Any], shared: Any, jobs: Sequence[Any]) -> Iterator[Any]:
        for job in jobs:
            yield function(shared, job)

    def map(
        self,
        function: Callable[[Any, Any], Any],
        shared: Any,
        jobs: Sequence[Any],
        done: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        results = []
        for result in self.stream(function, shared, jobs):
            results.append(result)
            done(result)
        return results


INLINE = cast(Cluster, Inline())


def student_checkpoint() -> bytes:
    """Checkpoint of a still smaller network, for fine-tuning."""
    torch.manual_seed(1)
    return to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=8, squeeze=2, head=8)).eval())
