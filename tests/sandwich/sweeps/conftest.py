"""Small sweeps."""

from typing import Any

import pytest

from tests.helpers.small_players import written

P = "assistant.misalignment.p"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A sweep of four very small runs."""
    folder = tmp_path_factory.mktemp("players")
    expert = written(folder / "expert.safetensors", 1)
    run = {
        "steps": 1, "expert": expert, "student": written(folder / "weak.safetensors", 2),
        "assistant": {"base": expert, "misalignment": {"type": "random_move"}},
        "oversight": {"type": "trust"},
        "play": {"games": 16, "block": 8, "ply_cap": 16, "pgn_games": 2},
        "finetune": {"max_examples": 100, "fit": {"epochs": 1, "batch": 64, "threads": 1}},
        "evaluate": {"pairs": 8, "ply_cap": 12, "positions": 4, "nodes": None, "ledger_positions": None,
                     "margin": None, "assistant": False, "bootstrap": 100},
        "inference": {"backend": "torch"},
        "tracking": {"wandb": "off"},
    }  # fmt: skip
    return {"name": "tiny", "run": run, "over": {P: [0, 0.5], "seed": [0, 1]}}
