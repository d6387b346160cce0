"""The page about writing a label model: its file and spec, and that it names all there is."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from agents.misalignment.random_move import RandomMove
from agents.plugins import Source
from sandwich.label_models.base import AnswerSet, Labels, Workshop
from sandwich.oversight.trust import Trust
from sandwich.protocol.labelling import Bench, answer_set, labelled
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import NO_PROGRESS
from sandwich.spec.run_spec import load_spec
from sandwich.training.examples import TrainConfig
from tests.helpers.decisions import SHORT, games
from tests.helpers.doc_pages import page
from tests.helpers.project import ROOT
from tests.helpers.small_players import INLINE, checkpoint

PAGE = page("tutorials/writing-a-label-model.md")
BLOCKS = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.S))


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """The folder that the page's files lie in."""
    for name in ("likeliest.py", "likeliest.yaml"):
        (tmp_path / name).write_text(BLOCKS[name], encoding="utf-8")
    (tmp_path / "quick.yaml").write_bytes((ROOT / "experiments" / "specs" / "quick.yaml").read_bytes())
    return tmp_path


def test_the_label_model_of_the_page_believes_what_the_student_finds_likeliest(beside: Path) -> None:
    spec = load_spec(beside / "likeliest.yaml")
    answers = answer_set([games(Trust(), SHORT, lies=RandomMove(p=0.5)).rows])
    bench = Bench(checkpoint(2), TrainConfig(), {}, 0, 0, InferenceConfig(precision="fp32"), INLINE, NO_PROGRESS)
    labels = labelled(spec.label_model, answers, bench)
    chances = bench.chances(checkpoint(2), answers, np.arange(len(answers)))
    assert abs(labels.believed.mean() - 0.5) < 0.02
    assert chances[labels.believed].min() > chances[~labels.believed].max()
    assert Source("likeliest:Likeliest", BLOCKS["likeliest.py"]).load().__name__ == "Likeliest"


def test_the_page_names_all_that_a_label_model_gets_and_returns() -> None:
    tables = " ".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    assert all(f"`{field.name}`" in tables for field in fields(AnswerSet))
    assert all(f"`{field.name}`" in PAGE for field in fields(Labels))
    named = set(re.findall(r"`(\w+)", tables))
    there = {name for name in (*Workshop.__annotations__, *vars(Workshop)) if not name.startswith("_")}
    assert there <= named
