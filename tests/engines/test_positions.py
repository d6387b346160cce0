"""The rules of a game: what is legal, when it ends and why."""

import chess
import numpy as np
import pytest

from engines import moves, planes
from engines.positions import End, GameBatch, Result, mask, parse_fen

CAP = 500


def play(fen: str, line: str, ply_cap: int = CAP) -> GameBatch:
    """One game from `fen` after the moves of `line` (UCI)."""
    batch = GameBatch([fen], ply_cap)
    for uci in line.split():
        batch.apply([0], [moves.encode(chess.Move.from_uci(uci), batch.turns([0])[0])])
    return batch


SHUFFLE = "g1f3 g8f6 f3g1 f6g8 "


@pytest.mark.parametrize(
    ("fen", "line", "white_score", "end"),
    [
        (chess.STARTING_FEN, "f2f3 e7e5 g2g4 d8h4", 0, End.CHECKMATE),
        (chess.STARTING_FEN, "e2e4 e7e5 f1c4 b8c6 d1h5 g8f6 h5f7", 1, End.CHECKMATE),
        ("7k/8/6K1/8/8/8/8/5Q2 w - - 0 1", "f1f7", 0.5, End.STALEMATE),
        ("7K/8/6k1/8/8/8/8/5q2 b - - 0 1", "f1f7", 0.5, End.STALEMATE),
        (chess.STARTING_FEN, SHUFFLE * 2, 0.5, End.REPETITION),  # the start itself counts as the first time
        ("4k3/8/8/8/8/8/8/4K2R w - - 99 80", "h1h2", 0.5, End.FIFTY_MOVES),
        ("7k/8/6K1/8/8/8/8/R7 w - - 99 80", "a1a8", 1, End.CHECKMATE),  # mate on the hundredth ply is mate
        ("4k3/8/8/8/8/8/4p3/4KN2 w - - 0 1", "e1e2", 0.5, End.INSUFFICIENT_MATERIAL),
        ("4kb2/8/8/8/8/8/4p3/2B1K3 w - - 0 1", "e1e2", 0.5, End.INSUFFICIENT_MATERIAL),  # both bishops on dark squares
        ("2b1k3/8/8/8/8/8/4p3/2B1K3 w - - 0 1", "e1e2", None, None),  # … on different ones: a mate is possible
        ("4k3/8/8/8/8/8/8/4K2R w - - 0 1", "h1h2 e8e7 h2h3", None, None),
    ],
)
def test_how_a_game_ends(fen: str, line: str, white_score: float | None, end: End | None) -> None:
    batch = play(fen, line)
    assert batch.results[0] == (Result(white_score, end) if white_score is not None and end is not None else None)
    assert batch.active == ([0] if end is None else [])


@pytest.mark.parametrize(
    ("fen", "end"),
    [
        ("7k/5KQ1/8/8/8/8/8/8 b - - 0 1", End.CHECKMATE),
        ("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", End.STALEMATE),
        ("4k3/8/8/8/8/8/8/4KN2 b - - 0 1", End.INSUFFICIENT_MATERIAL),
        ("4k3/8/8/8/8/8/8/4K2R w - - 100 80", End.FIFTY_MOVES),
    ],
)
def test_a_game_may_be_over_before_it_starts(fen: str, end: End) -> None:
    result = GameBatch([fen], CAP).results[0]
    assert result is not None
    assert result.end == end


def test_a_capture_starts_the_fifty_moves_again() -> None:
    assert play("4k3/8/8/8/8/8/4p3/R3K2R w - - 99 80", "e1e2").active == [0]


@pytest.mark.parametrize(
    ("fen", "line", "repeated"),
    [
        (chess.STARTING_FEN, SHUFFLE + "g1f3 g8f6 f3g1", False),  # three quarters of the way
        # The first time White could still castle: twice the same squares, but not the same position.
        ("4k3/p7/8/8/8/8/P7/R3K3 w Q - 0 1", "a1b1 e8e7 b1a1 e7e8 a1b1 e8e7 b1a1 e7e8", False),
        ("4k3/p7/8/8/8/8/P7/R3K3 w Q - 0 1", "a1b1 e8e7 b1a1 e7e8 a1b1 e8e7 b1a1 e7e8 a1b1", True),
        # The first time Black could still take en passant.
        ("6nk/8/8/8/4p3/8/3P4/6NK w - - 0 1", "d2d4 " + "g8f6 g1f3 f6g8 f3g1 " * 2, False),
        ("6nk/8/8/8/4p3/8/3P4/6NK w - - 0 1", "d2d4 " + "g8f6 g1f3 f6g8 f3g1 " * 2 + "g8f6", True),
        # Nobody could: an en-passant square alone makes no difference.
        ("6nk/8/8/8/8/8/3P4/6NK w - - 0 1", "d2d4 " + "g8f6 g1f3 f6g8 f3g1 " * 2, True),
    ],
)
def test_a_repetition_needs_the_same_moves_to_be_possible(fen: str, line: str, repeated: bool) -> None:
    result = play(fen, line).results[0]
    assert (result is not None and result.end is End.REPETITION) == repeated


