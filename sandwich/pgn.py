"""Games of others: PGN files, plain or zstd-compressed, of any size and quality, into a corpus.

Owns the reading of PGN, the choice of games and the report on those left out; the rules of chess
are python-chess's, the shards those of `sandwich.corpus`. A file passes by as a stream and its
games one by one, so that memory does not grow with it. A game is kept whole or not at all: where
its moves or its result are in doubt it is left out, counted, and the first such place is told.
"""

import io
import json
import re
from codecs import getincrementaldecoder
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import chess
import numpy as np
import numpy.typing as npt
import zstandard
from pydantic import Field, model_validator

from engines import moves, planes
from engines.positions import parse_fen
from engines.settings import Frozen
from sandwich import corpus
from sandwich.processes import pool


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


class Reason(StrEnum):
    """Why something was left out: a game, but for the last four, which are said of a file."""

    VARIANT = "variant"
    CHESS960 = "Chess960"
    START = "illegal start position"
    NO_RATING = "no rating"
    RATING = "rating out of range"
    NO_TIME_CONTROL = "no time control"
    TIME_CONTROL = "time control out of range"
    NO_RESULT = "no result"
    CONTRADICTORY = "contradictory results"
    RESULT = "result not wanted"
    SHORT = "too few plies"
    LONG = "too long"
    UNREADABLE = "unreadable movetext"
    ILLEGAL = "illegal move"
    AMBIGUOUS = "ambiguous move"
    NULL = "null move"
    TEXT = "text outside games"
    NOT_PGN = "not PGN"
    TRUNCATED = "truncated file"
    DAMAGED = "unreadable file"


@dataclass(frozen=True)
class Place:
    """Where something was left out: file name, number of the game in it from 1 (None: the file), and what."""

    file: str
    game: int | None
    detail: str


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

    words: `[N, 10]` packed positions (engines.planes).
    played: `[N]` numbers of the moves played in them (engines.moves).
    white_score: score of the game for White, 0, ½ or 1.
    """

    words: planes.Words  # [N, 10]
    played: npt.NDArray[np.uint16]  # [N]
    first_ply: int
    white_score: float


@dataclass(frozen=True)
class RawGame:
    """Text of one game, not looked into yet; `number` counts from 1 in its file."""

    file: str
    number: int
    header: str
    movetext: str


@dataclass(frozen=True)
class Skipped:
    """Something left out, and where."""

    reason: Reason
    place: Place


class SkipError(ValueError):
    """What makes a game, or the rest of a file, useless."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


REPORT = "import-report.json"
"""Name of the report in the folder of the corpus; there once the import is complete."""
LONGEST = 1 << 20
"""Characters of the longest game that is read."""
BATCH = 64
"""Games between two words of progress, and in one task of a process."""


# ---- bytes -> text of single games

_ZSTD, _ZSTD_SKIPPABLE = b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
_MARGIN = " \t\ufeff\x1a"
"""Characters taken off both ends of a line: space, byte order mark, the end of a DOS file."""
_TAG = re.compile(r'\[\s*([A-Za-z0-9]\w*)\s+"')
_COMMENTS = re.compile(r"\{[^}]*\}|;[^\n]*")
_LIKE_MOVES = re.compile(r"\s*(\d+\s*\.[\s.]*)?([NBRQK]?[a-h]?[1-8]?[-x]?[a-h][1-8]|[O0]-[O0]|\*|1-0|0-1|1/2)")


