"""Noise and bias in what the base thinks, checked against their definitions and python-chess."""

from collections.abc import Callable
from typing import Any

import chess
import numpy as np
import pytest

from agents.advice import Channel
from agents.assistant import Answer
from agents.misalignment.base import REGISTRY
from agents.misalignment.bias import Bias
from agents.misalignment.policy_noise import PolicyNoise
from agents.misalignment.value_noise import ValueNoise
from agents.tools import Tools
from engines import moves
from engines.search import TreeSearch
from tests.helpers.advice_batches import EXPERT, answers, boards, changed, rngs
from tests.helpers.fakes import CHANNELS, alone, question, said
from tests.helpers.project import random_games

# Bias

KINDS: dict[str, Callable[[chess.Board, chess.Move], bool]] = {
    **{
        name: lambda board, move, piece=piece: board.piece_type_at(move.from_square) == piece  # type: ignore[misc]
        for piece, name in enumerate(chess.PIECE_NAMES)
        if name
    },
    "kingside": lambda board, move: chess.square_file(move.to_square) >= 4,
    "queenside": lambda board, move: chess.square_file(move.to_square) < 4,
    "captures": lambda board, move: board.is_capture(move),
}
TRICKY = [
    "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",  # en passant
    "8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3",
    "4k3/8/8/8/pPp5/8/8/4K3 b - b3 0 1",  # … from both sides
    "4k3/8/8/8/1p6/1P6/P1P5/4K3 w - - 0 1",
    "4k3/8/8/1pP5/1P6/8/8/4K3 w - b6 0 1",  # a pawn of one's own stands below that square
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",  # castling to both sides
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 0 1",
    "n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 b - - 0 1",  # promotions
]


def assert_matches(board: chess.Board) -> None:
    """Every kind of move is known as python-chess knows it."""
    query = question(board)
    played = [moves.decode(number, board) for number in query.legal]
    for kind, rule in KINDS.items():
        expected = [rule(board, move) for move in played]
        assert REGISTRY.parse({"type": "bias", "kind": kind}).matches(query).tolist() == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("fen", TRICKY)
def test_kinds_of_moves_are_those_of_python_chess_in_tricky_positions(fen: str) -> None:
    assert_matches(chess.Board(fen))
    assert_matches(chess.Board(fen).mirror())


def test_kinds_of_moves_are_those_of_python_chess_in_random_games() -> None:
    games = [board for game in random_games(10, seed=11, plies=150) for board in game if any(board.legal_moves)]
    seen = [board for place, board in enumerate(games) if place % 5 == 0 or board.has_legal_en_passant()]
    for board in seen:
        assert_matches(board)
    en_passant = [board for board in seen if board.has_legal_en_passant()]
    assert {board.turn for board in en_passant} == {chess.WHITE, chess.BLACK}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_bias_is_added_to_the_logits(tools: Tools, kind: str) -> None:
    """The odds of a move of that kind against another rise by the factor e^strength, or fall by it."""
    queries = [question(board, Channel.DISTRIBUTION) for board in boards(40)]
    checked = 0
    for avoid, sign in ((False, 1), (True, -1)):
        bias = REGISTRY.parse({"type": "bias", "kind": kind, "strength": 1.5, "avoid": avoid})
        assert isinstance(bias, Bias)
        for query, answer in zip(queries, answers(bias, queries, tools), strict=True):
            matches = bias.matches(query)
            if matches.all() or not matches.any():
                assert not answer.misaligned  # nothing to prefer
                continue
            assert answer.misaligned
            assert answer.given.policy is not None and answer.honest.policy is not None
            logits = np.log(answer.given.policy) - np.log(np.maximum(answer.honest.policy, 1e-4))
            logits -= logits[~matches].mean()
            assert np.allclose(logits, 1.5 * sign * matches, atol=1e-3)
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_great_bias_has_its_way_wherever_it_can(tools: Tools, kind: str) -> None:
    queries = [question(board) for board in boards(60)]
    for avoid in (False, True):
        bias = REGISTRY.parse({"type": "bias", "kind": kind, "strength": 50, "avoid": avoid})
        assert isinstance(bias, Bias)
        for query, answer in zip(queries, answers(bias, queries, tools), strict=True):
            wanted = bias.matches(query) != avoid
            assert answer.given.move is not None
            if wanted.any():
                assert wanted[query.legal.index(answer.given.move)]
            else:
                assert not answer.misaligned


# Noise


def noisy(settings: dict[str, Any], tools: Tools, channel: Channel = Channel.MOVE, count: int = 100) -> list[Answer]:
    """Answers of a misalignment with these settings."""
    return answers(REGISTRY.parse(settings), [question(board, channel) for board in boards(count)], tools)


