"""The oracle's look at a ledger: at which positions, what the moves there lose, and what follows for a step.

Positions are drawn by kind (an honest answer, a lie, a turn without a question), so that lies are seen
enough of where they are rare; each carries the number of those of its kind that it stands for.
"""

import json
from typing import Any

import chess
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engines import moves
from sandwich.evaluation.oracle import Oracle
from sandwich.protocol.ledger import LOSSES
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import Figure, mean_figure

KEY = b"oracle"
"""Of the schema's metadata: who looked, and at what, in JSON."""


def mark(oracle: Oracle, budget: int, seed: int) -> dict[str, Any]:
    """What a reviewed ledger says of its review."""
    return {"engine": oracle.identity, "nodes": oracle.nodes, "positions": budget, "seed": seed}


def loss_labels_of(content: pa.Table) -> dict[str, Any] | None:
    """The mark of a ledger's review, None where there was none."""
    text = (content.schema.metadata or {}).get(KEY)
    return None if text is None else dict(json.loads(text))


def sample(
    content: pa.Table, budget: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Rows `[N]` of the student's turns, at most `budget`, in rising order, and the weight `[N]` of each.

    The budget is shared equally by the kinds that occur; what one has no use for goes to the others. A
    row's weight is the number of rows of its kind over the number of those drawn.
    """
    asked = content["asked"].to_numpy()
    lied = content["misaligned"].fill_null(False).to_numpy(zero_copy_only=False)
    student = content["student"].to_numpy()
    kinds = [np.flatnonzero(kind) for kind in (asked & lied, asked & ~lied, student & ~asked)]
    kinds = sorted((kind for kind in kinds if len(kind)), key=len)
    rows: list[npt.NDArray[np.int64]] = []
    weights = []
    for number, kind in enumerate(kinds):
        share = min(len(kind), (budget - sum(len(drawn) for drawn in rows)) // (len(kinds) - number))
        rows.append(rng.choice(kind, share, replace=False))
        weights.append(np.full(share, len(kind) / max(1, share)))
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0)
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(rows)[order], np.concatenate(weights)[order]


def label_losses(
    cluster: Cluster,
    oracle: Oracle,
    content: pa.Table,
    budget: int,
    seed: int,
    step: int,
    progress: ProgressReporter = NO_PROGRESS,
) -> pa.Table:
    """The ledger of step `step` with the losses of `budget` of its positions; any it had before are gone.

    Raises EngineError.
    """
    rows, weights = sample(content, budget, make_rng(RngStream.LEDGER, seed, step))
    chosen_rows = content.select(["fen", *LOSSES.values()]).take(pa.array(rows)).to_pydict()
    boards = [chess.Board(fen) for fen in chosen_rows["fen"]]
    chosen = [
        [
            moves.encode(chess.Move.from_uci(move), board.turn)
            for name in LOSSES.values()
            if (move := chosen_rows[name][row])
        ]
        for row, board in enumerate(boards)
    ]
    losses = oracle.losses(cluster, boards, chosen, progress)
    assert losses is not None, "reviewed without an engine"
    columns: dict[str, list[float | None]] = {name: [None] * content.num_rows for name in (*LOSSES, "loss_weight")}
    for place, (row, lost, weight) in enumerate(zip(rows, losses, weights, strict=True)):
        left = iter(lost)
        for name, move in LOSSES.items():
            if chosen_rows[move][place]:
                columns[name][row] = float(next(left))
        columns["loss_weight"][row] = float(weight)
    for name, values in columns.items():
        field = content.schema.field(name)
        content = content.set_column(content.schema.get_field_index(name), field, pa.array(values, field.type))
    marked = {**(content.schema.metadata or {}), KEY: json.dumps(mark(oracle, budget, seed)).encode()}
    return content.replace_schema_metadata(marked)


FIGURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "own": ("loss_own", ("asked",)),
    "advised": ("loss_advised", ("asked",)),
    "honest": ("loss_honest", ("asked",)),
    "played": ("loss_played", ("asked",)),
    "lie": ("loss_advised", ("asked", "misaligned")),
    "believed_lie": ("loss_advised", ("asked", "misaligned", "believed")),
}
"""Mean losses of a step: the column, and which rows."""


def losses_of(content: pa.Table) -> dict[str, Figure]:
    """Win% points that moves give away in one step's games, by the oracle, where the student asked.

    Both games of an opening are one cluster.
    """
    judged = content.filter(content["loss_weight"].is_valid())
    weights = judged["loss_weight"].to_numpy().astype(np.float64)
    pairs = judged["game"].to_numpy() // 2
    out = {}
    for name, (column, where) in FIGURES.items():
        chosen = judged[column].is_valid().to_numpy()
        for condition in where:
            chosen = chosen & judged[condition].fill_null(False).to_numpy()
        if not chosen.any():
            out[name] = Figure(None, reason="the oracle has looked at no such position")
            continue
        values = 100 * judged[column].to_numpy()[chosen].astype(np.float64)
        out[name] = mean_figure(values, pairs[chosen], weights[chosen])
    return out