def _chunks(file: io.BufferedReader) -> Iterator[bytes]:
    """Content of a file, decompressed where its first bytes are zstd's; SkipError where that breaks off."""
    magic = file.peek(4)[:4]
    if magic != _ZSTD and not (magic[1:] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5):
        while data := file.read(1 << 16):
            yield data
        return
    frame = None
    while data := file.read(1 << 8):  # few at a time: four bytes may unpack to 128 KiB
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(data)
            except zstandard.ZstdError as error:
                raise SkipError(Reason.DAMAGED, str(error)) from None
            data = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise SkipError(Reason.TRUNCATED, "ends in the middle of a zstd frame")


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines (ended by LF, CRLF or CR) without their ends and margins; overlong ones in pieces."""
    decoder = io.IncrementalNewlineDecoder(getincrementaldecoder("utf-8")("replace"), translate=True)
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        if len(rest) > LONGEST:
            lines, rest = [*lines, rest], ""
        for line in lines:
            yield line.strip(_MARGIN)
    for line in (rest + decoder.decode(b"", final=True)).split("\n"):
        yield line.strip(_MARGIN)


def _uncomment(text: str) -> tuple[str, bool]:
    """Text without comments, and whether the last one is closed."""
    rest = _COMMENTS.sub(" ", text + "\n}")  # the brace ends a comment left open, or stays
    return rest.removesuffix("}"), rest.endswith("}")


@dataclass
class _Text:
    """The lines of one game, as far as they are worth keeping."""

    header: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    first_tag: str = ""
    size: int = 0
    last: str = ""
    """The end of the last line."""

    def add(self, line: str, to: list[str]) -> None:
        self.size += len(line) + 1
        self.last = line[-10:]
        if self.size <= LONGEST or not to:
            to.append(line)


def _split(lines: Iterable[str]) -> Iterator[_Text]:
    """The games in the lines of a file.

    A game ends before the tags of the next, and at an empty line once its result stood there. One
    whose comment is never closed does not take the rest of the file with it.
    """
    text = _Text()
    in_comment = blank = False
    for line in lines:
        if not line:
            blank = True
            if text.body and not in_comment and text.last.endswith(("1-0", "0-1", "1/2-1/2", "*")):
                yield text
                text = _Text()
            continue
        after_blank, blank = blank, False
        tag = _TAG.match(line) if line[0] == "[" else None
        if tag and (after_blank and tag[1] == "Event" if in_comment else text.body or tag[1] == text.first_tag):
            yield text
            text = _Text()
            in_comment = False
        if in_comment:
            text.add(line, text.body)
            if "}" in line:
                in_comment = not _uncomment("{" + line)[1]
        elif line[0] == "[" and not text.body:
            text.first_tag = text.first_tag or (tag[1] if tag else "")
            text.add(line, text.header)
        elif line[0] not in "%;":
            text.add(line, text.body)
            in_comment = "{" in line and not _uncomment(line)[1]
    yield text


def raw_games(file: io.BufferedReader, name: str) -> Iterator[RawGame | Skipped]:
    """The games of one file, and last what is wrong with the file itself; nothing is raised."""
    number = 0
    outside: str | None = None
    wrong: SkipError | None = None
    try:
        for text in _split(_lines(_chunks(file))):
            header, movetext = "\n".join(text.header), "\n".join(text.body)
            if not _TAG.search(header):
                content = _uncomment(movetext)[0].strip()
                if not _LIKE_MOVES.match(content):
                    outside = outside or " ".join((content or header)[:80].split())
                    continue
            number += 1
            if text.size > LONGEST:
                yield Skipped(Reason.LONG, Place(name, number, f"{text.size} characters, read are {LONGEST}"))
            else:
                yield RawGame(name, number, header, movetext)
    except SkipError as error:
        wrong = error
    except OSError as error:
        wrong = SkipError(Reason.DAMAGED, error.strerror or str(error))
    if wrong is None and not number:
        wrong = SkipError(Reason.NOT_PGN, repr(outside) if outside else "no game in it")
    elif wrong is None and outside:
        wrong = SkipError(Reason.TEXT, repr(outside))
    if wrong is not None:
        yield Skipped(wrong.reason, Place(name, None, str(wrong)))


# ---- text of a game -> its positions

_SCORES = {"1-0": 1.0, "0-1": 0.0, "1/2-1/2": 0.5}
_STANDARD = {"", "?"} | {name.lower() for name in chess.Board.aliases}
_CHESS960 = {"chess960", "chess 960", "fischerandom", "fischerrandom", "fischer random"}
_TAGS = re.compile(r'\[\s*(Variant|FEN|Result|WhiteElo|BlackElo|TimeControl)\s+"([^"\n]*)"\s*\]')
_RATING = re.compile(r"(\d{1,5})\??")
_TIME_CONTROL = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(?:\+(\d{1,9}(?:\.\d{1,9})?))?")
_IGNORED = re.compile(r"\d+\.?|\$\d+|[^\w*]+|e\.?p?|p\.")
_SAN = re.compile(r"(?:([NBRQK])([a-h])?([1-8])?[-x]?|([a-h])[-x]?)([a-h][1-8])")
_CASTLING = {"O-O", "O-O-O", "0-0", "0-0-0"}


@dataclass(frozen=True)
class _Token:
    """A word of the main line: the result, or a move (with `piece` where it is that piece's, and no special move)."""

    text: str
    is_result: bool = False
    piece: chess.PieceType | None = None
    start: chess.Bitboard = chess.BB_ALL
    end: chess.Square = 0


@lru_cache(1 << 15)
def _token(word: str) -> _Token | None:
    """What a word says, None for move numbers and glyphs; SkipError for what is neither."""
    if word in _SCORES or word == "*":
        return _Token(word, is_result=True)
    if word in ("--", "Z0", "0000", "@@@@"):
        raise SkipError(Reason.NULL, repr(word))
    if _IGNORED.fullmatch(word):
        return None
    san = re.sub(r"[^A-Za-z0-9]+$", "", word)
    if plain := _SAN.fullmatch(san):
        name, file, rank, pawn_file, end = plain.groups()
        if name or end[1] not in "18":
            piece = chess.PIECE_SYMBOLS.index((name or "p").lower())
            start = chess.BB_ALL
            if file or pawn_file:
                start &= chess.BB_FILES[chess.FILE_NAMES.index(file or pawn_file)]
            if rank:
                start &= chess.BB_RANKS[chess.RANK_NAMES.index(rank)]
            return _Token(san, False, piece, start, chess.parse_square(end))
    if san not in _CASTLING and not chess.SAN_REGEX.match(san):
        raise SkipError(Reason.UNREADABLE, repr(word))
    return _Token(san)


def main_line(movetext: str) -> tuple[list[_Token], str]:
    """Moves of the main line, not yet checked, and the result that ends it; SkipError where one is missing."""
    text, closed = _uncomment(movetext)
    if not closed:
        raise SkipError(Reason.UNREADABLE, "a comment is never closed")
    if "(" in text or ")" in text:
        depth, parts = 0, []
        for part in re.split(r"([()])", text):
            depth += (part == "(") - (part == ")")
            if depth < 0:
                break
            if not depth and part != ")":
                parts.append(part)
        if depth:
            raise SkipError(Reason.UNREADABLE, "brackets that do not match")
        text = " ".join(parts)
    played: list[_Token] = []
    result = None
    for word in text.replace(".", ". ").split():
        if len(word) > 32:
            raise SkipError(Reason.UNREADABLE, f"{word[:32]!r}…")
        token = _token(word)
        if token is None:
            continue
        if result is not None:
            raise SkipError(Reason.UNREADABLE, f"{word!r} after the result")
        if token.is_result:
            result = token.text
        else:
            played.append(token)
    if result is None:
        raise SkipError(Reason.NO_RESULT, "no result at the end of the moves")
    return played, result


def _find(board: chess.Board, token: _Token) -> chess.Move:
    """The move that a token names: pseudo-legal where there was no doubt, else legal; chess's ValueErrors."""
    if token.piece is not None:
        target = chess.BB_SQUARES[token.end]
        # A piece goes to a square that is not its own side's, a pawn takes one of the other side.
        if not target & board.occupied_co[board.turn] and (token.piece != chess.PAWN or target & board.occupied):
            able = board.attackers_mask(board.turn, token.end) & board.pieces_mask(token.piece, board.turn)
            able &= token.start
            if able and not able & (able - 1):
                return chess.Move(able.bit_length() - 1, token.end)
    return board.parse_san(token.text)


def _check_tags(tags: dict[str, str], config: ImportConfig) -> None:
    """SkipError for a game that its tags rule out."""
    variant = tags.get("Variant", "").strip()
    if variant.lower() in _CHESS960:
        raise SkipError(Reason.CHESS960, variant)
    if variant.lower() not in _STANDARD:
        raise SkipError(Reason.VARIANT, variant)
    result = tags.get("Result", "")
    if result in _SCORES and result not in config.results:
        raise SkipError(Reason.RESULT, result)
    if config.min_rating is not None or config.max_rating is not None:
        ratings = [tags.get(name, "").strip() for name in ("WhiteElo", "BlackElo")]
        found = [int(match[1]) for rating in ratings if (match := _RATING.fullmatch(rating))]
        if len(found) < 2 or not all(found):
            raise SkipError(Reason.NO_RATING, " and ".join(map(repr, ratings)))
        _check_range(Reason.RATING, sum(found) / 2, config.min_rating, config.max_rating)
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


def _start(fen: str) -> chess.Board:
    """Position that a game starts from; SkipError where it is not one of standard chess."""
    if fen in ("", "?"):
        return chess.Board()
    try:
        return parse_fen(fen)
    except ValueError as error:
        reason = Reason.CHESS960 if "Chess960" in str(error) else Reason.START
        raise SkipError(reason, str(error)) from None


def read_game(raw: RawGame, config: ImportConfig) -> Game:
    """Positions and moves of a game that is wanted; SkipError for one that is not, or cannot be."""
    tags = dict(_TAGS.findall(raw.header))
    _check_tags(tags, config)
    board = _start(tags.get("FEN", "").strip())
    line, result = main_line(raw.movetext)
    tagged = tags.get("Result", "*")
    if result == "*":
        raise SkipError(Reason.NO_RESULT, "the result is '*'")
    if tagged in _SCORES and tagged != result:
        raise SkipError(Reason.CONTRADICTORY, f"{tagged} in the tags, {result} after the moves")
    if result not in config.results:
        raise SkipError(Reason.RESULT, result)
    if len(line) < config.min_plies or len(line) <= config.skip_opening_plies:
        raise SkipError(Reason.SHORT, f"{len(line)}")
    if len(line) > np.iinfo(np.uint16).max:
        raise SkipError(Reason.LONG, f"{len(line)} plies")

    words, played = [], []
    for ply, token in enumerate(line):
        try:
            move = _find(board, token)
            if ply >= config.skip_opening_plies:
                words.append(planes.pack(board))
                played.append(moves.encode(move, board.turn))
        except chess.AmbiguousMoveError as error:
            raise SkipError(Reason.AMBIGUOUS, f"ply {ply}: {error}") from None
        except ValueError as error:
            raise SkipError(Reason.ILLEGAL, f"ply {ply}: {error}") from None
        board.push(move)
        if board.was_into_check():
            board.pop()
            raise SkipError(Reason.ILLEGAL, f"ply {ply}: {token.text!r} leaves the king in check: {board.fen()}")
    packed = np.array(words, np.uint64)
    return Game(packed, np.array(played, np.uint16), config.skip_opening_plies, _SCORES[result])


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


# ---- many files -> a corpus


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
        white_to_move = (game.words[:, 9] & np.uint64(1)).astype(bool)
        rows["position"] += list(game.words)
        rows["game"] += [number] * count
        rows["ply"] += range(game.first_ply, game.first_ply + count)
        rows["played"] += game.played.tolist()
        rows["moves"] += [[]] * count
        rows["scores"] += [[]] * count
        rows["result"] += np.where(white_to_move, game.white_score, 1 - game.white_score).tolist()
    corpus.write_whole(path, corpus.parquet_bytes(corpus.table(rows)))


def read_report(folder: Path) -> ImportReport | None:
    """The report of a complete import; None where there is none."""
    path = folder / REPORT
    if not path.exists():
        return None
    there = json.loads(path.read_text())
    examples = {reason: Place(**place) for reason, place in there.pop("examples").items()}
    return ImportReport(**there, examples=examples)


def import_pgn(
    files: Sequence[Path], folder: Path, config: ImportConfig, processes: int = 1
) -> Iterator[ImportProgress]:
    """Make a corpus of the games in `files`, read one after the other; yields progress every few games.

    The last word of progress has the report, which then also stands in `folder`. After a kill the
    same call reads the files again and writes what is missing; a complete import is left as it is.
    The number of processes changes nothing in the corpus. `ply` counts from the start of the game's
    record, `game` the games kept.
    Raises CorpusError for files that cannot be opened, and where the folder holds another corpus.
    """
    sizes = []
    for path in files:
        try:
            with path.open("rb") as file:
                sizes.append(file.seek(0, io.SEEK_END))
        except OSError as error:
            raise corpus.CorpusError(f"{path} cannot be read: {error.strerror}") from None
    if not files:
        raise corpus.CorpusError("expected at least one PGN file, got none")
    named = [{"name": path.name, "bytes": size} for path, size in zip(files, sizes, strict=True)]
    settings = config.model_dump(mode="json")
    corpus.open_corpus(folder, {"made_by": "corpus import", "files": named, **settings})
    total = sum(sizes)

    report = read_report(folder)
    if report is not None:
        yield ImportProgress(report.games, report.kept, report.positions, total, total, report)
        return

    read = kept = positions = shard = 0
    skipped: Counter[str] = Counter()
    examples: dict[str, Place] = {}
    games: list[Game] = []
    with closing(_outcomes(files, config, processes)) as batches:
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
    corpus.write_whole(folder / REPORT, (json.dumps(asdict(report), indent=2) + "\n").encode())
    yield ImportProgress(read, kept, positions, total, total, report)
