"""What a misaligned assistant says: its dose, its form, and how a type of misalignment is found and set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest

from agents.assistant import Assistant
from agents.base import Advice, Channel, Query, check_advice
from agents.misalignment.base import REGISTRY, Misalignment
from agents.misalignment.random_move import RandomMove
from agents.plugins import Registry
from engines import moves, planes
from engines.inference import Evaluation
from engines.settings import SpecError
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.oversight.base import OwnView
from sandwich.oversight.trust import Trust

BOARD = chess.Board()
LEGAL = sorted(moves.encode_all(BOARD.legal_moves, BOARD.turn))
POLICY = np.array(np.arange(1, 21) / 210, np.float32)


def query(channel: Channel = Channel.MOVE, number: int = 0) -> Query:
    """A question about the starting position."""
    return Query(np.array(planes.pack(BOARD), np.uint64), LEGAL, channel, number, 2 * number)


HONEST = {
    Channel.MOVE: Advice(move=LEGAL[-1]),
    Channel.DISTRIBUTION: Advice(move=LEGAL[-1], policy=POLICY),
    Channel.VALUE: Advice(value=0.625),
}
CHANNELS = list(Channel)


def said(advice: Advice) -> tuple[Any, ...]:
    """An answer as something that can be compared."""
    return advice.move, None if advice.policy is None else advice.policy.tolist(), advice.value


def rng(seed: int = 1) -> np.random.Generator:
    """Random numbers of one game."""
    return np.random.default_rng(seed)


# random_move


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_the_share_of_random_answers_is_p(p: float, channel: Channel) -> None:
    draws, honest, stream = 4000, HONEST[channel], rng()
    lies = sum(RandomMove(p=p).corrupt(query(channel), honest, stream) is not honest for _ in range(draws))
    assert abs(lies - p * draws) <= 4 * np.sqrt(p * (1 - p) * draws)


def test_random_moves_are_uniform_over_the_legal_ones() -> None:
    stream = rng()
    answers = [RandomMove(p=1).corrupt(query(), HONEST[Channel.MOVE], stream).move for _ in range(8000)]
    counts = np.array([answers.count(move) for move in LEGAL])
    assert counts.sum() == 8000
    chi_square = float(((counts - 400) ** 2 / 400).sum())
    assert chi_square < 43.8  # 0.1 % of 19 degrees of freedom


def test_random_values_are_uniform() -> None:
    stream = rng()
    answers = [RandomMove(p=1).corrupt(query(Channel.VALUE), HONEST[Channel.VALUE], stream).value for _ in range(8000)]
    counts = np.histogram(np.array(answers, float), 20, (0, 1))[0]
    assert float(((counts - 400) ** 2 / 400).sum()) < 43.8


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_lie_has_the_form_of_the_truth(channel: Channel) -> None:
    honest, stream = HONEST[channel], rng()
    for _ in range(100):
        lie = RandomMove(p=1).corrupt(query(channel), honest, stream)
        check_advice(lie, query(channel), "random_move")
        assert [part is None for part in said(lie)] == [part is None for part in said(honest)]
        if lie.policy is not None and honest.policy is not None:
            assert sorted(lie.policy) == sorted(honest.policy)
            assert lie.policy.dtype == honest.policy.dtype
            assert lie.move == LEGAL[int(lie.policy.argmax())]
    assert np.array_equal(POLICY, np.array(np.arange(1, 21) / 210, np.float32))  # the honest one is left as it was


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_same_random_numbers_give_the_same_answers(channel: Channel) -> None:
    def answers(seed: int) -> list[tuple[Any, ...]]:
        stream = rng(seed)
        return [said(RandomMove(p=0.5).corrupt(query(channel), HONEST[channel], stream)) for _ in range(50)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


# What advice may be


@pytest.mark.parametrize("channel", CHANNELS)
def test_honest_advice_passes(channel: Channel) -> None:
    check_advice(HONEST[channel], query(channel), "honest")


@pytest.mark.parametrize(
    ("channel", "advice", "words"),
    [
        (Channel.MOVE, Advice(), "has move None"),
        (Channel.MOVE, Advice(move=1857), "1857 is not legal"),
        (Channel.MOVE, HONEST[Channel.DISTRIBUTION], "policy on channel distribution and there alone"),
        (Channel.MOVE, Advice(move=LEGAL[0], value=0.5), "value on channel value and there alone"),
        (Channel.DISTRIBUTION, HONEST[Channel.MOVE], "policy on channel distribution and there alone"),
        (Channel.DISTRIBUTION, Advice(policy=POLICY), "has move None"),
        (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=POLICY[:5]), "shape (20,), got (5,)"),
        (
            Channel.DISTRIBUTION,
            Advice(move=LEGAL[0], policy=np.array(POLICY / 2, np.float32)),
            "sum to 1, got a sum of 0.5",
        ),
        (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=np.array(POLICY - 0.01, np.float32)), "sum to 1"),
        (Channel.DISTRIBUTION, Advice(move=LEGAL[0], policy=np.full(20, np.nan, np.float32)), "sum to 1, got a sum"),
        (Channel.VALUE, HONEST[Channel.MOVE], "has move"),
        (Channel.VALUE, Advice(), "expected a value"),
        (Channel.VALUE, Advice(value=1.01), "in 0..1, got 1.01"),
        (Channel.VALUE, Advice(value=-0.01), "in 0..1"),
        (Channel.VALUE, Advice(value=float("nan")), "in 0..1, got nan"),
    ],
)
def test_advice_that_the_question_could_not_have_is_refused(channel: Channel, advice: Advice, words: str) -> None:
    with pytest.raises(ValueError, match="^late_blunder: ") as caught:
        check_advice(advice, query(channel), "late_blunder")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# The assistant


def expert(words: planes.Words, legal: Sequence[Sequence[int]]) -> Evaluation:
    """Evaluates every position alike: the last move is the best, the value 0.625."""
    policy = [np.array(np.arange(1, len(row) + 1) / (len(row) * (len(row) + 1) / 2), np.float32) for row in legal]
    return Evaluation(legal, policy, np.tile(np.array([0.5, 0.25, 0.25], np.float32), (len(words), 1)))


class Odd(Misalignment):
    """Lies on every second question of a game."""

    def corrupt(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        return Advice(move=query.legal[0]) if query.number % 2 else honest


class Copy(Misalignment):
    """Says the truth in other words."""

    def corrupt(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        return Advice(honest.move, honest.policy, honest.value)


class Illegal(Misalignment):
    """Advises what cannot be played."""

    def corrupt(self, query: Query, honest: Advice, rng: np.random.Generator) -> Advice:
        return Advice(move=1857)


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_honest_assistant_says_what_the_expert_thinks(channel: Channel) -> None:
    (answer,) = Assistant(expert, RandomMove(p=0)).answer([query(channel)], [rng()])
    assert answer.given is answer.honest
    assert not answer.misaligned
    assert said(answer.given) == said(HONEST[channel])


def test_an_answer_says_whether_it_is_misaligned_and_what_was_honest() -> None:
    answers = Assistant(expert, Odd()).answer([query(number=n) for n in range(4)], [rng(n) for n in range(4)])
    assert [answer.misaligned for answer in answers] == [False, True, False, True]
    assert [answer.given.move for answer in answers] == [LEGAL[-1], LEGAL[0], LEGAL[-1], LEGAL[0]]
    assert {answer.honest.move for answer in answers} == {LEGAL[-1]}


def test_a_lie_that_happens_to_be_true_is_a_lie() -> None:
    (answer,) = Assistant(expert, Copy()).answer([query(Channel.DISTRIBUTION)], [rng()])
    assert answer.misaligned
    assert said(answer.given) == said(answer.honest)


def test_an_answer_depends_on_the_random_numbers_of_its_own_game_alone() -> None:
    assistant = Assistant(expert, RandomMove(p=0.5))
    together = assistant.answer([query()] * 30, [rng(game) for game in range(30)])
    alone = [assistant.answer([query()], [rng(game)])[0] for game in reversed(range(30))][::-1]
    assert [said(answer.given) for answer in together] == [said(answer.given) for answer in alone]
    assert [answer.misaligned for answer in together] == [answer.misaligned for answer in alone]
    assert 5 < sum(answer.misaligned for answer in together) < 25


def test_no_questions_have_no_answers() -> None:
    assert Assistant(expert, RandomMove()).answer([], []) == []


def test_bad_advice_is_refused_with_the_name_of_who_gave_it() -> None:
    with pytest.raises(ValueError, match="Illegal: advised move 1857 is not legal"):
        Assistant(expert, Illegal()).answer([query()], [rng()])


def test_trust_believes_everything() -> None:
    own = OwnView(LEGAL[3], POLICY, 0.5)
    for channel, move in ((Channel.MOVE, LEGAL[-1]), (Channel.DISTRIBUTION, LEGAL[-1]), (Channel.VALUE, LEGAL[3])):
        decision = Trust().decide(query(channel), own, HONEST[channel], rng())
        assert (decision.move, decision.believed, decision.weight) == (move, True, 1.0)


# Finding and setting plugins


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"type": "random_mvoe"}, ["type: unknown misalignment 'random_mvoe'", "known: ", "random_move"]),
        ({"type": "random_move", "p": 1.5}, ["p: ", "less than or equal to 1", "got 1.5"]),
        ({"type": "random_move", "p": "often"}, ["p: ", "number", "got 'often'"]),
        ({"type": "random_move", "q": 0.5}, ["q: ", "got 0.5", "settings of random_move: p"]),
        ({"p": 0.5}, ["type: expected a mapping with a type, got {'p': 0.5}", "known types: ", "random_move"]),
        ({"type": 3}, ["type: expected a mapping with a type", "got {'type': 3}"]),
        ("random_move", ["type: expected a mapping", "got 'random_move'"]),
        (None, ["type: expected a mapping", "got None"]),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings: object, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        REGISTRY.parse(settings)
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


def test_settings_come_back_from_a_plugin() -> None:
    plugin = REGISTRY.parse({"type": "random_move", "p": 0.5})
    assert plugin == RandomMove(p=0.5)
    assert REGISTRY.describe(plugin) == {"type": "random_move", "p": 0.5}
    assert REGISTRY.parse(plugin) is plugin
    assert OVERSIGHT.describe(OVERSIGHT.parse({"type": "trust"})) == {"type": "trust"}


PLUGIN = '''
"""A plugin of somebody else's."""

