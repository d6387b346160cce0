"""Positions of play, and what every legal move in them is worth by the oracle.

The positions come from games as the student plays them: on each ply the mover takes the expert's best
move or draws from its own policy, one as often as the other. The oracle is Stockfish with a cleared hash,
its nodes shared by all legal moves. A block of games is a plain function of plain values, so that a
survey does not depend on the number of workers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from agents.advice import Channel, Query
from agents.checkpoint_files import Checkpoint
from agents.judging import engine_values
from agents.players.base import AnyPlayer
from agents.players.network import Network
from agents.sampling import draw
from engines import planes
from engines.positions import GameBatch
from engines.settings import Frozen
from engines.stockfish import EngineError, Stockfish, find_stockfish
from sandwich.data.openings import book
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import read_parquet, write_kept
from sandwich.runtime.networks import InferenceConfig, tools
from sandwich.runtime.origin import claim
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter

GAMES_PER_BLOCK = 64
PLIES = 120
"""Plies of a game at most; openings of the book are eight plies in."""


class LabelledPositionsConfig(Frozen):
    """Which positions are looked at, and how closely."""

    seed: int = Field(0, ge=0)
    """Everything random follows from it."""
    positions: int = Field(2000, ge=1)
    """Positions in all."""
    per_game: int = Field(1, ge=1)
    """Positions of one game at most; with 1 they are independent of each other."""
    nodes: int = Field(20_000, ge=1)
    """Nodes of the oracle for one position, shared by all its legal moves."""
    student: Checkpoint = "weak"
    """Who plays: a shipped name or the path of a checkpoint."""
    expert: AnyPlayer = Network(checkpoint="expert")
    """Whose best move is played half of the time."""


@dataclass(frozen=True, eq=False)
class LabelledPositions:
    """`N` positions with the worth of their moves.

    packed: `[N, 10]` packed positions.
    legal: for each the numbers of its legal moves, in rising order.
    values: for each `[M]`, expected score of every legal move for the side to move, by the oracle.
    games: `[N]` number of the game that a position is from.
    """

    packed: planes.Packed
    legal: list[list[int]]
    values: list[npt.NDArray[np.float32]]
    games: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.packed)

    def losses(self, row: int) -> npt.NDArray[np.float32]:
        """Expected score that each legal move of a position gives away against the best one, `[M]`."""
        return np.asarray(self.values[row].max() - self.values[row])

    def take(self, rows: Sequence[int]) -> "LabelledPositions":
        """The positions of these rows."""
        return LabelledPositions(
            self.packed[list(rows)],
            [self.legal[r] for r in rows],
            [self.values[r] for r in rows],
            self.games[list(rows)],
        )

    def queries(self, channel: Channel = Channel.MOVE) -> list[Query]:
        """A question about each position, as the first of a game."""
        return [Query(self.packed[row], self.legal[row], channel, 0, 0) for row in range(len(self))]


SCHEMA = pa.schema(
    [
        pa.field("position", pa.binary(8 * planes.WORDS), nullable=False),
        pa.field("game", pa.uint32(), nullable=False),
        pa.field("moves", pa.list_(pa.uint16()), nullable=False),
        pa.field("values", pa.list_(pa.float32()), nullable=False),
    ],
    metadata={"version": "sandwich-survey/1"},
)


@dataclass(frozen=True, eq=False)
class _Block:
    config: LabelledPositionsConfig
    number: int
    positions: int
    inference: InferenceConfig
    engine: str


def label_block(checkpoints: Mapping[str, bytes], block: _Block) -> pa.Table:
    """Play the games of a block and let the oracle look at the positions chosen from them."""
    config = block.config
    rng = np.random.default_rng([config.seed, block.number])
    with tools(checkpoints, block.inference) as opened:
        student, expert = opened.network(config.student), opened.player(config.expert)
        openings = rng.permutation(len(book("play")))[:GAMES_PER_BLOCK]
        batch = GameBatch([book("play")[place] for place in openings], PLIES)
        visited: list[list[tuple[planes.Packed, list[int]]]] = [[] for _ in range(len(batch))]
        while active := batch.active:
            packed, legal = batch.packed(active), batch.legal(active)
            own, best = student(packed, legal), expert(packed, legal)
            chosen = []
            for row, game in enumerate(active):
                visited[game].append((packed[row], legal[row]))
                drawn = legal[row][draw(own.policy[row], 1.0, rng)]
                chosen.append(best.best(row) if rng.random() < 0.5 else drawn)
            batch.apply(active, chosen)
        rows: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
        picks = [
            (game, int(ply))
            for game, plies in enumerate(visited)
            for ply in np.sort(rng.permutation(len(plies))[: config.per_game])
        ]
        engine = opened.stockfish()
        if engine.identity != block.engine:
            raise EngineError(f"expected {block.engine} on every machine, found {engine.identity} on one")
        for game, ply in picks[: block.positions]:
            position, numbers = visited[game][ply]
            values = engine_values(engine, Query(position, numbers, Channel.MOVE, 0, 0), config.nodes)
            rows["position"].append(np.asarray(position, "<u8").tobytes())
            rows["game"].append(block.number * GAMES_PER_BLOCK + game)
            rows["moves"].append(numbers)
            rows["values"].append(values.astype(np.float32))
    return pa.table(rows, schema=SCHEMA)


def label_positions(
    cluster: Cluster,
    config: LabelledPositionsConfig,
    checkpoints: Mapping[str, bytes],
    inference: InferenceConfig,
    folder: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> LabelledPositions:
    """Positions and what their moves are worth; blocks that `folder` holds already are only read.

    Raises EngineError without a Stockfish, SpecError where another one labelled what `folder` holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Stockfish(find_stockfish()) as found:
        engine = found.identity
    claim(folder, engine, begun=any(folder.glob("block-*.parquet")))
    per_block = GAMES_PER_BLOCK * config.per_game
    blocks = [
        _Block(config, number, min(per_block, config.positions - first), inference, engine)
        for number, first in enumerate(range(0, config.positions, per_block))
    ]
    files = [folder / f"block-{block.number:05d}.parquet" for block in blocks]
    missing = [block for block, file in zip(blocks, files, strict=True) if not file.exists()]
    here = config.positions - sum(block.positions for block in missing)
    progress.begin("positions labelled by the oracle", config.positions, here)

    def written(table: pa.Table) -> None:
        number = table["game"][0].as_py() // GAMES_PER_BLOCK
        write_kept(files[number], parquet_bytes(table))
        progress.advance(table.num_rows)

    cluster.map(label_block, checkpoints, missing, written)
    table = pa.concat_tables([read_parquet(file) for file in files])
    packed = np.frombuffer(b"".join(table["position"].to_pylist()), "<u8").reshape(-1, planes.WORDS).astype(np.uint64)
    values = [np.array(row, np.float32) for row in table["values"].to_pylist()]
    return LabelledPositions(packed, table["moves"].to_pylist(), values, table["game"].to_numpy().astype(np.int64))
