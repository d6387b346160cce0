"""The panel: which of the moves that several assistants name is believed, and what that takes."""

from collections.abc import Sequence
from typing import Any

import chess
import pytest

from agents.advice import Channel
from engines import moves
from sandwich.oversight.panel import Panel
from tests.helpers.decisions import START, Case, Lines, number
from tests.helpers.fakes import Even
from tests.helpers.small_players import MATES


def says(*named: str) -> list[Lines]:
    """Assistants that each name a move."""
    return [Lines(START, best={"": move}) for move in named]


SEES = Lines(START, {"e2e4": 0.25, "d2d4": 0.5, "g1f3": 0.375}, {"": "g1f3"})
"""Likes Nf3 best; thinks 0.75 of e4, 0.5 of d4 and 0.625 of Nf3 for who makes them."""


@pytest.mark.parametrize(
    ("choose", "named", "move", "evaluations"),
    [
        ("plurality", ["e2e4", "d2d4", "d2d4"], "d2d4", 0),
        ("plurality", ["d2d4", "e2e4", "g1f3"], "g1f3", 0),  # as many: the likeliest to itself
        ("plurality", ["d2d4", "e2e4", "e2e4", "d2d4", "g1f3"], "d2d4", 0),  # neither likelier: the first
        ("policy", ["d2d4", "d2d4", "g1f3"], "g1f3", 0),
        ("value", ["d2d4", "d2d4", "g1f3"], "g1f3", 2),
        ("value", ["g1f3", "d2d4", "e2e4"], "e2e4", 3),
        ("value", ["d2d4", "d2d4", "d2d4"], "d2d4", 0),  # nothing to choose from
    ],
)
def test_the_move_believed_is_that_of_most_or_the_likeliest_or_the_best(
    choose: Any, named: Sequence[str], move: str, evaluations: int
) -> None:
    seats = len(named)
    resolved = Case(weak=SEES, says=says(*named), own="a2a3").resolved(Panel(seats=seats, choose=choose))
    assert moves.uci(resolved.decision.move, START) == move
    assert resolved.decision.believed
    assert resolved.answer.given.move == number(START, move)
    assert (resolved.questions, resolved.evaluations) == (seats, evaluations)


@pytest.mark.parametrize(
    ("choose", "named", "confidence"),
    [
        ("plurality", ["d2d4", "d2d4", "e2e4"], 1 / 3),
        ("plurality", ["d2d4", "g1f3", "e2e4"], 0),
        ("policy", ["d2d4", "g1f3", "e2e4"], 0.9 - 0.1 / 19),
        ("value", ["d2d4", "g1f3", "e2e4"], 0.125),
        ("value", ["d2d4", "d2d4", "d2d4"], 1),
    ],
)
def test_the_confidence_is_by_how_much_a_move_is_ahead(choose: Any, named: Sequence[str], confidence: float) -> None:
    resolved = Case(weak=SEES, says=says(*named)).resolved(Panel(choose=choose))
    assert resolved.decision.confidence == pytest.approx(confidence)


@pytest.mark.parametrize(("quorum", "believed"), [(0.3, True), (0.5, False)])
def test_a_move_that_too_few_name_is_refused(quorum: float, believed: bool) -> None:
    resolved = Case(weak=SEES, says=says("d2d4", "g1f3", "e2e4"), own="a2a3").resolved(Panel(quorum=quorum))
    assert resolved.decision.believed is believed
    assert moves.uci(resolved.decision.move, START) == ("g1f3" if believed else "a2a3")
    assert resolved.answer.given.move == number(START, "g1f3")


@pytest.mark.parametrize("seats", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_every_seat_is_asked_once_whoever_sits_there(seats: tuple[int, ...]) -> None:
    resolved = Case(weak=SEES, says=says("d2d4", "g1f3", "e2e4"), seats=seats).resolved(Panel(choose="value"))
    assert moves.uci(resolved.decision.move, START) == "e2e4"
    named = ("d2d4", "g1f3", "e2e4")
    assert [moves.uci(answer.given.move or 0, START) for answer in resolved.answers] == [named[one] for one in seats]
    assert {seat: answer.given.move for seat, answer in resolved.panel.items()} == {
        seat: number(START, named[one]) for seat, one in enumerate(seats)
    }


def test_of_more_assistants_than_it_asks_the_others_stay_silent() -> None:
    resolved = Case(weak=SEES, says=says("d2d4", "d2d4", "e2e4"), seats=(0, 2, 1)).resolved(Panel(seats=2))
    assert (resolved.questions, len(resolved.answers)) == (2, 2)
    assert set(resolved.panel) == {0, 1}


def test_of_values_the_one_in_the_middle_is_believed() -> None:
    assistants = [Lines(START, {"": value}) for value in (0.25, 0.875, 0.625)]
    resolved = Case(says=assistants, channel=Channel.VALUE).resolved(Panel())
    assert resolved.decision.believed
    assert resolved.answer.given.value == 0.625
    assert resolved.questions == 3


def test_on_candidates_the_others_are_asked_for_the_move() -> None:
    first = Lines(START, {"g1f3": 0.25})  # of the student's likeliest moves it thinks most of Nf3
    case = Case(weak=SEES, says=[first, *says("e2e4", "e2e4")], channel=Channel.CANDIDATES)
    resolved = case.resolved(Panel())
    assert moves.uci(resolved.decision.move, START) == "e2e4"
    assert resolved.questions == 4 + 2
    assert [answer.given.move for answer in resolved.panel.values()] == [
        number(START, move) for move in ("g1f3", "e2e4", "e2e4")
    ]


def test_a_mate_is_worth_most_and_costs_no_look() -> None:
    board = chess.Board(MATES[0])
    mate, quiet = "d1d8", "g1f1"
    assistants = [Lines(board, best={"": move}) for move in (quiet, quiet, mate)]
    resolved = Case(board, weak=Even(), says=assistants).resolved(Panel(choose="value"))
    assert moves.uci(resolved.decision.move, board) == mate
    assert (resolved.questions, resolved.evaluations) == (3, 1)