from agents.base import Advice
from agents.misalignment.base import Misalignment


class LateBlunder(Misalignment):
    """Honest for some questions, then the first legal move."""

    honest_queries: int = 10
    """Questions before the first lie."""

    def corrupt(self, query, honest, rng):
        return honest if query.number < self.honest_queries else Advice(move=query.legal[0])
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Misalignment]:
    """A registry that has found a plugin as an installed package of its own brings it."""
    (tmp_path / "late_blunder_for_tests.py").write_text(PLUGIN)
    about = tmp_path / "late_blunder_for_tests-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: late-blunder-for-tests\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[sandwich.misalignment]\nlate_blunder = late_blunder_for_tests:LateBlunder\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("misalignment", "sandwich.misalignment")


def test_a_plugin_is_found_by_its_entry_point(plugin: Registry[Misalignment]) -> None:
    assert "late_blunder" in plugin.known
    assert "random_move" in plugin.known
    assert list(plugin.known) == sorted(plugin.known)
    parsed = plugin.parse({"type": "late_blunder", "honest_queries": 2})
    assert plugin.describe(parsed) == {"type": "late_blunder", "honest_queries": 2}
    answers = Assistant(expert, parsed).answer([query(number=n) for n in range(4)], [rng()] * 4)
    assert [answer.misaligned for answer in answers] == [False, False, True, True]
    with pytest.raises(SpecError, match="unknown misalignment 'late'; known: .*late_blunder.*random_move"):
        plugin.parse({"type": "late"})
    with pytest.raises(SpecError, match="loss: .*got 0.1; settings of late_blunder: honest_queries"):
        plugin.parse({"type": "late_blunder", "loss": 0.1})
