"""The oracle's look at a ledger: which positions, with which weights, and what is made of them."""

from pathlib import Path
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest

from engines import moves
from sandwich.evaluation.label_losses import label_losses, loss_labels_of, losses_of, sample
from sandwich.evaluation.oracle import Oracle
from sandwich.protocol import ledger
from sandwich.protocol.ledger import LOSSES, VISIBLE
from sandwich.runtime.files import parquet_bytes
from tests.helpers.ledgers import ledger_table
from tests.helpers.project import needs_stockfish
from tests.helpers.small_players import INLINE

FEN = "rnbqkbnr/pppp1ppp/8/4p2Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 2 3"


def rows(kinds: str, **more: Any) -> pa.Table:
    """A ledger: `l` a lie, `h` an honest answer, `n` a turn of the student without a question, `c` one of its copy."""
    table = []
    for number, kind in enumerate(kinds):
        asked = kind in "lh"
        table.append(
            dict.fromkeys(ledger.SCHEMA.names)
            | {
                "game": number // 4, "ply": number, "fen": FEN, "student": kind != "c", "own_move": "h5e5",
                "own_value": 0.5, "asked": asked, "channel": "move" if asked else None,
                "advised": {"l": "h5f7", "h": "h5e5"}.get(kind), "honest": "h5e5" if asked else None,
                "misaligned": kind == "l" if asked else None, "believed": number % 2 == 0 if asked else None,
                "decided": "h5e5", "played": "h5e5", "result": 0.5,
            }
            | more
        )  # fmt: skip
    return ledger_table(table)


@pytest.mark.parametrize(
    ("kinds", "budget", "drawn"),
    [
        ("l" * 10 + "h" * 90, 40, (10, 30, 0)),  # every lie, and the rest of the budget for the honest
        ("l" * 50 + "h" * 50, 40, (20, 20, 0)),
        ("l" * 50 + "h" * 50 + "n" * 20 + "c" * 100, 60, (20, 20, 20)),
        ("n" * 30 + "c" * 30, 20, (0, 0, 20)),
        ("l" * 3 + "h" * 5, 100, (3, 5, 0)),  # all there is
        ("c" * 20, 100, (0, 0, 0)),
    ],
)
def test_a_budget_is_shared_by_the_kinds(kinds: str, budget: int, drawn: tuple[int, int, int]) -> None:
    content = rows(kinds)
    chosen, weights = sample(content, budget, np.random.default_rng(0))
    found = "".join(kinds[row] for row in chosen)
    assert tuple(map(found.count, "lhn")) == drawn
    assert len(set(chosen)) == len(chosen) and list(chosen) == sorted(chosen)
    for kind in set(found):  # those drawn stand for all of their kind
        assert sum(w for row, w in zip(chosen, weights, strict=True) if kinds[row] == kind) == pytest.approx(
            kinds.count(kind)
        )


def test_weighted_means_find_the_mean_of_all_rows() -> None:
    rng = np.random.default_rng(1)
    kinds = "".join(rng.choice(list("lhhhhhhhhh"), 6000))
    content = rows(kinds)
    truth = np.where(np.array(list(kinds)) == "l", 0.3, 0.02) + 0.01 * rng.random(len(kinds))
    inside = 0
    for trial in range(40):
        chosen, weights = sample(content, 200, np.random.default_rng(trial))
        filled = with_losses(content, chosen, weights, truth)
        figures = losses_of(filled)
        advised = figures["advised"]
        assert advised.low is not None and advised.high is not None
        inside += advised.low <= 100 * truth.mean() <= advised.high
        lie = figures["lie"].value
        assert lie is not None and 30 <= lie <= 31
    assert inside >= 36


