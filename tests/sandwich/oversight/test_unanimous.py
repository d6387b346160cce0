"""A strategy that is made of others."""

from collections.abc import Generator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from agents.advice import Advice, Channel, Query
from agents.plugins import PluginError
from engines import planes
from engines.positions import GameBatch
from engines.settings import SpecError
from sandwich.oversight.base import REGISTRY, Decision, DecisionContext, Oversight, OwnView
from sandwich.oversight.consult import Ask, Consultation, ask
from sandwich.protocol import ledger

BATCH = GameBatch(["rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"], 10)
LEGAL = BATCH.legal([0])[0]
QUERY = Query(np.array(BATCH.packed([0])[0]), LEGAL, Channel.MOVE, 0, 0)
POLICY = np.full(len(LEGAL), 1 / len(LEGAL), np.float32)


class Fixed(Oversight):
    """Decides the same each time, after so many more questions; keeps count in its memory."""

    believes: bool = True
    weight: float = 1.0
    other: bool = False
    more: int = 0

    @property
    def questions(self) -> int:
        return 1 + self.more

    def decide(self, context: DecisionContext) -> Decision | Consultation[Decision]:
        return self._asking(context) if self.more else self._said(context)

    def _said(self, context: DecisionContext) -> Decision:
        if context.study is not None:
            assert context.study == self.weight
        return Decision(LEGAL[2] if self.other else LEGAL[1], self.believes, self.weight)

    def _asking(self, context: DecisionContext) -> Consultation[Decision]:
        packed = np.repeat(context.query.packed[None], self.more, axis=0)
        answers = yield from ask(packed, [context.query.legal] * self.more)
        assert len(answers) == self.more
        return self._said(context)

    def study(self, past: pa.Table) -> float:
        return self.weight

    def weigh(self, game: Any) -> list[float]:
        return [weight * self.weight for weight in game["weight"]]


def unanimous(*members: dict[str, Any]) -> Oversight:
    found = REGISTRY.load("unanimous")
    return found.model_validate({"members": [Fixed(**member) for member in members]})


def resolved(strategy: Oversight, memory: Any = None) -> tuple[Decision, int]:
    """What it decides, and how many questions more it asked."""
    question = DecisionContext(
        QUERY, OwnView(LEGAL[0], POLICY, 0.5), Advice(LEGAL[1]), np.random.default_rng(0), 9, 0, memory
    )
    course, asked, reply = strategy.decide(question), 0, None
    assert isinstance(course, Generator)
    while True:
        try:
            request = course.send(reply)
        except StopIteration as end:
            return end.value, asked
        assert isinstance(request, Ask)
        assert request.packed.shape[1] == planes.WORDS
        asked += len(request.legal)
        reply = [Advice(LEGAL[1])] * len(request.legal)


def test_all_have_to_believe() -> None:
    decision, asked = resolved(unanimous({"weight": 0.5}, {"more": 2}, {"weight": 0.5}))
    assert (decision.move, decision.believed, decision.weight, decision.confidence, asked) == (
        LEGAL[1],
        True,
        0.25,
        1.0,
        2,
    )


@pytest.mark.parametrize(("place", "trust"), [(0, 0.0), (1, 1 / 3), (2, 2 / 3)])
def test_the_first_that_does_not_ends_the_matter(place: int, trust: float) -> None:
    members: list[dict[str, Any]] = [{}, {}, {"more": 2}]
    members[place] = {**members[place], "believes": False}
    decision, asked = resolved(unanimous(*members))
    assert (decision.move, decision.believed) == (LEGAL[0], False)
    assert decision.confidence == pytest.approx(trust)
    assert asked == (2 if place == 2 else 0)


def test_believing_another_move_is_not_agreeing() -> None:
    decision, _ = resolved(unanimous({}, {"other": True}))
    assert (decision.move, decision.believed) == (LEGAL[0], False)


def test_costs_and_memories_are_those_of_its_members() -> None:
    strategy = unanimous({"weight": 0.5, "more": 2}, {"weight": 0.25, "more": 1})
    assert strategy.questions == 4
    memory = strategy.study(pa.table({}))
    assert list(memory) == [0.5, 0.25]
    assert resolved(strategy, memory)[0].weight == 0.125
    game = {name: [1.0] for name in ledger.VISIBLE}
    assert list(strategy.weigh(game)) == [0.125]


def test_a_member_that_fails_is_named() -> None:
    class Broken(Fixed):
        def decide(self, context: DecisionContext) -> Any:
            return None

        def study(self, past: pa.Table) -> float:
            raise LookupError("no idea")

        def weigh(self, game: Any) -> list[float]:
            raise TypeError("no idea")

    strategy = REGISTRY.load("unanimous").model_validate({"members": [Fixed(), Broken()]})
    with pytest.raises(PluginError, match=r"Broken: ValueError: expected a Decision, got NoneType \(in position rnbqk"):
        resolved(strategy)
    with pytest.raises(PluginError, match=r"Broken: LookupError: no idea \(.*test_unanimous.py, line \d+\)$"):
        strategy.study(pa.table({}))
    with pytest.raises(PluginError, match=r"Broken: TypeError: .* \(in position start\)"):
        strategy.weigh({**{name: [1.0] for name in ledger.VISIBLE}, "fen": ["start"]})


@pytest.mark.parametrize("member", ["ground_truth", {"type": "unanimous", "members": ["ground_truth:per_game=1"]}])
def test_a_strategy_that_studies_its_own_confidence_is_refused_as_a_member(member: Any) -> None:
    said = r"^members\.1\.(members\.0\.)?type: expected a strategy that learns nothing from its own confidence, got 'gr"
    with pytest.raises(SpecError, match=said) as caught:
        REGISTRY.parse({"type": "unanimous", "members": ["plausible", member]})
    assert "\n" not in str(caught.value)


def test_it_is_made_from_a_spec_and_told_back() -> None:
    said = {"type": "unanimous", "members": [{"type": "plausible", "least": 0.05}, {"type": "lookahead"}]}
    strategy = REGISTRY.parse(said)
    told = REGISTRY.describe(strategy)
    assert [member["type"] for member in told["members"]] == ["plausible", "lookahead"]
    assert REGISTRY.parse(told) == strategy
