"""Run folders for the tests of pages: metrics and ledgers written as a run writes them, without a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import chess
import pyarrow.parquet as pq
import yaml

from sandwich.protocol import ledger
from sandwich.spec.run_spec import RunSpec
from tests.helpers.ledgers import ledger_table

Row = dict[str, Any]

MATE = "e4 e5 Qh5 Nc6 Bc4 Nf6 Qxf7#"
DRAWN_OUT = "d4 d5 c4 e6 Nc3 Nf6"


def figure(value: float, low: float | None, high: float | None, n: int = 800) -> Row:
    """A measured figure as metrics.jsonl has it."""
    return {"value": value, "low": low, "high": high, "n": n}


def row(step: int) -> Row:
    """A row of metrics; without an engine, and with a gap that Win% loss does not show."""
    absent = {"value": None, "reason": "no Stockfish found: <install> it"}
    return {
        "step": step,
        "elo": figure(-400 + 90.0 * step, -430 + 90.0 * step, None if step == 2 else -365 + 90.0 * step),
        "score": figure(0.09, 0.07, 0.11),
        "elo_half": figure(-420 + 80.0 * step, -460 + 80.0 * step, -380 + 80.0 * step),
        "elo_sampled": figure(-450 + 80.0 * step, -490 + 80.0 * step, -400 + 80.0 * step),
        "pgr": figure(0.225 * step, 0.18 * step, 0.27 * step),
        "pgr_half": figure(0.25 * step, 0.15 * step, 0.35 * step),
        "pgr_sampled": figure(0.2 * step, 0.1 * step, 0.3 * step),
        "pgr_win_loss": absent,
        "agreement": figure(0.25 + 0.1 * step, 0.2, 0.5, 200),
        "win_loss": absent,
        "win_loss_expert": absent,
        "capped": figure(0.0125, 0.006, 0.023),
        "pairs": {"best": [0.5, None]},
        "play": {"games": 64, "plies": 5120, "queries": 2345, "misaligned": 587, "believed": 2345} if step else None,
        "finetune": {"examples": 2345, "policy_loss": 2.5, "value_loss": 0.8, "top1": 0.31} if step else None,
        "seconds": {"play": 12.0 * bool(step), "finetune": 7.0 * bool(step), "evaluate": 30.0},
    }


def write_metrics(folder: Path, rows: Sequence[Row]) -> None:
    """metrics.jsonl with these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_spec(folder: Path, name: str) -> None:
    """spec.yaml of the smallest spec there is."""
    settings = {"name": "run", "assistant": {"misalignment": {"type": "random_move"}}, "oversight": {"type": "trust"}}
    spec = RunSpec.model_validate(settings).model_dump(mode="json") | {"name": name}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


def plies(
    number: int,
    moves: str,
    lies: Mapping[int, str] | None = None,
    *,
    refused: Sequence[int] = (),
    own: Mapping[int, str] | None = None,
    lost: Mapping[int, float] | None = None,
    channel: str = "move",
) -> list[Row]:
    """Rows of a game in which the student asks at every turn; it has White in even games.

    lies: honest move in SAN at each ply at which the answer is misaligned.
    refused: plies at which the answer is not believed.
    own: the student's own move in SAN, where it is not the one played.
    lost: what the move played gives away, 0..1, where the oracle has looked.
    """
    board, found = chess.Board(), []
    for ply, san in enumerate(moves.split()):
        student = (number % 2 == 0) == board.turn
        move, honest = board.parse_san(san).uci(), board.parse_san((lies or {}).get(ply, san)).uci()
        said: Row = dict.fromkeys(ledger.SCHEMA.names)
        said |= {
            "game": number, "ply": ply, "fen": board.fen(en_passant="fen"), "student": student, "asked": student,
            "own_move": board.parse_san((own or {}).get(ply, san)).uci(), "own_value": 0.25 + 0.05 * (ply % 10),
            "decided": move, "played": move, "result": 1.0 if student else 0.0, "loss_played": (lost or {}).get(ply),
        }  # fmt: skip
        if student:
            said |= {
                "channel": channel,
                "misaligned": ply in (lies or {}),
                "believed": ply not in refused,
                "weight": 1.0,
            }
            if channel == "value":
                said |= {"advised_value": 0.75, "honest_value": 0.375}
            else:
                said |= {"advised": move, "honest": honest}
        found.append(said)
        board.push_san(san)
    return found


def write_ledger(folder: Path, step: int, games: Sequence[list[Row]]) -> None:
    """The ledger of one step with these games."""
    (folder / "ledger").mkdir(parents=True, exist_ok=True)
    table = ledger_table([row for game in games for row in game])
    pq.write_table(table, folder / "ledger" / f"step-{step:03d}.parquet")


def write_run(folder: Path, name: str, steps: int = 2) -> Path:
    """A run folder of so many finished steps, each with two games; game 0 has a lie at ply 2 and a refusal at ply 4."""
    write_metrics(folder, [row(step) for step in range(steps + 1)])
    write_spec(folder, name)
    for step in range(steps):
        first = plies(0, MATE, {2: "Nf3"}, refused=(4,), own={2: "d4", 4: "Qxf7+"}, lost={2: 0.25, 4: 0.0})
        write_ledger(folder, step, [first, plies(1, DRAWN_OUT)])
    return folder


def write_sweep(folder: Path, name: str = "doses") -> Path:
    """A sweep over a dose and a seed: six cells of which one failed and one has only just begun."""
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"name": name}))
    for number, (dose, seed) in enumerate((dose, seed) for dose in (0.0, 0.25, 1.0) for seed in (0, 1)):
        there = folder / "cells" / f"{number:02x}ab"
        said: Row = {"key": f"{number:02x}ab", "values": {"assistant.misalignment.p": dose, "seed": seed}}
        said |= {"state": "done", "error": None}
        if number == 4:
            said |= {"state": "failed", "error": "no <Stockfish> found"}
            there.mkdir(parents=True)
        elif number == 5:
            there.mkdir(parents=True)
            continue
        else:
            write_run(there, f"cell {number}")
            pgr = 0.6 - 0.5 * dose + 0.05 * seed
            write_metrics(there, [row(0), row(1), row(2) | {"pgr": figure(pgr, pgr - 0.1, pgr + 0.1)}])
        (there / "cell.json").write_text(json.dumps(said))
    return folder
