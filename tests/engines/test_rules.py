"""The rules over packed positions: the extension and its stand-in against python-chess, and counts of perft."""

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import chess
import chess.pgn
import numpy as np
import pytest
import zstandard

from engines import moves, planes, rules
from engines.rules import Ending
from engines.stockfish import Stockfish
from tests.helpers.perft_suites import SUITES, castles_as_in_chess960, perft
from tests.helpers.project import needs_stockfish, random_games

needs_extension = pytest.mark.skipif(not rules.in_c(), reason="the extension was not built")

ENDGAMES = [
    "8/8/3k4/8/2R5/8/3K1B2/8 w - - 0 1",
    "8/8/3k4/5b2/8/2B5/3K4/8 w - - 90 100",
    "8/1n6/3k4/8/8/2N5/3K4/8 b - - 0 1",
    "4k3/8/8/8/8/8/PPPPPPPP/4K3 w - - 0 1",
    "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1",
]
ODD = [
    "8/8/8/8/k2Pp2Q/8/8/3K4 b - d3 0 1",  # capturing in passing would open the rank
    "8/5bk1/8/2Pp4/8/1K6/8/8 w - d6 0 1",  # … the diagonal
    "8/8/8/1Ppk4/8/8/1K6/5B2 w - c6 0 1",
    "4k3/8/8/2Pp4/1K6/8/8/8 w - d6 0 1",  # the pawn that gives check is taken in passing
    "8/8/8/8/8/3k4/4r3/3K4 w - - 0 1",
    "Q7/8/8/8/8/8/6k1/K6q w - - 0 1",
    "r3k2r/8/8/8/4r3/8/8/R3K2R w KQkq - 0 1",  # no castling out of check
    "r3k2r/8/8/8/5r2/8/8/R3K2R w KQkq - 0 1",  # … nor through it
    "1r2k2r/8/8/8/8/8/8/R3K2R w KQk - 0 1",  # the rook may pass an attacked square
    "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1",
    "R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1",  # 218 moves
    "8/8/8/8/8/8/8/K1k5 w - - 100 200",
]


def ending(board: chess.Board) -> Ending:
    """How a game ends in a position, by python-chess."""
    if board.is_checkmate():
        return Ending.CHECKMATE
    if board.is_stalemate():
        return Ending.STALEMATE
    if board.is_insufficient_material():
        return Ending.INSUFFICIENT_MATERIAL
    return Ending.FIFTY_MOVES if board.halfmove_clock >= 100 else Ending.NONE


def agree(boards: list[chess.Board], seed: int = 0) -> None:
    """All that is said of these positions is what python-chess says."""
    rng = np.random.default_rng(seed)
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    legal, endings = rules.legal_moves(packed)
    for row, board in enumerate(boards):
        assert legal[row] == sorted(moves.encode_all(board.legal_moves, board.turn)), board.fen()
        assert endings[row] == ending(board), board.fen()
    going_on = [row for row, numbers in enumerate(legal) if numbers]
    chosen = [legal[row][rng.integers(len(legal[row]))] for row in going_on]
    then, zeroing = rules.after(packed[going_on], chosen)
    for place, row in enumerate(going_on):
        board = boards[row].copy(stack=False)
        move = moves.decode(chosen[place], board)
        assert zeroing[place] == board.is_zeroing(move), (board.fen(), move)
        board.push(move)
        assert tuple(then[place].tolist()) == planes.pack(board), (boards[row].fen(), move)
    names: dict[object, bytes] = {}
    for board, identity in zip(boards, rules.identities(packed), strict=True):
        assert names.setdefault(board._transposition_key(), identity.tobytes()) == identity.tobytes()
    assert len(set(names.values())) == len(names)
    assert rules.fens(packed, [board.fullmove_number for board in boards]) == [planes.fen(board) for board in boards]
    assert np.array_equal(planes.planes(packed), planes._planes(packed))