def test_a_game_is_drawn_at_the_ply_cap() -> None:
    assert play(chess.STARTING_FEN, "e2e4 e7e5 g1f3", ply_cap=4).results == [None]
    assert play(chess.STARTING_FEN, "e2e4 e7e5 g1f3 b8c6", ply_cap=4).results == [Result(0.5, End.PLY_CAP)]
    assert play(chess.STARTING_FEN, "f2f3 e7e5 g2g4 d8h4", ply_cap=4).results == [Result(0, End.CHECKMATE)]


def test_a_result_has_two_sides() -> None:
    lost = Result(0, End.CHECKMATE)
    assert (lost.score(chess.WHITE), lost.score(chess.BLACK)) == (0, 1)


def referee(board: chess.Board) -> tuple[float, End] | None:
    """The same rules by python-chess's own bookkeeping (`board` has its whole stack of moves)."""
    outcome = board.outcome()
    if outcome and outcome.termination is chess.Termination.CHECKMATE:
        return (1.0 if outcome.winner else 0.0), End.CHECKMATE
    if outcome and outcome.termination is chess.Termination.STALEMATE:
        return 0.5, End.STALEMATE
    if outcome and outcome.termination is chess.Termination.INSUFFICIENT_MATERIAL:
        return 0.5, End.INSUFFICIENT_MATERIAL
    if board.is_fifty_moves():
        return 0.5, End.FIFTY_MOVES
    # Not outcome(claim_draw=True): that one also counts a repetition which the next move could bring.
    return (0.5, End.REPETITION) if board.is_repetition(3) else None


@pytest.mark.parametrize(
    ("fen", "games", "ends"),
    [
        (chess.STARTING_FEN, 16, {End.PLY_CAP}),
        ("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", 20, {End.FIFTY_MOVES}),
        ("8/2k5/8/8/8/5n2/2B2K2/8 w - - 0 1", 20, {End.FIFTY_MOVES, End.INSUFFICIENT_MATERIAL}),
        ("7k/8/8/8/8/8/5QQ1/6K1 w - - 0 1", 20, {End.CHECKMATE, End.STALEMATE}),
        ("k7/p1p5/P1P5/8/8/p1p5/P1P5/K7 w - - 0 1", 20, {End.REPETITION}),  # two kings with two squares each
    ],
)
def test_games_in_lock_step_agree_with_python_chess(fen: str, games: int, ends: set[End]) -> None:
    rng = np.random.default_rng(5)
    batch = GameBatch([fen] * games, ply_cap=200)
    boards = [chess.Board(fen) for _ in range(games)]
    while active := batch.active:
        legal = batch.legal(active)
        chosen = [row[rng.integers(len(row))] for row in legal]
        for game, number, row in zip(active, chosen, legal, strict=True):
            assert row == sorted(moves.encode_all(boards[game].legal_moves, boards[game].turn))
            boards[game].push(moves.decode(number, boards[game]))
        batch.apply(active, chosen)
        assert batch.fens(active) == [boards[game].fen() for game in active]
        for game in active:
            result, expected = batch.results[game], referee(boards[game])
            if expected is None and batch.plies[game] == 200:
                expected = (0.5, End.PLY_CAP)
            assert (result and (result.white_score, result.end)) == expected, boards[game].fen()
    assert ends <= {result.end for result in batch.results if result}


def test_only_the_named_games_advance() -> None:
    batch = GameBatch([chess.STARTING_FEN] * 3, CAP)
    batch.apply([2, 0], [moves.encode(chess.Move.from_uci(uci), chess.WHITE) for uci in ("e2e4", "d2d4")])
    assert batch.plies == [1, 0, 1]
    assert batch.turns([0, 1, 2]) == [chess.BLACK, chess.WHITE, chess.BLACK]
    assert [fen.split("/", 4)[4] for fen in batch.fens([0, 2])] == [
        "3P4/8/PPP1PPPP/RNBQKBNR b KQkq - 0 1",
        "4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1",
    ]
    assert len(batch) == 3


