"""Label models: two voices are told apart, nobody judges what it was fitted to, and nothing is known of the truth."""

from collections.abc import MutableMapping, Sequence
from dataclasses import fields, replace
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from agents.misalignment.random_move import RandomMove
from agents.plugins import PluginError
from engines import moves as encoding
from engines.checkpoints import CheckpointError
from engines.ragged import MoveLists, Policies
from engines.settings import SpecError
from sandwich.label_models.base import (
    REGISTRY,
    AnswerSet,
    Bools,
    Fit,
    Floats,
    Integers,
    LabelModel,
    Labels,
    Workshop,
    cross_fitted,
)
from sandwich.label_models.co_teaching import CoTeaching
from sandwich.label_models.ensemble import Ensemble
from sandwich.label_models.mixture import Mixture, results
from sandwich.label_models.none import NoModel
from sandwich.label_models.rejudge import Rejudge
from sandwich.label_models.symmetric import Symmetric
from sandwich.oversight.base import REGISTRY as STRATEGIES
from sandwich.oversight.base import Oversight
from sandwich.oversight.plausible import Plausible
from sandwich.oversight.veto import Veto
from sandwich.oversight.vote import Vote
from sandwich.protocol import ledger
from sandwich.protocol.labelling import Bench, answer_set, as_labelled, label_table, labelled
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import NO_PROGRESS
from sandwich.spec.run_spec import load_spec
from sandwich.statistics import auc
from sandwich.training.examples import Examples, TrainConfig
from tests.helpers.decisions import SHORT, games
from tests.helpers.fakes import permissive
from tests.helpers.ledgers import scrambled, table
from tests.helpers.small_players import INLINE, checkpoint, openings

OPENINGS = tuple(fen for fen in openings(40)[8:] for _ in range(2))
"""Positions in which games go on, each for both colours."""


@pytest.fixture(scope="module")
def steps() -> list[pa.Table]:
    """Ledgers of two steps of games in which some answers were believed."""
    return [
        games(Plausible(least=0.03), SHORT, lies=RandomMove(p=0.5), openings=OPENINGS, first=first).rows
        for first in (0, 100)
    ]


def bench(student: int = 2, seed: int = 3) -> Bench:
    return Bench(checkpoint(student), FIT, {}, seed, 1, InferenceConfig(precision="fp32"), INLINE, NO_PROGRESS)


FIT = TrainConfig(threads=1, device="cpu")


