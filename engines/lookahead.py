"""What moves are worth by the value of the positions that they lead to: one ply, many positions at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engines import planes
from engines.inference import Evaluator
from engines.positions import successors


def position_values(
    evaluator: Evaluator,
    packed: planes.Packed,
    legal: Sequence[Sequence[int]],
    score: npt.NDArray[np.float32] | None = None,
    batch: int = 1024,
) -> npt.NDArray[np.float32]:
    """Expected score `[B]` of positions for their side to move; `score` holds that of finished games, else NaN."""
    out = np.full(len(legal), np.nan, np.float32) if score is None else score.copy()
    open_rows = np.flatnonzero(np.isnan(out))
    for start in range(0, len(open_rows), batch):
        rows = open_rows[start : start + batch]
        out[rows] = evaluator(packed[rows], [legal[row] for row in rows]).value
    return np.clip(out, 0, 1)


def move_values(
    evaluator: Evaluator, packed: planes.Packed, chosen: Sequence[Sequence[int]]
) -> list[npt.NDArray[np.float32]]:
    """Expected score, for who moves, of moves of each position (`[B, 10]`): one less the value of where they lead."""
    sizes = [len(row) for row in chosen]
    after = successors(np.repeat(packed, sizes, axis=0), [move for row in chosen for move in row])
    values = 1 - position_values(evaluator, after.packed, after.legal, after.score)
    return [values[end - size : end] for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
