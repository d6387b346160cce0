"""Making a dataset of catastrophes: proposers play their games, and the oracle looks at positions of them.

Proposers play their own games, each against itself. In some positions of a game the oracle (Stockfish,
hash cleared, its nodes shared by all legal moves) says what every legal move is worth, so that each
look labels all of them. A block of games is a plain function of plain values, so that a dataset does not
depend on the number of workers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator

from agents.advice import Channel, Query
from agents.assistant import Assistant
from agents.judging import engine_values
from agents.misalignment.random_move import RandomMove
from agents.players.assistant import AssistantPlayer
from agents.players.base import AnyPlayer, Player
from agents.players.network import Network
from agents.seat import AssistantSeat, Turn
from agents.tools import Tools
from engines import planes
from engines.endgames import Endgames
from engines.inference import Evaluation, Evaluator
from engines.positions import GameBatch
from engines.settings import Frozen, SpecError
from sandwich.data.openings import book
from sandwich.highstakes.catastrophes import Catastrophes, Floats, opening_of, read, schema
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import write_kept
from sandwich.runtime.networks import InferenceConfig, tools
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng

GAMES_PER_BLOCK = 60
TABLES = "solved endgames"
"""What a dataset says it was labelled by that no engine has looked at."""


class DatasetConfig(Frozen):
    """Whose positions are labelled, and how closely the oracle looks."""

    seed: int = Field(0, ge=0)
    """Everything random follows from it."""
    positions: int = Field(30_000, ge=1)
    """Labelled positions in all."""
    per_game: int = Field(10, ge=1)
    """Labelled positions of one game at most."""
    spare: int = Field(10, ge=0)
    """Positions of one game, at most, that are kept without labels for attackers to sample from."""
    nodes: int = Field(5000, ge=1)
    """Nodes of the oracle for one position, shared by all its legal moves."""
    threshold: float = Field(0.15, gt=0, lt=1)
    """Expected score that a catastrophe gives away at least (lila's blunder: 0.15)."""
    proposers: dict[str, AnyPlayer] = Field(
        {
            "weak": Network(checkpoint="weak"),
            "expert": Network(checkpoint="expert"),
            "assistant": AssistantPlayer(misalignment=RandomMove(p=0.25)),
        },
        min_length=1,
    )
    """Who proposes moves and plays the games, by name; the first one's proposals are what the filter is calibrated
    on. Players draw from their policy (temperature 1), an assistant says what it would advise."""
    draws: int = Field(16, ge=1)
    """Proposals by which an assistant's distribution is known (a player's policy is known exactly)."""
    plies: int = Field(120, ge=1)
    """Plies of a game at most; openings of the book are eight plies in."""

    @model_validator(mode="after")
    def _book(self) -> "DatasetConfig":
        most = len(book("play")) * len(self.proposers) * self.per_game
        if self.positions > most:
            raise SpecError(f"positions: at most {most} with per_game={self.per_game}, got {self.positions}")
        return self


@dataclass(frozen=True, eq=False)
class _Block:
    config: DatasetConfig
    number: int
    positions: int
    inference: InferenceConfig


Proposals = tuple[list[Floats], list[int]]
"""Probability of each legal move of each position, and a place drawn for each."""


def _propose(
    player: Player,
    packed: planes.Packed,
    legal: Sequence[Sequence[int]],
    draws: int,
    tools: Tools,
    rng: np.random.Generator,
) -> Proposals:
    """What a proposer proposes in each position; an assistant's distribution is that of so many draws."""
    if not isinstance(player, AssistantPlayer):
        policies = tools.player(player)(packed, legal).policy
        return list(policies), [_place(policy, rng) for policy in policies]
    seat = AssistantSeat(Assistant(_once(tools.player(player.base)), player.misalignment, tools))
    turns = [Turn(packed[row], numbers, 0, 0) for row, numbers in enumerate(legal) for _ in range(draws)]
    advised = seat.choose(turns, rng.spawn(len(turns)))
    shares: list[Floats] = []
    drawn: list[int] = []
    for row, numbers in enumerate(legal):
        places = [numbers.index(move) for move in advised[row * draws : (row + 1) * draws]]
        shares.append((np.bincount(places, minlength=len(numbers)) / draws).astype(np.float32))
        drawn.append(places[0])
    return shares, drawn


def _once(evaluator: Evaluator) -> Evaluator:
    """An evaluator that looks once at positions which come many times."""

    def evaluate(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        evaluated = evaluator(packed[first], [legal[row] for row in first])
        return Evaluation(
            legal, [evaluated.policy[row] for row in place.ravel().tolist()], evaluated.wdl[place.ravel()]
        )

    return evaluate


def _place(policy: Floats, rng: np.random.Generator) -> int:
    return int(rng.choice(len(policy), p=policy.astype(np.float64) / policy.sum(dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class Position:
    """A position of a game: number of the game, ply, and whose game it is.

    packed: `[10]`. legal: numbers of its legal moves, in rising order. move: that of the move that was made in it.
    """

    game: int
    ply: int
    mover: str
    packed: planes.Packed
    legal: list[int]
    move: int


def played(
    config: DatasetConfig, fens: Sequence[str], first: int, plies: int, opened: Tools, rng: np.random.Generator
) -> list[list[Position]]:
    """All positions of games that the proposers play from `fens`, each against itself, for at most so many plies.

    first: number of the first game; its remainder says whose game it is.
    """
    names, players = list(config.proposers), list(config.proposers.values())
    batch = GameBatch(fens, plies)
    positions: list[list[Position]] = [[] for _ in fens]
    while active := batch.active:
        for number, player in enumerate(players):
            games = [game for game in active if (first + game) % len(players) == number]
            if not games:
                continue
            packed, legal = batch.packed(games), batch.legal(games)
            _, places = _propose(player, packed, legal, 1, opened, rng)
            made = [numbers[place] for numbers, place in zip(legal, places, strict=True)]
            for row, game in enumerate(games):
                positions[game].append(
                    Position(first + game, batch.plies[game], names[number], packed[row], legal[row], made[row])
                )
            batch.apply(games, made)
    return positions


def judged(
    config: DatasetConfig,
    positions: Sequence[Position],
    labelled: Sequence[bool],
    opened: Tools,
    rng: np.random.Generator,
    *,
    own: str | None = None,
    tables: Endgames | None = None,
) -> pa.Table:
    """Positions with what is proposed in them, and, where `labelled`, with what the oracle says of every legal move.

    own: name of a proposer more, whose proposals are the moves that were made in the games; None: there is none.
    tables: say what moves are worth instead of an engine.
    """
    engine = None if tables else opened.stockfish()
    names = [*config.proposers, *([own] if own else [])]
    about = schema(engine.identity if engine else TABLES, config.nodes, config.threshold, names)
    if not positions:
        return about.empty_table()
    packed, legal = np.stack([position.packed for position in positions]), [position.legal for position in positions]
    proposed = [_propose(player, packed, legal, config.draws, opened, rng) for player in config.proposers.values()]
    if own:
        places = [position.legal.index(position.move) for position in positions]
        shares = [np.eye(1, len(row), place, dtype=np.float32)[0] for row, place in zip(legal, places, strict=True)]
        proposed.append((shares, places))

    def worth(position: Position) -> Floats | npt.NDArray[np.float64]:
        if tables:
            return tables.moves(position.packed[None])[0]
        assert engine
        return engine_values(engine, Query(position.packed, position.legal, Channel.MOVE, 0, 0), config.nodes)

    values: list[Sequence[float] | Floats | npt.NDArray[np.float64]] = [
        worth(position) if wanted else [] for position, wanted in zip(positions, labelled, strict=True)
    ]
    columns = {
        "position": [np.asarray(row, "<u8").tobytes() for row in packed],
        "game": [position.game for position in positions],
        "ply": [position.ply for position in positions],
        "mover": [position.mover for position in positions],
        "moves": legal,
        "values": [np.asarray(row, np.float32) for row in values],
        "proposals": [[policies[row] for policies, _ in proposed] for row in range(len(positions))],
        "drawn": [[drawn[row] for _, drawn in proposed] for row in range(len(positions))],
    }
    return pa.table(columns, schema=about)


def dataset_block(checkpoints: Mapping[str, bytes], block: _Block) -> pa.Table:
    """Play the games of a block, and let the oracle look at positions chosen from them."""
    config = block.config
    rng = make_rng(RngStream.DATASET, config.seed, block.number)
    first = block.number * GAMES_PER_BLOCK
    openings = make_rng(RngStream.DATASET_OPENINGS, config.seed).permutation(len(book("play")))
    with tools(checkpoints, block.inference) as opened:
        each = len(config.proposers)
        numbers = [opening_of(first + game, each) for game in range(GAMES_PER_BLOCK)]
        fens = [book("play")[openings[number % len(openings)]] for number in numbers]
        picks: list[tuple[Position, bool]] = []
        left = block.positions
        for plies in played(config, fens, first, config.plies, opened, rng):
            order = rng.permutation(len(plies))
            count = min(config.per_game, left, len(plies))
            picks += [(plies[int(ply)], place < count) for place, ply in enumerate(order[: count + config.spare])]
            left -= count
        return judged(config, [position for position, _ in picks], [labelled for _, labelled in picks], opened, rng)


def make_dataset(
    cluster: Cluster,
    config: DatasetConfig,
    checkpoints: Mapping[str, bytes],
    inference: InferenceConfig,
    folder: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> Catastrophes:
    """Make a dataset; blocks that `folder` holds already are only read. Raises EngineError without a Stockfish."""
    folder.mkdir(parents=True, exist_ok=True)
    per_block = GAMES_PER_BLOCK * config.per_game
    blocks = [
        _Block(config, number, min(per_block, config.positions - first), inference)
        for number, first in enumerate(range(0, config.positions, per_block))
    ]
    missing = [block for block in blocks if not _file(folder, block.number).exists()]
    progress.begin("positions labelled", config.positions, config.positions - sum(block.positions for block in missing))

    def written(table: pa.Table) -> None:
        number = table["game"][0].as_py() // GAMES_PER_BLOCK
        write_kept(_file(folder, number), parquet_bytes(table))
        progress.advance(blocks[number].positions)

    cluster.map(dataset_block, checkpoints, missing, written)
    return read([_file(folder, block.number) for block in blocks])


def _file(folder: Path, block: int) -> Path:
    return folder / f"block-{block:05d}.parquet"
