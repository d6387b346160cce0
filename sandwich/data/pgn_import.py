"""PGN files -> a corpus: games of others.

Owns the choice of games, their way into shards through several processes, and the report on those
left out; the reading of PGN is that of `sandwich.data.pgn`, the shards those of `sandwich.data.corpus`. A game
is kept whole or not at all: where its moves or its result are in doubt it is left out, counted, and
the first such place is reported.
"""

import io
import json
import re
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import chess
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from engines import moves, planes
from engines.settings import Frozen
from sandwich.data import corpus
from sandwich.data.pgn import (
    SCORES,
    Place,
    RawGame,
    Reason,
    SkipError,
    Skipped,
    find_move,
    main_line,
    raw_games,
    start_position,
)
from sandwich.runtime.files import parquet_bytes, write_whole
from sandwich.runtime.kept import damaged, read_json
from sandwich.runtime.locks import driver
from sandwich.runtime.processes import pool


class ImportConfig(Frozen):
    """Which games of PGN files become a corpus."""

    min_rating: float | None = None
    """Mean rating of both players at least this; None: no limit."""
    max_rating: float | None = None
    """Mean rating of both players at most this; None: no limit."""
    min_seconds: float | None = Field(None, ge=0)
    """Estimated time of a player for the game, base + 40 increments, at least this; None: no limit."""
    max_seconds: float | None = Field(None, ge=0)
    """Estimated time of a player for the game, base + 40 increments, at most this; None: no limit."""
    results: tuple[Literal["1-0", "0-1", "1/2-1/2"], ...] = Field(("1-0", "0-1", "1/2-1/2"), min_length=1)
    """Results wanted."""
    min_plies: int = Field(10, ge=1)
    """A game of fewer plies is left out."""
    skip_opening_plies: int = Field(0, ge=0)
    """Positions before this ply of a game are not kept."""
    max_games: int | None = Field(None, ge=1)
    """Stop once this many games are kept; None: read everything."""
    games_per_shard: int = Field(2000, ge=1)
    """Kept games in one file."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in ("rating", "seconds"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"expected min_{name} <= max_{name}, got {low:g} > {high:g}")
        return self


@dataclass(frozen=True)
class ImportReport:
    """What an import read, kept and left out.

    games: games read: those kept and those skipped.
    positions: positions kept.
    skipped: how many games, or files, by reason (see Reason), the most frequent first.
    examples: the first place for each reason.
    """

    games: int
    kept: int
    positions: int
    skipped: dict[str, int]
    examples: dict[str, Place]


@dataclass(frozen=True)
class ImportProgress:
    """How far an import has come; bytes are those on disk, before decompression."""

    games: int
    kept: int
    positions: int
    bytes_read: int
    bytes_total: int
    report: ImportReport | None = None
    """None until the import is complete."""


@dataclass(frozen=True, eq=False)
class Game:
    """One game kept: `N` positions in a row, from ply `first_ply` of the game on.

    packed: `[N, 10]` packed positions (engines.planes).
    played: `[N]` numbers of the moves played in them (engines.moves).
    white_score: score of the game for White, 0, ½ or 1.
    """

    packed: planes.Packed  # [N, 10]
    played: npt.NDArray[np.uint16]  # [N]
    first_ply: int
    white_score: float


REPORT = "import-report.json"
"""Name of the report in the folder of the corpus; there once the import is complete."""
BATCH = 64
"""Games between two words of progress, and in one task of a process."""

_STANDARD = {"", "?"} | {name.lower() for name in chess.Board.aliases}
_CHESS960 = {"chess960", "chess 960", "fischerandom", "fischerrandom", "fischer random"}
_TAGS = re.compile(r'\[\s*(Variant|FEN|Result|WhiteElo|BlackElo|TimeControl)\s+"([^"\n]*)"\s*\]')
_RATING = re.compile(r"(\d{1,5})\??")
_TIME_CONTROL = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(?:\+(\d{1,9}(?:\.\d{1,9})?))?")


def _check_tags(tags: dict[str, str], config: ImportConfig) -> None:
    """SkipError for a game that its tags rule out."""
    variant = tags.get("Variant", "").strip()
    if variant.lower() in _CHESS960:
        raise SkipError(Reason.CHESS960, variant)
    if variant.lower() not in _STANDARD:
        raise SkipError(Reason.VARIANT, variant)
    result = tags.get("Result", "")
    if result in SCORES and result not in config.results:
        raise SkipError(Reason.RESULT, result)
    if config.min_rating is not None or config.max_rating is not None:
        ratings = [tags.get(name, "").strip() for name in ("WhiteElo", "BlackElo")]
        known = [int(match[1]) for rating in ratings if (match := _RATING.fullmatch(rating))]
        if len(known) < 2 or not all(known):
            raise SkipError(Reason.NO_RATING, " and ".join(map(repr, ratings)))
        _check_range(Reason.RATING, sum(known) / 2, config.min_rating, config.max_rating)
    if config.min_seconds is not None or config.max_seconds is not None:
        control = tags.get("TimeControl", "").strip()
        match = _TIME_CONTROL.fullmatch(control)
        if match is None:
            raise SkipError(Reason.NO_TIME_CONTROL, repr(control))
        seconds = float(match[1]) + 40 * float(match[2] or 0)
        _check_range(Reason.TIME_CONTROL, seconds, config.min_seconds, config.max_seconds)


def _check_range(reason: Reason, value: float, low: float | None, high: float | None) -> None:
    if low is not None and value < low:
        raise SkipError(reason, f"{value:g} < {low:g}")
    if high is not None and value > high:
        raise SkipError(reason, f"{value:g} > {high:g}")


def read_game(raw: RawGame, config: ImportConfig) -> Game:
    """Positions and moves of a game that is wanted; SkipError for one that is not, or cannot be."""
    tags = dict(_TAGS.findall(raw.header))
    _check_tags(tags, config)
    board = start_position(tags.get("FEN", "").strip())
    line, result = main_line(raw.movetext)
    tagged = tags.get("Result", "*")
    if result == "*":
        raise SkipError(Reason.NO_RESULT, "the result is '*'")
    if tagged in SCORES and tagged != result:
        raise SkipError(Reason.CONTRADICTORY, f"{tagged} in the tags, {result} after the moves")
    if result not in config.results:
        raise SkipError(Reason.RESULT, result)
    if len(line) < config.min_plies or len(line) <= config.skip_opening_plies:
        raise SkipError(Reason.SHORT, f"{len(line)}")
    if len(line) > np.iinfo(np.uint16).max:
        raise SkipError(Reason.LONG, f"{len(line)} plies")

    rows, played = [], []
    for ply, token in enumerate(line):
        try:
            move = find_move(board, token)
            if ply >= config.skip_opening_plies:
                rows.append(planes.pack(board))
                played.append(moves.encode(move, board.turn))
        except chess.AmbiguousMoveError as error:
            raise SkipError(Reason.AMBIGUOUS, f"ply {ply}: {error}") from None
        except ValueError as error:
            raise SkipError(Reason.ILLEGAL, f"ply {ply}: {error}") from None
        board.push(move)
        if board.was_into_check():
            board.pop()
            raise SkipError(Reason.ILLEGAL, f"ply {ply}: {token.text!r} leaves the king in check: {board.fen()}")
    return Game(np.array(rows, np.uint64), np.array(played, np.uint16), config.skip_opening_plies, SCORES[result])


def _judge(batch: Sequence[RawGame | Skipped], config: ImportConfig) -> list[Game | Skipped]:
    """What becomes of each game of a batch."""
    outcomes: list[Game | Skipped] = []
    for raw in batch:
        if isinstance(raw, Skipped):
            outcomes.append(raw)
            continue
        try:
            outcomes.append(read_game(raw, config))
        except SkipError as error:
            outcomes.append(Skipped(error.reason, Place(raw.file, raw.number, str(error)[:240])))
    return outcomes


def _batches(files: Sequence[Path]) -> Iterator[tuple[int, list[RawGame | Skipped]]]:
    """All games of all files in order, with the bytes read so far."""
    before = 0
    for path in files:
        with path.open("rb") as file:
            games = raw_games(file, path.name)
            while batch := list(islice(games, BATCH)):
                yield before + file.tell(), batch
            before += file.seek(0, io.SEEK_END)


def _outcomes(
    files: Sequence[Path], config: ImportConfig, processes: int
) -> Generator[tuple[int, list[Game | Skipped]], None, None]:
    """What becomes of all games, in order whatever the number of processes, with the bytes read so far."""
    if processes == 1:
        for position, batch in _batches(files):
            yield position, _judge(batch, config)
        return
    with pool(processes) as workers:
        waiting: deque[tuple[int, Future[list[Game | Skipped]]]] = deque()
        try:
            for position, batch in _batches(files):
                waiting.append((position, workers.submit(_judge, batch, config)))
                if len(waiting) > 4 * processes:
                    position, future = waiting.popleft()
                    yield position, future.result()
            for position, future in waiting:
                yield position, future.result()
        finally:
            workers.shutdown(wait=True, cancel_futures=True)


def _write_shard(folder: Path, shard: int, games: Sequence[Game], config: ImportConfig) -> None:
    """Write the games of one shard, unless it is there already."""
    path = corpus.shard_path(folder, shard)
    if path.exists():
        return
    rows: dict[str, list[Any]] = {name: [] for name in corpus.SCHEMA.names}
    for number, game in enumerate(games, shard * config.games_per_shard):
        count = len(game.played)
        white_to_move = (game.packed[:, 9] & np.uint64(1)).astype(bool)
        rows["position"] += list(game.packed)
        rows["game"] += [number] * count
        rows["ply"] += range(game.first_ply, game.first_ply + count)
        rows["played"] += game.played.tolist()
        rows["moves"] += [[]] * count
        rows["scores"] += [[]] * count
        rows["result"] += np.where(white_to_move, game.white_score, 1 - game.white_score).tolist()
    write_whole(path, parquet_bytes(corpus.table(rows)))


def read_report(folder: Path) -> ImportReport | None:
    """The report of a complete import; None where there is none. Raises DamagedError."""
    path = folder / REPORT
    if not path.exists():
        return None
    there = read_json(path)
    try:
        examples = {reason: Place(**place) for reason, place in there.pop("examples").items()}
        return ImportReport(**there, examples=examples)
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged(path, f"expected the report of an import ({error})") from None


def import_pgn(
    files: Sequence[str | Path], folder: str | Path, config: ImportConfig, processes: int = 1
) -> Iterator[ImportProgress]:
    """Make a corpus of the games in `files`, read one after the other; yields progress every few games.

    The last word of progress has the report, which then also stands in `folder`. After a kill the
    same call reads the files again and writes what is missing; a complete import is left as it is.
    The number of processes changes nothing in the corpus. `ply` counts from the start of the game's
    record, `game` the games kept.
    Raises CorpusError for files that cannot be opened, and where the folder holds another corpus, BusyError where
    another process is at work in it.
    """
    paths, folder = list(map(Path, files)), Path(folder)
    sizes = []
    for path in paths:
        try:
            with path.open("rb") as file:
                sizes.append(file.seek(0, io.SEEK_END))
        except OSError as error:
            raise corpus.CorpusError(f"{path} cannot be read: {error.strerror}") from None
    if not paths:
        raise corpus.CorpusError("expected at least one PGN file, got none")
    named = [{"name": path.name, "bytes": size} for path, size in zip(paths, sizes, strict=True)]
    settings = config.model_dump(mode="json")
    corpus.open_corpus(folder, {"made_by": "corpus import", "files": named, **settings})
    total = sum(sizes)

    report = read_report(folder)
    if report is not None:
        yield ImportProgress(report.games, report.kept, report.positions, total, total, report)
        return
    with driver(folder):
        yield from _imported(paths, folder, config, processes, total)


def _imported(
    paths: Sequence[Path], folder: Path, config: ImportConfig, processes: int, total: int
) -> Iterator[ImportProgress]:
    """Read the games and write what is missing of their corpus."""
    read = kept = positions = shard = 0
    skipped: Counter[str] = Counter()
    examples: dict[str, Place] = {}
    games: list[Game] = []
    with closing(_outcomes(paths, config, processes)) as batches:
        for position, outcomes in batches:
            for outcome in outcomes:
                if isinstance(outcome, Skipped):
                    read += outcome.place.game is not None
                    skipped[outcome.reason] += 1
                    examples.setdefault(outcome.reason, outcome.place)
                    continue
                read, kept, positions = read + 1, kept + 1, positions + len(outcome.played)
                games.append(outcome)
                if len(games) == config.games_per_shard:
                    _write_shard(folder, shard, games, config)
                    shard, games = shard + 1, []
                if kept == config.max_games:
                    break
            yield ImportProgress(read, kept, positions, position, total)
            if kept == config.max_games:
                break
    if games:
        _write_shard(folder, shard, games, config)
    report = ImportReport(read, kept, positions, dict(skipped.most_common()), examples)
    write_whole(folder / REPORT, (json.dumps(asdict(report), indent=2) + "\n").encode())
    yield ImportProgress(read, kept, positions, total, total, report)
