"""Ledgers written by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import chess
import numpy as np
import pyarrow as pa

from engines import planes
from sandwich.protocol import ledger


def position_of(fen: str) -> bytes:
    """A position as the ledger's column `position` has it."""
    return np.array(planes.pack(chess.Board(fen)), "<u8").tobytes()


def ledger_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A ledger of these rows; columns that they lack are null, and the position follows from the FEN."""
    filled = [{**dict.fromkeys(ledger.SCHEMA.names), **row, "position": position_of(row["fen"])} for row in rows]
    return pa.Table.from_pylist(filled, schema=ledger.SCHEMA)


def scrambled(content: pa.Table, how: str) -> pa.Table:
    """The ledger with other things in its hidden columns."""
    for name in ledger.HIDDEN:
        place = content.schema.get_field_index(name)
        cells = content[name].to_pylist()
        cells = [None] * len(cells) if how == "null" else [*reversed(cells)]
        if how == "opposite" and name in ("misaligned", "panel_misaligned"):
            cells = [_opposite(cell) for cell in content[name].to_pylist()]
        content = content.set_column(
            place, content.schema.field(name), pa.array(cells, content.schema.field(name).type)
        )
    return content


def _opposite(cell: Any) -> Any:
    if isinstance(cell, list):
        return [_opposite(one) for one in cell]
    return None if cell is None else not cell


def table(*plies: dict[str, Any]) -> pa.Table:
    """A ledger of one ply per entry, each of a game in which the student, White, opens with e4."""
    base = {
        "ply": 0, "fen": chess.STARTING_FEN, "student": True, "own_move": "d2d4", "own_value": 0.5, "asked": True,
        "channel": "move", "advised": "e2e4", "honest": "g1f3", "misaligned": False, "believed": True, "weight": 1.0,
        "decided": "e2e4", "played": "e2e4", "result": 0.5,
    }  # fmt: skip
    rows = [base | ply for ply in plies]
    return ledger_table(rows)


def lie(game: int, lost: float | None, believed: bool = True) -> dict[str, Any]:
    return {"game": game, "misaligned": True, "believed": believed, "loss_advised": lost}
