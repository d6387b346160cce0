"""How moves look: to an engine, and to a player that looks one ply ahead."""

import chess
import numpy as np
import numpy.typing as npt

from agents.advice import Query
from engines import moves, planes
from engines.inference import Evaluation, Evaluator
from engines.lookahead import move_values
from engines.stockfish import Stockfish

Floats32 = npt.NDArray[np.float32]


def engine_values(engine: Stockfish, query: Query, nodes: int) -> npt.NDArray[np.float64]:
    """Expected score `[M]` of every legal move of one position, by an engine with a cleared hash.

    The nodes are shared by all moves (MultiPV); a move that they did not suffice for is looked at by itself.
    """
    board = planes.unpack(query.packed)
    fen = board.fen()
    engine.clear()
    lines = engine.analyse(fen, nodes=nodes, multipv=len(query.legal))
    scores = {moves.encode(chess.Move.from_uci(line.move), board.turn): line.expected_score for line in lines}
    for number in query.legal:
        if number not in scores:
            scores[number] = move_value(engine, board, number, max(1, nodes // len(query.legal)))
    return np.array([scores[number] for number in query.legal])


def move_value(engine: Stockfish, board: chess.Board, number: int, nodes: int) -> float:
    """Expected score of one move, for who makes it, by an engine with a cleared hash that looks at what follows."""
    move = moves.decode(number, board)
    engine.clear()
    lines = engine.analyse(board.fen(), [move.uci()], nodes=nodes)
    if lines:
        return 1 - lines[0].expected_score
    after = board.copy(stack=False)
    after.push(move)
    return 1.0 if after.is_checkmate() else 0.5


def suspicion(judge: Evaluator, packed: planes.Packed, view: Evaluation) -> list[Floats32]:
    """How much each legal move of each position looks worse to a player than the move it would make itself.

    In expected score, 0 where it looks no worse; for each position `[M]`. The player compares what
    its value head says of the positions behind the two moves; `view` is what it thinks of `packed` themselves.
    """
    own = [int(policy.argmax()) for policy in view.policy]
    values = move_values(judge, packed, view.legal)
    return [np.maximum(0, row[best] - row) for best, row in zip(own, values, strict=True)]
