"""PGN of any quality into a corpus: what is kept, what is left out and why, and going on after a kill."""

import bz2
import gzip
import io
import json
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chess
import chess.pgn
import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard
from pydantic import ValidationError

from engines import moves, planes
from sandwich.data import corpus
from sandwich.data.pgn import LONGEST, Place, RawGame, Reason, SkipError, Skipped, main_line, raw_games
from sandwich.data.pgn_import import Game, ImportConfig, ImportReport, import_pgn, read_game, read_report

MOVES = "1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. O-O Be7"
LINE = ["e2e4", "e7e5", "g1f3", "b8c6", "f1b5", "a7a6", "b5a4", "g8f6", "e1g1", "f8e7"]
ANY = ImportConfig(min_plies=1)


def pgn(movetext: str = f"{MOVES} 1-0", **tags: str) -> str:
    """One game; its Result tag is that of the moves unless given."""
    tags = {"Event": "?", "White": "A", "Black": "B", "Result": movetext.split()[-1] if movetext else "*"} | tags
    return "\n".join(f'[{name} "{value}"]' for name, value in tags.items()) + f"\n\n{movetext}\n\n"


def outcomes(content: str | bytes, config: ImportConfig = ANY) -> list[Game | Skipped]:
    """What becomes of each game in a file of that content."""
    data = content.encode() if isinstance(content, str) else content
    found: list[Game | Skipped] = []
    for raw in raw_games(io.BufferedReader(io.BytesIO(data)), "a.pgn"):
        if isinstance(raw, Skipped):
            found.append(raw)
            continue
        try:
            found.append(read_game(raw, config))
        except SkipError as error:
            found.append(Skipped(error.reason, Place(raw.file, raw.number, str(error))))
    return found


def line(game: Game | Skipped) -> list[str]:
    """Moves of a game kept, as UCI; what was wrong with another."""
    if isinstance(game, Skipped):
        return [game.reason, game.place.detail]
    boards = [planes.unpack(packed) for packed in game.packed]
    return [moves.decode(int(number), board).uci() for number, board in zip(game.played, boards, strict=True)]


def reasons(content: str | bytes, config: ImportConfig = ANY) -> list[str]:
    """`kept`, or the reason against it, of each game."""
    return [str(found.reason) if isinstance(found, Skipped) else "kept" for found in outcomes(content, config)]


def run(folder: Path, *files: Path, processes: int = 1, **settings: Any) -> ImportReport:
    """A whole import."""
    *_, last = import_pgn(files, folder, ImportConfig(**{"min_plies": 1, **settings}), processes)
    assert last.report is not None
    return last.report


