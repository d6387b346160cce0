"""The network's planes against a slow reference written with python-chess."""

import chess
import numpy as np
import numpy.typing as npt
import pytest

from engines import planes
from tests.helpers.project import random_games

POSITIONS = [
    chess.STARTING_FEN,
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 0 1",
    "r3k2r/8/8/8/8/8/8/R3K2R w Kq - 13 40",  # one castling right each
    "8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3",  # en passant
    "4k3/4r3/8/b6b/8/2N1N1N1/3PPP2/r1Q1K2r w - - 99 80",  # pins and checks along every line
    "k7/pp6/8/8/8/8/6PP/7K w - - 0 1",  # edges, where a shift could wrap round
    "K7/8/8/8/8/8/8/7k b - - 100 200",  # kings in the corners
    "Q6Q/8/8/3k4/8/8/4K3/Q6Q b - - 0 1",  # queens in all corners
    "R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1",
]

ENDGAMES = [
    "8/8/3k4/8/2R5/8/3K1B2/8 w - - 0 1",
    "8/1n6/3k4/7q/8/2N5/3K4/Q7 b - - 0 1",
    "r6b/8/3k4/8/8/4K3/8/B6R w - - 0 1",
    "1q4nb/p6p/3k4/8/8/3K4/P6P/BN4Q1 w - - 0 1",
]


def attacks_through(board: chess.Board, square: chess.Square, piece: chess.PieceType) -> chess.SquareSet:
    """Squares that a piece of that kind would attack from `square`."""
    board = board.copy(stack=False)
    board.set_piece_at(square, chess.Piece(piece, chess.WHITE))
    return board.attacks(square)


def reference(board: chess.Board) -> npt.NDArray[np.float32]:
    """The planes of one position, square by square."""
    out = np.zeros((planes.PLANES, 64), np.float32)

    def mark(plane: int, squares: chess.SquareSet) -> None:
        for square in squares:
            out[plane, square if board.turn else chess.square_mirror(square)] = 1

    for side, colour in enumerate((board.turn, not board.turn)):
        times = np.zeros(64)
        for piece in chess.PIECE_TYPES:
            mark(6 * side + piece - 1, board.pieces(piece, colour))
            for square in board.pieces(piece, colour):
                mark(16 + 6 * side + piece - 1, board.attacks(square))
                times[list(board.attacks(square))] += 1
        mark(28 + side, chess.SquareSet(int(s) for s in np.flatnonzero(times >= 2)))
        men = chess.SquareSet(board.occupied_co[colour])
        mark(30 + side, chess.SquareSet(s for s in men if board.is_pinned(colour, s)))
        # From where this side would give check to the other's king.
        king = board.king(not colour)
        assert king is not None
        check = 32 + 4 * side
        mark(
            check,
            chess.SquareSet(s for s in chess.SQUARES if king in chess.SquareSet(chess.BB_PAWN_ATTACKS[colour][s])),
        )
        mark(check + 1, attacks_through(board, king, chess.KNIGHT))
        mark(check + 2, attacks_through(board, king, chess.BISHOP))
        mark(check + 3, attacks_through(board, king, chess.ROOK))
    mark(12, chess.SquareSet(board.castling_rights))
    if board.ep_square is not None:
        mark(13, chess.SquareSet([board.ep_square]))
    out[14] = np.float32(board.halfmove_clock) / 100
    out[15] = 1
    return out.reshape(planes.PLANES, 8, 8)


def packed(boards: list[chess.Board]) -> planes.Packed:
    """Packed positions, `[B, 10]`."""
    return np.array([planes.pack(board) for board in boards], np.uint64)


def assert_as_reference(boards: list[chess.Board]) -> None:
    """All planes of all positions, evaluated in one batch, are those of the reference."""
    for board, got in zip(boards, planes.planes(packed(boards)), strict=True):
        wrong = sorted(set(np.nonzero(got != reference(board))[0].tolist()))
        assert not wrong, f"planes {wrong} of {board.fen()}"


@pytest.mark.parametrize("fen", POSITIONS)
def test_planes_of_hand_made_positions(fen: str) -> None:
    board = chess.Board(fen)
    assert_as_reference([board, board.mirror()])


def test_planes_over_random_games() -> None:
    for seed, boards in enumerate(random_games(12, seed=2)):
        assert_as_reference(boards[seed % 7 :: 7])


@pytest.mark.parametrize("fen", ENDGAMES)
def test_planes_over_random_endgames(fen: str) -> None:
    """On open boards every line reaches the edge."""
    for boards in random_games(2, seed=3, plies=60, fen=fen):
        assert_as_reference(boards)


def test_a_position_looks_the_same_to_both_colours() -> None:
    boards = [chess.Board(fen) for fen in POSITIONS]
    assert np.array_equal(planes.planes(packed(boards)), planes.planes(packed([board.mirror() for board in boards])))


def test_own_pawns_stand_on_the_second_rank() -> None:
    after_e4 = chess.Board()
    after_e4.push_uci("e2e4")
    x = planes.planes(packed([chess.Board(), after_e4]))
    assert x.shape == (2, planes.PLANES, 8, 8)
    assert x.dtype == np.float32
    assert x[:, 0, 1].tolist() == [[1] * 8] * 2
    assert (x[1, 6, 4, 4], x[1, 13, 5, 4]) == (1, 1)  # the pawn on e4 and e3 behind it, upside down


def test_pack_and_unpack_return_the_position() -> None:
    for boards in random_games(10, seed=4):
        for board in boards:
            again = planes.unpack(np.array(planes.pack(board), np.uint64))
            board.fullmove_number = 1
            assert again.fen(en_passant="fen") == board.fen(en_passant="fen")
            assert again.status() == board.status()


def test_no_positions_have_no_planes() -> None:
    assert planes.planes(np.zeros((0, planes.WORDS), np.uint64)).shape == (0, planes.PLANES, 8, 8)


@pytest.mark.parametrize("shape", [(10,), (1, 9), (1, 10, 1)])
def test_words_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected packed positions of shape \(B, 10\), got"):
        planes.planes(np.zeros(shape, np.uint64))


def test_the_planes_never_change() -> None:
    """Checkpoints and corpora rely on the packed form and on the planes; a change needs a new name."""
    assert (planes.PLANES_ID, planes.PLANES, planes.WORDS) == ("planes-1", 40, 10)
    board = chess.Board("r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b Kq - 7 1")
    assert planes.pack(board)[8:] == (chess.BB_H1 | chess.BB_A8, 7 << 8)
    after_e4 = chess.Board()
    after_e4.push_uci("e2e4")
    assert planes.pack(after_e4)[9] == (chess.E3 + 1) << 1
