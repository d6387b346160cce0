"""Agreement of players whose views can be told beforehand."""

import chess
import numpy as np
import pytest

from engines import moves, planes
from engines.positions import GameBatch
from sandwich.data.phase import Phase, phase_of
from sandwich.evaluation import agreement as agreements
from sandwich.evaluation.agreement import View, agreement, divergence, view_of
from sandwich.runtime.networks import InferenceConfig, evaluator
from tests.helpers.small_players import CHECKPOINTS, INLINE, MATES, checkpoint, named, openings

CPU = InferenceConfig(device="cpu")
FENS = openings(30)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_best_moves_are_the_most_probable_ones() -> None:
    fens = [*openings(10), *MATES]
    batch = GameBatch(fens, ply_cap=1)
    packed = np.array([planes.pack(chess.Board(fen)) for fen in fens], np.uint64)
    seen = evaluator(checkpoint(1), CPU)(packed, batch.legal(range(len(fens))))
    expected = [row[int(policy.argmax())] for row, policy in zip(seen.legal, seen.policy, strict=True)]
    assert view_of(INLINE, named(1), CHECKPOINTS, fens, CPU).best == expected
    for fen, best in zip(fens, expected, strict=True):
        board = chess.Board(fen)
        assert board.is_legal(moves.decode(best, board))


def test_a_move_is_worth_what_the_opponent_loses() -> None:
    fens = list(MATES[:2])
    seen = view_of(INLINE, named(1), CHECKPOINTS, fens, CPU)
    for fen, values in zip(fens, seen.values, strict=True):
        board = chess.Board(fen)
        legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        for number, value in zip(legal, values, strict=True):
            after = board.copy()
            after.push(moves.decode(number, board))
            if after.is_checkmate():
                assert value == 1
            else:
                numbers = sorted(moves.encode_all(after.legal_moves, after.turn))
                there = evaluator(checkpoint(1), CPU)(np.array([planes.pack(after)], np.uint64), [numbers])
                assert value == pytest.approx(1 - float(there.value[0]), abs=1e-3)


def test_a_player_agrees_with_itself_wholly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreements, "BLOCK", 7)
    seen = view_of(INLINE, named(1), CHECKPOINTS, FENS, CPU)
    found = agreement(seen, seen, FENS)["all"]
    assert found["agreement"].value == 1 and found["agreement"].n == len(FENS)
    assert found["kl"].value == 0
    assert found["tau_b"].value == pytest.approx(1)


def test_figures_of_two_views_are_worked_out_by_hand() -> None:
    fens = [chess.STARTING_FEN] * 2 + ["4k3/8/8/8/8/8/R7/4K3 w - - 0 1"] * 2
    values = [floats(0.1, 0.2, 0.3), floats(0.1, 0.2, 0.3), floats(0.5, 0.4), floats(0.5, 0.4)]
    goal = View([1, 2, 3, 4], [floats(0.5, 0.25, 0.25)] * 2 + [floats(0.5, 0.5)] * 2, values)
    student = View(
        [1, 9, 3, 4], [floats(0.6, 0.2, 0.2)] * 2 + [floats(0.5, 0.5)] * 2,
        [floats(0.1, 0.3, 0.2), floats(0.1, 0.2, 0.3), floats(0.5, 0.4), floats(0.4, 0.5)],
    )  # fmt: skip
    found = agreement(student, goal, fens)
    assert found["all"]["agreement"].value == 0.75
    assert found["opening"]["agreement"].value == 0.5
    assert found["endgame"]["agreement"].value == 1
    apart = 0.5 * np.log(0.5 / 0.6) + 0.5 * np.log(0.25 / 0.2)  # of the student from the goal
    assert found["opening"]["kl"].value == pytest.approx(apart, abs=1e-6)
    assert found["all"]["kl"].value == pytest.approx(apart / 2, abs=1e-6)
    assert found["opening"]["tau_b"].value == pytest.approx((1 / 3 + 1) / 2)
    assert found["endgame"]["tau_b"].value == pytest.approx(0)
    assert found["middlegame"]["agreement"].value is None
    assert "nothing to count" in found["middlegame"]["agreement"].reason


def test_the_divergence_is_of_the_student_from_the_goal() -> None:
    goal, student = floats(1, 0), floats(0.5, 0.5)
    assert divergence(goal, student) == pytest.approx(np.log(2), abs=1e-6)
    assert divergence(student, goal) == pytest.approx(0.5 * np.log(0.5) + 0.5 * np.log(0.5 / 1e-9), rel=1e-6)


@pytest.mark.parametrize(
    ("fen", "phase"),
    [
        (chess.STARTING_FEN, Phase.OPENING),
        ("rnbqk2r/8/8/8/8/8/8/RNBQKB1R w - - 0 1", Phase.OPENING),  # eleven pieces
        ("r1bqk2r/8/8/8/8/8/8/RNBQKB1R w - - 0 1", Phase.MIDDLEGAME),
        ("r2qk2r/8/8/8/8/8/8/R2QKB1R w - - 0 1", Phase.MIDDLEGAME),  # seven
        ("r3k2r/8/8/8/8/8/8/R2QKB1R w - - 0 1", Phase.ENDGAME),
        ("4k3/pppppppp/8/8/8/8/PPPPPPPP/4K3 w - - 0 1", Phase.ENDGAME),
    ],
)
def test_a_phase_is_told_by_the_pieces(fen: str, phase: Phase) -> None:
    board = chess.Board(fen)
    pieces = sum(piece.piece_type not in (chess.PAWN, chess.KING) for piece in board.piece_map().values())
    assert phase_of(board) is phase, pieces
