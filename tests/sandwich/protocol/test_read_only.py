"""What a plugin is given it can't change: one that writes into an array ends in one line that names it."""

import ctypes
import re
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import pytest

from agents.advice import Advice, Channel, Query, honest_advice
from agents.assistant import Answer, Assistant
from agents.misalignment.base import Misalignment
from agents.misalignment.random_move import RandomMove
from agents.players.base import Player
from agents.plugins import PluginError
from agents.tools import Tools
from engines.inference import Evaluation, Evaluator
from engines.planes import Packed
from engines.positions import GameBatch
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, Evaluate
from tests.helpers.decisions import START, Case
from tests.helpers.fakes import Hashed, fake_tools, legal_numbers, pack_board, question

REFUSED = r"ValueError: assignment destination is read-only \(\S*test_read_only.py, line \d+\) \(in position "


class Overwriting(Misalignment):
    """Lies by changing the truth."""

    target: Literal["policy", "packed", "flag"]

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        if self.target == "packed":
            queries[-1].packed[0] = 0
        elif self.target == "flag":
            honest[-1].policy.setflags(write=True)  # type: ignore[union-attr]
        else:
            policy = honest[-1].policy
            assert policy is not None
            policy[::-1].sort()
        return honest


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("policy", "sort array is read-only"),
        ("packed", "assignment destination is read-only"),
        ("flag", "cannot set WRITEABLE flag to True of this array"),
    ],
)
def test_a_misalignment_cannot_write_into_what_it_is_given(
    target: Literal["policy", "packed", "flag"], said: str
) -> None:
    with pytest.raises(PluginError) as caught:
        answered(Overwriting(target=target))
    where = r"\(\S*test_read_only.py, line \d+\) \(in position rnbqkbnr/"
    assert re.match(rf"misalignment \S*Overwriting: ValueError: {said} {where}", str(caught.value))
    assert "\n" not in str(caught.value)


def answered(misalignment: Misalignment) -> list[Answer]:
    """Answers to the same question in two games."""
    queries = [question(START, Channel.DISTRIBUTION)] * 2
    rngs = [np.random.default_rng(seed) for seed in (1, 2)]
    with fake_tools() as tools:
        return Assistant(Hashed("expert"), misalignment, tools).answer(queries, rngs)


class Underhand(Misalignment):
    """Changes the truth in ways that no flag forbids."""

    how: Literal["memory", "list", "legal"]

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        if self.how == "memory":
            policy = honest[-1].policy
            assert policy is not None
            ctypes.memset(policy.ctypes.data, 0, policy.nbytes)  # as a tensor of torch that shares it writes
        elif self.how == "list":
            first = queries[0].legal[0]
            cast(list[Advice], honest)[:] = [Advice(first, truth.policy, truth.value) for truth in honest]
        else:
            cast(list[int], queries[-1].legal).reverse()
        return honest


def test_the_truth_stays_what_it_was_whatever_a_misalignment_does_to_its_copy() -> None:
    with pytest.raises(PluginError, match=r"Underhand: changed the honest policy in place: change a copy, and return"):
        answered(Underhand(how="memory"))
    with pytest.raises(PluginError, match=r"Underhand: AttributeError: 'tuple' object has no attribute 'reverse'"):
        answered(Underhand(how="legal"))
    honest = answered(RandomMove(p=0))
    assert not any(answer.misaligned for answer in honest)
    replaced = answered(Underhand(how="list"))
    assert all(answer.misaligned for answer in replaced)  # other objects: lies
    assert [answer.honest.move for answer in replaced] == [answer.honest.move for answer in honest]
    assert [answer.given.move for answer in replaced] == [legal_numbers(START)[0]] * 2


class Meddling(Oversight):
    """Decides by changing what it was shown."""

    target: Literal["packed", "own", "advice", "evaluation"]

    @property
    def questions(self) -> int:
        return 1

    def decide(self, context: DecisionContext) -> Consultation[Decision]:
        reply: Evaluation = yield Evaluate(context.query.packed[None], [context.query.legal])
        advised = context.advice.policy
        assert advised is not None
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "packed": context.query.packed, "own": context.own.policy, "advice": advised, "evaluation": reply.wdl,
        }  # fmt: skip
        arrays[self.target][...] = 0
        return Decision(context.own.move, believed=False)


@pytest.mark.parametrize("target", ["packed", "own", "advice", "evaluation"])
def test_a_strategy_cannot_write_into_what_it_is_shown(
    target: Literal["packed", "own", "advice", "evaluation"],
) -> None:
    case = Case(channel=Channel.DISTRIBUTION, weak=Hashed("weak"), says=[Hashed("expert")])
    with pytest.raises(PluginError, match=rf"^oversight strategy \S*Meddling: {REFUSED}[^\n]*$"):
        case.resolved(Meddling(target=target))


class Scribbling(Player):
    """Writes into the positions that it is to look at."""

    def open(self, tools: Tools) -> Evaluator:
        def evaluate(packed: Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
            packed[:] = 0
            return Hashed("expert")(packed, legal)

        return evaluate


def test_a_player_cannot_write_into_the_positions_of_games() -> None:
    games = GameBatch([START.fen()] * 2, ply_cap=10)
    with fake_tools() as tools:
        player = tools.player(Scribbling())
        with pytest.raises(PluginError, match=r"^player \S*Scribbling: ValueError: assignment destination is read-"):
            player(games.packed([0, 1]), games.legal([0, 1]))


def test_whoever_made_an_array_may_still_write_to_it() -> None:
    policy, wdl, packed = np.full(20, 0.05, np.float32), np.array([[1, 0, 0]], np.float32), pack_board(START)
    evaluation = Evaluation([legal_numbers(START)], [policy], wdl)
    query = Query(packed, legal_numbers(START), Channel.MOVE, 0, 0)
    policy[3], wdl[0, 0], packed[9] = 0.5, 0.25, 0
    shown = honest_advice(evaluation, 0).policy
    assert shown is not None and shown[3] == 0.5  # no copies
    assert evaluation.wdl[0, 0] == 0.25
    assert query.packed[9] == 0
    assert not (shown.flags.writeable or evaluation.wdl.flags.writeable or query.packed.flags.writeable)
