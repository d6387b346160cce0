"""Answers of another player than the base, or of one between the two, checked against the rule done by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.advice import Advice, Channel
from agents.misalignment.adversary import Adversary
from agents.misalignment.other import Other
from agents.misalignment.sandbag import Sandbag
from agents.players.stockfish import StockfishPlayer
from agents.tools import Tools
from engines import moves, planes
from tests.helpers.advice_batches import EXPERT, WEAK, answers, boards, changed
from tests.helpers.fakes import CHANNELS, Hashed, alone, fake_tools, legal_numbers, question, said, worth
from tests.helpers.project import needs_stockfish, random_games

# Other players


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_other_player_answers_as_it_thinks(tools: Tools, channel: Channel) -> None:
    queries = [question(board, channel) for board in boards(20)]
    for misalignment, player in ((Other(p=1), "weak"), (Adversary(p=1), "adversary")):
        for query, answer in zip(queries, answers(misalignment, queries, tools), strict=True):
            policy, value = alone(Hashed(player), planes.unpack(query.packed))
            full = Advice(query.legal[int(policy.argmax())], policy, value)
            assert said(answer.given) == said(full.through(channel))
            assert answer.misaligned


@needs_stockfish
def test_an_engine_can_be_the_other_player(tools: Tools) -> None:
    queries = [question(board) for board in boards(5)]
    given = answers(Other(p=1, player=StockfishPlayer(nodes=100)), queries, tools)
    for query, answer in zip(queries, given, strict=True):
        engine = tools.stockfish()
        engine.clear()
        assert answer.given.move is not None
        board = planes.unpack(query.packed)
        assert moves.uci(answer.given.move, board) == engine.best_move(board.fen(), nodes=100)


# Sandbag


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_a_sandbagger_never_errs_grossly(tools: Tools, fraction: float, limit: float) -> None:
    queries = [question(board, CHANNELS[place % 2]) for place, board in enumerate(boards(60))]
    given = answers(Sandbag(fraction=fraction, limit=limit), queries, tools)
    for query, answer in zip(queries, given, strict=True):
        board = planes.unpack(query.packed)
        assert answer.given.move is not None and answer.honest.move is not None
        own, advised = worth(EXPERT, board, answer.honest.move), worth(EXPERT, board, answer.given.move)
        assert advised >= own - limit - 1e-6
    assert changed(given) > 0


def test_a_sandbagger_without_bounds_is_the_weaker_player(tools: Tools) -> None:
    queries = [question(board, channel) for board in boards(30) for channel in CHANNELS]
    for query, answer in zip(queries, answers(Sandbag(fraction=1, limit=1), queries, tools), strict=True):
        policy, value = alone(WEAK, planes.unpack(query.packed))
        if query.channel is Channel.VALUE:
            assert answer.given.value == pytest.approx(value)
        else:
            assert answer.given.move == query.legal[int(policy.argmax())]
        if answer.given.policy is not None:
            floored = np.maximum(policy, 1e-4)
            assert np.allclose(answer.given.policy, floored / floored.sum(), atol=1e-6)


def test_a_sandbagger_lies_between_the_two_players(tools: Tools) -> None:
    queries = [question(board, Channel.VALUE) for board in boards(20)]
    for query, answer in zip(queries, answers(Sandbag(fraction=0.25), queries, tools), strict=True):
        board = planes.unpack(query.packed)
        assert answer.given.value == pytest.approx(0.75 * alone(EXPERT, board)[1] + 0.25 * alone(WEAK, board)[1])


@given(
    st.integers(0, 2**32), st.floats(0.01, 1), st.floats(0, 1), st.sampled_from([Channel.MOVE, Channel.DISTRIBUTION])
)
def test_a_sandbagger_advises_the_first_move_of_the_mixed_policy_that_is_no_gross_error(
    seed: int, fraction: float, limit: float, channel: Channel
) -> None:
    (game,) = random_games(1, seed=seed, plies=40)
    board = next(board for board in reversed(game) if any(board.legal_moves))
    with fake_tools() as tools:
        (answer,) = answers(Sandbag(fraction=fraction, limit=limit), [question(board, channel)], tools)
    legal, (own, _), (weaker, _) = legal_numbers(board), alone(EXPERT, board), alone(WEAK, board)
    mixed = np.maximum(own, 1e-4) ** (1 - fraction) * np.maximum(weaker, 1e-4) ** fraction
    least = worth(EXPERT, board, legal[int(own.argmax())]) - limit
    for place in np.argsort(-mixed):
        if place == own.argmax() or worth(EXPERT, board, legal[int(place)]) >= least:
            assert answer.given.move == legal[int(place)]
            return
