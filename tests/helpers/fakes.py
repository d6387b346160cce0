"""What stands in for networks in tests: evaluators by rule, and questions about positions."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import chess
import numpy as np
import numpy.typing as npt
import torch

from agents.advice import Advice, Channel, Query
from agents.tools import Tools
from engines import filter as filters
from engines import moves, planes
from engines.inference import Evaluation, Evaluator
from engines.network import NetworkConfig, PolicyValueNet

CHANNELS = [channel for channel in Channel if channel is not Channel.CANDIDATES]
"""Channels of one question; `candidates` is made of several for the value."""


class Hashed:
    """An evaluator whose answers look arbitrary and depend on its name and the position alone."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        policy, wdl = [], []
        for row, numbers in zip(packed.tolist(), legal, strict=True):
            rng = np.random.default_rng([*self.name.encode(), *row])
            policy.append(rng.dirichlet(np.full(len(numbers), 0.5)).astype(np.float32))
            wdl.append(rng.dirichlet(np.ones(3)))
        return Evaluation(legal, policy, np.array(wdl, np.float32).reshape(-1, 3))


class Even:
    """An evaluator that finds every move as good as any other and every position even."""

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        policy = [np.full(len(numbers), 1 / len(numbers), np.float32) for numbers in legal]
        return Evaluation(legal, policy, np.tile(np.array([0.25, 0.5, 0.25], np.float32), (len(legal), 1)))


def fake_tools() -> Tools:
    """Tools in which `expert`, `weak` and `adversary` are evaluators by rule; the engine is the real one.

    `filter` is a blunder filter that lets everything through.
    """
    contents = {name: name.encode() for name in ("expert", "weak", "adversary")}
    return Tools({**contents, "filter": permissive()}, lambda content: Hashed(content.decode()))


@cache
def permissive() -> bytes:
    """A blunder filter of random weights whose threshold no move reaches."""
    torch.manual_seed(1)
    net = PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)).eval()
    return filters.to_bytes(net, 1.0)


def pack_board(board: chess.Board) -> planes.Packed:
    """The ten words of one position."""
    return np.array(planes.pack(board), np.uint64)


def legal_numbers(board: chess.Board) -> list[int]:
    """Numbers of the legal moves, in rising order."""
    return sorted(moves.encode_all(board.legal_moves, board.turn))


def question(
    board: chess.Board, channel: Channel = Channel.MOVE, *, number: int = 0, ply: int = 0, training: bool = True
) -> Query:
    """A question about a position."""
    return Query(pack_board(board), legal_numbers(board), channel, number, ply, training)


def after(line: str, fen: str = chess.STARTING_FEN) -> chess.Board:
    """The position after moves in algebraic notation."""
    board = chess.Board(fen)
    for move in line.split():
        board.push_san(move)
    return board.copy(stack=False)


def said(advice: Advice) -> tuple[Any, ...]:
    """An answer as something that can be compared."""
    return advice.move, None if advice.policy is None else advice.policy.tolist(), advice.value


def alone(evaluator: Evaluator, board: chess.Board) -> tuple[npt.NDArray[np.float32], float]:
    """Policy and value of one position."""
    seen = evaluator(pack_board(board)[None], [legal_numbers(board)])
    return seen.policy[0], float(seen.value[0])


def worth(evaluator: Evaluator, board: chess.Board, number: int) -> float:
    """Expected score of a move, for who makes it, by the value of the position behind it."""
    then = board.copy(stack=False)
    then.push(moves.decode(number, board))
    if not any(then.legal_moves):
        return 1.0 if then.is_check() else 0.5
    if then.is_insufficient_material() or then.halfmove_clock >= 100:
        return 0.5
    return 1 - alone(evaluator, then)[1]