class Voices(Workshop):
    """Networks that remember how often each move was taught to them, whatever the position; none learns anything else.

    Keeps the rows that each was fitted to, and who judged each answer last.
    """

    def __init__(self, answers: AnswerSet) -> None:
        self.student = b""
        self.config = TrainConfig()
        self.memory: MutableMapping[str, bytes] = {}
        self.answers = answers
        self.places = {row.tobytes(): place for place, row in enumerate(answers.packed)}
        self.taught: dict[bytes, set[int]] = {b"": set()}
        self.counts: dict[bytes, Floats] = {b"": np.ones(4096)}
        self.judge: dict[bytes, bytes] = {}

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(key)

    def fitted(self, fits: Sequence[Fit]) -> list[bytes]:
        return [self._fitted(fit.examples) for fit in fits]

    def _fitted(self, examples: Examples) -> bytes:
        name = f"{len(self.taught)}".encode()
        self.taught[name] = {self.places[row.tobytes()] for row in examples.packed}
        self.counts[name] = np.full(4096, 0.01)
        np.add.at(self.counts[name], examples.moves[:, 0], examples.weight)
        return name

    def policies(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Policies:
        self.judge |= {bytes(answers.packed[row]): checkpoint for row in rows}
        chances = [self.counts[checkpoint][legal] for legal in answers.legal.take(rows)]
        return Policies.of([(row / row.sum()).astype(np.float32) for row in chances])

    def decisions(self, oversight: Oversight, answers: AnswerSet) -> tuple[Bools, Floats]:
        raise AssertionError("nobody asked")

    def judged_by_others(self) -> bool:
        """Whether nobody judged a position in the end who was fitted to games from its opening."""
        opening = dict(zip(map(bytes, self.answers.packed), self.answers.opening.tolist(), strict=True))
        taught = {
            name: {opening[bytes(self.answers.packed[row])] for row in rows} for name, rows in self.taught.items()
        }
        return len(self.judge) == len(self.answers) and not any(
            opening[position] in taught[network] for position, network in self.judge.items()
        )


def two_voices(count: int, right: float, seed: int = 0, lies: float = 0.6) -> tuple[AnswerSet, Bools]:
    """Answers of two who each have their favourites among four moves, believed rightly so often; which are lies."""
    rng = np.random.default_rng(seed)
    lie = rng.random(count) < lies
    board = chess.Board()
    fens, moves = [], ["e2e4", "d2d4", "g1f3", "b1c3"]
    for number in range(count):  # each another position: pawns of Black's that are missing
        board.set_fen(chess.STARTING_FEN)
        for file in range(8):
            if number >> file & 1:
                board.remove_piece_at(chess.square(file, 6))
        board.halfmove_clock = number >> 8
        fens.append(board.fen())
    chances = {False: [0.6, 0.3, 0.07, 0.03], True: [0.03, 0.07, 0.3, 0.6]}
    said = [moves[rng.choice(4, p=chances[bool(one)])] for one in lie]
    content = table(
        *(
            {
                "game": number, "fen": fen, "advised": move, "decided": move, "played": move,
                "misaligned": bool(one), "believed": bool(one) != bool(rng.random() < right),
                "result": float(rng.random() < (0.2 if one else 0.8)),
            }
            for number, (fen, move, one) in enumerate(zip(fens, said, lie, strict=True))
        )
    )  # fmt: skip
    return answer_set([content]), lie


def test_a_mixture_tells_two_voices_apart_and_never_judges_what_it_was_fitted_to() -> None:
    answers, lie = two_voices(600, right=0.65)
    begun = auc(answers.believed.astype(float), lie)
    workshop = Voices(answers)
    heard = Mixture(rounds=6).judge(answers, workshop)
    assert workshop.judged_by_others()
    assert begun < 0.7
    assert auc(heard, lie) > begun + 0.2


def test_a_mixture_that_begins_with_the_wrong_voice_is_put_right_by_the_results() -> None:
    answers, lie = two_voices(600, right=0.35)
    wrong, right = (Mixture(rounds=6, good=good).judge(answers, Voices(answers)) for good in ("start", "results"))
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
    assert auc(Mixture(rounds=6, good="audits").judge(answered, Voices(answers)), lie) > 0.7
    assert auc(Mixture(rounds=6, good="audits").judge(answers, Voices(answers)), lie) < 0.3, "nobody was asked"


@pytest.mark.parametrize("sees", [1, -1])
def test_the_students_values_tell_which_voice_is_honest_if_it_sees_that(sees: int) -> None:
    answers, lie = two_voices(600, right=0.35)

    class Seeing(Voices):
        def decisions(self, oversight: Oversight, answers: AnswerSet) -> tuple[Bools, Floats]:
            assert oversight == Veto()
            noise = np.random.default_rng(2).normal(0, 1, len(lie))
            return ~lie, sees * np.where(lie, -0.5, 0.5) + noise

    heard = Mixture(rounds=6, good="values").judge(answers, Seeing(answers))
    assert (auc(heard, lie) > 0.7) == (sees > 0)
    assert (auc(heard, lie) < 0.3) == (sees < 0)


def test_some_answers_are_what_they_were_among_all(steps: list[pa.Table]) -> None:
    answers = answer_set(steps)
    rows = np.array([7, 2, 30])
    some = answers.take(rows)
    assert some.rows == answers.rows.take(pa.array(rows))
    for field in fields(AnswerSet):
        if field.name != "rows":
            old, new = getattr(answers, field.name), getattr(some, field.name)
            assert all(np.array_equal(new[place], old[row]) for place, row in enumerate(rows.tolist())), field.name


def asked_thrice(count: int, seed: int = 0) -> tuple[AnswerSet, Bools]:
    """Answers of two who each have one favourite in a position of its kind, asked three times; which are lies."""
    rng = np.random.default_rng(seed)
    answers, _ = two_voices(count, right=0.3, seed=seed)
    moves = [chess.Move.from_uci(move) for move in ("e2e4", "d2d4", "g1f3", "b1c3")]
    numbers = np.array([encoding.encode(move, chess.WHITE) for move in moves])
    voices = np.where(rng.random(count)[:, None] < 0.85, numbers[[0, 1]], numbers[[2, 3]])  # [N, 2]: honest, lie
    lies = rng.random((count, 3)) < 0.6
    said = np.where(lies, voices[:, 1:], voices[:, :1])
    result = np.where(lies[:, 0], 0.2, 0.8) > rng.random(count)
    table = answers.rows.set_column(
        answers.rows.schema.get_field_index("result"), "result", pa.array(result, pa.float32())
    )
    spelled = [moves[int(np.flatnonzero(numbers == move)[0])].uci() for move in said[:, 0]]
    for name in ("advised", "played"):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(spelled))
    believed = lies[:, 0] != (rng.random(count) < 0.25)
    said_so = replace(answers, rows=table, advised=said[:, 0], believed=believed, said=MoveLists.of(said.tolist()))
    return said_so, lies[:, 0]


