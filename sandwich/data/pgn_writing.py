"""Games -> PGN text whose movetext, comments too, stands in lines of at most 80 characters (PGN standard, 8.2.1)."""

import re

import chess.pgn

_WORDS = re.compile(r"\[%[^\]]*\]|\S+")
"""Words of a comment; a command of a chess program in it, such as `[%eval 0.5]`, is one."""


class _Exporter(chess.pgn.StringExporter):
    """python-chess's, which does not wrap comments."""

    def visit_comment(self, comment: str) -> None:
        for word in ["{", *_WORDS.findall(comment.replace("}", "")), "}"]:
            self.write_token(f"{word} ")
        self.force_movenumber = True


def pgn_text(game: chess.pgn.Game) -> str:
    """A game as PGN, without a line's end behind it."""
    return game.accept(_Exporter(columns=80))
