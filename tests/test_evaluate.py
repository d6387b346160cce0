"""Best moves, and the real oracle on moves good and bad."""

from pathlib import Path

import chess
import numpy as np
import pytest
from conftest import needs_stockfish
from small import CHECKPOINTS, MATES, checkpoint, named, openings

from engines import moves, planes
from engines.positions import GameBatch
from sandwich.config import InferenceConfig
from sandwich.evaluate import Oracle, best_moves
from sandwich.selfplay import evaluator

CPU = InferenceConfig(device="cpu")


def test_best_moves_are_the_most_probable_ones() -> None:
    fens = [*openings(10), *MATES]
    batch = GameBatch(fens, ply_cap=1)
    words = np.array([planes.pack(chess.Board(fen)) for fen in fens], np.uint64)
    seen = evaluator(checkpoint(1), CPU)(words, batch.legal(range(len(fens))))
    expected = [row[int(policy.argmax())] for row, policy in zip(seen.legal, seen.policy, strict=True)]
    assert best_moves(named(1), CHECKPOINTS, fens, CPU) == expected
    for fen, best in zip(fens, expected, strict=True):
        board = chess.Board(fen)
        assert board.is_legal(moves.decode(best, board))


# The oracle


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """A real one, at few nodes."""
    return Oracle(2_000)


def loss(oracle: Oracle, fen: str, move: str) -> float:
    """Expected score that a move in UCI notation gives away."""
    found = oracle.losses([fen], [moves.encode(chess.Move.from_uci(move), chess.Board(fen).turn)])
    assert found is not None
    assert found.shape == (1,)
    return float(found[0])


@needs_stockfish
@pytest.mark.parametrize(
    ("fen", "move", "low", "high"),
    [
        ("r1bqkbnr/pppp1ppp/2n5/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R w KQkq - 2 3", "f1b5", 0, 0.05),  # a known good move
        ("rnbqkbnr/pppp1ppp/8/4p2Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 2 3", "h5e5", 0, 0.05),  # takes a pawn
        ("rnbqkbnr/pppp1ppp/8/4p2Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 2 3", "h5f7", 0.3, 1),  # gives the queen away
        ("rnbqkbnr/pppp1ppp/8/4p3/6P1/5P2/PPPPP2P/RNBQKBNR b KQkq - 0 2", "d8h4", 0, 0),  # for Black, too
        ("rnb1kbnr/pppp1ppp/8/4p3/4P2q/2N5/PPPP1PPP/R1BQKBNR b KQkq - 3 3", "h4h2", 0.3, 1),
        ("6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1", "d1d8", 0, 0),  # mate: nothing can be better
        ("3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1", "d8d1", 0, 0),
        ("3r2k1/5ppp/8/8/8/8/1R3PPP/6K1 w - - 0 1", "b2a2", 0.3, 1),  # and lets Black mate
        ("7k/5Q2/8/6K1/8/8/8/8 w - - 0 1", "g5g6", 0.47, 0.48),  # stalemate, where White was winning
        ("8/8/8/8/8/1k6/7q/K7 b - - 0 1", "h2c2", 0.47, 0.48),
        ("k7/P7/2K5/8/8/8/8/8 w - - 0 1", "c6b6", 0, 0.02),  # stalemate, where no more was to be had
    ],
)
def test_a_loss_is_what_the_move_gives_away(oracle: Oracle, fen: str, move: str, low: float, high: float) -> None:
    assert low <= loss(oracle, fen, move) <= high


@needs_stockfish
def test_losses_are_the_same_in_any_order_and_when_asked_again(oracle: Oracle) -> None:
    fens = list(openings(6))
    chosen = best_moves(named(1), CHECKPOINTS, fens, CPU)
    one = oracle.losses(fens, chosen)
    other = Oracle(2_000).losses(fens[::-1], chosen[::-1])
    assert one is not None and other is not None
    assert np.array_equal(one, other[::-1])
    again = oracle.losses(fens, chosen)
    assert again is not None
    assert np.array_equal(one, again)
    assert ((one >= 0) & (one <= 1)).all()


@needs_stockfish
def test_an_oracle_says_who_it_is(oracle: Oracle) -> None:
    assert oracle.missing == ""
    assert oracle.identity and "Stockfish" in oracle.identity
    assert oracle.nodes == 2_000


def test_without_an_engine_nothing_is_measured_and_the_reason_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STOCKFISH_PATH", str(tmp_path / "nothing"))
    oracle = Oracle(2_000)
    assert oracle.losses([MATES[0]], best_moves(named(1), CHECKPOINTS, MATES[:1], CPU)) is None
    assert str(tmp_path / "nothing") in oracle.missing
    assert "\n" not in oracle.missing
    assert oracle.identity is None


def test_an_oracle_that_is_not_wanted_says_so() -> None:
    oracle = Oracle(None)
    assert oracle.losses([MATES[0]], [0]) is None
    assert oracle.missing == "evaluate.nodes is none"