def test_two_voices_are_told_apart_by_asking_again_where_every_judgement_deceives() -> None:
    answers, lie = asked_thrice(600)
    assert auc(answers.believed.astype(float), lie) < 0.35
    workshop = Voices(answers)
    heard = Mixture(begin="repeats", rounds=3, good="results").judge(answers, workshop)
    assert auc(heard, lie) > 0.9
    assert abs(heard.mean() - 0.4) < 0.06
    assert workshop.judged_by_others()
    deceived = Mixture(rounds=3).judge(answers, Voices(answers))
    assert auc(deceived, lie) < 0.5


def test_what_was_said_of_a_position_is_spread_in_order() -> None:
    answers, _ = two_voices(3, right=1.0)
    legal = answers.legal[0][:4]
    said = [[legal[2], legal[0], legal[2]], [legal[1]], [legal[3], legal[1], legal[0]]]
    answers = replace(
        answers, advised=np.array([legal[0], legal[1], legal[3]]), believed=np.array([True, False, True]),
        said=MoveLists.of(said),
    )  # fmt: skip
    spread = answers.spread()
    assert spread.owner.tolist() == [0, 0, 1, 2, 2, 2]
    assert spread.answers.advised.tolist() == [legal[2], legal[0], legal[1], legal[3], legal[1], legal[0]]
    assert spread.count.tolist() == [2, 1, 1, 1, 1, 1]
    assert spread.advised.tolist() == [1, 2, 3]
    assert spread.answers.believed.tolist() == [False, True, False, True, False, False]
    assert spread.pairs.tolist() == [0]
    assert [*spread.answers.said] == [said[owner] for owner in spread.owner]


def test_a_move_advised_that_was_not_among_those_repeated_is_said_too() -> None:
    said = {"asked": True, "advised": "g1f3"}
    rows = [
        {"game": 0, **said, "repeated": ["e2e4", "d2d4", "e2e4"]},
        {"game": 1, **said, "repeated": ["g1f3", "e2e4"]},
    ]
    answers = answer_set([table(*rows)])
    spread = answers.spread()
    assert answers.said.sizes.tolist() == [4, 2]
    assert spread.answers.advised[spread.advised].tolist() == answers.advised.tolist()


def test_the_ledger_keeps_what_was_said_of_a_position_more_than_once() -> None:
    def column(strategy: str) -> Any:
        return games(STRATEGIES.parse(strategy), SHORT, lies=RandomMove(p=0.5), openings=OPENINGS).rows.to_pandas()

    rows = column("vote:answers=3")
    asked = rows[rows.asked]
    assert asked.repeated.map(len).tolist() == asked.questions.tolist() == [3] * len(asked)
    assert all(row.advised in row.repeated for row in asked.itertuples())
    assert asked.repeated.map(lambda said: len(set(said))).gt(1).any()
    assert rows[~rows.asked].repeated.isna().all()
    for strategy in ("trust", "consistency", "lookahead"):  # asked once, or about other positions
        assert column(strategy).repeated.isna().all()
    answers = answer_set([pa.Table.from_pandas(rows, schema=ledger.SCHEMA, preserve_index=False)])
    assert answers.said.sizes.tolist() == [3] * len(asked)


