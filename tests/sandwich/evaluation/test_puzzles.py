"""Puzzles and suites: what counts as solved, what is told of a broken file, and the commands for both."""

import bz2
import gzip
import io
import json
import lzma
import re
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest
import zstandard

from engines import moves, planes
from engines.inference import Evaluation
from engines.planes import Packed
from engines.positions import parse_fen
from experiments.cli.main import main
from sandwich.evaluation import puzzles
from sandwich.evaluation.puzzles import Position, Puzzle, SuiteError, read_puzzles, read_suite, solve, solve_suite
from tests.helpers.fakes import Hashed
from tests.helpers.small_players import checkpoint


def certain(legal: Sequence[Sequence[int]], chosen: Sequence[int]) -> Evaluation:
    """What a player thinks that is certain of one move in each position."""
    policy = [np.array([number == move for number in row], np.float32) for row, move in zip(legal, chosen, strict=True)]
    return Evaluation(legal, policy, np.tile(np.array([0.5, 0.25, 0.25], np.float32), (len(legal), 1)))


class Plays:
    """An evaluator by rule: plays the first of its moves that is legal, else the one with the lowest number."""

    def __init__(self, line: str) -> None:
        self.line = [chess.Move.from_uci(text) for text in line.split()]

    def __call__(self, packed: Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        turns = [planes.unpack(row).turn for row in packed]
        liked = [[moves.encode(move, turn) for move in self.line] for turn in turns]
        chosen = [next((move for move in some if move in row), row[0]) for some, row in zip(liked, legal, strict=True)]
        return certain(legal, chosen)


class Knows:
    """An evaluator by rule: plays the move that is known for a position, and no position may be unknown."""

    def __init__(self, known: Mapping[bytes, int]) -> None:
        self.known = known

    def __call__(self, packed: Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        return certain(legal, [self.known[row.tobytes()] for row in packed])


def board_key(board: chess.Board) -> bytes:
    """A position as `Knows` looks it up."""
    return np.array(planes.pack(board), np.uint64).tobytes()


# What counts as solved

START = chess.STARTING_FEN
BACK_RANK = "7k/5ppp/8/8/8/8/5PPP/RR4K1 b - - 0 1"  # two rooks, and either mates once the king is back


@pytest.mark.parametrize(
    ("fen", "line", "played", "whole", "first"),
    [
        (BACK_RANK, "h8g8 a1a8", "a1a8", True, True),
        (BACK_RANK, "h8g8 a1a8", "b1b8", True, True),  # another mate
        (BACK_RANK, "h8g8 g2g3 h7h6 g3g4", "b1b8", True, True),  # a mate where the line has none
        (BACK_RANK, "h8g8 a1a8", "a1a7", False, False),
        (BACK_RANK, "h8g8 a1a2 h7h6 b1b7", "a1a2 b1b8", False, True),  # a check, and no mate any more
        (START, "e2e4 e7e5 g1f3 b8c6", "e7e5 b8c6", True, True),
        (START, "e2e4 e7e5 g1f3 b8c6", "e7e5 g8f6", False, True),  # right, then wrong
        (START, "e2e4 e7e5 g1f3 b8c6", "b8c6 e7e5", False, False),  # in another order
        (START, "e2e4 e7e5 g1f3", "e7e5", True, True),  # the last move is the opponent's
        (START, "e2e4 e7e5 g1f3", "c7c5", False, False),
        ("k7/2P5/8/8/8/8/8/K7 b - - 0 1", "a8a7 c7c8n", "c7c8n", True, True),
        ("k7/2P5/8/8/8/8/8/K7 b - - 0 1", "a8a7 c7c8n", "c7c8q", False, False),
        ("k7/2P5/8/8/8/8/8/K7 b - - 0 1", "a8a7 c7c8q", "c7c8n", False, False),
        ("k7/8/8/8/8/8/2p5/K7 w - - 0 1", "a1a2 c2c1r", "c2c1r", True, True),
        ("k7/8/8/8/8/8/2p5/K7 w - - 0 1", "a1a2 c2c1r", "c2c1q", False, False),
        ("4k3/7p/8/8/8/8/8/4K2R b K - 0 1", "h7h6 e1g1", "e1g1", True, True),
        ("4k3/7p/8/8/8/8/8/4K2R b K - 0 1", "h7h6 e1h1", "e1g1", True, True),  # king takes rook: the same
        ("4k3/3p4/8/4P3/8/8/8/4K3 b - - 0 1", "d7d5 e5d6", "e5d6", True, True),
    ],
)
def test_a_puzzle_is_solved_by_its_moves_and_by_any_mate(
    fen: str, line: str, played: str, whole: bool, first: bool
) -> None:
    solved = solve(Plays(played), [Puzzle(fen, tuple(line.split()), 1500)])
    assert (solved.whole.tolist(), solved.first.tolist()) == ([whole], [first])


MANY = [
    Puzzle(BACK_RANK, ("h8g8", "a1a8"), 900),
    Puzzle(START, ("e2e4", "e7e5", "g1f3", "b8c6"), 1500),
    Puzzle(START, ("e2e4", "e7e5", "g1f3", "g8f6"), 1600),
    Puzzle(START, ("e2e4", "c7c5"), 2100),
    Puzzle(START, ("e2e4", "e7e5", "g1f3", "b8c6", "f1b5", "a7a6"), 1700),
]


@pytest.mark.parametrize("batch", [1, 2, 5, 512])
def test_puzzles_are_solved_alike_in_batches_of_any_size(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puzzles, "BATCH", batch)
    told: list[int] = []
    solved = solve(Plays("a1a8 e7e5 b8c6 a7a6"), MANY, told.append)
    assert solved.whole.tolist() == [True, True, False, False, True]
    assert solved.first.tolist() == [True, True, True, False, True]
    assert sum(told) == len(MANY)
    positions = [Position(START, frozenset(), frozenset(), str(number)) for number in range(5)]
    assert solve_suite(Plays("e2e4"), positions).all()


EPD = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -"


@pytest.mark.parametrize(
    ("operations", "played", "solved"),
    [
        ("bm e4;", "e2e4", True),
        ("bm e4;", "d2d4", False),
        ("bm d4 e4;", "e2e4", True),
        ("am f3;", "e2e4", True),
        ("am f3 g4;", "g2g4", False),
        ("bm e4 d4; am d4;", "e2e4", True),
        ("bm e4 d4; am d4;", "d2d4", False),
        ("bm e4; am f3;", "d2d4", False),  # not bad, but not best either
        ('c0 "am e4"; bm Nf3; id "x";', "g1f3", True),
        ("bm e2e4;", "e2e4", True),
        ("bm e4!; id x.1;", "e2e4", True),
        ("bm e4?! d4!!;", "d2d4", True),
        ("; bm e4;", "e2e4", True),
        ("0 1 bm e4;", "e2e4", True),
        ("bm e4", "e2e4", True),
        ("foo bar; eco D46; c1 2024.01.01; pv 0-0; dm x; 12; bm e4;", "e2e4", True),
        ("hmvc many; acd deep; ce high; bm e4; sv e4", "e2e4", True),
    ],
)
def test_a_position_is_solved_by_a_best_move_that_is_not_to_be_avoided(
    operations: str, played: str, solved: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.epd").write_text(f"# a comment\n\n{EPD} {operations}\n")
    assert solve_suite(Plays(played), read_suite(tmp_path / "a.epd")).tolist() == [solved]


@pytest.mark.parametrize(
    ("epd", "played", "solved"),
    [
        ("8/k1P5/8/8/8/8/8/K7 w - - bm c8=N;", "c7c8n", True),
        ("8/k1P5/8/8/8/8/8/K7 w - - bm c8=N;", "c7c8q", False),
        ("8/k1P5/8/8/8/8/8/K7 w - - am c8=Q;", "c7c8n", True),
        ("8/8/8/8/8/8/K1p5/7k b - - bm c1=Q;", "c2c1q", True),
        ("4k3/8/8/8/8/8/8/4K2R w KQkq - bm O-O;", "e1g1", True),  # the other rights can't be
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 bm exd6;", "e5d6", True),
        ("4k3/8/8/8/8/8/8/4K2R w K - bm 0-0;", "e1g1", True),
        ("4k3/8/8/8/8/8/8/R3K3 w Q -;am 0-0-0!;", "e1c1", False),
    ],
)
def test_best_moves_may_be_of_any_kind(epd: str, played: str, solved: bool, tmp_path: Path) -> None:
    (tmp_path / "a.epd").write_text(epd)
    assert solve_suite(Plays(played), read_suite(tmp_path / "a.epd")).tolist() == [solved]


def test_a_position_has_its_name_or_the_number_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.epd").write_text(f'{EPD} bm e4; id "first; 1";\n\n{EPD} am f3;\n{EPD} bm e4; id BK.04;\n')
    assert [position.name for position in read_suite(tmp_path / "a.epd")] == ["first; 1", "3", "BK.04"]


def test_a_suite_with_a_byte_order_mark_or_in_latin_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.epd").write_bytes(f"\ufeff{EPD} bm e4; id Jürgen;".encode())
    (tmp_path / "b.epd").write_bytes(f"{EPD} bm e4; id Jürgen;".encode("latin-1"))
    names = [read_suite(tmp_path / file)[0].name for file in ("a.epd", "b.epd")]
    assert names == ["Jürgen", "J\ufffdrgen"]


# Files

HEAD = "PuzzleId,FEN,Moves,Rating\n"
GOOD = f"a,{BACK_RANK},h8g8 a1a8,900\n"


def test_puzzles_are_read_plain_or_compressed_and_only_as_many_as_wanted(tmp_path: Path) -> None:
    text = f"{HEAD}{GOOD}\nb,{START},e2e4 e7e5,1500.0\n\nc,nonsense,e2e4,1\n"
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.csv", "a.csv.gz"):
        one, other = read_puzzles(tmp_path / name, 4)
        assert (one.fen, one.line, one.rating) == (BACK_RANK, ("h8g8", "a1a8"), 900)
        assert (other.fen, other.line, other.rating) == (START, ("e2e4", "e7e5"), 1500)
        with pytest.raises(SuiteError, match="line 6: not a position: 'nonsense'"):
            read_puzzles(tmp_path / name)


BROKEN_PUZZLES = [
    (b"", ", line 1: no column 'FEN'; it has: none"),
    (HEAD.encode(), ": no puzzles"),
    (b"FEN,Rating\nx,1\n", ": no column 'Moves'; it has: FEN, Rating"),
    (b"no csv at all\n", ": no column 'FEN'; it has: no csv at all"),
    (HEAD.encode() + b"\xff\xfe,b,c,d\n", ", line 2: not a position: 'b'"),
    ((HEAD + GOOD + f"b,{EPD} 0 1,e2e4 e7e5").encode(), ", line 3: expected 4 columns as in its head, got 3"),
    ((HEAD + GOOD[:-1] + ",x\n").encode(), ", line 2: expected 4 columns as in its head, got 5"),
    ((HEAD + f'b,{EPD} 0 1,"e2e4 e7').encode(), ", line 2: unexpected end of data"),
    (HEAD.encode() + b"x" * 200_000, ": holds a line of more than 131072 characters"),
    ((HEAD + GOOD + "b,nonsense,e2e4 e7e5,1\n").encode(), ", line 3: not a position: 'nonsense'"),
    ((HEAD + GOOD + "\n\nb,,e2e4 e7e5,1\n").encode(), ", line 5: not a position: ''"),  # empty lines count
    ((HEAD + f"b,{EPD} 0 1,e2e4 e2e4,1\n").encode(), ", line 2: illegal uci: 'e2e4'"),
    ((HEAD + f"b,{EPD} 0 1,e2e4 castles,1\n").encode(), ", line 2: "),
    ((HEAD + f"b,{EPD} 0 1,e2e4 0000,1\n").encode(), ", line 2: '0000' is no move"),
    ((HEAD + f"b,{EPD} 0 1,e2e4,1\n").encode(), ", line 2: expected at least two moves, got 'e2e4'"),
    ((HEAD + f"b,{EPD} 0 1,,1\n").encode(), ", line 2: expected at least two moves, got ''"),
    ((HEAD + f"b,{EPD} 0 1,e2e4 e7e5,high\n").encode(), ", line 2: could not convert string to float: 'high'"),
    ((HEAD + f"b,{EPD} 0 1,e2e4 e7e5,\n").encode(), ", line 2: could not convert string to float: ''"),
    ((HEAD + f"b,{EPD} 0 1,e2e4 e7e5,inf\n").encode(), ", line 2: cannot convert float infinity"),
    ((HEAD + "b,8/8/8/8/8/8/8/8 w - - 0 1,e2e4 e7e5,1\n").encode(), ", line 2: not a legal position"),
    ((HEAD + "b,bbqnnrkr/pppppppp/8/8/8/8/PPPPPPPP/BBQNNRKR w HFhf - 0 1,e2e4 e7e5,1\n").encode(), ": a Chess960"),
]  # fmt: skip
BROKEN_SUITES = [
    (b"", ": no positions"),
    (b"# nothing but a comment\n", ": no positions"),
    (b"\xff\xfe", ", line 1: expected a position of four fields"),
    (f'{EPD} bm e4;\n{EPD} id "x";\n'.encode(), ", line 2: expected bm or am, found neither"),
    (f"{EPD} bm;\n".encode(), ", line 1: expected bm or am, found neither"),
    (f"{EPD} wm e4;\n".encode(), ", line 1: expected bm or am, found neither"),  # an opcode that means nothing here
    (f"\n{EPD} bm e5;\n".encode(), ", line 2: illegal san: 'e5'"),
    (f"{EPD} am Qh5;\n".encode(), ", line 1: illegal san: 'Qh5'"),
    (f"{EPD} bm @@@@;\n".encode(), ", line 1: '0000' is not a move of standard chess"),
    (f'{EPD} am f3; bm "e4";\n'.encode(), """, line 1: invalid san: '"e4"'"""),
    (b"nonsense\n", ", line 1: "),
    (b"rnbq1bnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQ - bm e4;\n", ", line 1: not a legal position"),
]


def typed(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["sandwich", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    ("command", "content", "said"),
    [("puzzles", *row) for row in BROKEN_PUZZLES] + [("suite", *row) for row in BROKEN_SUITES],
)
def test_a_broken_file_ends_in_one_line_that_names_it_and_the_place(
    command: str,
    content: bytes,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "broken"
    file.write_bytes(content)
    assert typed(["evaluate", command, str(file), "weak"], monkeypatch) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("Error: ")
    assert str(file) in error
    assert said in error
    assert error.count("\n") == 1


TEXT = (HEAD + 99 * GOOD).encode()
WHOLE = gzip.compress(TEXT, mtime=0)


def zipped(content: bytes) -> bytes:
    """A zip file with one file in it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", content)
    return archive.getvalue()


PACKED = {
    "zstd": zstandard.compress(TEXT),
    "gzip": WHOLE,
    "bzip2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "zip": zipped(TEXT),
}


@pytest.mark.parametrize("kind", PACKED)
def test_a_compressed_file_is_read_whole_and_one_cut_anywhere_is_told(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    content = PACKED[kind]
    file.write_bytes(content)
    assert len(read_puzzles(file)) == 99
    for length in range(0, len(content), 5):
        file.write_bytes(content[:length])
        with pytest.raises(SuiteError) as error:
            read_puzzles(file)
        assert str(error.value).startswith(f"{file}")
        assert "\n" not in str(error.value)
    if kind != "zip":  # whose table is at its end
        assert re.search("ends in the middle of", str(error.value))


def test_a_damaged_compressed_file_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(WHOLE[:20] + b"\0\5\5\5" * 20)
    with pytest.raises(SuiteError, match=r"^.*a\.csv\.gz: is no whole gzip file \(.*\)$"):
        read_puzzles(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bz2.compress, lzma.compress])
def test_memory_does_not_grow_with_what_a_small_file_unpacks_to(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(pack(HEAD.encode() + bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(SuiteError, match=r"a\.csv: holds a line of more than 131072 characters$"):
            read_puzzles(file)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puzzles, "LARGEST", 1 << 20)
    (tmp_path / "a.csv").write_bytes(zstandard.compress(HEAD.encode() + b"\n" * (2 << 20)))
    with pytest.raises(SuiteError, match=r"a\.csv: holds more than "):
        read_puzzles(tmp_path / "a.csv")


# The commands


@pytest.mark.parametrize("command", ["puzzles", "suite"])
def test_an_unknown_player_is_told_before_anything_is_done(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("")
    assert typed(["evaluate", command, str(tmp_path / "empty"), "weak", "nobody:x=1"], monkeypatch) == 1
    assert capsys.readouterr().err.startswith("Error: type: unknown player 'nobody:x=1'; known: expert, weak")


@pytest.fixture
def players(tmp_path: Path) -> list[str]:
    """Paths of two small networks."""
    paths = [tmp_path / f"{seed}.safetensors" for seed in (1, 2)]
    for seed, path in enumerate(paths, 1):
        path.write_bytes(checkpoint(seed))
    return list(map(str, paths))


@pytest.mark.usefixtures("cluster")
def test_puzzles_are_put_to_players_by_band_of_rating(
    players: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.csv"
    rows = [f"{number},{puzzle.fen},{' '.join(puzzle.line)},{puzzle.rating}" for number, puzzle in enumerate(MANY)]
    file.write_text(HEAD + "\n".join(rows) + "\n")
    arguments = ["evaluate", "puzzles", str(file), *players, "--limit", "4", "--band", "500"]
    assert typed([*arguments, "--json"], monkeypatch) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(figures) == players
    for bands in figures.values():
        assert {name: band["whole"]["n"] for name, band in bands.items()} == {
            "all": 4, "500–999": 1, "1500–1999": 2, "2000–2499": 1,
        }  # fmt: skip
        for band in bands.values():
            assert band["whole"]["value"] <= band["first"]["value"]
    assert typed(arguments, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "whole lines solved, %" in out
    assert "first moves found, %" in out


@pytest.mark.usefixtures("cluster")
def test_a_suite_is_put_to_players(
    players: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mate = "6k1/5ppp/8/8/8/8/5PPP/R5K1 w - -"
    (tmp_path / "a.epd").write_text(f"{mate} bm Ra8#;\n{mate} am Ra8#;\n")
    arguments = ["evaluate", "suite", str(tmp_path / "a.epd"), *players]
    assert typed([*arguments, "--json"], monkeypatch) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {name: (figure["n"], figure["value"]) for name, figure in figures.items()} == dict.fromkeys(
        players, (2, 0.5)
    )
    assert typed(arguments, monkeypatch) == 0
    assert f"{players[0]}: 50.0 [1.3, 98.7] % of 2 positions solved\n" in capsys.readouterr().out


# Real ones


@pytest.mark.parametrize(("name", "count"), [("lichess_puzzles", 4375), ("lichess_puzzles_basic", 7313)])
def test_real_puzzles_are_all_read_and_solved_by_who_knows_them(name: str, count: int, shared_data: Path) -> None:
    path = shared_data / "puzzles" / f"{name}.csv"
    assert len(read_puzzles(path)) == count
    some = read_puzzles(path, 600)
    known: dict[bytes, int] = {}
    for puzzle in some:
        board = parse_fen(puzzle.fen)
        for ply, text in enumerate(puzzle.line):
            if ply % 2:
                known[board_key(board)] = moves.encode(board.parse_uci(text), board.turn)
            board.push_uci(text)
    solved = solve(Knows(known), some)
    assert solved.whole.all()
    assert solved.first.all()
    guessed = solve(Hashed("any"), some)
    assert guessed.whole.sum() < guessed.first.sum() < len(some) / 4
    assert not (guessed.whole & ~guessed.first).any()


SUITES = {
    "wac": 300, "iq2": 201, "gmg1": 100, "kaufman": 25, "nolot": 12, "sts_v3": 1500, "sts_v6_sf15": 1188,
    "bratko_kopec": 24, "silent_but_deadly": 134, "lct2": 35,
}  # fmt: skip


@pytest.mark.parametrize(("name", "count"), SUITES.items())
def test_real_suites_are_all_read_and_solved_by_who_knows_them(name: str, count: int, shared_data: Path) -> None:
    positions = read_suite(shared_data / "suites" / f"{name}.epd")
    assert len(positions) == count
    for position in positions:
        board = parse_fen(position.fen)
        assert position.best | position.avoid <= set(moves.encode_all(board.legal_moves, board.turn))
    right = {board_key(chess.Board(position.fen)): min(position.best) for position in positions if position.best}
    known = [position for position in positions if position.best]
    solved = solve_suite(Knows(right), known)
    assert solved.mean() > 0.99  # a few positions stand twice, with other best moves
    wrong = {board_key(chess.Board(position.fen)): min(position.avoid) for position in positions if position.avoid}
    assert not solve_suite(Knows(wrong), [position for position in positions if position.avoid]).any()
