"""Plugins that work on arrays: the same games as by their methods for one question each, and errors in one line."""

from collections.abc import Sequence
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest

from agents.advice import Advice, Channel, Query, preferring
from agents.assistant import Assistant
from agents.batches import Answers, Bools, Questions, is_batched
from agents.misalignment.base import Misalignment, Occasional
from agents.misalignment.policy_noise import PolicyNoise
from agents.misalignment.random_move import RandomMove
from agents.plugins import PluginError
from agents.tools import Tools
from engines.ragged import MoveLists, Policies
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.batches import Contexts, Decisions
from sandwich.oversight.consult import Ask, AskExpert, Consultation, Evaluate
from sandwich.oversight.ignore import Ignore
from sandwich.oversight.lookahead import Lookahead
from sandwich.oversight.plausible import Plausible
from sandwich.oversight.trust import Trust
from sandwich.oversight.two_voices import TwoVoices
from sandwich.oversight.veto import Veto
from tests.helpers.decisions import SHORT, games
from tests.helpers.fakes import Hashed, fake_tools, legal_numbers, pack_board

CHANNELS = [channel for channel in Channel if channel is not Channel.CANDIDATES]
IN_ARRAYS: list[type[Oversight]] = [Trust, Ignore, Plausible, Veto, Lookahead, TwoVoices]


def one_by_one(kind: type[Oversight]) -> Oversight:
    """The same strategy, of which each question is asked by itself."""

    def decide(self: Any, context: DecisionContext) -> Any:
        return kind.decide(self, context)

    alone: Oversight = type(kind.__name__, (kind,), {"decide": decide, "__module__": __name__})()
    return alone


def rows_of(oversight: Oversight, channel: Channel, lies: Misalignment, **play: Any) -> tuple[pa.Table, list[str], int]:
    config = SHORT.model_copy(update={"channel": channel, "pgn_games": 2, **play})
    played = games(oversight, config, lies=lies)
    return played.rows, played.pgn, played.evaluations


class Shifting(Occasional):
    """Says another move than the honest one where there is one; an honest answer where there is none."""

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [
            preferring(query, truth, query.legal[-1], 0.5) if query.legal[-1] != truth.move else truth
            for query, truth in zip(queries, honest, strict=True)
        ]


