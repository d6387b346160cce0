"""Label models from the literature on wrong labels: each does what its paper says of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from sandwich.label_models.base import (
    REGISTRY,
    Fit,
    LabelModel,
)
from sandwich.label_models.bootstrapped import Bootstrapped
from sandwich.label_models.co_teaching import CoTeaching
from sandwich.label_models.ensemble import Ensemble
from sandwich.label_models.mixture import Mixture
from sandwich.label_models.robust import Robust
from sandwich.label_models.symmetric import Symmetric
from sandwich.label_models.voices import Voices
from sandwich.protocol.labelling import answer_set, labelled
from sandwich.statistics import auc
from tests.helpers.voices import Memories, bench, two_voices

BASELINES: list[LabelModel] = [
    Ensemble(members=3), CoTeaching(forgotten=0.35, rounds=3), Symmetric(), Bootstrapped(),
    Ensemble(members=2, folds=3),
]  # fmt: skip


@pytest.mark.parametrize("model", BASELINES, ids=str)
def test_a_baseline_does_better_than_what_it_begins_with_and_never_judges_what_it_was_fitted_to(
    model: LabelModel,
) -> None:
    answers, lie = two_voices(600, right=0.75, lies=0.35)
    workshop = Memories(answers)
    labels = labelled(model, answers, workshop)
    assert workshop.judged_by_others()
    assert auc(labels.honest, lie) > auc(answers.believed.astype(float), lie) + 0.02


@pytest.mark.parametrize("model", [*BASELINES, Mixture(rounds=2), Voices(rounds=2)], ids=str)
def test_nothing_believed_is_nothing_learned_from_and_no_error(model: LabelModel) -> None:
    answers, _ = two_voices(40, right=0.5)
    nothing = replace(answers, believed=np.zeros(40, np.bool_))
    assert len(labelled(model, nothing, Memories(answers)).honest) == 40


@pytest.mark.parametrize("model", [*BASELINES, Mixture(rounds=3)], ids=str)
def test_the_work_that_is_foretold_is_about_what_is_done(model: LabelModel, steps: list[pa.Table]) -> None:
    answers, used = answer_set(steps[:1]), bench()
    everything = replace(answers, believed=np.ones(len(answers), np.bool_))
    labelled(model.model_copy(update={"batch": 32}), everything, used)
    fitted, evaluated = model.work(first=True)
    assert used.evaluations == pytest.approx(evaluated * len(answers), rel=0.35)
    assert used.passed == pytest.approx(fitted * len(answers), rel=0.35)


def test_co_teaching_follows_the_majority_even_where_that_lies() -> None:
    answers, lie = two_voices(600, right=0.75, lies=0.65)
    assert auc(CoTeaching(forgotten=0.65).judge(answers, Memories(answers)), lie) < 0.5


def test_students_of_an_ensemble_saw_different_answers_and_teach_doubt() -> None:
    answers, _ = two_voices(300, right=0.7)
    workshop = Memories(answers)
    honest = Ensemble(members=3).judge(answers, workshop)
    seen = [frozenset(rows) for rows in workshop.taught.values() if rows]
    assert len(seen) == len(set(seen)) == 6
    assert ((honest > 0) & (honest < 1)).all()


def test_co_teaching_leaves_out_the_share_that_it_is_told() -> None:
    answers, _ = two_voices(400, right=0.7)
    honest = CoTeaching(forgotten=0.7, rounds=2).judge(answers, Memories(answers))
    assert set(honest) <= {0, 0.5, 1}
    assert honest.mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("model", [Symmetric(), Bootstrapped()], ids=str)
def test_robust_fits_are_fits_by_the_loss_of_their_name(model: Robust) -> None:
    answers, _ = two_voices(40, right=0.7)

    class Listening(Memories):
        def fitted(self, fits: Sequence[Fit]) -> list[bytes]:
            assert {fit.config.objective for fit in fits} == {model.objective} == {REGISTRY.name(model)}
            return super().fitted(fits)

    model.judge(answers, Listening(answers))