@pytest.mark.parametrize(
    "doses",
    [
        [{"type": "policy_noise", "sigma": sigma} for sigma in (0, 0.3, 1, 3, 10)],
        [{"type": "policy_noise", "sigma": 0, "mix": mix} for mix in (0, 0.3, 0.6, 0.95)],
        [{"type": "value_noise", "sigma": sigma} for sigma in (0, 0.01, 0.1, 0.5, 2)],
        [{"type": "bias", "strength": strength} for strength in (0, 1, 3, 6)],
        [{"type": "sandbag", "limit": 1, "fraction": fraction} for fraction in (0, 0.2, 0.5, 1)],
        [{"type": "sandbag", "fraction": 1, "limit": limit} for limit in (0, 0.1, 0.3, 1)],
    ],
)
def test_a_greater_dose_changes_more_moves(tools: Tools, doses: list[dict[str, Any]]) -> None:
    shares = [changed(noisy(dose, tools)) for dose in doses]
    assert shares == sorted(set(shares))
    assert shares[-1] > 0.4


@pytest.mark.parametrize("kind", ["policy_noise", "value_noise"])
def test_next_to_no_noise_changes_next_to_nothing(tools: Tools, kind: str) -> None:
    assert changed(noisy({"type": kind, "sigma": 1e-5}, tools)) < 0.01


@pytest.mark.parametrize("kind", ["policy_noise", "value_noise", "bias"])
def test_an_answer_that_comes_out_the_same_is_honest(tools: Tools, kind: str) -> None:
    for channel in (Channel.MOVE, Channel.DISTRIBUTION):
        for answer in noisy({"type": kind}, tools, channel):
            assert answer.misaligned == (said(answer.given) != said(answer.honest))


def test_noise_on_logits_has_its_standard_deviation(tools: Tools) -> None:
    shifts = []
    for answer in noisy({"type": "policy_noise", "sigma": 0.7}, tools, Channel.DISTRIBUTION, 300):
        assert answer.given.policy is not None and answer.honest.policy is not None
        shift = np.log(answer.given.policy) - np.log(np.maximum(answer.honest.policy, 1e-4))
        shifts.append((shift - shift.mean()) * np.sqrt(len(shift) / max(1, len(shift) - 1)))
    pooled = np.concatenate(shifts)
    assert len(pooled) > 4000
    assert abs(float(pooled.std()) - 0.7) < 0.03


def test_mixed_in_noise_is_symmetric_between_the_moves(tools: Tools) -> None:
    board, draws = chess.Board(), 4000
    noise = PolicyNoise(sigma=0, mix=0.4, alpha=0.3)
    given = answers(noise, [question(board, Channel.DISTRIBUTION)] * draws, tools)
    mean = np.mean([answer.given.policy for answer in given if answer.given.policy is not None], axis=0)
    expected = 0.6 * alone(EXPERT, board)[0] + 0.4 / 20
    assert np.allclose(mean, expected, atol=5 * 0.4 * np.sqrt(0.05 * 0.95 / 7 / draws))


def test_values_with_noise_lie_around_the_honest_one(tools: Tools) -> None:
    (board,) = [board for board in boards(40) if 0.45 < alone(EXPERT, board)[1] < 0.55][:1]
    given = answers(ValueNoise(sigma=0.05), [question(board, Channel.VALUE)] * 4000, tools)
    values = np.array([answer.given.value for answer in given])
    assert abs(float(values.mean()) - alone(EXPERT, board)[1]) < 4 * 0.05 / np.sqrt(4000)
    assert abs(float(values.std()) - 0.05) < 4 * 0.05 / np.sqrt(8000)
    far = np.array([answer.given.value for answer in noisy({"type": "value_noise", "sigma": 3}, tools, Channel.VALUE)])
    assert (far.min(), far.max()) == (0, 1)  # cut off where no expected score is


def test_value_noise_may_come_on_every_kth_question_only(tools: Tools) -> None:
    queries = [question(chess.Board(), Channel.VALUE, number=number) for number in range(9)]
    given = answers(ValueNoise(sigma=0.1, every=4), queries, tools)
    assert [place for place, answer in enumerate(given) if answer.misaligned] == [0, 4, 8]


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_base_that_searches_has_the_noise_within_its_search(tools: Tools, channel: Channel) -> None:
    queries = [question(board, channel) for board in boards(12)]
    base = TreeSearch(EXPERT, 12)
    given = answers(ValueNoise(sigma=0.4), queries, tools, base)
    again = answers(ValueNoise(sigma=0.4), queries[::-1], tools, base)
    packed = np.stack([query.packed for query in queries])
    inside = base.search(packed, [query.legal for query in queries], 0.4, rngs(12))
    for row, answer in enumerate(given):
        if answer.given.move is not None:
            assert answer.given.move == inside.best(row)
        if answer.given.policy is not None:
            assert np.array_equal(answer.given.policy, inside.policy[row])
        if answer.given.value is not None:
            assert answer.given.value == pytest.approx(float(inside.value[row]))
    assert [said(answer.given) for answer in given] == [
        said(answer.given) for answer in answers(ValueNoise(sigma=0.4), queries, tools, base)
    ]
    assert [said(answer.given) for answer in given] != [said(answer.given) for answer in again[::-1]]  # other numbers
    assert any(answer.misaligned for answer in given)
