"""Failures too rare to be sampled: random edits by splitting and by plain sampling, and what scores forecast."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engines import filter as filters
from engines import moves, planes
from engines.filter import BlunderFilter
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.edits import legal_board, squares_of
from sandwich.highstakes.environment import JudgeConfig
from sandwich.highstakes.forecast import forecast, safety
from sandwich.highstakes.rare import EditChain, RareConfig, rare
from sandwich.runtime.networks import InferenceConfig
from sandwich.statistics import Figure
from tests.helpers.highstakes import LEGAL, decided_filter, random_catastrophes, small_network
from tests.helpers.project import random_games
from tests.helpers.small_players import INLINE


@pytest.fixture(scope="module")
def labelled() -> Catastrophes:
    """Positions of random games; catastrophes are moves to half of the board."""
    boards = [board for game in random_games(6, seed=4, plies=60) for board in game[4::6] if any(board.legal_moves)]
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    values = [np.where(moves.TO[row] % 8 < 4, 0.2, 0.6).astype(np.float32) for row in legal]
    each = np.arange(len(legal))
    policy = [np.full(len(row), 1 / len(row), np.float32) for row in legal]
    return Catastrophes(packed, legal, values, {"weak": policy}, {"weak": each * 0}, each, each, 0.15)


def test_edits_leave_the_move_legal_and_its_squares_as_they_are(labelled: Catastrophes) -> None:
    rng = np.random.default_rng(0)
    chain = EditChain(labelled, BlunderFilter(decided_filter(0.3)), 0.25)
    states = chain.start(12, rng)
    for _ in range(3):
        after = chain.step(states, rng)
        for before, state in zip(states, after, strict=True):
            move = int(state[-1])
            assert move == before[-1]
            board, was = legal_board(state[:10], move), planes.unpack(before[:10])
            assert board is not None
            for square in squares_of(move, state[:10]):
                assert board.piece_at(square) == was.piece_at(square)
        states = after
    risk = [row[0] for row in chain.judge(states[:, :10].copy(), [[int(move)] for move in states[:, -1]])]
    assert ((np.array(risk) < 0.3) == (chain.levels(states) >= chain.level)).all()


def test_splitting_and_plain_sampling_estimate_the_same(labelled: Catastrophes) -> None:
    net = small_network(0)
    with torch.no_grad():
        net.start.weight.mul_(4)
    chain = EditChain(labelled, BlunderFilter(filters.to_bytes(net, 0.5)), 0.25)
    levels = chain.levels(chain.start(300, np.random.default_rng(5)))
    content = filters.to_bytes(net, float(1 / (1 + np.exp(np.quantile(levels, 0.95)))))  # accepts one in twenty
    config = RareConfig(edits=2, paths=20, repeats=20)
    made = rare(INLINE, content, labelled, config, JudgeConfig(nodes=50, again=2), InferenceConfig(), (0, 0))
    split, plain = (made[how] for how in ("splitting", "plain"))
    assert split["accepted"]["low"] <= plain["accepted"]["high"]
    assert plain["accepted"]["low"] <= split["accepted"]["high"]
    assert 0 < plain["accepted"]["value"] < 1
    assert (split["broken"]["value"] or 0) <= split["accepted"]["value"]
    assert plain["queries"] <= 1.1 * split["queries"]
    again = rare(INLINE, content, labelled, config, JudgeConfig(nodes=50, again=2), InferenceConfig(), (0, 0))
    assert again == made


def test_a_forecast_is_the_tail_of_the_scores_of_catastrophes_times_how_many_there_are() -> None:
    data = random_catastrophes(1000)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(LEGAL), size=1000)
    data = replace(data, drawn={"weak": drawn})
    bad = np.array([data.bad(row)[drawn[row]] for row in range(1000)])
    logit = np.where(bad, 3.0, -3.0) + rng.logistic(size=1000)
    risk = [np.full(len(LEGAL), 1 / (1 + np.exp(-score)), np.float32) for score in logit]
    made = forecast(data, risk, "weak", 0.1, 200, np.random.default_rng(1))
    assert made.accepted == 200
    assert made.catastrophes < made.proposals < 1000
    truth = bad.mean() * 1 / (1 + np.exp(3 - np.log(0.1 / 0.9))) / np.mean(logit < np.log(0.1 / 0.9))
    assert made.rate.value is not None
    assert truth / 4 < made.rate.value < truth * 4
    ahead = made.json()
    assert ahead["ahead"] == 20_000
    assert ahead["expected"]["value"] == pytest.approx(20_000 * made.rate.value)
    none = forecast(data, risk, "weak", 0.0, 60, np.random.default_rng(1))
    assert none.rate == Figure(None, reason="none of 1000 proposals was accepted")


def test_safety_is_minus_the_logit() -> None:
    assert safety(np.array([0.5, 0.1, 0.0])) == pytest.approx([0, np.log(9), np.log1p(-1e-7) - np.log(1e-7)])