def test_words_and_mask_are_those_of_the_named_games() -> None:
    fens = [chess.STARTING_FEN, "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 3 9"]
    batch = GameBatch(fens, CAP)
    assert batch.packed([1, 0]).tolist() == [list(planes.pack(chess.Board(fen))) for fen in reversed(fens)]
    legal = batch.legal_mask([1, 0])
    assert legal.shape == (2, moves.SIZE)
    assert [np.flatnonzero(row).tolist() for row in legal] == [sorted(row) for row in batch.legal([1, 0])]
    assert batch.packed([]).shape == (0, planes.WORDS)
    assert mask([]).shape == (0, moves.SIZE)


def test_legal_moves_stand_in_the_same_order_however_a_position_came_about() -> None:
    played = play(chess.STARTING_FEN, "e2e4 c7c5 g1f3 d7d6 d2d4 c5d4 f3d4 g8f6 b1c3 a7a6")
    swapped = play(chess.STARTING_FEN, "e2e4 c7c5 b1c3 d7d6 g1f3 g8f6 d2d4 c5d4 f3d4 a7a6")
    loaded = GameBatch(played.fens([0]), CAP)
    assert played.legal([0]) == loaded.legal([0]) == swapped.legal([0])


def test_an_illegal_move_is_refused() -> None:
    batch = GameBatch([chess.STARTING_FEN], CAP)
    illegal = moves.encode(chess.Move.from_uci("e2d3"), chess.WHITE)
    with pytest.raises(ValueError, match=rf"^move {illegal} is not legal in game 0: rnbqkbnr/"):
        batch.apply([0], [illegal])
    assert batch.fens([0]) == [chess.STARTING_FEN]


def test_a_move_in_a_game_that_is_over_is_refused() -> None:
    batch = GameBatch(["7k/5KQ1/8/8/8/8/8/8 b - - 0 1"], CAP)
    with pytest.raises(ValueError, match="^game 0 is over$"):
        batch.apply([0], [0])


@pytest.mark.parametrize(
    ("fen", "said"),
    [
        ("", "not a position"),
        ("startpos", "not a position"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP w KQkq - 0 1", "not a position"),  # seven ranks
        ("rnbqkbnr/pppppppp/9/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "not a position"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR x KQkq - 0 1", "not a position"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq z9 0 1", "not a position"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - many 1", "not a position"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1 and\nmore", "not a position"),
        ("4k3/8/8/8/8/8/8/4K3 w - - 0 99999999999999999999", "its counters end at 65535"),
        ("4k3/8/8/8/8/8/8/4K3 w - - 65536 1", "its counters end at 65535"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", "not a legal position"),
        ("rnbq1bnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQ - 0 1", "no black king"),
        ("k1K1k3/8/8/8/8/8/8/8 w - - 0 1", "too many kings"),
        ("P3k3/8/8/8/8/8/8/4K3 w - - 0 1", "pawns on backrank"),
        ("4k3/8/8/8/8/8/8/4RK2 w - - 0 1", "opposite check"),  # the side not to move stands in check
        ("4k3/8/8/8/8/8/8/4K3 w - e6 0 1", "invalid ep square"),
        ("4k3/8/8/8/8/8/8/4K3 w KQ - 0 1", "bad castling rights"),
        ("bqnb1rkr/pp3ppp/3ppn2/2p5/5P2/P2P4/NPP1P1PP/BQ1BNRKR w HFhf - 2 9", "a Chess960 position"),
        ("1r2k1r1/8/8/8/8/8/8/1R2K1R1 w KQkq - 0 1", "a Chess960 position"),
        ("1r2k1r1/8/8/8/8/8/8/1R2K1R1 w KQkq -", "a Chess960 position"),
    ],
)
def test_what_is_no_standard_position_is_refused_in_one_line(fen: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        parse_fen(fen)
    message = str(refusal.value)
    assert "\n" not in message
    assert repr(fen) in message


@pytest.mark.parametrize(
    "fen",
    [
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -",  # EPD: no counters
        "r3k2r/8/8/8/8/8/8/R3K2R b Kq - 12 40",
        "8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3",
        "4k3/8/8/8/8/2r1n3/8/q3K3 w - - 0 1",
        "4k3/8/8/8/7b/8/4n3/q3K2r w - - 0 1",  # checked more often than a game can bring about
    ],
)
def test_a_position_can_be_read(fen: str) -> None:
    board = parse_fen(fen)
    assert board.fen().startswith(fen.split()[0])
    assert GameBatch([fen], CAP).legal([0]) == [sorted(moves.encode_all(board.legal_moves, board.turn))]