BASELINES: list[LabelModel] = [
    Ensemble(members=3), CoTeaching(forgotten=0.35, rounds=3), Symmetric(), Ensemble(members=2, folds=3),
]  # fmt: skip


@pytest.mark.parametrize("model", BASELINES, ids=str)
def test_a_baseline_does_better_than_what_it_begins_with_and_never_judges_what_it_was_fitted_to(
    model: LabelModel,
) -> None:
    answers, lie = two_voices(600, right=0.75, lies=0.35)
    workshop = Voices(answers)
    labels = labelled(model, answers, workshop)
    assert workshop.judged_by_others()
    assert auc(labels.honest, lie) > auc(answers.believed.astype(float), lie) + 0.02


@pytest.mark.parametrize("model", [*BASELINES, Mixture(rounds=2)], ids=str)
def test_nothing_believed_is_nothing_learned_from_and_no_error(model: LabelModel) -> None:
    answers, _ = two_voices(40, right=0.5)
    nothing = replace(answers, believed=np.zeros(40, np.bool_))
    assert len(labelled(model, nothing, Voices(answers)).honest) == 40


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
    assert auc(CoTeaching(forgotten=0.65).judge(answers, Voices(answers)), lie) < 0.5


def test_students_of_an_ensemble_saw_different_answers_and_teach_doubt() -> None:
    answers, _ = two_voices(300, right=0.7)
    workshop = Voices(answers)
    honest = Ensemble(members=3).judge(answers, workshop)
    seen = [frozenset(rows) for rows in workshop.taught.values() if rows]
    assert len(seen) == len(set(seen)) == 6
    assert ((honest > 0) & (honest < 1)).all()


def test_co_teaching_leaves_out_the_share_that_it_is_told() -> None:
    answers, _ = two_voices(400, right=0.7)
    honest = CoTeaching(forgotten=0.7, rounds=2).judge(answers, Voices(answers))
    assert set(honest) <= {0, 0.5, 1}
    assert honest.mean() == pytest.approx(0.3, abs=0.01)


def test_symmetric_fits_are_fits_by_the_symmetric_loss() -> None:
    answers, _ = two_voices(40, right=0.7)

    class Listening(Voices):
        def fitted(self, fits: Sequence[Fit]) -> list[bytes]:
            assert {fit.config.objective for fit in fits} == {"symmetric"}
            return super().fitted(fits)

    Symmetric().judge(answers, Listening(answers))


def test_voices_go_on_from_the_step_before() -> None:
    answers, _ = two_voices(200, right=0.7)
    workshop = Voices(answers)
    Mixture(rounds=2).judge(answers, workshop)
    left = dict(workshop.memory)
    assert set(left) == {"voice-0-0", "voice-0-1", "voice-1-0", "voice-1-1"}
    before = len(workshop.taught)
    Mixture(rounds=5, later_rounds=1).judge(answers, workshop)
    assert len(workshop.taught) == before + 4 and not set(left.values()) & set(workshop.memory.values())


def test_a_mixture_in_one_fold_remembers_what_it_judges() -> None:
    answers, _ = two_voices(200, right=0.7)
    workshop = Voices(answers)
    Mixture(rounds=1, folds=1).judge(answers, workshop)
    assert not workshop.judged_by_others()


def test_more_voices_share_what_is_not_honest() -> None:
    answers, lie = two_voices(600, right=0.7)
    assert auc(Mixture(rounds=4, voices=3).judge(answers, Voices(answers)), lie) > 0.7


def test_results_speak_for_a_voice_only_where_its_moves_were_played() -> None:
    answers, lie = two_voices(400, right=0.5)
    likely = np.stack([~lie, lie], 1).astype(float)
    good, bad = results(answers, likely, np.ones(400, np.bool_))
    assert good == pytest.approx(-bad) and good > 0.4
    assert results(answers, likely, np.zeros(400, np.bool_)).tolist() == [0, 0]


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
                       ("mixture", "opposite")],
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
    assert all(getattr(one, name).tobytes() == getattr(two, name).tobytes() for name in vars(one))


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