def write(path: Path, content: str | bytes) -> Path:
    """A file of that content, compressed if its name says so."""
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(zstandard.compress(data) if path.suffix == ".zst" else data)
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of a corpus."""
    return [row for table in corpus.read([folder]) for row in table.to_pylist()]


def test_every_position_has_the_move_played_and_the_result_for_its_mover(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pgn", pgn("1. e4 d5 2. exd5 0-1") + pgn("1. d4 1/2-1/2"))
    run(tmp_path / "out", file)
    board = chess.Board()
    found = rows(tmp_path / "out")
    for ply, uci in enumerate(["e2e4", "d7d5", "e4d5"]):
        move = chess.Move.from_uci(uci)
        assert found[ply] == {
            "position": np.array(planes.pack(board), "<u8").tobytes(),
            "game": 0,
            "ply": ply,
            "played": moves.encode(move, board.turn),
            "moves": [],
            "scores": [],
            "result": 0 if board.turn else 1,
        }
        board.push(move)
    assert [(row["game"], row["ply"], row["result"]) for row in found[3:]] == [(1, 0, 0.5)]
    assert pq.read_table(corpus.shard_path(tmp_path / "out", 0)).schema.equals(corpus.SCHEMA)


@pytest.mark.parametrize(
    "movetext",
    [
        "1.e4 e5 2.Nf3 Nc6 3.Bb5 a6 4.Ba4 Nf6 5.0-0 Be7 1-0",
        "e4 e5 Nf3 Nc6 Bb5 a6 Ba4 Nf6 O-O Be7 1-0",
        "1. e4 { [%clk 0:01:00] } 1... e5 {[%eval 0.2]} 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. O-O Be7 1-0",
        "1. e4 $1 e5! 2. Nf3?! Nc6 (2... d6 (2... Nf6 $2) 3. d4) 3. Bb5 a6 4. Ba4+ Nf6!! 5. O-O Be7 += 1-0 {resigns}",
        "1. e4 e5 ; 2. d4 {\n2. Nf3 Nc6\n%escaped 3. d4 {\n3. Bb5 a6 4. Ba4 Nf6 5. O-O Be7 1-0",
        "{ blank lines }\n\n1. e4 e5 2. Nf3 {in a\n\ncomment} Nc6\n\n3. Bb5 a6 4. Ba4 Nf6 5. O-O Be7\n1-0",
        "e2e4 e7e5 g1f3 b8c6 f1b5 a7a6 b5a4 g8f6 e1g1 f8e7 1-0",
        "1.e4$1 e5$2$3 2.Nf3!$1 Nc6?!$6 3.Bb5$146{Ruy Lopez}a6(3...Nf6$5)4.Ba4;back\nNf6 5.O-O$10 Be7$1 1-0",
        "1.e4!e5 2.Nf3$1Nc6 3.Bb5!!(3.Bc4)a6 4.Ba4{x}Nf6 5.O-O!Be7 1-0",
        "1. e2-e4 e7-e5 2. Ng1-f3 Nb8c6 3. Bf1-b5 a6 4. Bb5-a4 Nf6 5. O-O Bf8-e7 1-0",
    ],
)
def test_moves_are_read_however_they_are_written(movetext: str) -> None:
    assert [line(game) for game in outcomes(pgn(movetext) * 2)] == [LINE, LINE]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + pgn().encode() + b"\xef\xbb\xbf" + pgn().encode(),  # two files with marks put together
        (pgn() * 2).replace("\n", "\r\n").encode(),
        (pgn() * 2).replace("\n", "\r").encode(),
        pgn(White="Müller").encode("latin-1") + pgn(White="Müller").encode(),
        (pgn() * 2).encode() + b"\x1a",
        (pgn() * 2).rstrip().encode(),
        (pgn() * 2).replace("\n\n", "\n").encode(),  # no empty line anywhere
        zstandard.compress((pgn() * 2).encode()),
        zstandard.compress(pgn().encode()) * 2,
        b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstandard.compress((pgn() * 2).encode()),  # a skippable frame first
        f"{MOVES} 1-0\n\n{MOVES} 1-0".encode(),  # without any tag
    ],
    ids=[
        "bom",
        "crlf",
        "cr",
        "latin-1",
        "dos-end",
        "no-last-newline",
        "dense",
        "zst",
        "frames",
        "skippable",
        "tagless",
    ],
)
def test_files_are_read_however_they_are_stored(content: bytes) -> None:
    assert [line(game) for game in outcomes(content)] == [LINE, LINE]


NINE_SIXTY = "bnrbkrqn/pppppppp/8/8/8/8/PPPPPPPP/BNRBKRQN w KQkq - 0 1"
TWO_ROOKS = "4k3/8/8/8/8/8/4K3/R6R w - - 0 1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (pgn(Variant="Atomic"), Reason.VARIANT),
        (pgn(Variant="Chess960"), Reason.CHESS960),
        (pgn(FEN=NINE_SIXTY), Reason.CHESS960),  # the tag is forgotten often
        (pgn(FEN="8/8/8/8/8/8/8/8 w - - 0 1"), Reason.START),
        (pgn(FEN="nonsense"), Reason.START),
        (pgn(f"{MOVES} *"), Reason.NO_RESULT),
        (pgn(f"{MOVES} *", Result="1-0"), Reason.NO_RESULT),
        (pgn(MOVES, Result="1-0"), Reason.NO_RESULT),  # may have been cut off
        (pgn(""), Reason.NO_RESULT),
        (pgn(Result="0-1"), Reason.CONTRADICTORY),
        (pgn("1-0"), Reason.SHORT),
        (pgn("1. e4 e5 2. Ke3 1-0"), Reason.ILLEGAL),
        (pgn("1. e4 e5 2. Qh5 Ke7 3. Qxe5+ Ke6 1-0"), Reason.ILLEGAL),  # goes into check
        (pgn("1. d4 e6 2. c4 Bb4+ 3. a3 1-0"), Reason.ILLEGAL),  # stays in check
        (pgn("1. e4 d5 2. e5 f5 3. d4 a6 4. exf6 h5 5. exd6 1-0"), Reason.ILLEGAL),
        (pgn("1. Rd1 1-0", FEN=TWO_ROOKS), Reason.AMBIGUOUS),
        (pgn("1. e4 -- 2. d4 1-0"), Reason.NULL),
        (pgn("1. e4 e5 2. Sf3 Sc6 1-0"), Reason.UNREADABLE),  # German
        (pgn("1. e4 e5 (2. Nf3 1-0"), Reason.UNREADABLE),
        (pgn("1. e4 e5 ) 2. Nf3 1-0"), Reason.UNREADABLE),
        (pgn("1. e4 1-0 e5 2. Nf3 1-0"), Reason.UNREADABLE),
        (pgn("1. e4 e5 {never closed 1-0"), Reason.UNREADABLE),
        (pgn("1. e4 e5 { a { b } c } 1-0"), Reason.UNREADABLE),
        (pgn(f"1. e4 {'x' * 99} 1-0"), Reason.UNREADABLE),
        (pgn(f"{'(' * 100_000}{')' * 99_999} 1-0"), Reason.UNREADABLE),
        (pgn(f"1. e4 {{{'x' * LONGEST}}} 1-0"), Reason.LONG),
    ],
)
def test_a_game_in_doubt_is_left_out_alone(text: str, reason: Reason) -> None:
    assert reasons(pgn() + text + pgn()) == ["kept", reason, "kept"]


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ({"Variant": "Standard"}, True),
        ({"Variant": "From Position", "FEN": chess.STARTING_FEN}, True),
        ({"Result": "?"}, True),
        ({"Result": "*"}, True),  # left as it was when the game began
        ({"FEN": "rnbqkbnr/pppp1ppp/8/4p3/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 2"}, False),
    ],
)
def test_what_tags_say_beside_the_moves(tags: dict[str, str], kept: bool) -> None:
    assert (reasons(pgn(**tags)) == ["kept"]) == kept


def test_a_game_may_start_from_any_standard_position() -> None:
    (game,) = outcomes(pgn("1... Kd7 2. Rhd1+ 1-0", FEN="4k3/8/8/8/8/8/4K3/R6R b - - 0 40"))
    assert line(game) == ["e8d7", "h1d1"]
    assert isinstance(game, Game)
    assert game.first_ply == 0  # the record starts here, whatever the number of the move


def test_special_moves_and_pins_are_those_of_the_rules() -> None:
    (castling, passant, promotion, pinned) = outcomes(
        pgn("1. O-O-O Kf7 2. Kb1 1-0", FEN="4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1")
        + pgn("1. e4 a6 2. e5 d5 3. exd6 1-0")
        + pgn("1. bxa8=N Kd8 1-0", FEN="r3k3/1P6/8/8/8/8/8/4K3 w - - 0 1")
        + pgn("1. Nd2 1-0", FEN="4k3/4r3/8/8/8/4N3/8/1N2K3 w - - 0 1")
    )
    assert line(castling)[0] == "e1c1"
    assert line(passant)[-1] == "e5d6"
    assert line(promotion)[0] == "b7a8n"
    assert line(pinned) == ["b1d2"]


def test_an_unclosed_comment_does_not_take_the_rest_of_the_file() -> None:
    assert reasons(pgn("1. e4 { oh") + pgn() * 2) == [Reason.UNREADABLE, "kept", "kept"]


def test_text_between_games_is_told_once() -> None:
    text = "Here is a fine game:\n\n" + pgn() + "And another one:\n\n" + pgn()
    assert reasons(text) == ["kept", "kept", Reason.TEXT]


@pytest.mark.parametrize(
    ("settings", "tags", "expected"),
    [
        ({"min_rating": 1500}, {"WhiteElo": "1400", "BlackElo": "1600"}, "kept"),
        ({"min_rating": 1501}, {"WhiteElo": "1400", "BlackElo": "1600"}, Reason.RATING),
        ({"max_rating": 1499.5}, {"WhiteElo": "1400", "BlackElo": "1600"}, Reason.RATING),
        ({"max_rating": 1500}, {"WhiteElo": "1400?", "BlackElo": "1600"}, "kept"),  # provisional
        ({"min_rating": 1}, {"WhiteElo": "?", "BlackElo": "1600"}, Reason.NO_RATING),
        ({"min_rating": 1}, {"WhiteElo": "0", "BlackElo": "1600"}, Reason.NO_RATING),
        ({"max_rating": 3000}, {}, Reason.NO_RATING),
        ({}, {}, "kept"),
        ({"min_seconds": 180}, {"TimeControl": "60+3"}, "kept"),
        ({"min_seconds": 181}, {"TimeControl": "60+3"}, Reason.TIME_CONTROL),
        ({"max_seconds": 299}, {"TimeControl": "300"}, Reason.TIME_CONTROL),
        ({"max_seconds": 11.2}, {"TimeControl": "8+0.08"}, "kept"),
        ({"min_seconds": 0}, {"TimeControl": "-"}, Reason.NO_TIME_CONTROL),
        ({"max_seconds": 9000}, {"TimeControl": "40/7200:3600"}, Reason.NO_TIME_CONTROL),
        ({"max_seconds": 9000}, {}, Reason.NO_TIME_CONTROL),
        ({"results": ("1-0",)}, {}, "kept"),
        ({"results": ("0-1", "1/2-1/2")}, {}, Reason.RESULT),
        ({"results": ("0-1", "1/2-1/2")}, {"Result": "?"}, Reason.RESULT),
        ({"min_plies": 10}, {}, "kept"),
        ({"min_plies": 11}, {}, Reason.SHORT),
        ({"skip_opening_plies": 9}, {}, "kept"),
        ({"skip_opening_plies": 10}, {}, Reason.SHORT),  # nothing would be left of it
    ],
)
def test_only_wanted_games_are_kept(settings: dict[str, Any], tags: dict[str, str], expected: str) -> None:
    assert reasons(pgn(**tags), ImportConfig(**{"min_plies": 1, **settings})) == [expected]


@pytest.mark.parametrize(
    "settings",
    [{"min_rating": 2000, "max_rating": 1000}, {"results": ()}, {"results": ("*",)}, {"min_plies": 0}, {"elo": 1}],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImportConfig(**settings)


def test_opening_plies_are_skipped_and_plies_keep_their_numbers(tmp_path: Path) -> None:
    run(tmp_path / "out", write(tmp_path / "a.pgn", pgn()), skip_opening_plies=8)
    found = rows(tmp_path / "out")
    assert [row["ply"] for row in found] == [8, 9]
    assert planes.unpack(np.frombuffer(found[0]["position"], "<u8")).fullmove_number == 1
    assert [row["result"] for row in found] == [1, 0]


@pytest.mark.parametrize("length", [0.3, 0.7, 0.99])
def test_a_truncated_file_keeps_what_came_before(length: float) -> None:
    rng = np.random.default_rng(1)
    text = "".join(pgn(Event=rng.bytes(600).hex()) for _ in range(2000))
    data = zstandard.compress(text.encode())
    found = reasons(data[: int(length * len(data))])
    assert set(found[:-1]) == {"kept"}
    assert found[-1] == Reason.TRUNCATED
    assert len(found) == pytest.approx(2000 * length, abs=250)  # a block of zstd is up to 128 KiB


def test_a_damaged_file_keeps_what_came_before() -> None:
    whole = zstandard.compress((pgn() * 3).encode())
    assert reasons(whole + b"garbage") == ["kept"] * 3 + [Reason.DAMAGED]
    assert reasons(whole + whole[:9]) == ["kept"] * 3 + [Reason.TRUNCATED]


def test_a_game_cut_off_by_the_end_of_a_plain_file_is_left_out() -> None:
    whole = pgn() * 2
    assert reasons(whole[: whole.rindex("5. O-O")]) == ["kept", Reason.NO_RESULT]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"A recipe for pancakes.\nTake two eggs.\n",
        bytes(range(256)) * 50,
        '[Event "?"]'.encode("utf-16"),
        b'{"json": [1, 2]}',
        b'[kj90trkm"sdfsdf"yl]\ng(erg)\nr23 *',
        zstandard.compress(b"nothing"),
        zstandard.compress(b""),
    ],
)
def test_a_file_that_is_not_pgn_is_told_as_such(content: bytes) -> None:
    assert reasons(content) == [Reason.NOT_PGN]


def test_memory_does_not_grow_with_the_file() -> None:
    content = zstandard.compress(b"x" * (64 << 20))
    tracemalloc.start()
    try:
        assert reasons(content) == [Reason.NOT_PGN]
        assert tracemalloc.get_traced_memory()[1] < 48 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("begin", ["1. e4 {", "1. e4 ", '[Event "', '[Event "x"]\n\n1. e4 (', ""])
def test_memory_does_not_grow_with_a_line(begin: str) -> None:
    content = zstandard.compress(pgn().encode() + begin.encode() + b"1.e4 e5 " * (4 << 20))
    tracemalloc.start()
    try:
        assert reasons(content)[0] == "kept"
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_compressed_file_is_read_and_one_that_ends_early_is_told(pack: Callable[[bytes], bytes]) -> None:
    content = pack((pgn() * 3).encode())
    assert reasons(content) == ["kept"] * 3
    assert reasons(content[:-5])[-1] == Reason.TRUNCATED


def with_window(content: bytes, log: int) -> bytes:
    """The content compressed as by `zstd --long=log` from a pipe."""
    parameters = zstandard.ZstdCompressionParameters(window_log=log, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(content) + packer.flush()


def test_a_long_window_is_read_and_one_too_long_is_named() -> None:
    assert reasons(with_window(pgn().encode(), 28)) == ["kept"]
    (found,) = outcomes(with_window(pgn().encode(), 31))
    assert isinstance(found, Skipped)
    assert found.place.detail.startswith("needs a window of 2048 MiB, read are at most 512 MiB")


def test_damage_anywhere_is_survived() -> None:
    rng = np.random.default_rng(0)
    text = (pgn(f"{MOVES} (5. d3 {{slow}}) 6. Re1 1-0") + pgn(FEN=TWO_ROOKS, Variant="From Position")) * 2
    for number in range(150):
        data = bytearray(text.encode())
        for at in rng.integers(len(data), size=4):
            data[at : at + int(rng.integers(4))] = rng.choice([b"{", b"(", b")", b"\n\n", b"\xff", b"[", b'"', b"*"])
        stored = zstandard.compress(bytes(data)) if number % 2 else bytes(data)
        assert outcomes(stored[: rng.integers(len(stored))])


def test_the_report_counts_and_shows_the_first_of_each_reason(tmp_path: Path) -> None:
    first = write(tmp_path / "first.pgn.zst", pgn() + pgn("1. e4 e5 2. Ke3 1-0") + pgn(Variant="Atomic"))
    second = write(tmp_path / "second.pgn", pgn("1. e4 e6 2. Ke3 1-0") + pgn())
    third = write(tmp_path / "third.pgn", "not chess")
    report = run(tmp_path / "out", first, second, third)
    after = "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2"
    assert report == ImportReport(
        games=5,
        kept=2,
        positions=20,
        skipped={"illegal move": 2, "variant": 1, "not PGN": 1},
        examples={
            "illegal move": Place("first.pgn.zst", 2, f"ply 2: illegal san: 'Ke3' in {after}"),
            "variant": Place("first.pgn.zst", 3, "Atomic"),
            "not PGN": Place("third.pgn", None, "'not chess'"),
        },
    )
    assert read_report(tmp_path / "out") == report
    assert json.loads((tmp_path / "out" / "import-report.json").read_text())["skipped"]["illegal move"] == 2


def test_the_corpus_says_how_it_was_made(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pgn", pgn())
    run(tmp_path / "out", file, min_rating=None, results=("1-0",))
    about = json.loads((tmp_path / "out" / "corpus.json").read_text())
    assert about["made_by"] == "corpus import"
    assert about["files"] == [{"name": "a.pgn", "bytes": file.stat().st_size}]
    assert about["results"] == ["1-0"]
    assert str(tmp_path) not in json.dumps(about)


def test_progress_leads_to_the_end(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.pgn", pgn() * 200), write(tmp_path / "b.pgn.zst", pgn() * 100)]
    steps = list(import_pgn(files, tmp_path / "out", ANY))
    assert len(steps) > 4
    assert [step.bytes_read for step in steps] == sorted(step.bytes_read for step in steps)
    assert all(step.report is None for step in steps[:-1])
    assert (steps[-1].games, steps[-1].kept, steps[-1].positions) == (300, 300, 3000)
    assert steps[-1].bytes_read == steps[-1].bytes_total == sum(file.stat().st_size for file in files)


def test_shards_hold_a_fixed_number_of_kept_games(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pgn", (pgn() + pgn("*")) * 7)
    run(tmp_path / "out", file, games_per_shard=3)
    tables = list(corpus.read([tmp_path / "out"]))
    assert [sorted(set(table["game"].to_pylist())) for table in tables] == [[0, 1, 2], [3, 4, 5], [6]]


def test_an_import_stops_after_the_games_asked_for(tmp_path: Path) -> None:
    report = run(tmp_path / "out", write(tmp_path / "a.pgn", (pgn() + pgn("*")) * 100), max_games=3)
    assert (report.games, report.kept, report.skipped) == (5, 3, {"no result": 2})


def test_nothing_kept_leaves_a_report_and_no_shard(tmp_path: Path) -> None:
    report = run(tmp_path / "out", write(tmp_path / "a.pgn", pgn("*")))
    assert (report.kept, report.skipped) == (0, {"no result": 1})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["corpus.json", "import-report.json"]


def content_of(folder: Path) -> dict[str, bytes]:
    """Bytes of each file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_complete_import_is_left_as_it_is(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pgn", pgn() * 3)
    report = run(tmp_path / "out", file)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    (only,) = import_pgn([file], tmp_path / "out", ANY)
    assert only.report == report
    assert only.bytes_read == only.bytes_total
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


def test_another_import_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pgn", pgn())
    run(tmp_path / "out", file)
    with pytest.raises(corpus.CorpusError, match="min_rating"):
        run(tmp_path / "out", file, min_rating=1000)
    with pytest.raises(corpus.CorpusError, match="files"):
        run(tmp_path / "out", write(tmp_path / "a.pgn", pgn() * 2))


def test_a_killed_import_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pgn.zst", pgn() * 100 + pgn("1. d4 d5 0-1") * 200)
    settings = {"games_per_shard": 50}
    whole = run(tmp_path / "whole", file, **settings)
    killed = import_pgn([file], tmp_path / "killed", ImportConfig(min_plies=1, games_per_shard=50))
    next(killed)
    killed.close()  # type: ignore[attr-defined]
    first = corpus.shard_path(tmp_path / "killed", 0)
    written = first.stat().st_mtime_ns
    assert not corpus.shard_path(tmp_path / "killed", 1).exists()
    assert run(tmp_path / "killed", file, **settings) == whole
    assert first.stat().st_mtime_ns == written
    assert content_of(tmp_path / "killed") == content_of(tmp_path / "whole")


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.pgn", (pgn() + pgn("1. e4 Ke7 1-0")) * 200), write(tmp_path / "b.pgn", pgn() * 50)]
    one = run(tmp_path / "one", *files, games_per_shard=100)
    assert run(tmp_path / "two", *files, processes=2, games_per_shard=100) == one
    assert content_of(tmp_path / "two") == content_of(tmp_path / "one")


def test_a_file_that_is_not_there_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(corpus.CorpusError, match="missing.pgn cannot be read: No such file"):
        run(tmp_path / "out", tmp_path / "missing.pgn")
    with pytest.raises(corpus.CorpusError, match="expected at least one PGN file"):
        run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_game_without_its_end_says_so() -> None:
    with pytest.raises(SkipError, match="no result at the end") as caught:
        main_line("1. e4 e5")
    assert caught.value.reason == Reason.NO_RESULT


def by_python_chess(raw: RawGame) -> list[str]:
    """Main line as python-chess reads it."""
    game = chess.pgn.read_game(io.StringIO(f"{raw.header}\n\n{raw.movetext}"))
    assert game is not None
    return [move.uci() for move in game.mainline_moves()]


def compare(path: Path, limit: int) -> int:
    """Check the first kept games of a file against python-chess; how many there were."""
    kept = 0
    with path.open("rb") as file:
        for raw in raw_games(file, path.name):
            if kept == limit or not isinstance(raw, RawGame):
                continue
            try:
                game = read_game(raw, ANY)
            except SkipError:
                continue
            assert line(game) == by_python_chess(raw)
            kept += 1
    return kept


def test_every_odd_file_is_imported(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "robustness").rglob("*.pgn"))
    if not files:
        pytest.skip("no robustness files in ../shared/data")
    report = run(tmp_path / "out", *files)
    assert report.kept > 150
    assert report.skipped["variant"] == 17
    assert report.skipped["Chess960"] == 24
    assert report.skipped["null move"] == 3
    assert report.skipped["not PGN"] == 1
    inside = sum(count for reason, count in report.skipped.items() if report.examples[reason].game is not None)
    assert report.games == report.kept + inside
    assert sum(table.num_rows for table in corpus.read([tmp_path / "out"])) == report.positions


