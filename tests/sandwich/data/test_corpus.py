"""Corpora: what is learned from their rows, what is refused, and the real engine that makes them, killed or not."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines import moves, planes
from engines.positions import parse_fen
from sandwich.data import corpus, openings
from sandwich.data.corpus import CorpusError
from sandwich.data.generate import GenerateConfig, generate
from sandwich.runtime.files import parquet_bytes, write_whole
from sandwich.training.labels import examples
from sandwich.training.pretraining import HELD_BACK, PretrainConfig, load_examples
from tests.helpers.project import needs_stockfish

START = planes.pack(chess.Board())


def rows(count: int = 3, **columns: list[Any]) -> pa.Table:
    """A table of `count` rows of the starting position, with some columns given."""
    plain: dict[str, list[Any]] = {
        "position": [START] * count,
        "game": [1] * count,
        "ply": list(range(count)),
        "played": [7] * count,
        "moves": [[3, 5]] * count,
        "scores": [[0.5, 0.25]] * count,
        "result": [1.0] * count,
    }
    return corpus.table(plain | columns)


def make_corpus(folder: Path, *shards: pa.Table) -> Path:
    """A corpus of these shards."""
    corpus.open_corpus(folder, {"made_by": "a test"})
    for number, content in enumerate(shards):
        write_whole(corpus.shard_path(folder, number), parquet_bytes(content))
    return folder


# What is learned from a row


def test_a_label_becomes_the_softmax_of_its_scores() -> None:
    found = examples(rows(1, moves=[[3, 5, 9]], scores=[[0.6, 0.5, 0.2]]), lines=4, temperature=0.1)
    shares = np.exp([0, -1, -4])
    assert found.moves.tolist() == [[3, 5, 9, -1]]
    assert found.policy[0] == pytest.approx([*(shares / shares.sum()), 0], abs=1e-6)
    assert found.weight.tolist() == [1]
    assert found.packed.tolist() == [list(START)]


def test_a_line_counts_at_most_as_much_as_the_one_before() -> None:
    found = examples(rows(1, moves=[[3, 5, 9]], scores=[[0.5, 0.7, 0.4]]), lines=3, temperature=0.1)
    shares = np.exp([0, 0, -1])
    assert found.policy[0] == pytest.approx(shares / shares.sum(), abs=1e-6)
    assert found.wdl[0] == pytest.approx([0.25, 0.5, 0.25])  # the value is the first line's


def test_only_so_many_lines_count() -> None:
    found = examples(rows(1, moves=[[3, 5, 9]], scores=[[0.5, 0.5, 0.5]]), lines=2, temperature=0.1)
    assert found.moves.tolist() == [[3, 5]]
    assert found.policy[0] == pytest.approx([0.5, 0.5])


def test_a_row_without_label_teaches_the_move_played_and_the_result() -> None:
    content = rows(3, moves=[[]] * 3, scores=[[]] * 3, played=[7, 8, 1857], result=[1.0, 0.5, 0.0])
    found = examples(content, lines=3, temperature=0.03)
    assert found.moves.tolist() == [[7, -1, -1], [8, -1, -1], [1857, -1, -1]]
    assert found.policy.tolist() == [[1, 0, 0]] * 3
    assert found.wdl.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_rows_with_and_without_label_do_not_mix() -> None:
    content = rows(3, moves=[[3], [], [4, 5]], scores=[[0.9], [], [0.5, 0.5]], result=[0.0, 0.0, 1.0])
    found = examples(content, lines=2, temperature=0.1)
    assert found.moves.tolist() == [[3, -1], [7, -1], [4, 5]]
    assert found.policy.tolist() == [[1, 0], [1, 0], [0.5, 0.5]]
    assert found.wdl == pytest.approx(np.array([[0.85, 0.1, 0.05], [0, 0, 1], [0.25, 0.5, 0.25]]), abs=1e-6)


@pytest.mark.parametrize(
    ("score", "wdl"),
    [(0.0, (0, 0, 1)), (1.0, (1, 0, 0)), (0.5, (0.25, 0.5, 0.25)), (0.75, (0.625, 0.25, 0.125))],
)
def test_a_score_becomes_wins_draws_and_losses(score: float, wdl: tuple[float, float, float]) -> None:
    found = examples(rows(1, moves=[[3]], scores=[[score]]), lines=1, temperature=0.1)
    assert found.wdl[0] == pytest.approx(wdl)
    assert found.wdl[0, 0] + found.wdl[0, 1] / 2 == pytest.approx(score)


# Files and folders


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    boards = [chess.Board(), chess.Board("8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3")]
    content = rows(2, position=[planes.pack(board) for board in boards], moves=[[1857], []], scores=[[0.1], []])
    (there,) = corpus.read([make_corpus(tmp_path / "made", content)])
    assert there.equals(content)
    assert there.schema.equals(corpus.SCHEMA)
    assert there.schema.metadata[b"version"] == corpus.VERSION.encode()
    packed = [np.frombuffer(cell.as_py(), "<u8").astype(np.uint64) for cell in there["position"]]
    assert [planes.unpack(row).fen().rsplit(" ", 1)[0] for row in packed] == [
        board.fen().rsplit(" ", 1)[0] for board in boards
    ]


def test_the_same_table_is_the_same_bytes() -> None:
    assert parquet_bytes(rows(100)) == parquet_bytes(rows(100))


def test_shards_are_read_in_order_and_one_corpus_after_the_other(tmp_path: Path) -> None:
    one = make_corpus(tmp_path / "one", *[rows(1, game=[number]) for number in range(12)])
    other = make_corpus(tmp_path / "other", rows(1, game=[99]))
    assert [content["game"][0].as_py() for content in corpus.read([other, one])] == [99, *range(12)]


def one_line(caught: pytest.ExceptionInfo[CorpusError]) -> str:
    """What was said, which must be one line."""
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_a_corpus_made_with_other_settings_is_refused(tmp_path: Path) -> None:
    corpus.open_corpus(tmp_path / "made", {"seed": 1, "nodes": 50})
    corpus.open_corpus(tmp_path / "made", {"nodes": 50, "seed": 1})
    with pytest.raises(CorpusError, match="nodes=50, not 60: choose another folder") as caught:
        corpus.open_corpus(tmp_path / "made", {"seed": 1, "nodes": 60})
    assert str(tmp_path / "made") in one_line(caught)
    with pytest.raises(CorpusError, match="lines=None, not 4"):
        corpus.open_corpus(tmp_path / "made", {"seed": 1, "nodes": 50, "lines": 4})
    assert corpus.description(tmp_path / "made") == {"version": corpus.VERSION, "seed": 1, "nodes": 50}


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(CorpusError, match="not empty") as caught:
        corpus.open_corpus(tmp_path, {"seed": 1})
    one_line(caught)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="is a file") as caught:
        corpus.open_corpus(tmp_path / "file", {"seed": 1})
    one_line(caught)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    corpus.open_corpus(tmp_path, {"seed": 1})
    assert corpus.description(tmp_path)["seed"] == 1


def test_a_description_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text('{"seed": ')
    with pytest.raises(CorpusError, match="readable corpus.json") as caught:
        corpus.open_corpus(tmp_path, {"seed": 1})
    one_line(caught)


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        for ask in (corpus.shards, corpus.description, lambda folder: list(corpus.read([folder]))):
            with pytest.raises(CorpusError, match="is no corpus") as caught:
                ask(folder)
            assert str(folder) in one_line(caught)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "header", "footer"])
def test_a_damaged_shard_is_refused(tmp_path: Path, damage: str) -> None:
    path = corpus.shard_path(make_corpus(tmp_path / "made", rows(200)), 0)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[: len(whole) // 2],
            "empty": b"",
            "text": b"1. e4 e5\n" * 100,
            "header": b"PAR2" + whole[4:-4] + b"PAR2",
            "footer": whole[:-400] + bytes(392) + whole[-8:],
        }[damage]
    )
    with pytest.raises(CorpusError, match="cannot be read") as caught:
        list(corpus.read([tmp_path / "made"]))
    assert str(path) in one_line(caught)


def test_no_damage_ends_in_another_error(tmp_path: Path) -> None:
    path = corpus.shard_path(make_corpus(tmp_path / "made", rows(20)), 0)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    refused = []
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            list(corpus.read([tmp_path / "made"]))
        except CorpusError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not [said for said in refused if "\n" in said]


@pytest.mark.parametrize(
    "other",
    [
        rows().replace_schema_metadata({"version": "sandwich-corpus/0"}),
        rows().replace_schema_metadata(None),
        rows().drop_columns(["result"]),
        rows().append_column("fen", pa.array(["8/8"] * 3)),
        pa.table({"a": [1]}),
    ],
    ids=["version", "no version", "fewer columns", "more columns", "another table"],
)
def test_a_shard_of_another_kind_is_refused(tmp_path: Path, other: pa.Table) -> None:
    path = corpus.shard_path(make_corpus(tmp_path / "made"), 0)
    pq.write_table(other, path)
    with pytest.raises(CorpusError, match=f"is not of version {corpus.VERSION}") as caught:
        list(corpus.read([tmp_path / "made"]))
    assert str(path) in one_line(caught)


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    write_whole(tmp_path / "file", b"new and longer")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"new and longer")]


# The real engine

SMALL = GenerateConfig(seed=5, shards=2, games_per_shard=2, nodes=50, ply_cap=60)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus, made by one process."""
    folder = tmp_path_factory.mktemp("corpus") / "made"
    counts = dict(generate(folder, SMALL, processes=1))
    assert counts == {number: pq.read_metadata(path).num_rows for number, path in enumerate(corpus.shards(folder))}
    return folder


