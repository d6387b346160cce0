"""Boards for pages without chessground: drawn by python-chess, with the same arrows."""

from collections.abc import Iterable, Mapping
from typing import Any

import chess
import chess.svg

from experiments.figures.arrows import arrows_svg, kind_of_advice


def board_svg(fen: str, last: str | None, arrows: Iterable[tuple[str, str]], *, flipped: bool) -> str:
    """A position with the last move marked and an arrow for each (kind, move in UCI).

    Raises ValueError for a position, a kind or a move that is none.
    """
    board = chess.svg.board(
        chess.Board(fen),
        orientation=chess.BLACK if flipped else chess.WHITE,
        lastmove=chess.Move.from_uci(last) if last else None,
    )
    return str(board).replace("</svg>", f"{arrows_svg(arrows, flipped=flipped)}</svg>")


def arrows_of(decision: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Arrows of a decision as `experiments.viewer.games.game_record` has it."""
    advice = kind_of_advice(decision.get("misaligned"))
    kinds = (("played", "played"), ("honest", "honest"), (advice, "advised"), ("own", "own"))
    return [(kind, decision[name][0]) for kind, name in kinds if name in decision]


def with_boards(game: Mapping[str, Any]) -> dict[str, Any]:
    """A game with a picture of every position in it, from the student's side."""
    flipped = game["student"] == "black"
    positions = [*game["plies"], game["last"]]
    boards = [board_svg(p["fen"], p.get("last"), arrows_of(p), flipped=flipped) for p in positions]
    return {**game, "boards": boards}
