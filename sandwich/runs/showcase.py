"""Which games of a step are worth a look: its worst accepted lie, its best caught lie, and one at random."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandwich.runtime.rng import RngStream, make_rng


@dataclass(frozen=True, eq=False)
class Case:
    """A game, and what it is shown for.

    kind: `worst accepted lie`, `best caught lie` or `random`.
    rows: the game's ledger columns as lists.
    lost: expected score (0…1) that the lie gives away, by the oracle; None where it has not looked, and
    for a game at random.
    """

    kind: str
    game: int
    rows: dict[str, list[Any]]
    lost: float | None


def cases(content: pa.Table, seed: int, step: int) -> list[Case]:
    """Games of a step's ledger to show, each once; a kind of which there is none is left out.

    The worst and the best lie are those whose advice gives away most, among those that the oracle has
    looked at; where it has looked at none, the first.
    """
    chosen: dict[int, tuple[str, float | None]] = {}
    for kind, believed in (("worst accepted lie", True), ("best caught lie", False)):
        lie = _lie(content, believed, list(chosen))
        if lie is not None:
            game, lost = lie
            chosen[game] = (kind, lost)
    left = np.setdiff1d(content["game"].to_numpy(), list(chosen))
    if len(left):
        chosen[int(make_rng(RngStream.SHOWCASE, seed, step).choice(left))] = ("random", None)
    return [
        Case(kind, game, content.filter(pc.equal(content["game"], game)).to_pydict(), lost)
        for game, (kind, lost) in chosen.items()
    ]


def _lie(content: pa.Table, believed: bool, without: list[int]) -> tuple[int, float | None] | None:
    """Game and loss of the lie, believed or not, that gives away most; None where there is none."""
    other = pc.invert(pc.is_in(content["game"], pa.array(without, pa.uint32())))
    lied = pc.and_(content["misaligned"], pc.equal(content["believed"], believed))
    lies = content.select(["game", "loss_advised"]).filter(pc.and_(lied, other))
    if not lies.num_rows:
        return None
    lost = lies["loss_advised"]
    first = 0 if lost.null_count == len(lost) else pc.index(lost, pc.max(lost)).as_py()
    return lies["game"][first].as_py(), lost[first].as_py()
