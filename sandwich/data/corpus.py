"""Corpora: labelled positions in Parquet, whoever labelled them.

Owns the schema of a corpus and the reading and writing of its shards. Where the rows come from is
the affair of `sandwich.data.generate` (Stockfish's own games) and `sandwich.data.pgn_import` (games of others);
what is learned from them that of `sandwich.training.supervised`.

A corpus is a folder of `shard-NNNNN.parquet` with one `corpus.json` that says how it was made.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engines import planes
from engines.settings import Mistake
from sandwich.runtime.files import holds_nothing, write_whole

VERSION = "sandwich-corpus/1"

SCHEMA = pa.schema(
    [
        # ten little-endian 64-bit words, see engines.planes
        pa.field("position", pa.binary(8 * planes.WORDS), nullable=False),
        pa.field("game", pa.uint32(), nullable=False),
        pa.field("ply", pa.uint16(), nullable=False),
        # number of the move played (engines.moves)
        pa.field("played", pa.uint16(), nullable=False),
        # the labeller's best moves, best first; empty where only the move played is known
        pa.field("moves", pa.list_(pa.uint16()), nullable=False),
        # their expected scores in 0..1 for the side to move
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        # score of the game for the side to move: 0, ½ or 1
        pa.field("result", pa.float32(), nullable=False),
    ],
    metadata={"version": VERSION},
)


class CorpusError(Mistake, ValueError):
    """A folder that is no corpus, or one made in another way than asked for."""


def table(rows: dict[str, list[Any]]) -> pa.Table:
    """Rows, by column, as a table of the corpus schema; `position` holds tuples of ten words."""
    packed = np.array(rows["position"], "<u8").reshape(-1, planes.WORDS)
    columns = dict(rows, position=[row.tobytes() for row in packed])
    return pa.table(columns, schema=SCHEMA)


def shard_path(folder: Path, shard: int) -> Path:
    """File of one shard."""
    return folder / f"shard-{shard:05d}.parquet"


def open_corpus(folder: Path, settings: dict[str, Any]) -> None:
    """Make the folder of a corpus, or check that the one that is there was made in the same way.

    Raises CorpusError where `settings` differ from those of the folder.
    """
    about = folder / "corpus.json"
    made = {"version": VERSION, **settings}
    if about.exists():
        there = description(folder)
        different = sorted(key for key in there.keys() | made.keys() if there.get(key) != made.get(key))
        if different:
            key = different[0]
            raise CorpusError(
                f"{folder} was made with {key}={there.get(key)!r}, not {made.get(key)!r}: choose another folder"
            )
        return
    if folder.exists() and not folder.is_dir():
        raise CorpusError(f"{folder} is a file: choose a folder")
    if not holds_nothing(folder):
        raise CorpusError(f"{folder} is not empty and holds no corpus.json: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(about, (json.dumps(made, indent=2) + "\n").encode())


def description(folder: Path) -> dict[str, Any]:
    """How a corpus was made; CorpusError for a folder that is none."""
    try:
        made: dict[str, Any] = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CorpusError(f"{folder} is no corpus: expected a readable corpus.json in it") from None
    return made


def shards(folder: Path) -> list[Path]:
    """Shards of a corpus in order; CorpusError where there are none."""
    files = sorted(folder.glob("shard-*.parquet"))
    if not (folder / "corpus.json").exists() or not files:
        raise CorpusError(f"{folder} is no corpus: expected corpus.json and shard-*.parquet in it")
    return files


def read(folders: Sequence[Path]) -> Iterator[pa.Table]:
    """The shards of several corpora, one table at a time; CorpusError for a file of another kind."""
    for folder in folders:
        for path in shards(folder):
            try:
                content = pq.read_table(path)
            except (OSError, pa.ArrowException) as error:
                raise CorpusError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
            if (content.schema.metadata or {}).get(b"version") != VERSION.encode() or not content.schema.equals(SCHEMA):
                raise CorpusError(f"{path} is not of version {VERSION}")
            yield content
