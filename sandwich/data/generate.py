"""A corpus out of nothing: Stockfish plays itself and says what every move is worth.

Games begin with a few random moves and go on with moves drawn from the engine's better lines and,
now and then, with a random one, so that blunders and their punishment are seen too. A shard holds a
fixed number of games and depends on the seed and its own number alone: shards can be made in any
order, by any number of processes, and again after a kill.
"""

from collections.abc import Iterator
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import chess
import numpy as np
from pydantic import Field

from engines import moves, planes
from engines.positions import GameBatch
from engines.settings import Frozen
from engines.stockfish import Stockfish, find_stockfish
from sandwich.data import corpus
from sandwich.runtime.files import parquet_bytes, write_whole
from sandwich.runtime.locks import driver
from sandwich.runtime.processes import pool


class GenerateConfig(Frozen):
    """How Stockfish's games are played and labelled."""

    seed: int = 0
    """Everything random follows from it."""
    shards: int = Field(20, ge=1)
    """Files to make; each is made whole by one process."""
    games_per_shard: int = Field(500, ge=1)
    """Games in one file."""
    nodes: int = Field(300, ge=1)
    """Engine nodes for the label of one position."""
    lines: int = Field(4, ge=1, le=16)
    """Best moves that a label lists."""
    opening_plies: int = Field(10, ge=0)
    """A game begins with 0 to this many random moves."""
    opening_limit: float = Field(0.4, gt=0, le=0.5)
    """An opening is drawn again where the expected score is further than this from ½."""
    random_move: float = Field(0.1, ge=0, le=1)
    """Chance that the move played is a random legal one."""
    temperature: float = Field(0.05, gt=0)
    """Spread, in expected score, of the choice among the engine's lines."""
    resign: float = Field(0.7, ge=0, le=1)
    """Chance that a game ends once it was decided for eight plies; the others are played to the end."""
    ply_cap: int = Field(240, ge=1)
    """Plies after which a game is a draw."""


DECIDED = 0.47
"""Distance of the expected score from ½ at which a game counts as decided."""


def play_game(engine: Stockfish, config: GenerateConfig, rng: np.random.Generator) -> dict[str, list[Any]]:
    """One labelled game, by column (without `game`); the hash is cleared first."""
    while True:
        restarts = engine.restarts
        state = rng.bit_generator.state
        engine.clear()
        rows = _play(engine, config, rng)
        if rows is not None and engine.restarts == restarts:
            return rows
        if rows is not None:  # a new process knows nothing of this game: play it again, the same
            rng.bit_generator.state = state


def _play(engine: Stockfish, config: GenerateConfig, rng: np.random.Generator) -> dict[str, list[Any]] | None:
    start = chess.Board()
    for _ in range(rng.integers(0, config.opening_plies + 1)):
        legal = list(start.legal_moves)
        if not legal:
            return None
        start.push(legal[rng.integers(len(legal))])
    fen = start.fen()
    game = GameBatch([fen], config.ply_cap)
    rows: dict[str, list[Any]] = {name: [] for name in ("position", "ply", "played", "moves", "scores", "turn")}
    history: list[str] = []
    may_resign = rng.random() < config.resign
    decided = 0
    winner = 0.5
    while game.results[0] is None:
        board = game.board(0)
        lines = engine.analyse(fen, history, nodes=config.nodes, multipv=config.lines)
        scores = np.array([line.expected_score for line in lines])
        if not history and abs(scores[0] - 0.5) > config.opening_limit:
            return None
        decided = decided + 1 if abs(scores[0] - 0.5) > DECIDED else 0
        if decided >= 8 and may_resign:
            winner = float((scores[0] > 0.5) == board.turn)
            break
        numbers = [moves.encode(chess.Move.from_uci(line.move), board.turn) for line in lines]
        if rng.random() < config.random_move:
            played = int(rng.choice(moves.encode_all(board.legal_moves, board.turn)))
        else:
            chance = np.exp((scores - scores[0]) / config.temperature)
            played = int(rng.choice(numbers, p=chance / chance.sum()))
        rows["position"].append(planes.pack(board))
        rows["ply"].append(len(start.move_stack) + len(history))
        rows["played"].append(played)
        rows["moves"].append(numbers)
        rows["scores"].append(scores.tolist())
        rows["turn"].append(board.turn)
        history.append(moves.decode(played, board).uci())
        game.apply([0], [played])
    result = game.results[0]
    white = winner if result is None else result.white_score
    rows["result"] = [white if turn else 1 - white for turn in rows.pop("turn")]
    return rows if history else None


def make_shard(folder: Path, config: GenerateConfig, shard: int) -> int:
    """Play and write one shard; the number of its positions."""
    columns: dict[str, list[Any]] = {name: [] for name in corpus.SCHEMA.names}
    with Stockfish(hash_mib=4) as engine:
        for number in range(config.games_per_shard):
            rng = np.random.default_rng([config.seed, shard, number])
            rows = play_game(engine, config, rng)
            rows["game"] = [shard * config.games_per_shard + number] * len(rows["ply"])
            for name, values in rows.items():
                columns[name] += values
    content = corpus.table(columns)
    write_whole(corpus.shard_path(folder, shard), parquet_bytes(content))
    return int(content.num_rows)


def generate(folder: Path, config: GenerateConfig, processes: int) -> Iterator[tuple[int, int]]:
    """Make the shards that are missing in `folder`; yields (shard, positions) as each is written.

    Raises EngineError without a Stockfish, CorpusError where the folder holds another corpus, BusyError
    where another process is at work in it.
    """
    with Stockfish(find_stockfish()) as engine:
        description = {"made_by": "corpus generate", "engine": engine.identity, **config.model_dump(exclude={"shards"})}
    corpus.open_corpus(folder, description)
    missing = [shard for shard in range(config.shards) if not corpus.shard_path(folder, shard).exists()]
    with driver(folder), pool(min(processes, max(1, len(missing)))) as workers:
        futures = {workers.submit(make_shard, folder, config, shard): shard for shard in missing}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            workers.shutdown(wait=True, cancel_futures=True)
