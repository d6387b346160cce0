"""From the rows of a corpus to what a network is to learn from them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engines import planes
from sandwich.data import corpus
from sandwich.training.examples import Examples


def _padded(column: pa.ChunkedArray, width: int, fill: float) -> npt.NDArray[np.float32]:
    """A list column as `[N, width]`, cut or filled at the end."""
    lists = column.combine_chunks()
    sizes = np.diff(lists.offsets.to_numpy())
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    out = np.full((len(sizes), width), fill, np.float32)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    places = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = places < width
    out[rows[kept], places[kept]] = flat[kept]
    return out


def packed_column(column: pa.ChunkedArray) -> planes.Packed:
    """A column of packed positions as `[N, 10]`."""
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, "<u8").reshape(-1, planes.WORDS).astype(np.uint64)


def places(packed: planes.Packed) -> list[bytes]:
    """Each packed position as `sandwich.data.openings.place` names it."""
    return [row.tobytes() for row in packed[:, : planes.WORDS - 1]]


def found_in(folders: Sequence[Path], wanted: frozenset[bytes]) -> set[bytes]:
    """Those of the wanted places that occur in corpora; CorpusError for a folder without one."""
    known: set[bytes] = set()
    for content in corpus.read(folders):
        known |= wanted.intersection(places(packed_column(content["position"])))
    return known


def wdl_of_value(value: npt.NDArray[np.float32], result: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """`[N, 3]` chances of win, draw and loss for expected scores `[N]`.

    result: `[N]` which are results of games, not what somebody thinks: a result of ½ was a draw. An opinion of v
    leaves open how much of it is draws, 0 to 1 − |2v − 1|; it gets the middle.
    """
    draw = np.where(result, 1.0, 0.5) * (1 - np.abs(2 * value - 1))
    return np.stack([value - draw / 2, draw, 1 - value - draw / 2], 1).astype(np.float32)


def examples(content: pa.Table, *, lines: int, temperature: float) -> Examples:
    """What a network is to learn from labelled positions.

    Where the labeller gave scores, the policy target is their softmax at `temperature` (in expected
    score) and the value target the best of them; a line counts at most as much as the one before it,
    since the engine may have seen it last at a smaller depth. Elsewhere it is the move played and
    the result of the game.

    A score becomes win, draw and loss by `wdl_of_value`.
    """
    scores = _padded(content["scores"], lines, -np.inf)
    targets = _padded(content["moves"], lines, -1).astype(np.int16)
    labelled = np.isfinite(scores[:, 0])
    played = content["played"].to_numpy().astype(np.int16)
    scores = np.minimum.accumulate(scores, 1)
    targets[~labelled, 0] = played[~labelled]
    scores[~labelled, 0] = content["result"].to_numpy()[~labelled]
    policy = np.exp((scores - scores[:, :1]) / temperature)
    policy /= policy.sum(1, keepdims=True)
    return Examples(
        packed_column(content["position"]),
        targets,
        policy.astype(np.float32),
        wdl_of_value(scores[:, 0], ~labelled),
        np.ones(len(targets), np.float32),
    )
