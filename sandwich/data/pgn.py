"""PGN text of any quality -> the games in it, and the moves of each.

Owns the reading of PGN, plain or compressed, and the words for what is wrong with it; the rules
of chess are python-chess's, and which games are wanted is the affair of `sandwich.data.pgn_import`. A file
passes by as a stream and its games one by one, so that memory does not grow with it.
"""

import io
import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

import chess

from engines.positions import parse_fen
from sandwich.data.packed import BrokenOffError, PackedError, pieces


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


LONGEST = 1 << 20
"""Characters of the longest game that is read."""


# ---- bytes -> text of single games

_MARGIN = " \t\ufeff\x1a"
"""Characters taken off both ends of a line: space, byte order mark, the end of a DOS file."""
_TAG = re.compile(r'\[\s*([A-Za-z0-9]\w*)\s+"')
_COMMENTS = re.compile(r"\{[^}]*\}|;[^\n]*")
_LIKE_MOVES = re.compile(r"\s*(\d+\s*\.[\s.]*)?([NBRQK]?[a-h]?[1-8]?[-x]?[a-h][1-8]|[O0]-[O0]|\*|1-0|0-1|1/2)")


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
        for text in _split(_lines(pieces(file))):
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
    except PackedError as error:
        wrong = SkipError(Reason.TRUNCATED if isinstance(error, BrokenOffError) else Reason.DAMAGED, str(error))
    except OSError as error:
        wrong = SkipError(Reason.DAMAGED, error.strerror or str(error))
    if wrong is None and not number:
        wrong = SkipError(Reason.NOT_PGN, repr(outside) if outside else "no game in it")
    elif wrong is None and outside:
        wrong = SkipError(Reason.TEXT, repr(outside))
    if wrong is not None:
        yield Skipped(wrong.reason, Place(name, None, str(wrong)))


# ---- text of a game -> its moves

SCORES = {"1-0": 1.0, "0-1": 0.0, "1/2-1/2": 0.5}
"""Score of the game for White by its result."""
_IGNORED = re.compile(r"\d+\.?|\$\d+|[^\w*]+|e\.?p?|p\.")
_OWN_TOKENS = re.compile(r"\$\d*|[!?]+|\*")
"""Words that need no space around them: a glyph by its number or its characters, the result of an unfinished game."""
_SAN = re.compile(r"(?:([NBRQK])([a-h])?([1-8])?[-x]?|([a-h])[-x]?)([a-h][1-8])")
_CASTLING = {"O-O", "O-O-O", "0-0", "0-0-0"}


@dataclass(frozen=True)
class Token:
    """A word of the main line: the result, or a move (with `piece` where it is that piece's, and no special move)."""

    text: str
    is_result: bool = False
    piece: chess.PieceType | None = None
    start: chess.Bitboard = chess.BB_ALL
    end: chess.Square = 0


@lru_cache(1 << 15)
def _token(word: str) -> Token | None:
    """What a word says, None for move numbers and glyphs; SkipError for what is neither."""
    if word in SCORES or word == "*":
        return Token(word, is_result=True)
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
            return Token(san, False, piece, start, chess.parse_square(end))
    if san not in _CASTLING and not chess.SAN_REGEX.match(san):
        raise SkipError(Reason.UNREADABLE, repr(word))
    return Token(san)


def main_line(movetext: str) -> tuple[list[Token], str]:
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
    played: list[Token] = []
    result = None
    for word in _OWN_TOKENS.sub(r" \g<0> ", text.replace(".", ". ")).split():
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


def find_move(board: chess.Board, token: Token) -> chess.Move:
    """The move that a token names: pseudo-legal where no doubt was left, else legal; python-chess's ValueErrors."""
    if token.piece is not None:
        target = chess.BB_SQUARES[token.end]
        # A piece goes to a square that is not its own side's, a pawn takes one of the other side.
        if not target & board.occupied_co[board.turn] and (token.piece != chess.PAWN or target & board.occupied):
            able = board.attackers_mask(board.turn, token.end) & board.pieces_mask(token.piece, board.turn)
            able &= token.start
            if able and not able & (able - 1):
                return chess.Move(able.bit_length() - 1, token.end)
    return board.parse_san(token.text)


def start_position(fen: str) -> chess.Board:
    """Position that a game starts from; SkipError where it is not one of standard chess."""
    if fen in ("", "?"):
        return chess.Board()
    try:
        return parse_fen(fen)
    except ValueError as error:
        reason = Reason.CHESS960 if "Chess960" in str(error) else Reason.START
        raise SkipError(reason, str(error)) from None
