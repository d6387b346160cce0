"""Boards for pages without chessground: drawn by python-chess, with the same arrows."""

from collections.abc import Iterable, Mapping
from typing import Any

import chess
import chess.svg

COLORS = {"played": "#7d6bb0cc", "honest": "#2a9d6fcc", "advised": "#2f6bd8cc", "lie": "#d64545cc", "own": "#d9822bcc"}
"""Colour of each kind of arrow, the lowest first."""


def board_svg(fen: str, last: str | None, arrows: Iterable[tuple[str, str]], *, flipped: bool) -> str:
    """A position with the last move marked and an arrow for each (kind, move in UCI).

    Raises ValueError for a position or a move that is none.
    """
    drawn = []
    for kind, uci in sorted(arrows, key=lambda arrow: list(COLORS).index(arrow[0])):
        move = chess.Move.from_uci(uci)
        drawn.append(chess.svg.Arrow(move.from_square, move.to_square, color=COLORS[kind]))
    return chess.svg.board(
        chess.Board(fen),
        orientation=chess.BLACK if flipped else chess.WHITE,
        lastmove=chess.Move.from_uci(last) if last else None,
        arrows=drawn,
    )


def arrows_of(decision: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Arrows of a decision as `experiments.viewer.games.told` has it."""
    advised = "lie" if decision.get("misaligned") else "advised"
    kinds = (("played", "played"), ("honest", "honest"), (advised, "advised"), ("own", "own"))
    return [(kind, decision[name][0]) for kind, name in kinds if name in decision]


def with_boards(game: Mapping[str, Any]) -> dict[str, Any]:
    """A game with a picture of every position in it, from the student's side."""
    flipped = game["student"] == "black"
    positions = [*game["plies"], game["last"]]
    boards = [board_svg(p["fen"], p.get("last"), arrows_of(p), flipped=flipped) for p in positions]
    return {**game, "boards": boards}