class Singly(RandomMove):
    """`random_move` by its method for one question after the other."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return super().corrupt(queries, honest, rngs, tools)


class Halfway(RandomMove):
    """Draws in arrays who is lied to, and says each lie by itself."""

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return super().lies(queries, honest, rngs, tools)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("kind", IN_ARRAYS)
def test_a_strategy_decides_in_arrays_as_it_does_on_each_answer(kind: type[Oversight], channel: Channel) -> None:
    assert is_batched(kind, "decide_all", "decide") and not is_batched(type(one_by_one(kind)), "decide_all", "decide")
    assert rows_of(kind(), channel, RandomMove(p=0.5)) == rows_of(one_by_one(kind), channel, RandomMove(p=0.5))


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_misalignment_lies_in_arrays_as_it_does_in_each_answer(channel: Channel) -> None:
    found = [rows_of(Trust(), channel, kind(p=0.5)) for kind in (RandomMove, Singly, Halfway)]
    assert found[0] == found[1] == found[2]
    assert [is_batched(kind, "corrupt_all", "corrupt") for kind in (RandomMove, Singly, Halfway)] == [True, False, True]
    assert [is_batched(kind, "lies_all", "lies") for kind in (RandomMove, Singly, Halfway)] == [True, True, False]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("noise", [{}, {"sigma": 0.0, "mix": 0.4}, {"sigma": 0.5, "mix": 0.2}, {"sigma": 0.0}])
def test_noise_on_policies_is_the_same_in_arrays(noise: dict[str, float], channel: Channel) -> None:
    class Alone(PolicyNoise):
        def corrupt(
            self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
        ) -> Sequence[Advice]:
            return super().corrupt(queries, honest, rngs, tools)

    assert is_batched(PolicyNoise, "corrupt_all", "corrupt") and not is_batched(Alone, "corrupt_all", "corrupt")
    found = rows_of(Trust(), channel, PolicyNoise(**noise))
    assert found == rows_of(Trust(), channel, Alone(**noise))
    lied = sum(filter(None, found[0]["misaligned"].to_pylist()))
    assert (lied > 0) == (channel is not Channel.VALUE and noise != {"sigma": 0.0})


@pytest.mark.parametrize("channel", CHANNELS)
def test_lies_without_a_method_for_arrays_are_the_same_to_both_kinds_of_strategy(channel: Channel) -> None:
    rows, pgn, _ = rows_of(Plausible(), channel, Shifting(p=0.5))
    assert (rows, pgn) == rows_of(one_by_one(Plausible), channel, Shifting(p=0.5))[:2]
    assert 0 < sum(filter(None, rows["misaligned"].to_pylist())) < rows.num_rows / 2


def test_a_schedule_and_a_budget_hold_in_arrays_too() -> None:
    some = {"queries_per_game": 3, "advice": "shadowed"}
    assert rows_of(Plausible(), Channel.MOVE, RandomMove(p=0.5), **some) == rows_of(
        one_by_one(Plausible), Channel.MOVE, RandomMove(p=0.5), **some
    )


class Sloppy(Misalignment):
    """Answers in arrays what it is told to."""

    what: Any

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return honest

    def corrupt_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> tuple[Answers, Bools]:
        answer: tuple[Answers, Bools] = self.what(questions, honest)
        return answer


ASKED = 4
"""Of eight games the student has White in half."""
NONE = np.zeros(ASKED, np.bool_)


@pytest.mark.parametrize(
    ("channel", "what", "said"),
    [
        (
            Channel.MOVE,
            lambda q, h: (Answers(np.zeros(ASKED, np.int64)), NONE),
            "the move 0 is not legal; expected one of",
        ),
        (Channel.MOVE, lambda q, h: (Answers(), NONE), "expected moves as an array of shape (4,), got NoneType"),
        (Channel.MOVE, lambda q, h: (h, NONE[:3]), "misaligned as an array of shape (4,), got bool of shape (3,)"),
        (Channel.MOVE, lambda q, h: h, "cannot unpack"),
        (Channel.VALUE, lambda q, h: (Answers(value=np.full(ASKED, 1.5)), NONE), "expected values in 0..1, got 1.5"),
        (Channel.VALUE, lambda q, h: (Answers(value=np.full(ASKED, np.nan)), NONE), "expected values in 0..1, got nan"),
        (Channel.DISTRIBUTION, lambda q, h: (Answers(h.move), NONE), "expected policies with a probability for each"),
        (
            Channel.DISTRIBUTION,
            lambda q, h: (Answers(h.move, Policies(h.policy.flat * 2, h.policy.starts)), NONE),
            "expected probabilities that sum to 1",
        ),
        (Channel.MOVE, lambda q, h: h.move.__setitem__(0, 1), "read-only"),
    ],
)
def test_an_answer_in_arrays_that_can_not_be_is_an_error_in_one_line(channel: Channel, what: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        rows_of(Trust(), channel, Sloppy(what=what))
    assert said in str(caught.value) and "Sloppy" in str(caught.value) and "in position" in str(caught.value)
    assert "\n" not in str(caught.value)


class Hasty(Oversight):
    """Decides in arrays what it is told to."""

    what: Any

    def decide(self, context: DecisionContext) -> Decision:
        return Decision(context.own.move, believed=False)

    def decide_all(self, contexts: Contexts) -> Decisions | Consultation[Decisions]:
        decisions: Decisions | Consultation[Decisions] = self.what(contexts)
        return decisions


def asks(request: Any, decided: Any = None) -> Consultation[Any]:
    """Asks for one thing, then decides."""
    yield request
    return decided


def looks(contexts: Contexts, row: int) -> Evaluate:
    """Asks for an evaluation of the first question's position, and says that it is for this one."""
    return Evaluate(contexts.questions.packed[:1], contexts.questions.legal.take([0]), np.array([row]))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda c: None, "expected Decisions, got NoneType"),
        (lambda c: Decisions(np.zeros(ASKED, np.int64), NONE), "the move 0 is not legal; expected one of"),
        (lambda c: Decisions(c.own.move, NONE.astype(int)), "believed as an array of shape (4,), got int64"),
        (
            lambda c: Decisions(c.own.move[:2], NONE),
            "expected moves as an array of shape (4,), got int64 of shape (2,)",
        ),
        (lambda c: Decisions(c.own.move, NONE, np.full(ASKED, np.nan)), "expected confidences that are finite numbers"),
        (lambda c: c.questions.packed.__setitem__(0, 1), "read-only"),
        (lambda c: c.own.policy.flat.__setitem__(0, 1), "read-only"),
        (lambda c: Decisions(c.advice.misaligned, NONE), "has no attribute 'misaligned'"),
        (lambda c: asks(AskExpert()), "expected to be asked Evaluate with its rows, got AskExpert"),
        (lambda c: asks(Ask(c.questions.packed, c.questions.legal)), "expected to be asked Evaluate with its rows"),
        (lambda c: asks(Evaluate(c.questions.packed, c.questions.legal)), "expected Evaluate with its rows, got none"),
        (lambda c: asks(looks(c, ASKED)), "expected rows of 0 to 3, got 4"),
        (lambda c: asks(looks(c, -1)), "expected rows of 0 to 3, got -1"),
        (lambda c: asks(looks(c, 0), None), "expected Decisions, got NoneType"),
    ],
)
def test_a_decision_in_arrays_that_can_not_be_is_an_error_in_one_line(what: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        rows_of(Hasty(what=what), Channel.MOVE, RandomMove(p=0.5))
    assert said in str(caught.value) and "Hasty" in str(caught.value) and "in position" in str(caught.value)


def test_what_is_decided_in_arrays_says_nothing_of_lies() -> None:
    seen: list[Contexts] = []

    def keeps(contexts: Contexts) -> Decisions:
        seen.append(contexts)
        return Decisions(contexts.own.move, np.zeros(len(contexts.questions), np.bool_))

    rows_of(Hasty(what=keeps), Channel.MOVE, RandomMove(p=0.5))
    kinds = {type(value) for context in seen for value in vars(context).values()}
    assert kinds == {Questions, type(seen[0].own), Answers, list}
    assert all(context.advice.value is None and context.advice.policy is None for context in seen)


def test_an_assistant_answers_an_object_and_an_array_alike() -> None:
    board = chess.Board()
    legal, packed = MoveLists.of([legal_numbers(board)]), pack_board(board)[None]
    with fake_tools() as tools:
        assistant = Assistant(Hashed("expert"), RandomMove(p=1.0), tools)
        zero = np.zeros(1, np.int64)
        together = assistant.answer_all(Questions(packed, legal, Channel.MOVE, zero, zero), [np.random.default_rng(3)])
        (alone,) = assistant.answer([Query(packed[0], legal[0], Channel.MOVE, 0, 0)], [np.random.default_rng(3)])
    assert together.given.move is not None and together.given.move.tolist() == [alone.given.move]
    assert together.misaligned.tolist() == [alone.misaligned] and together.value.tolist() == [alone.value]
