"""Label models in a run: what they see, what is kept, what is learned; and nothing is known of the truth."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from agents.advice import Channel
from agents.misalignment.random_move import RandomMove
from agents.plugins import PluginError
from engines.checkpoints import CheckpointError
from engines.settings import SpecError
from sandwich.label_models.base import (
    REGISTRY,
    AnswerSet,
    Integers,
    LabelModel,
    Labels,
    Workshop,
    check_labels,
    cross_fitted,
)
from sandwich.label_models.mixture import Mixture
from sandwich.label_models.none import NoModel
from sandwich.label_models.rejudge import Rejudge
from sandwich.oversight.base import REGISTRY as STRATEGIES
from sandwich.oversight.plausible import Plausible
from sandwich.oversight.vote import Vote
from sandwich.protocol import ledger
from sandwich.protocol.labelling import answer_set, as_labelled, label_table, labelled
from sandwich.runs.labels import lies
from sandwich.spec.run_spec import load_spec
from tests.helpers.decisions import SHORT, games
from tests.helpers.fakes import permissive
from tests.helpers.ledgers import scrambled, table
from tests.helpers.small_players import checkpoint
from tests.helpers.voices import OPENINGS, bench


def test_some_answers_are_what_they_were_among_all(steps: list[pa.Table]) -> None:
    answers = answer_set(steps)
    rows = np.array([7, 2, 30])
    some = answers.take(rows)
    assert some.rows == answers.rows.take(pa.array(rows))
    for field in fields(AnswerSet):
        if field.name != "rows":
            old, new = getattr(answers, field.name), getattr(some, field.name)
            assert all(np.array_equal(new[place], old[row]) for place, row in enumerate(rows.tolist())), field.name


def test_folds_keep_games_of_one_opening_together_in_every_step(steps: list[pa.Table]) -> None:
    both, first = answer_set(steps), answer_set(steps[:1])
    count = len(first)
    assert both.folds(3)[:count].tolist() == first.folds(3).tolist()
    assert set(both.folds(3)) == {0, 1, 2}
    assert all(len(set(both.folds(3)[both.opening == opening])) == 1 for opening in set(both.opening))
    assert len(set(both.game)) == 2 * len(set(first.game))


def test_what_is_cross_fitted_is_judged_by_others() -> None:
    folds = np.array([0, 1, 0, 2])
    seen = []

    def judge(fitted: Integers, judged: Integers, fold: int) -> list[float]:
        seen.append((fitted.tolist(), judged.tolist(), fold))
        return [float(fold)] * len(judged)

    assert cross_fitted(folds, judge).tolist() == [0, 1, 0, 2]
    assert seen == [([1, 3], [0, 2], 0), ([0, 2, 3], [1], 1), ([0, 1, 2], [3], 2)]


@pytest.mark.parametrize(
    ("model", "how"), [("none", "reversed"), ("none", "null"), ("none", "opposite"), ("rejudge", "opposite"),
                       ("ensemble", "opposite"), ("co_teaching", "opposite"), ("symmetric", "opposite"),
                       ("bootstrapped", "opposite"), ("mixture", "opposite")],
)  # fmt: skip
def test_no_label_model_says_otherwise_where_what_is_hidden_is_otherwise(
    model: str, how: str, steps: list[pa.Table]
) -> None:
    settings: dict[str, Any] = {"type": model}
    if model not in ("none", "rejudge"):
        few = {"mixture": {"rounds": 1}, "co_teaching": {"rounds": 1}, "ensemble": {"members": 2}}
        settings |= {"batch": 32, **few.get(model, {})}
    made = REGISTRY.parse(settings)
    answers = [answer_set(some) for some in (steps, [scrambled(content, how) for content in steps])]
    assert not set(answers[0].rows.column_names) & set(ledger.HIDDEN)
    one, two = (labelled(made, some, bench()) for some in answers)
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in vars(one))


def test_none_labels_as_was_decided_in_play(steps: list[pa.Table]) -> None:
    answers = answer_set(steps)
    assert not NoModel().judges
    labels = label_table(answers, labelled(NoModel(), answers, bench()))
    for before, after in zip(steps, as_labelled(steps, labels), strict=True):
        assert after.select(["believed", "weight"]).equals(before.select(["believed", "weight"]))
        assert after.select(["fen", "played", "result"]).equals(before.select(["fen", "played", "result"]))


def test_rejudging_is_by_the_student_of_now(steps: list[pa.Table]) -> None:
    answers = answer_set(steps)
    model = Rejudge(strategy=Plausible(least=0.05))
    found = {student: labelled(model, answers, bench(student)) for student in (2, 3)}
    for student, labels in found.items():
        chances = bench().chances(checkpoint(student), answers, np.arange(len(answers)))
        assert labels.believed.tolist() == (chances >= 0.05).tolist()
    assert found[2].believed.tolist() != found[3].believed.tolist()


def test_a_filter_judges_again_by_the_file_that_the_spec_names(steps: list[pa.Table]) -> None:
    answers, used = answer_set(steps[:1]), bench()
    model = Rejudge(strategy=STRATEGIES.parse("filter:filter=nowhere.safetensors"))
    with pytest.raises(CheckpointError, match="nowhere.safetensors"):
        labelled(model, answers, used)
    used.checkpoints = {"nowhere.safetensors": permissive()}
    assert labelled(model, answers, used).believed.all()


def test_what_is_labelled_is_learned_as_labelled(steps: list[pa.Table]) -> None:
    answers = answer_set(steps)
    rng = np.random.default_rng(1)
    believed, weight = rng.random(len(answers)) < 0.5, rng.random(len(answers))
    labels = label_table(answers, Labels(believed.astype(float), believed, weight))
    after = pa.concat_tables(as_labelled(steps, labels)).to_pandas()
    before = pa.concat_tables(steps).to_pandas()
    asked = after.asked & after.advised.notna()
    assert after.believed[asked].tolist() == believed.tolist()
    assert after.weight[asked].tolist() == weight.astype(np.float32).tolist()
    learned = np.where(believed, after.advised[asked], after.own_move[asked])
    assert after.decided[asked].tolist() == learned.tolist()
    assert after.decided[~asked].tolist() == before.decided[~asked].tolist()
    assert after.played.tolist() == before.played.tolist()


def test_another_move_than_that_advised_is_learned_alone() -> None:
    play = SHORT.model_copy(update={"channel": Channel.DISTRIBUTION})
    content = games(STRATEGIES.parse("trust"), play, lies=RandomMove(p=0.5), openings=OPENINGS).rows
    answers = answer_set([content])
    other = np.array([legal[-1] for legal in answers.legal])
    believed = np.arange(len(answers)) % 2 == 0
    labels = Labels(believed.astype(float), believed, np.ones(len(answers)), np.where(believed, other, answers.advised))
    check_labels(labels, answers)
    table = label_table(answers, labels)
    (after,) = as_labelled([content], table)
    asked = after.filter(after["asked"]).to_pandas()
    assert asked.decided[believed].tolist() == table["move"].to_pandas()[believed].tolist()
    assert asked.decided[~believed].tolist() == asked.own_move[~believed].tolist()
    assert asked.advised_policy.isna().tolist() == (believed & (other != answers.advised)).tolist()
    lie, learned = lies(table, [content])
    moved = table["move"].to_pandas() != asked.advised
    assert learned[~moved].tolist() == lie[~moved].tolist()
    assert learned[moved].tolist() == (table["move"].to_pandas() != asked.honest)[moved].tolist()


def test_labels_of_other_answers_are_refused(steps: list[pa.Table]) -> None:
    answers = answer_set(steps[:1])
    labels = label_table(answers, labelled(NoModel(), answers, bench()))
    with pytest.raises(ValueError, match="labels of 0 answers for the"):
        as_labelled(steps, labels)


def test_a_bench_counts_what_was_done_on_it(steps: list[pa.Table]) -> None:
    answers, used = answer_set(steps), bench()
    labelled(Mixture(rounds=2, batch=32), answers, used)
    assert used.fits == 2 * 2 * 2
    assert used.evaluations == 2 * 2 * len(answers)
    assert 0 < used.passed <= 2 * 2 * len(answers)


def test_the_same_seed_makes_the_same_labels_and_networks(steps: list[pa.Table]) -> None:
    answers = answer_set(steps)
    used, model = [bench(), bench(), bench(seed=4)], Mixture(rounds=1, folds=1, batch=32)
    one, two, other = (labelled(model, answers, some) for some in used)
    assert one.honest.tobytes() == two.honest.tobytes() != other.honest.tobytes()
    assert used[0].memory == used[1].memory != used[2].memory


class Says(LabelModel):
    """Says what it is told to."""

    what: Any

    def label(self, answers: AnswerSet, workshop: Workshop) -> Labels:
        labels: Labels = self.what(answers)
        return labels


def good(answers: AnswerSet, **changes: Any) -> Labels:
    ones = np.ones(len(answers))
    return replace(Labels(ones, ones > 0, ones), **changes)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda a: None, "expected Labels, got NoneType"),
        (lambda a: good(a, honest=np.full(len(a), 1.5)), "expected probabilities in 0..1"),
        (lambda a: good(a, honest=np.full(len(a), np.nan)), "expected probabilities in 0..1"),
        (lambda a: good(a, weight=np.full(len(a), -1.0)), "expected weights that are finite numbers, 0 or"),
        (lambda a: good(a, believed=np.ones(len(a))), "expected believed as an array of shape"),
        (lambda a: good(a, move=np.ones(len(a))), "expected move as an array of shape"),
        (lambda a: good(a, move=np.full(len(a), -1)), "expected the numbers of legal moves"),
        (lambda a: good(a, honest=np.ones(2)), "expected honest as an array of shape"),
        (lambda a: 1 / 0, "ZeroDivisionError"),
        (lambda a: a.rows["misaligned"], "KeyError"),
    ],
)
def test_what_can_not_be_said_of_answers_is_an_error_in_one_line(what: Any, said: str, steps: list[pa.Table]) -> None:
    with pytest.raises(PluginError) as caught:
        labelled(Says(what=what), answer_set(steps), bench())
    assert said in str(caught.value) and "label model" in str(caught.value) and "\n" not in str(caught.value)


def test_a_strategy_that_asks_again_can_not_judge_again() -> None:
    for model in ({"type": "rejudge", "strategy": "vote"}, {"type": "mixture", "start": "consistency"}):
        with pytest.raises(SpecError, match="expected a strategy that asks once, got"):
            load_spec("quick", {"label_model": model})
    with pytest.raises(ValidationError):
        Rejudge(strategy=Vote())
    with pytest.raises(SpecError, match="label_model: judges moves, of which play.channel=value has none"):
        load_spec("quick", {"label_model": "rejudge", "play.channel": "value"})


def test_answers_that_are_a_value_are_not_among_those_judged() -> None:
    content = table({"game": 0}, {"game": 1, "advised": None, "advised_value": 0.5})
    answers = answer_set([content])
    assert len(answers) == 1
    assert pc.sum(answers.rows["game"]).as_py() == 0