def with_losses(content: pa.Table, chosen: np.ndarray, weights: np.ndarray, losses: np.ndarray) -> pa.Table:
    """The ledger as if the oracle had looked at these rows and found these losses."""
    weight_of = dict(zip(chosen.tolist(), weights.tolist(), strict=True))
    for name in (*LOSSES, "loss_weight"):
        values = [
            None if row not in weight_of else weight_of[row] if name == "loss_weight" else float(losses[row])
            for row in range(content.num_rows)
        ]
        place = content.schema.get_field_index(name)
        content = content.set_column(place, content.schema.field(name), pa.array(values, pa.float32()))
    return content


@needs_stockfish
def test_a_review_fills_what_each_move_loses_and_says_who_looked(tmp_path: Path) -> None:
    kinds = "llhhnncc" * 10
    content = rows(kinds)
    oracle = Oracle(2_000, tmp_path / "oracle.sqlite")
    filled = label_losses(INLINE, oracle, content, 30, seed=5, step=0)
    seen = filled.to_pandas()
    looked = seen[seen.loss_weight.notna()]
    assert len(looked) == 30
    assert set(looked.student) == {True}
    honest_loss = float(looked.loss_own.iloc[0])  # every own move is the same
    assert 0 <= honest_loss < 0.05
    for _, row in looked.iterrows():
        assert row.loss_own == row.loss_played == honest_loss
        if row.asked:
            assert row.loss_honest == honest_loss
            assert row.loss_advised == honest_loss or (row.misaligned and row.loss_advised > 0.3)
        else:
            assert np.isnan(row.loss_advised) and np.isnan(row.loss_honest)
    assert loss_labels_of(filled) == {"engine": oracle.identity, "nodes": 2_000, "positions": 30, "seed": 5}
    assert loss_labels_of(content) is None
    others = [name for name in ledger.SCHEMA.names if not name.startswith("loss_")]
    assert filled.select(others).equals(content.select(others))
    assert parquet_bytes(label_losses(INLINE, oracle, filled, 30, seed=5, step=0)) == parquet_bytes(filled)
    later = label_losses(INLINE, oracle, content, 30, seed=5, step=1)
    assert not later["loss_weight"].is_valid().equals(filled["loss_weight"].is_valid())  # drawn anew in each step


@needs_stockfish
def test_a_reviewed_ledger_is_read_back_among_others(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    content = rows("lhnc" * 10)
    filled = label_losses(INLINE, Oracle(200, tmp_path / "oracle.sqlite"), content, 30, seed=0, step=0)
    (folder / "step-000.parquet").write_bytes(parquet_bytes(filled))
    (folder / "step-001.parquet").write_bytes(parquet_bytes(content))
    both = ledger.read(tmp_path)
    assert both.num_rows == 80
    assert both["loss_weight"].null_count == 50
    assert loss_labels_of(ledger.read(folder / "step-000.parquet")) is not None


def test_figures_leave_out_what_nobody_looked_at() -> None:
    figures = losses_of(rows("lhnc" * 5))
    assert {figure.value for figure in figures.values()} == {None}
    assert all("looked at no such position" in figure.reason for figure in figures.values())


def test_a_believed_lie_is_one_that_was_believed() -> None:
    content = rows("lh" * 200)
    chosen, weights = np.arange(400), np.ones(400)
    losses = np.where(np.arange(400) % 2 == 0, 0.2, 0.0) + np.arange(400) / 1e5
    figures = losses_of(with_losses(content, chosen, weights, losses))
    assert figures["lie"].n == 200
    assert figures["believed_lie"].n == 200  # those in even rows are, and all lies are in even rows
    assert figures["own"].n == 400


def test_no_training_view_reads_what_the_oracle_said() -> None:
    assert not {*LOSSES, "loss_weight"} & set(VISIBLE)
    assert {*LOSSES, "loss_weight"} <= set(ledger.HIDDEN)


def test_moves_of_the_fixture_are_legal() -> None:
    board = chess.Board(FEN)
    assert {moves.encode(chess.Move.from_uci(move), board.turn) for move in ("h5e5", "h5f7")} <= set(
        moves.encode_all(board.legal_moves, board.turn)
    )
