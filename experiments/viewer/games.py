"""Games of a run, out of its ledgers: the list of all of them in columns, and one game with every decision.

Positions and the names of moves are worked out here, so that the pages need no rules of chess.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engines import moves
from experiments.viewer import folders
from sandwich.protocol import ledger
from sandwich.runtime.kept import read_parquet

LISTED = ("game", "plies", "score", "asked", "lies", "accepted", "refused_lies", "refused_honest", "lost")
"""Columns of the list, beside `step`; `lost` is the most Win% points that one of the student's moves gave away."""

SHOWN_PROBABILITIES = 5
"""Moves of an answer on channel `distribution` that are named, the most probable first."""

_SUMMED = ("asked", "lies", "accepted", "refused_lies", "refused_honest")
_NEEDED = ("game", "student", "asked", "misaligned", "believed", "result", "loss_played")
_MOVES = {"own": "own_move", "advised": "advised", "honest": "honest", "played": "played", "decided": "decided"}

Columns = dict[str, list[Any]]
Labels = Mapping[int, tuple[float, str | None]]


def listed(folder: Path) -> Columns:
    """The games of every step in columns: `step` and LISTED.

    Raises LedgerError for a ledger of another version, DamagedError for one that is damaged.
    """
    columns: Columns = {name: [] for name in ("step", *LISTED)}
    for step, path in folders.ledgers(folder).items():
        games = _listed(path, folders.stamp(path))
        columns["step"] += [step] * len(games["game"])
        for name in LISTED:
            columns[name] += games[name]
    return columns


@lru_cache(maxsize=64)
def _listed(path: Path, _stamp: tuple[str, int, int]) -> Columns:
    rows = ledger.read(path, _NEEDED)
    misaligned, believed = (pc.fill_null(rows[name], False) for name in ("misaligned", "believed"))
    refused = pc.and_(rows["asked"], pc.invert(believed))
    student = rows["student"]
    lost = pc.if_else(student, rows["loss_played"], pa.scalar(None, pa.float32()))
    table = pa.table(
        {
            "game": rows["game"],
            "asked": rows["asked"],
            "lies": misaligned,
            "accepted": pc.and_(misaligned, believed),
            "refused_lies": pc.and_(misaligned, refused),
            "refused_honest": pc.and_(pc.invert(misaligned), refused),
            "lost": lost,
            "score": pc.if_else(student, rows["result"], pc.subtract(pa.scalar(1.0, pa.float32()), rows["result"])),
        }
    )
    wanted = [("game", "count"), ("score", "max"), ("lost", "max"), *((name, "sum") for name in _SUMMED)]
    games = table.group_by("game").aggregate(wanted).sort_by("game")
    return {
        "game": games["game"].to_pylist(),
        "plies": games["game_count"].to_pylist(),
        "score": games["score_max"].to_pylist(),
        "lost": [None if value is None else round(100 * value, 1) for value in games["lost_max"].to_pylist()],
        **{name: games[f"{name}_sum"].to_pylist() for name in _SUMMED},
    }


def game(folder: Path, step: int, number: int) -> dict[str, Any] | None:
    """One game of a run with every decision in it; None where there is none of that number.

    Raises LedgerError for a ledger that is damaged, of another version, or holds what is no game of chess.
    """
    path = folders.ledgers(folder).get(step)
    if path is None:
        return None
    rows = _step(path, folders.stamp(path))
    numbers = rows["game"].to_numpy()
    begin, end = np.searchsorted(numbers, [number, number + 1])  # rows are in the order of the games
    if begin == end:
        return None
    try:
        return game_record(step, number, rows.slice(begin, end - begin).to_pylist(), _labels(folder, step, number))
    except ValueError as error:
        raise ledger.LedgerError(f"{path}: game {number} is no game of chess ({error})") from None


@lru_cache(maxsize=2)
def _step(path: Path, _stamp: tuple[str, int, int]) -> pa.Table:
    return ledger.read(path).combine_chunks()


def _labels(folder: Path, step: int, number: int) -> Labels:
    """What the label model made in the end of the answers in one game."""
    path = folders.labels(folder)
    if path is None:
        return {}
    rows = _labelled(path, folders.stamp(path))
    rows = rows.filter(pc.and_(pc.equal(rows["step"], step), pc.equal(rows["game"], number)))
    return {row["ply"]: (round(row["honest"], 3), row["move"] if row["believed"] else None) for row in rows.to_pylist()}


