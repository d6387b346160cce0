"""What `go` says of time: how much of it a search gets, and that searches keep to it."""

import threading
import time

import chess
import numpy as np
import pytest

from agents.players.mcts import Mcts
from agents.uci_time import Budget, number_after, seconds_for
from engines.inference import Evaluation
from engines.search import TreeSearch
from tests.helpers.fakes import Hashed, fake_tools, legal_numbers, pack_board


@pytest.mark.parametrize(
    ("go", "white", "black"),
    [
        ("movetime 200", 0.15, 0.15),
        ("movetime 20", 0.01, 0.01),  # of little time half is kept back
        ("movetime -5", 0, 0),
        ("wtime 60000 btime 30000", 1.95, 0.95),  # a thirtieth
        ("wtime 60000 btime 30000 winc 1000 binc 2000", 2.7, 2.45),
        ("wtime 10000 btime 500 movestogo 10", 0.95, 0.025),
        ("wtime 10000 btime 10000 movestogo 1", 7.95, 7.95),  # never all of it
        ("wtime 100 btime 100 winc 5000 binc 5000", 0.04, 0.04),  # an increment comes after the move
        ("wtime 0 btime -40", 0, 0),
        ("wtime 60000", 1.95, None),
        ("nodes 5", None, None),
        ("depth 3", None, None),
        ("", None, None),
        ("infinite wtime 1000 btime 1000", None, None),
        ("ponder wtime 1000 btime 1000", None, None),
        ("movetime", None, None),
        ("movetime many", None, None),
    ],
)
def test_a_move_gets_its_share_of_the_clock(go: str, white: float | None, black: float | None) -> None:
    for turn, expected in ((chess.WHITE, white), (chess.BLACK, black)):
        given = seconds_for(go.split(), turn)
        assert given is None if expected is None else given == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("-3", -3), ("²", None), ("1.5", None), ("", None), ("9" * 30, None)]
)
def test_a_number_is_one_or_none(text: str, number: int | None) -> None:
    assert number_after(["go", "nodes", *([text] if text else [])], "nodes") == number


def look(search: TreeSearch) -> Evaluation:
    board = chess.Board()
    return search(pack_board(board)[None], [legal_numbers(board)])


def test_a_search_ends_between_two_simulations() -> None:
    """With as many as it was given it is the search of that number; with none what its network says."""
    budget = Budget(None, 7, 1, threading.Event())
    few, seven = look(TreeSearch(Hashed("expert"), 500, limit=budget.begin)), look(TreeSearch(Hashed("expert"), 7))
    assert np.array_equal(few.policy[0], seven.policy[0]) and np.array_equal(few.wdl, seven.wdl)
    assert budget.simulations == 7
    over = Budget(0.0, None, 1, threading.Event())
    none, bare = look(TreeSearch(Hashed("expert"), 500, limit=over.begin)), look(TreeSearch(Hashed("expert"), 0))
    assert np.array_equal(none.policy[0], bare.policy[0])
    assert none.policy[0] == pytest.approx(Hashed("expert")(pack_board(chess.Board())[None], [none.legal[0]]).policy[0])
    assert over.simulations == 0


def test_a_search_without_a_limit_is_the_same_as_one_whose_limit_never_comes() -> None:
    free, far = TreeSearch(Hashed("expert"), 60), Budget(1000.0, 10_000, 1, threading.Event())
    one, other = look(free), look(TreeSearch(Hashed("expert"), 60, limit=far.begin))
    assert np.array_equal(one.policy[0], other.policy[0]) and np.array_equal(one.wdl, other.wdl)


def test_searches_share_the_time_and_have_simulations_each() -> None:
    stopped = threading.Event()
    budget = Budget(1000.0, 3, 0.5, stopped)
    first, second = budget.begin(), budget.begin()
    assert [first() for _ in range(5)] == [second() for _ in range(5)] == [False, False, False, True, True]
    third = budget.begin()
    stopped.set()
    assert third()


@pytest.mark.timing
def test_a_search_keeps_to_its_time_and_is_stopped_from_outside() -> None:
    with fake_tools() as tools:
        stopped = threading.Event()
        evaluator = tools.limited(lambda: budget.begin()).player(Mcts(simulations=10**9))
        board = chess.Board()
        began = time.monotonic()
        budget = Budget(0.3, None, 1, stopped)
        evaluator(pack_board(board)[None], [legal_numbers(board)])
        assert 0.3 <= time.monotonic() - began < 5
        budget = Budget(None, None, 1, stopped)
        threading.Timer(0.3, stopped.set).start()
        began = time.monotonic()
        evaluator(pack_board(board)[None], [legal_numbers(board)])
        assert time.monotonic() - began < 5
        assert budget.simulations > 1
