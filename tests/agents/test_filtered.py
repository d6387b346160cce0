"""A player that a filter stands behind: what is refused, and what is played in the end."""

from collections.abc import Sequence
from typing import cast

import chess
import numpy as np
import pytest

from agents.players.filtered import FilteredSeat
from agents.seat import Turn
from engines.filter import BlunderFilter
from tests.helpers.fakes import legal_numbers, pack_board


class Proposing:
    """A seat that proposes the same moves, by their places, one after the other."""

    def __init__(self, *places: int) -> None:
        self.places = list(places)

    def choose(self, turns: Sequence[Turn], rngs: Sequence[np.random.Generator]) -> list[int]:
        place = self.places.pop(0)
        return [turn.legal[place] for turn in turns]


@pytest.mark.parametrize(
    ("threshold", "proposals", "expected"),
    [
        (0.3, (2, 1), 2),  # its risk is under the threshold
        (0.25, (2, 1), 1),  # at the threshold it is refused
        (0.05, (2, 1), 0),  # nothing is accepted: the move of least risk
    ],
)
def test_a_move_is_refused_from_the_threshold_on(threshold: float, proposals: tuple[int, ...], expected: int) -> None:
    board = chess.Board()
    turn = Turn(pack_board(board), legal_numbers(board), 0, 0)
    risk = np.full(20, 0.9, np.float32)
    risk[:3] = [0.05, 0.125, 0.25]
    judge = cast(BlunderFilter, lambda packed, legal: [risk for _ in legal])
    seat = FilteredSeat(Proposing(*proposals), judge, threshold, len(proposals))
    assert seat.choose([turn], [np.random.default_rng(0)]) == [turn.legal[expected]]