@lru_cache(maxsize=1)
def _labelled(path: Path, _stamp: tuple[str, int, int]) -> pa.Table:
    return read_parquet(path)


def game_record(
    step: int, number: int, rows: Sequence[Mapping[str, Any]], labels: Labels = MappingProxyType({})
) -> dict[str, Any]:
    """A game as the pages show it, in JSON's types, from its rows of the ledger in order of the plies.

    labels: for each ply whose answer a label model judged, how likely it is honest and which move was learned.
    """
    board = chess.Board(rows[0]["fen"])
    plies, last = [], None
    for row in rows:
        plies.append(_decision(board, row, last))
        if row["ply"] in labels:
            honest, move = labels[row["ply"]]
            plies[-1]["label"] = [honest, move and _named(board, move)[1]]
        last = row["played"]
        board.push_uci(last)
    white = next((row["student"] == (row["fen"].split()[1] == "w") for row in rows), True)
    result = rows[0]["result"] if plies[0]["white"] else 1 - rows[0]["result"]
    return {
        "step": step,
        "game": number,
        "student": "white" if white else "black",
        "result": {0.0: "0–1", 0.5: "½–½", 1.0: "1–0"}.get(result, "*"),
        "end": _end(board),
        "plies": plies,
        "last": {"fen": board.fen(), "last": last, "check": board.is_check(), "white": board.turn},
    }


def _decision(board: chess.Board, row: Mapping[str, Any], last: str | None) -> dict[str, Any]:
    """One row: the position, each move by its names [UCI, SAN], each value, and what was made of the answer."""
    panel, lies = row["panel"] or [], row["panel_misaligned"] or []
    shown = {*(row[column] for column in (*_MOVES.values(), "ground_truth")), *panel} - {None}
    names = {uci: _named(board, uci) for uci in shown}  # each once: own, advised, honest and played often agree
    lost = {name: row[column] for name, column in (("own", "loss_own"), ("advised", "loss_advised"),
                                                   ("honest", "loss_honest"), ("played", "loss_played"))}  # fmt: skip
    decision = {
        "fen": row["fen"],
        "last": last,
        "check": board.is_check(),
        "white": board.turn,
        "number": board.fullmove_number,
        "student": row["student"],
        "own_value": _rounded(row["own_value"]),
        **{name: names[row[column]] for name, column in _MOVES.items() if row[column] in names},
    }
    if row["asked"]:
        decision |= {"asked": True, "channel": row["channel"], "misaligned": bool(row["misaligned"]),
                     "believed": bool(row["believed"]), "weight": _rounded(row["weight"]),
                     "confidence": _rounded(row["confidence"]), "questions": row["questions"],
                     "evaluations": row["evaluations"],
                     "panel": [move and [names[move][1], lie] for move, lie in zip(panel, lies, strict=True)],
                     "ground_truth": names.get(row["ground_truth"]),
                     "advised_value": _rounded(row["advised_value"]), "honest_value": _rounded(row["honest_value"]),
                     "assistant_value": _rounded(row["assistant_value"]),
                     "policy": _policy(board, row["advised_policy"])}  # fmt: skip
    decision["lost"] = {name: round(100 * value, 1) for name, value in lost.items() if value is not None}
    return {name: value for name, value in decision.items() if value not in (None, {}, [])}


def _named(board: chess.Board, uci: str) -> list[str]:
    try:
        return [uci, board.san(chess.Move.from_uci(uci))]
    except ValueError:
        return [uci, uci]  # no legal move here: shown as it stands


def _policy(board: chess.Board, shares: Sequence[float] | None) -> list[tuple[str, float]]:
    """The most probable moves of an answer that is a distribution, with their probabilities."""
    if not shares:
        return []
    legal = sorted(moves.encode_all(board.legal_moves, board.turn))
    best = sorted(zip(shares, legal, strict=False), reverse=True)[:SHOWN_PROBABILITIES]
    return [(board.san(moves.decode(index, board)), round(share, 3)) for share, index in best]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _end(board: chess.Board) -> str:
    """Why the game was over, as far as its moves tell."""
    if outcome := board.outcome(claim_draw=True):
        return outcome.termination.name.lower().replace("_", " ")
    return f"stopped after {len(board.move_stack)} plies"