@needs_stockfish
def test_the_number_of_processes_does_not_show_in_a_byte(made: Path, tmp_path: Path) -> None:
    assert [shard for shard, _ in sorted(generate(tmp_path / "by two", SMALL, processes=2))] == [0, 1]
    assert contents(tmp_path / "by two") == contents(made)
    assert sorted(contents(made)) == ["corpus.json", "shard-00000.parquet", "shard-00001.parquet"]


@needs_stockfish
def test_only_what_is_missing_is_made_again(made: Path) -> None:
    before = contents(made)
    first, second = corpus.shards(made)
    first.unlink()
    times = {path: path.stat().st_mtime_ns for path in (second, made / "corpus.json")}
    assert [shard for shard, _ in generate(made, SMALL, processes=2)] == [0]
    assert contents(made) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert list(generate(made, SMALL, processes=2)) == []


@needs_stockfish
def test_a_corpus_can_grow_but_not_change(made: Path) -> None:
    with pytest.raises(CorpusError, match="nodes=50, not 51"):
        list(generate(made, SMALL.model_copy(update={"nodes": 51}), processes=1))
    corpus_of_one = SMALL.model_copy(update={"shards": 1})
    assert list(generate(made, corpus_of_one, processes=1)) == []


@needs_stockfish
def test_every_label_and_move_is_legal_and_games_follow_their_moves(made: Path) -> None:
    games: dict[int, list[dict[str, Any]]] = {}
    for content in corpus.read([made]):
        for row in content.to_pylist():
            games.setdefault(row["game"], []).append(row)
    assert sorted(games) == [0, 1, 2, 3]
    for plies in games.values():
        assert [row["ply"] for row in plies] == list(range(plies[0]["ply"], plies[0]["ply"] + len(plies)))
        board = planes.unpack(np.frombuffer(plies[0]["position"], "<u8"))
        score_of_white = plies[0]["result"] if board.turn else 1 - plies[0]["result"]
        for row in plies:
            assert row["position"] == np.array(planes.pack(board), "<u8").tobytes()
            legal = moves.encode_all(board.legal_moves, board.turn)
            assert {row["played"], *row["moves"]} <= set(legal)
            assert 1 <= len(set(row["moves"])) == len(row["moves"]) == len(row["scores"]) <= SMALL.lines
            assert all(0 <= score <= 1 for score in row["scores"])
            assert row["result"] == (score_of_white if board.turn else 1 - score_of_white)
            board.push(moves.decode(row["played"], board))
        if board.is_checkmate():
            assert score_of_white == (not board.turn)


def ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether nobody holds the process's output any more: it and all that it started are gone."""
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        return False
    return True


def start(script: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """A Python process of its own, in its own group, so that whatever is left of it can be ended."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End all that is left of a process's group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


GENERATE = """
import sys
from pathlib import Path
from sandwich.data.generate import GenerateConfig, generate
config = GenerateConfig(seed=5, shards=1000, games_per_shard=1, nodes=50, ply_cap=60)
for shard, _ in generate(Path(sys.argv[1]), config, processes=2):
    print(shard, flush=True)
"""

AT_WORK = """
import os, time
from sandwich.runtime.processes import pool
if __name__ == "__main__":
    with pool(2) as workers:
        pids = [workers.submit(os.getpid).result() for _ in range(2)]
        waiting = [workers.submit(time.sleep, 600) for _ in range(4)]
        print("at work", flush=True)
        waiting[0].result()
"""


@needs_stockfish
def test_workers_end_with_a_killed_generation_which_can_be_gone_on_with(tmp_path: Path) -> None:
    process = start(GENERATE, str(tmp_path / "made"))
    try:
        assert process.stdout
        assert process.stdout.readline().strip().isdigit()
        process.kill()
        assert ended(process)
    finally:
        end_group(process)
    there = corpus.shards(tmp_path / "made")
    assert 1 <= len(there) < 1000
    assert sum(content.num_rows for content in corpus.read([tmp_path / "made"])) > 0
    config = GenerateConfig(seed=5, shards=1, games_per_shard=1, nodes=50, ply_cap=60)
    before = corpus.shard_path(tmp_path / "made", 0)
    again = dict(generate(tmp_path / "made", config, processes=1))
    assert set(again) <= {0}
    assert before.exists()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_in_the_middle_of_their_work_when_who_started_them_is_gone(sign: signal.Signals) -> None:
    process = start(AT_WORK)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"at work\n"
        process.send_signal(sign)
        assert ended(process)
    finally:
        end_group(process)


# Openings


def test_the_shipped_books_have_their_size() -> None:
    sizes = [len(book) for book in (openings.book("measure"), openings.book("play"), openings.positions())]
    assert sizes == [983, 2000, 488]


def test_every_shipped_position_is_legal_goes_on_and_stands_once() -> None:
    for book in (openings.book("measure"), openings.book("play"), openings.positions()):
        boards = [parse_fen(fen) for fen in book]
        assert not [board.fen() for board in boards if board.is_game_over()]
        assert [f"{board.epd()} 0 1" for board in boards] == list(book)
        assert len({board.epd() for board in boards}) == len(book)


def test_no_two_purposes_share_a_position() -> None:
    measure, play, positions = map(set, (openings.book("measure"), openings.book("play"), openings.positions()))
    assert not measure & play
    assert not measure & positions
    assert not play & positions


@pytest.mark.parametrize("purpose", openings.PURPOSES)
def test_every_opening_is_in_the_book_that_its_hash_says(purpose: openings.Purpose) -> None:
    assert {openings.purpose_of(chess.Board(fen)) for fen in openings.book(purpose)} == {purpose}


def test_a_purpose_does_not_depend_on_counters() -> None:
    one, other = (chess.Board(f"8/8/3k4/8/2R5/8/3K1B2/8 w - - {counters}") for counters in ("0 1", "33 70"))
    assert openings.purpose_of(one) == openings.purpose_of(other)


def test_measured_positions_are_not_learned_from(tmp_path: Path) -> None:
    measured = [chess.Board(fen) for fen in (*openings.book("measure")[:5], *openings.positions()[:5])]
    later = [board.copy() for board in measured]
    for board in later:
        board.halfmove_clock = 9  # another counter makes no other position
    free = [chess.Board(fen) for fen in openings.book("play")[:10]]
    everything = [planes.pack(board) for board in (*measured, *later, *free)]
    count = len(everything)
    content = [rows(count, position=everything, game=[game] * count) for game in (1, HELD_BACK)]
    folder = make_corpus(tmp_path / "made", *content)
    train, held = load_examples([folder], PretrainConfig(), openings.measured_positions())
    for learned in (train, held):
        assert learned.packed.tolist() == [list(planes.pack(board)) for board in free]


def test_games_are_held_back_whole(tmp_path: Path) -> None:
    games = [game for game in range(3 * HELD_BACK) for _ in range(2)]
    positions = [(*START[:9], game) for game in games]  # the last word tells them apart
    folder = make_corpus(tmp_path / "made", rows(len(games), position=positions, game=games))
    train, held = load_examples([folder], PretrainConfig(), frozenset())
    assert held.packed[:, 9].tolist() == [0, 0, HELD_BACK, HELD_BACK, 2 * HELD_BACK, 2 * HELD_BACK]
    assert train.packed[:, 9].tolist() == [game for game in games if game % HELD_BACK]
    half, _ = load_examples([folder], PretrainConfig(fraction=0.5), frozenset())
    kept = half.packed[:, 9].tolist()
    assert 0.35 < len(kept) / len(train) < 0.65
    assert kept[::2] == kept[1::2]  # a game is taken whole or not


@pytest.mark.parametrize("name", [".DS_Store", ".gitkeep"])
def test_a_corpus_begins_beside_a_hidden_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    corpus.open_corpus(tmp_path, {"made_by": "a test"})
    assert corpus.description(tmp_path)["made_by"] == "a test"
