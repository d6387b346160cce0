"""What strategies look at: mirror images, values one ply on and two, against what a board says."""

from typing import Any

import chess
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.advice import Advice
from engines import moves, planes
from engines.inference import Evaluator
from sandwich.oversight.base import DecisionContext, OwnView
from sandwich.oversight.consistency import mirrored
from sandwich.oversight.consult import Consultation, Evaluate, own_values, searched_values
from tests.helpers.fakes import Even, Hashed, after, alone, legal_numbers, pack_board, question, worth
from tests.helpers.project import random_games
from tests.helpers.small_players import MATES

SPECIAL = [
    "r3k2r/pppq1ppp/2npbn2/2b1p3/2B1P3/2NPBN2/PPPQ1PPP/R3K2R w KQkq - 0 8",  # everybody castles everywhere
    "r3k2r/8/8/8/8/8/8/R3K2R b Kq - 3 9",
    "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1",
    "4k3/8/8/8/PpP5/8/8/4K3 b - a3 0 1",
    "4k3/8/8/8/PpP5/8/8/4K3 b - c3 0 1",
    "r3k3/8/8/6pP/8/8/8/4K3 w q g6 0 2",
    "n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 b - - 0 1",
    "n1n1k3/1P6/8/8/8/8/8/R3K3 w Q - 7 40",
    "4k3/8/8/8/8/8/4q3/4K3 w - - 99 80",
    *MATES,
]


def boards() -> st.SearchStrategy[chess.Board]:
    """Positions of random games, and special ones."""
    known = [chess.Board(fen) for fen in SPECIAL]
    some = [board for game in random_games(60, seed=9, plies=120) for board in game[::7] if any(board.legal_moves)]
    return st.sampled_from([*known, *some])


def asked(board: chess.Board) -> DecisionContext:
    """A question about a position."""
    policy, value = alone(Even(), board)
    own = OwnView(legal_numbers(board)[0], policy, value)
    return DecisionContext(question(board), own, Advice(move=own.move), np.random.default_rng(1))


def done(board: chess.Board, number: int) -> chess.Board:
    """The position behind a move."""
    board = board.copy(stack=False)
    board.push(moves.decode(number, board))
    return board


@settings(max_examples=40)
@given(boards())
@example(chess.Board(SPECIAL[0]))
@example(chess.Board(SPECIAL[5]))
def test_the_mirror_image_is_the_same_game_seen_in_a_mirror(board: chess.Board) -> None:
    packed, legal, back = mirrored(asked(board))
    image = planes.unpack(packed)
    assert image.is_valid() == board.is_valid()
    assert legal == legal_numbers(image) == sorted(back)  # each legal move of the image stands for one
    assert sorted(back.values()) == legal_numbers(board)  # and for each there is one
    assert image.halfmove_clock == board.halfmove_clock
    sideways = not board.castling_rights
    assert (image.turn == board.turn) == sideways
    for twin, number in back.items():
        there, here = done(image, twin), done(board, number)
        reflected = here.transform(chess.flip_horizontal) if sideways else here.mirror()
        assert there.board_fen() == reflected.board_fen()
        assert there.castling_rights == reflected.castling_rights
        assert there.ep_square == (None if here.ep_square is None else turned(here.ep_square, sideways))


def turned(square: chess.Square, sideways: bool) -> chess.Square:
    """A square seen in the mirror."""
    file, rank = chess.square_file(square), chess.square_rank(square)
    return chess.square(7 - file, rank) if sideways else chess.square(file, 7 - rank)


@pytest.mark.parametrize(
    ("fen", "move", "twin"),
    [
        (SPECIAL[0], "e1g1", "e8g8"),
        (SPECIAL[0], "e1c1", "e8c8"),
        (SPECIAL[2], "e5d6", "d5e6"),
        (SPECIAL[4], "b4c3", "g4f3"),
        (SPECIAL[5], "h5g6", "h4g3"),
        (SPECIAL[6], "b2a1n", "g2h1n"),
        (SPECIAL[7], "b7c8q", "b2c1q"),
    ],
)
def test_castling_en_passant_and_promotion_have_their_mirror_images(fen: str, move: str, twin: str) -> None:
    board = chess.Board(fen)
    packed, _, back = mirrored(asked(board))
    image = planes.unpack(packed)
    there = moves.encode(chess.Move.from_uci(twin), image.turn)
    assert moves.uci(back[there], board) == move


# Values of moves


def looked(course: Consultation[Any], weak: Evaluator) -> tuple[Any, int]:
    """What a consultation that only looks comes to, and the evaluations that it took."""
    count, reply = 0, None
    try:
        while True:
            request = course.send(reply)
            assert isinstance(request, Evaluate)
            count += len(request.legal)
            reply = weak(request.packed, request.legal)
    except StopIteration as end:
        return end.value, count


def over(board: chess.Board) -> bool:
    """Whether a game is over on the board, by what one position tells."""
    return not any(board.legal_moves) or board.is_insufficient_material() or board.halfmove_clock >= 100


@settings(max_examples=40)
@given(boards())
def test_own_values_are_those_behind_each_move_for_who_makes_it(board: chess.Board) -> None:
    weak, legal = Hashed("weak"), legal_numbers(board)
    values, count = looked(own_values(pack_board(board), legal), weak)
    assert values == pytest.approx([worth(weak, board, move) for move in legal], abs=1e-6)
    assert count == sum(not over(done(board, move)) for move in legal)


@settings(max_examples=25)
@given(boards(), st.integers(1, 9))
def test_searched_values_are_those_behind_the_best_likely_reply(board: chess.Board, replies: int) -> None:
    weak, legal = Hashed("weak"), legal_numbers(board)[:6]
    values, count = looked(searched_values(pack_board(board), legal, replies), weak)
    expected, seen = [], 0
    for move in legal:
        then = done(board, move)
        if over(then):
            expected.append(worth(weak, board, move))
            continue
        policy, _ = alone(weak, then)
        likely = [legal_numbers(then)[place] for place in np.argsort(-policy, kind="stable")[:replies]]
        expected.append(1 - max(worth(weak, then, reply) for reply in likely))
        seen += 1 + sum(not over(done(then, reply)) for reply in likely)
    assert values == pytest.approx(expected, abs=1e-6)
    assert count == seen


def test_where_every_move_ends_the_game_nothing_is_evaluated() -> None:
    board = chess.Board("7k/8/6K1/8/8/8/8/R7 w - - 0 1")
    mate = [move for move in legal_numbers(board) if done(board, move).is_checkmate()]
    for course in (own_values(pack_board(board), mate), searched_values(pack_board(board), mate, 4)):
        values, count = looked(course, Even())
        assert (values.tolist(), count) == ([1.0], 0)


def test_a_reply_that_mates_makes_a_move_worthless() -> None:
    board = after("f3 e5")
    (blunder,) = (moves.encode(move, board.turn) for move in board.legal_moves if move.uci() == "g2g4")
    values, _ = looked(searched_values(pack_board(board), [blunder], 30), Even())
    assert values.tolist() == [0.0]