@pytest.fixture(params=["C", "python-chess"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension, and what stands in for it."""
    if request.param == "C":
        if not rules.in_c():
            pytest.skip("the extension was not built")
    else:
        monkeypatch.setattr(rules, "_rules", None)
        monkeypatch.setattr(planes, "_rules", None)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("fen", [chess.STARTING_FEN, *ENDGAMES])
def test_random_games_have_the_moves_of_python_chess(fen: str) -> None:
    for boards in random_games(6, seed=4, fen=fen):
        agree(boards)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("fen", ODD)
def test_odd_positions_have_the_moves_of_python_chess(fen: str) -> None:
    board = chess.Board(fen)
    agree([board, board.mirror()])


@pytest.mark.usefixtures("either")
def test_what_is_no_list_of_moves_is_refused() -> None:
    packed = np.array([planes.pack(chess.Board())], np.uint64)
    with pytest.raises(ValueError, match="expected 1 moves"):
        rules.after(packed, [1, 2])


@needs_extension
def test_words_that_are_no_position_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        packed = rng.integers(0, 2**64, (100, planes.WORDS), np.uint64)
        packed[:, rng.integers(planes.WORDS)] &= rng.integers(0, 2**64, 100, np.uint64)  # no king, or no side
        planes.planes(packed)
        rules.identities(packed)
        rules.after(packed, rng.integers(0, moves.SIZE, 100))
        assert all(len(fen) < 160 for fen in rules.fens(packed, rng.integers(0, 2**40, 100)))
        with suppress(ValueError):  # more moves than there is room for
            rules.legal_moves(packed)


@needs_extension
@pytest.mark.parametrize("number", [-1, moves.SIZE])
def test_what_is_no_move_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"expected numbers of moves, got {number}"):
        rules.after(np.array([planes.pack(chess.Board())], np.uint64), [number])


@needs_extension
def test_arrays_that_are_too_small_are_refused() -> None:
    assert rules._rules is not None
    with pytest.raises(ValueError, match="planes: expected at least 10240 bytes, got 8"):
        rules._rules.planes(np.zeros((1, 10), np.uint64), np.zeros(1, np.float64))


def nodes(fen: str, depth: int) -> int:
    """Positions at a depth from one, each as often as lines lead there."""
    total, stack = 0, [(np.array([planes.pack(chess.Board(fen))], np.uint64), depth)]
    while stack:
        packed, left = stack.pop()
        legal, _ = rules.legal_moves(packed)
        if left == 1:
            total += len(legal.flat)
            continue
        then, _ = rules.after(np.repeat(packed, legal.sizes, axis=0), legal.flat)
        stack += [(then[first : first + 20_000], left - 1) for first in range(0, len(then), 20_000)]
    return total


@needs_extension
@pytest.mark.parametrize(
    ("fen", "depth", "count"),
    [  # https://www.chessprogramming.org/Perft_Results
        (chess.STARTING_FEN, 4, 197_281),
        ("r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1", 3, 97_862),
        ("8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1", 5, 674_624),
        ("r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1", 4, 422_333),
        ("rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ - 1 8", 4, 2_103_487),
    ],
)
def test_perft_counts(fen: str, depth: int, count: int) -> None:
    assert nodes(fen, depth) == count


@needs_extension
@pytest.mark.parametrize(("name", "positions", "chess960"), SUITES)
def test_positions_of_a_perft_suite_have_the_moves_of_python_chess(
    shared_data: Path, name: str, positions: int, chess960: int
) -> None:
    fens = [fen for fen, _ in perft(shared_data / "suites" / "perft" / name) if not castles_as_in_chess960(fen)]
    assert len(fens) == positions - chess960
    agree([chess.Board(" ".join([*fen.split()[:4], "0", "1"])) for fen in fens])


# Slow: the whole of the suites, and 200,000 positions


@needs_extension
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["perft_suite.epd", "perft_standard.epd"])
def test_a_perft_suite_counts_right_to_four_million_nodes(shared_data: Path, name: str) -> None:
    tried = 0
    for line in (shared_data / "suites" / "perft" / name).read_text(encoding="utf-8").splitlines():
        fen = re.split(r";|\bD\d+ ", line)[0].strip()
        if not fen or castles_as_in_chess960(fen):
            continue
        named = [(int(depth), int(count)) for depth, count in re.findall(r"\bD(\d+) (\d+)", line)]
        for depth, count in [pair for pair in named if pair[1] <= 4_000_000][-1:]:
            assert nodes(fen, depth) == count, fen
            tried += count
    assert tried > 10_000_000


def of_masters(path: Path) -> Iterator[chess.Board]:
    """Positions of a file of games."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as plain:
        text = io.TextIOWrapper(plain, encoding="utf-8", errors="replace")
        while game := chess.pgn.read_game(text):
            board = game.board()
            for move in game.mainline_moves():
                yield board.copy(stack=False)
                board.push(move)
            yield board


def of_an_engine(games: int) -> Iterator[chess.Board]:
    """Positions of games of Stockfish at a node or two, from the first random moves on."""
    rng = np.random.default_rng(7)
    with Stockfish(hash_mib=1) as engine:
        for _ in range(games):
            board = chess.Board()
            while not board.is_game_over() and board.ply() < 200:
                legal = list(board.legal_moves)
                drawn = board.ply() < 8 or rng.random() < 0.05
                best = None if drawn else engine.best_move(board.fen(), nodes=20)
                board.push(chess.Move.from_uci(best) if best else legal[rng.integers(len(legal))])
                yield board.copy(stack=False)


@needs_extension
@needs_stockfish
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_200_000_positions_have_the_moves_of_python_chess(shared_data: Path) -> None:
    random = [board for boards in random_games(700, seed=11) for board in boards][:100_000]
    masters = list(islice(of_masters(shared_data / "games" / "otb_masters_test.pgn.zst"), 80_000))
    engine = list(islice(of_an_engine(400), 20_000))
    boards = random + masters + engine
    assert len(boards) == 200_000
    for first in range(0, len(boards), 10_000):
        agree(boards[first : first + 10_000])
