"""Mixture: two voices are told apart, and by several kinds of evidence which of them is honest."""

from dataclasses import replace
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest

from engines import moves as encoding
from engines.ragged import MoveLists
from sandwich.label_models.base import (
    AnswerSet,
    Bools,
    Floats,
)
from sandwich.label_models.honest_voice import results
from sandwich.label_models.mixture import Mixture
from sandwich.oversight.base import Oversight
from sandwich.oversight.veto import Veto
from sandwich.statistics import auc
from tests.helpers.voices import Memories, asked_thrice, two_voices


def test_a_mixture_tells_two_voices_apart_and_never_judges_what_it_was_fitted_to() -> None:
    answers, lie = two_voices(600, right=0.65)
    begun = auc(answers.believed.astype(float), lie)
    workshop = Memories(answers)
    heard = Mixture(rounds=6).judge(answers, workshop)
    assert workshop.judged_by_others()
    assert begun < 0.7
    assert auc(heard, lie) > begun + 0.2


def test_a_mixture_that_begins_with_the_wrong_voice_is_put_right_by_the_results() -> None:
    answers, lie = two_voices(600, right=0.35)
    wrong, right = (Mixture(rounds=6, good=good).judge(answers, Memories(answers)) for good in ("start", "results"))
    assert auc(wrong, lie) < 0.3
    assert auc(right, lie) > 0.7
    assert np.allclose(wrong + right, 1)


def test_true_answers_tell_which_voice_is_honest() -> None:
    answers, lie = two_voices(600, right=0.35)
    checked = np.random.default_rng(1).random(600) < 0.1
    other = np.where(np.array(answers.rows["advised"]) == "e2e4", "d2d4", "e2e4")
    truth = np.where(lie, other, np.array(answers.rows["advised"]))
    column = pa.array([move if seen else None for move, seen in zip(truth.tolist(), checked, strict=True)])
    place = answers.rows.schema.get_field_index("ground_truth")
    answered = replace(answers, rows=answers.rows.set_column(place, "ground_truth", column))
    assert auc(Mixture(rounds=6, good="audits").judge(answered, Memories(answers)), lie) > 0.7
    assert auc(Mixture(rounds=6, good="audits").judge(answers, Memories(answers)), lie) < 0.3, "nobody was asked"


@pytest.mark.parametrize("sees", [1, -1])
def test_the_students_values_tell_which_voice_is_honest_if_it_sees_that(sees: int) -> None:
    answers, lie = two_voices(600, right=0.35)

    class Seeing(Memories):
        def decisions(self, oversight: Oversight, answers: AnswerSet) -> tuple[Bools, Floats]:
            assert oversight == Veto()
            noise = np.random.default_rng(2).normal(0, 1, len(lie))
            return ~lie, sees * np.where(lie, -0.5, 0.5) + noise

    heard = Mixture(rounds=6, good="values").judge(answers, Seeing(answers))
    assert (auc(heard, lie) > 0.7) == (sees > 0)
    assert (auc(heard, lie) < 0.3) == (sees < 0)


def test_two_voices_are_told_apart_by_asking_again_where_every_judgement_deceives() -> None:
    answers, lie = asked_thrice(600)
    assert auc(answers.believed.astype(float), lie) < 0.35
    workshop = Memories(answers)
    heard = Mixture(begin="repeats", rounds=3, good="results").judge(answers, workshop)
    assert auc(heard, lie) > 0.9
    assert abs(heard.mean() - 0.4) < 0.06
    assert workshop.judged_by_others()
    deceived = Mixture(rounds=3).judge(answers, Memories(answers))
    assert auc(deceived, lie) < 0.5


def test_voices_go_on_from_the_step_before() -> None:
    answers, _ = two_voices(200, right=0.7)
    workshop = Memories(answers)
    Mixture(rounds=2).judge(answers, workshop)
    left = dict(workshop.memory)
    assert set(left) == {"voice-0-0", "voice-0-1", "voice-1-0", "voice-1-1"}
    before = len(workshop.taught)
    Mixture(rounds=5, later_rounds=1).judge(answers, workshop)
    assert len(workshop.taught) == before + 4 and not set(left.values()) & set(workshop.memory.values())


def test_a_mixture_in_one_fold_remembers_what_it_judges() -> None:
    answers, _ = two_voices(200, right=0.7)
    workshop = Memories(answers)
    Mixture(rounds=1, folds=1).judge(answers, workshop)
    assert not workshop.judged_by_others()


def test_more_voices_share_what_is_not_honest() -> None:
    answers, lie = two_voices(600, right=0.7)
    assert auc(Mixture(rounds=4, voices=3).judge(answers, Memories(answers)), lie) > 0.7


def test_results_speak_for_a_voice_only_where_its_moves_were_played() -> None:
    answers, lie = two_voices(400, right=0.5)
    likely = np.stack([~lie, lie], 1).astype(float)
    good, bad = results(answers, likely, np.ones(400, np.bool_))
    assert good == pytest.approx(-bad) and good > 0.4
    assert results(answers, likely, np.zeros(400, np.bool_)).tolist() == [0, 0]


@pytest.mark.parametrize("right", [0.75, 0.25])
def test_what_was_believed_is_evidence_of_its_own_as_far_as_it_tells_the_voices_apart(right: float) -> None:
    answers, lie = two_voices(1200, right=right)
    good: Any = "start" if right > 0.5 else "results"
    without, heeded = (
        auc(Mixture(rounds=4, evidence=evidence, good=good).judge(answers, Memories(answers)), lie)
        for evidence in (0, 0.5)
    )
    assert heeded > without + 0.01


def test_what_was_believed_is_not_heeded_where_repeats_begin() -> None:
    answers, _ = asked_thrice(1200)
    judged = replace(answers, believed=np.random.default_rng(3).random(1200) < 0.4)
    without, heeded = (
        Mixture(begin="repeats", rounds=3, evidence=evidence).judge(judged, Memories(judged)) for evidence in (0, 1)
    )
    assert np.array_equal(without, heeded)


def test_a_mixture_hears_the_honest_one_of_a_panel_in_which_two_tell_the_same_lies() -> None:
    answers, _ = two_voices(600, right=0.3)
    rng = np.random.default_rng(0)
    moves = [chess.Move.from_uci(move) for move in ("e2e4", "d2d4", "g1f3", "b1c3")]
    numbers = np.array([encoding.encode(move, chess.WHITE) for move in moves])
    honest, liar = np.where(rng.random(600)[:, None] < 0.85, numbers[[0, 1]], numbers[[2, 3]]).T
    seats = np.stack([liar, honest, liar], 1)
    lie = rng.random(600) < 0.6  # of the moves believed
    rows = answers.rows.set_column(
        answers.rows.schema.get_field_index("result"), "result",
        pa.array(np.where(lie, 0.2, 0.8) > rng.random(600)).cast(pa.float32()),
    )  # fmt: skip
    panel = replace(
        answers, rows=rows, seats=seats, said=MoveLists.of(seats.tolist()), advised=np.where(lie, liar, honest),
        believed=np.ones(600, np.bool_),
    )  # fmt: skip
    spread = panel.spread()
    assert len(spread.pairs) == 600 and sorted({*spread.count.tolist()}) == [1, 2]
    workshop = Memories(panel)
    heard = Mixture(rounds=3, good="results").judge(panel, workshop)
    assert auc(heard, lie) > 0.95
    assert workshop.judged_by_others()
