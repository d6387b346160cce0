"""What a run tells its tracker, made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from sandwich.runtime.files import parquet_bytes
from sandwich.spec.run_spec import RunSpec
from tests.helpers.ledgers import lie, table

Mode = Literal["offline", "online", "off"]


def spec(mode: Mode, name: str = "tracked", **tracking: Any) -> RunSpec:
    """A spec that differs from the defaults where a test looks."""
    return RunSpec.model_validate(
        {
            "name": name,
            "seed": 7,
            "assistant": {"misalignment": {"type": "random_move", "p": 0.4}},
            "oversight": {"type": "trust"},
            "tracking": {"wandb": mode, "project": "testbed", **tracking},
        }
    )


@pytest.fixture
def played_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of three games: one with a lie believed, one with a lie caught, one without any."""
    path = tmp_path_factory.mktemp("ledger") / "step-000.parquet"
    reply = {"fen": AFTER_E4, "ply": 1, "student": False, "asked": False, "own_move": "e7e5", "played": "e7e5"}
    plies = [lie(0, 0.25), reply | {"game": 0}, lie(1, 0.5, False), {"game": 2}]
    path.write_bytes(parquet_bytes(table(*plies)))
    return path


AFTER_E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


def page(rows: Mapping[str, list[Any]]) -> str:
    """Stands for a page with a board."""
    return f"<!doctype html><p>game {rows['game'][0]}, {len(rows['ply'])} plies</p>"


def row(step: int, elo: float = -100.0) -> dict[str, Any]:
    """A row of metrics with every kind of entry that rows have."""
    return {
        "step": step,
        "elo": {"value": elo, "low": elo - 20, "high": None, "n": 40},
        "pgr": {"value": None, "reason": "the gap is too small"},
        "pairs": {"best": [0.5, None]},
        "losses": None,
        "play": {"queries": 10 * step, "ends": {"checkmate": 3}} if step else None,
        "seconds": {"play": 1.5},
    }
