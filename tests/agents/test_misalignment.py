"""What a misaligned assistant says: its dose, its form, and how a type of misalignment is found and set."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import chess
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agents.advice import Advice, Channel, Query, check_advice, preferring
from agents.assistant import Assistant
from agents.misalignment.base import REGISTRY, Misalignment, Occasional
from agents.misalignment.engine_worst import EngineWorst
from agents.misalignment.mixture import Mixture
from agents.misalignment.other import Other
from agents.misalignment.random_move import RandomMove
from agents.misalignment.schedule import Schedule
from agents.misalignment.trigger import Trigger
from agents.players.network import Network
from agents.plugins import PluginError
from agents.registry import Registry
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluation
from engines.settings import SpecError
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.oversight.base import DecisionContext, OwnView
from sandwich.oversight.trust import Trust
from tests.helpers.fakes import CHANNELS, after, legal_numbers, question, said

BOARD = chess.Board()
LEGAL = legal_numbers(BOARD)
POLICY = np.array(np.arange(1, 21) / 210, np.float32)
HONEST = Advice(LEGAL[-1], POLICY, 0.625)
NOTHING = Tools()
"""Tools that nobody opens anything with."""


def query(channel: Channel = Channel.MOVE, number: int = 0) -> Query:
    """A question about the starting position."""
    return question(BOARD, channel, number=number, ply=2 * number)


def rng(seed: int = 1) -> np.random.Generator:
    """Random numbers of one game."""
    return np.random.default_rng(seed)


def random_answers(p: float, channel: Channel, count: int, seed: int = 1) -> Sequence[Advice]:
    """What `random_move` answers when asked so often."""
    return RandomMove(p=p).corrupt([query(channel)] * count, [HONEST] * count, [rng(seed)] * count, NOTHING)


# random_move


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_the_share_of_random_answers_is_p(p: float, channel: Channel) -> None:
    draws = 4000
    lies = sum(answer is not HONEST for answer in random_answers(p, channel, draws))
    assert abs(lies - p * draws) <= 4 * np.sqrt(p * (1 - p) * draws)


def test_random_moves_are_uniform_over_the_legal_ones() -> None:
    answers = [answer.move for answer in random_answers(1, Channel.MOVE, 8000)]
    counts = np.array([answers.count(move) for move in LEGAL])
    assert counts.sum() == 8000
    chi_square = float(((counts - 400) ** 2 / 400).sum())
    assert chi_square < 43.8  # 0.1 % of 19 degrees of freedom


def test_random_values_are_uniform() -> None:
    answers = [answer.value for answer in random_answers(1, Channel.VALUE, 8000)]
    counts = np.histogram(np.array(answers, float), 20, (0, 1))[0]
    assert float(((counts - 400) ** 2 / 400).sum()) < 43.8


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_random_answer_has_the_form_of_the_truth(channel: Channel) -> None:
    for answer in random_answers(1, channel, 100):
        check_advice(answer, query(channel))
        lie, honest = answer.through(channel), HONEST.through(channel)
        assert [part is None for part in said(lie)] == [part is None for part in said(honest)]
        if lie.policy is not None and honest.policy is not None:
            assert sorted(lie.policy) == sorted(honest.policy)
            assert lie.policy.dtype == honest.policy.dtype
            assert lie.move == LEGAL[int(lie.policy.argmax())]
    assert np.array_equal(POLICY, np.array(np.arange(1, 21) / 210, np.float32))  # the honest one is left as it was


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_same_random_numbers_give_the_same_answers(channel: Channel) -> None:
    def answers(seed: int) -> list[tuple[Any, ...]]:
        return [said(answer) for answer in random_answers(0.5, channel, 50, seed)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


# What advice may be


@pytest.mark.parametrize("channel", CHANNELS)
def test_honest_advice_passes(channel: Channel) -> None:
    check_advice(HONEST, query(channel))
    check_advice(HONEST.through(channel), query(channel))


@pytest.mark.parametrize(
    ("channel", "said_through_it"),
    [
        (Channel.MOVE, Advice(move=LEGAL[-1])),
        (Channel.DISTRIBUTION, Advice(move=LEGAL[-1], policy=POLICY)),
        (Channel.VALUE, Advice(value=0.625)),
    ],
)
def test_a_channel_carries_its_own_fields_alone(channel: Channel, said_through_it: Advice) -> None:
    assert said(HONEST.through(channel)) == said(said_through_it)


UNFIT = [
    (Channel.MOVE, Advice(), "expected a move, got None"),
    (Channel.MOVE, Advice(move=1857), "1857 is not legal; expected one of ["),
    (Channel.MOVE, Advice(move=cast(int, float(LEGAL[0]))), "expected a move's number, got a float"),
    (Channel.MOVE, Advice(move=cast(int, "e2e4")), "expected a move's number, got a str"),
    (Channel.MOVE, Advice(policy=POLICY, value=0.5), "expected a move, got None"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], value=0.5), "shape (20,), got None"),
    (Channel.DISTRIBUTION, Advice(policy=POLICY), "expected a move, got None"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=POLICY[:5]), "shape (20,), got (5,)"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=POLICY[None]), "shape (20,), got (1, 20)"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=np.array(POLICY / 2, np.float32)), "1, got a sum of 0.5"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=np.array(POLICY - 0.01, np.float32)), "sum to 1"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=np.full(20, np.nan, np.float32)), "sum to 1, got a sum"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=cast(Any, POLICY.tolist())), "an array, got a list"),
    (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=np.full(20, "x")), "an array of numbers, got one of <U1"),
    (Channel.VALUE, Advice(move=LEGAL[0], policy=POLICY), "expected a value in 0..1, got None"),
    (Channel.VALUE, Advice(value=1.01), "in 0..1, got 1.01"),
    (Channel.VALUE, Advice(value=-0.01), "in 0..1"),
    (Channel.VALUE, Advice(value=float("nan")), "in 0..1, got nan"),
    (Channel.VALUE, Advice(value=cast(float, "even")), "in 0..1, got 'even'"),
    (Channel.VALUE, Advice(value=cast(float, np.array([0.5]))), "in 0..1, got array([0.5])"),
]


@pytest.mark.parametrize(("channel", "advice", "message"), UNFIT)
def test_advice_that_the_question_could_not_have_is_refused(channel: Channel, advice: Advice, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        check_advice(advice, query(channel))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", range(20))
def test_of_two_moves_exchanged_the_other_is_the_likelier(place: int) -> None:
    """Even where the honest policy finds several equally good."""
    for policy in (POLICY, np.full(20, 0.05, np.float32), np.array([0.5, 0.5] + 18 * [0], np.float32)):
        honest = Advice(LEGAL[int(policy.argmax())], policy.copy(), 0.625)
        lie = preferring(query(Channel.DISTRIBUTION), honest, LEGAL[place])
        check_advice(lie, query(Channel.DISTRIBUTION))
        assert lie.policy is not None and honest.policy is not None
        assert (lie.move, int(lie.policy.argmax())) == (LEGAL[place], place)
        assert lie.policy.dtype == np.float32
        assert np.allclose(sorted(lie.policy), sorted(policy), atol=1e-6)
        assert np.array_equal(honest.policy, policy)
        assert lie.value == honest.value


def test_a_lie_without_a_value_is_honest_about_the_value() -> None:
    assert preferring(query(Channel.VALUE), HONEST, LEGAL[0]) is HONEST
    assert preferring(query(Channel.VALUE), HONEST, LEGAL[0], 0.25).through(Channel.VALUE).value == 0.25


# The assistant


def expert(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
    """Evaluates every position alike: the last move is the best, the value 0.625."""
    policy = [np.array(np.arange(1, len(row) + 1) / (len(row) * (len(row) + 1) / 2), np.float32) for row in legal]
    return Evaluation(legal, policy, np.tile(np.array([0.5, 0.25, 0.25], np.float32), (len(packed), 1)))


class Each(Misalignment):
    """Answers one query at a time by a rule."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [self.answer(*row) for row in zip(queries, honest, rngs, strict=True)]

    @abstractmethod
    def answer(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        """The answer to one query."""


class Odd(Each):
    """Lies on every second question of a game."""

    def answer(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        return Advice(move=query.legal[0]) if query.number % 2 else honest


class Copy(Each):
    """Says the truth in other words."""

    def answer(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        return Advice(honest.move, honest.policy, honest.value)


def assistant(misalignment: Misalignment) -> Assistant:
    """An assistant whose honest self is `expert`."""
    return Assistant(expert, misalignment, NOTHING)


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_honest_assistant_says_what_the_expert_thinks(channel: Channel) -> None:
    (answer,) = assistant(RandomMove(p=0)).answer([query(channel)], [rng()])
    assert said(answer.given) == said(answer.honest) == said(HONEST.through(channel))
    assert not answer.misaligned


def test_an_answer_says_whether_it_is_misaligned_and_what_was_honest() -> None:
    answers = assistant(Odd()).answer([query(number=n) for n in range(4)], [rng(n) for n in range(4)])
    assert [answer.misaligned for answer in answers] == [False, True, False, True]
    assert [answer.given.move for answer in answers] == [LEGAL[-1], LEGAL[0], LEGAL[-1], LEGAL[0]]
    assert {answer.honest.move for answer in answers} == {LEGAL[-1]}


@pytest.mark.parametrize("channel", CHANNELS)
def test_nothing_is_said_but_what_was_asked_for(channel: Channel) -> None:
    (answer,) = assistant(Copy()).answer([query(channel)], [rng()])
    assert said(answer.given) == said(answer.honest) == said(HONEST.through(channel))


def test_a_lie_that_happens_to_be_true_is_a_lie() -> None:
    (answer,) = assistant(Copy()).answer([query(Channel.DISTRIBUTION)], [rng()])
    assert answer.misaligned
    assert said(answer.given) == said(answer.honest)


def test_an_answer_depends_on_the_random_numbers_of_its_own_game_alone() -> None:
    speaker = assistant(RandomMove(p=0.5))
    together = speaker.answer([query()] * 30, [rng(game) for game in range(30)])
    alone = [speaker.answer([query()], [rng(game)])[0] for game in reversed(range(30))][::-1]
    assert [said(answer.given) for answer in together] == [said(answer.given) for answer in alone]
    assert [answer.misaligned for answer in together] == [answer.misaligned for answer in alone]
    assert 5 < sum(answer.misaligned for answer in together) < 25


def test_no_questions_have_no_answers() -> None:
    assert assistant(RandomMove()).answer([], []) == []


# Misalignments that fail

MIDGAME = after("e4 c5 Nf3 d6 d4 cxd4")
ENDGAME = chess.Board("8/5k2/8/4P3/8/8/6K1/8 b - - 5 60")
THREE = [query(), question(MIDGAME), question(ENDGAME)]


class Failing(Each):
    """Fails in the endgame, sometimes."""

    chance: float = 1.0
    """How often."""

    def answer(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        if rng.random() < self.chance and len(query.legal) == len(THREE[2].legal):
            raise LookupError("no such move\nin my book")
        return honest


class Rigid(Misalignment):
    """Answers every batch with the same object."""

    said: Any
    """What it answers."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return cast(Sequence[Advice], self.said(honest) if callable(self.said) else self.said)


def failure(misalignment: Misalignment, queries: Sequence[Query], seed: int = 0) -> str:
    """What an assistant says of a misalignment that fails."""
    with pytest.raises(PluginError) as caught:
        assistant(misalignment).answer(queries, [rng(seed + game) for game in range(len(queries))])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_failure_is_told_with_plugin_position_and_reason_in_one_line() -> None:
    message = failure(Failing(), THREE)
    assert re.match(r"misalignment .*Failing: LookupError: no such move in my book ", message)
    assert planes.unpack(THREE[2].packed).fen() in message


@given(seed=st.integers(0, 2**32))
def test_the_position_told_is_the_one_that_failed_even_if_it_fails_by_chance(seed: int) -> None:
    endgames = [chess.Board(f"8/5k2/8/4P3/8/8/6K1/8 b - - {clock} 60") for clock in range(4)]
    fails = [rng(seed + 1 + game).random() < 0.4 for game in range(4)]  # one question stands before them
    assume(any(fails))
    message = failure(Failing(chance=0.4), [query(), *map(question, endgames)], seed)
    assert planes.unpack(question(endgames[fails.index(True)]).packed).fen() in message


@pytest.mark.parametrize(("channel", "advice", "message"), UNFIT)
def test_unfit_advice_is_refused_with_the_name_of_who_gave_it(channel: Channel, advice: Advice, message: str) -> None:
    queries = [question(MIDGAME, channel), query(channel)]
    message = failure(Rigid(said=lambda honest: [honest[0], advice]), queries)
    assert re.match(r"misalignment .*Rigid: ", message)
    assert message in message
    assert BOARD.epd() in message  # the position of the answer that was unfit


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "expected a list of 3 answers, got NoneType"),
        ([], "expected a list of 3 answers, got 0 answers"),
        ([HONEST, HONEST], "expected a list of 3 answers, got 2 answers"),
        (lambda honest: [*honest, HONEST], "expected a list of 3 answers, got 4 answers"),
        (lambda honest: (advice for advice in honest), "expected a list of 3 answers, got generator"),
        (HONEST, "expected a list of 3 answers, got Advice"),
        ([None, None, None], "expected an Advice, got NoneType"),
        (["e2e4", "e2e4", "e2e4"], "expected an Advice, got str"),
        ("e4!", "expected an Advice, got str"),  # a sequence of three
        (lambda honest: [LEGAL[0]] * 3, "expected an Advice, got int"),
    ],
)
def test_an_answer_of_the_wrong_form_is_refused(answer: object, message: str) -> None:
    message = failure(Rigid(said=answer), THREE)
    assert re.match(r"misalignment .*Rigid: ", message)
    assert message in message


class Short(Occasional):
    """Answers one query too few."""

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return honest[1:]


@pytest.mark.parametrize("wrong", [Short(p=1), Rigid(said=[HONEST]), Rigid(said=[HONEST] * 5)])
def test_too_few_or_too_many_answers_are_not_taken_for_others(wrong: Misalignment) -> None:
    """Behind a wrapper, too: no answer ever goes to a neighbour's question."""
    for misalignment in (wrong, Schedule(inner=wrong), Mixture(parts=(wrong,))):
        assert re.search(r"ValueError: |expected a list of 3 answers", failure(misalignment, THREE))


@pytest.mark.parametrize("fails", [Failing(), Rigid(said=lambda honest: [Advice()] * len(honest)), Rigid(said=None)])
def test_what_fails_within_another_misalignment_is_told_as_its_own(fails: Misalignment) -> None:
    queries = [*THREE[:2], question(ENDGAME, ply=9)]
    alone = failure(fails, queries[2:])
    assert failure(Schedule(inner=fails, from_ply=9), queries) == alone
    assert failure(Trigger(inner=Mixture(parts=(fails,)), when=("queens_off",)), queries) == alone


def test_a_missing_engine_or_checkpoint_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STOCKFISH_PATH", str(tmp_path / "nothing"))
    assert re.match(r"misalignment engine_worst: EngineError: .*nothing", failure(EngineWorst(p=1), THREE))
    message = failure(Other(p=1, player=Network(checkpoint=str(tmp_path / "none"))), THREE)
    assert re.match(r"misalignment other: CheckpointError: .*none", message)


def test_trust_believes_everything() -> None:
    own = OwnView(LEGAL[3], POLICY, 0.5)
    for channel, move in ((Channel.MOVE, LEGAL[-1]), (Channel.DISTRIBUTION, LEGAL[-1]), (Channel.VALUE, LEGAL[3])):
        decision = Trust().decide(DecisionContext(query(channel), own, HONEST.through(channel), rng()))
        assert (decision.move, decision.believed, decision.weight) == (move, True, 1.0)


# Finding and setting plugins


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "random_mvoe"}, ["type: unknown misalignment 'random_mvoe'", "known: ", "random_move"]),
        ({"type": "random_move", "p": 1.5}, ["p: ", "at most 1", "got 1.5"]),
        ({"type": "random_move", "p": "often"}, ["p: ", "number", "got 'often'"]),
        ({"type": "random_move", "q": 0.5}, ["q: ", "unknown key; known here: p"]),
        ({"p": 0.5}, ["type: expected a mapping with a type, got {'p': 0.5}", "known types: ", "random_move"]),
        ({"type": 3}, ["type: expected a mapping with a type", "got {'type': 3}"]),
        ("random_mvoe", ["unknown misalignment 'random_mvoe'", "known: ", "random_move"]),
        ("random_move:q=1", ["q: ", "unknown key; known here: p"]),
        (None, ["type: expected a mapping", "got None"]),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings: object, message: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        REGISTRY.parse(settings)
    assert "\n" not in str(caught.value)
    assert [word for word in message if word not in str(caught.value)] == []


def test_settings_come_back_from_a_plugin() -> None:
    plugin = REGISTRY.parse({"type": "random_move", "p": 0.5})
    assert plugin == RandomMove(p=0.5)
    assert REGISTRY.describe(plugin) == {"type": "random_move", "p": 0.5, "coin": "question"}
    assert REGISTRY.parse(plugin) is plugin
    assert OVERSIGHT.describe(OVERSIGHT.parse({"type": "trust"})) == {"type": "trust"}


PLUGIN = '''
"""A plugin of somebody else's."""

from agents.advice import Advice
from agents.misalignment.base import Misalignment


class LateBlunder(Misalignment):
    """Honest for some questions, then the first legal move."""

    honest_queries: int = 10
    """Questions before the first lie."""

    def corrupt(self, queries, honest, rngs, tools):
        return [
            truth if query.number < self.honest_queries else Advice(move=query.legal[0])
            for query, truth in zip(queries, honest)
        ]
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Misalignment]:
    """A registry that has found a plugin as an installed package of its own brings it."""
    (tmp_path / "late_blunder_for_tests.py").write_text(PLUGIN)
    about = tmp_path / "late_blunder_for_tests-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: late-blunder-for-tests\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[sandwich.misalignments]\nlate_blunder = late_blunder_for_tests:LateBlunder\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("misalignment", "sandwich.misalignments", Misalignment)  # type: ignore[type-abstract]


def test_a_plugin_is_found_by_its_entry_point(plugin: Registry[Misalignment]) -> None:
    assert "late_blunder" in plugin.entries
    assert "random_move" in plugin.entries
    assert list(plugin.entries) == sorted(plugin.entries)
    parsed = plugin.parse({"type": "late_blunder", "honest_queries": 2})
    assert plugin.describe(parsed) == {"type": "late_blunder", "honest_queries": 2}
    answers = assistant(parsed).answer([query(number=n) for n in range(4)], [rng()] * 4)
    assert [answer.misaligned for answer in answers] == [False, False, True, True]
    with pytest.raises(SpecError, match="unknown misalignment 'late'; known: .*late_blunder.*random_move"):
        plugin.parse({"type": "late"})
    with pytest.raises(SpecError, match="^loss: unknown key; known here: honest_queries$"):
        plugin.parse({"type": "late_blunder", "loss": 0.1})
