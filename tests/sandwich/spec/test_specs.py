"""Every spec that ships runs the loop from end to end, here in a very small size."""

from pathlib import Path

import pytest

from sandwich.protocol import ledger
from sandwich.runs.loop import run
from sandwich.spec.run_spec import load_spec
from tests.helpers.project import ROOT, needs_stockfish

SPECS = sorted((ROOT / "experiments" / "specs").glob("misalignment_*.yaml"))
BASES = sorted((ROOT / "experiments" / "specs").glob("base_*.yaml"))
TINY = (
    "steps=1", "workers=1", "tracking.wandb=off", "play.games=6", "play.block=6", "play.ply_cap=26",
    "finetune.max_examples=60", "finetune.fit.epochs=1", "finetune.fit.batch=32", "evaluate.pairs=2",
    "evaluate.ply_cap=12", "evaluate.positions=2", "evaluate.nodes=50", "evaluate.sampled=false",
    "evaluate.margin=null", "evaluate.assistant=false", "evaluate.ledger_positions=30", "evaluate.bootstrap=100",
    "inference.backend=torch",
)  # fmt: skip
SILENT = {"misalignment_trigger"}
"""Specs whose assistant has nothing to lie about in so short games."""


@needs_stockfish
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("path", SPECS + BASES, ids=lambda path: path.stem)
def test_a_shipped_spec_runs_to_its_end(path: Path, tmp_path: Path) -> None:
    final = run(load_spec(path, TINY), tmp_path / "run")
    rows = ledger.read(tmp_path / "run").to_pandas()
    asked = rows[rows.asked]
    assert final["steps"] == 1
    assert final["queries"] == len(asked) > 40
    assert (asked.misaligned.sum() > 0) == (path.stem not in SILENT)
    # Where an answer is called honest it is; only a lie may happen to be true.
    honest = asked[~asked.misaligned.astype(bool)]
    assert (honest.advised == honest.honest).all()


def test_there_is_a_spec_for_every_misalignment() -> None:
    named = {load_spec(path).assistant.model_dump(mode="json")["misalignment"]["type"] for path in SPECS}
    others = {load_spec(ROOT / "experiments" / "specs" / "default.yaml").assistant.misalignment}
    assert {type(other).__name__ for other in others} == {"RandomMove"}
    assert named == {
        "policy_noise", "value_noise", "engine_worst", "engine_riskiest", "engine_subtle", "adversary", "bias",
        "steer", "other", "sandbag", "schedule", "trigger", "mixture",
    }  # fmt: skip