def test_kept_games_are_read_as_python_chess_reads_them(shared_data: Path) -> None:
    files = sorted((shared_data / "robustness").rglob("*.pgn"))
    assert sum(compare(path, 3) for path in files) > 40


@pytest.mark.parametrize("name", ["lichess_sample_test", "otb_masters_test"])
def test_real_games_are_read_as_python_chess_reads_them(shared_data: Path, name: str) -> None:
    path = shared_data / "games" / f"{name}.pgn.zst"
    if not path.exists():
        pytest.skip(f"no games/{name}.pgn.zst in ../shared/data")
    with path.open("rb") as file:
        games = raw_games(file, path.name)
        for raw in (next(games) for _ in range(60)):
            assert isinstance(raw, RawGame)
            assert line(read_game(raw, ANY)) == by_python_chess(raw)


def test_real_games_are_filtered_by_rating_and_time(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "games" / "lichess_sample_test.pgn.zst"
    if not path.exists():
        pytest.skip("no games/lichess_sample_test.pgn.zst in ../shared/data")
    report = run(tmp_path / "out", path, min_rating=1200, max_rating=1800, max_seconds=179, max_games=150)
    assert report.kept == 150
    assert report.skipped.keys() <= {"rating out of range", "time control out of range"}
    assert report.games == 150 + sum(report.skipped.values())
