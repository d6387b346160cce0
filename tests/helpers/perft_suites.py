"""The perft suites: thousands of positions that were collected because move generators fail on them."""

import re
from collections.abc import Iterator
from pathlib import Path

import chess

SUITES = [
    ("perft_suite.epd", 126, 0),
    ("perft_standard.epd", 128, 0),
    ("perft_tricky.perft", 19, 6),
    ("perft_marcel.epd", 6838, 0),
    ("perft_enpassant.epd", 3760, 0),
    ("perft_double_checks.epd", 184, 0),
    ("perft_chess960.epd", 960, 921),
]


def perft(path: Path) -> Iterator[tuple[str, int | None]]:
    """(FEN, number of legal moves where the file says it) of each position in any of the suites' syntaxes."""
    text = path.read_text()
    if path.suffix == ".perft":
        for fen, count in re.findall(r"^epd (.+)\nperft 1 (\d+)", text, re.MULTILINE):
            yield fen.strip(), int(count)
        return
    for line in text.splitlines():
        fen = re.split(r";|\bD\d+ ", line)[0].strip()
        if fen:
            count = re.search(r"\bD1 (\d+)", line)
            yield fen, int(count[1]) if count else None


def castles_as_in_chess960(fen: str) -> bool:
    """Whether a king or a rook that may castle stands elsewhere than in standard chess."""
    board = chess.Board(" ".join([*fen.split()[:4], "0", "1"]), chess960=True)
    kings = {chess.WHITE: chess.E1, chess.BLACK: chess.E8}
    return bool(board.castling_rights & ~(chess.BB_A1 | chess.BB_H1 | chess.BB_A8 | chess.BB_H8)) or any(
        board.has_castling_rights(colour) and board.king(colour) != king for colour, king in kings.items()
    )
