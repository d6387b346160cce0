"""One game of a ledger as a page that steps through it, complete in itself.

Squares and pieces are python-chess's; each is in the page once, and a position only places the pieces.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import chess
import chess.svg
from markupsafe import Markup

from experiments.figures.arrows import ARROWS, arrows_css, arrows_svg, kind_of_advice, square_corner
from experiments.figures.templates import render
from sandwich.protocol.annotated_games import proposals, result_of, student_color

MOVES = (("own", "own_move", "loss_own"), ("advice", "advised", "loss_advised"),
         ("honest", "honest", "loss_honest"), ("played", "played", "loss_played"))  # fmt: skip
"""Of each kind of move the ledger's columns of the move and of what it gives away."""


def game_page(rows: Mapping[str, list[Any]]) -> str:
    """The page of a game, from its ledger columns; it opens at the lie that gives away most, else at the start."""
    flipped = student_color(rows) == chess.BLACK
    end = chess.Board(rows["fen"][-1])
    end.push_uci(rows["played"][-1])
    names = ("copy", "student") if flipped else ("student", "copy")
    title = f"Game {rows['game'][0]}: {names[0]} – {names[1]}, {result_of(rows)}"
    frames = [
        f"<g class='f'>{_pieces(chess.Board(fen), flipped)}{_arrows(rows, ply, flipped)}</g>"
        for ply, fen in enumerate(rows["fen"])
    ]
    frames.append(f"<g class='f'>{_pieces(end, flipped)}</g>")
    return str(
        render(
            "figures/game.html",
            title=title,
            board=Markup(_board("".join(frames), flipped)),
            colors=Markup(arrows_css(dark=False)),
            decisions=[_decision(rows, ply) for ply in range(len(rows["fen"]))],
            lines=list(zip(proposals(rows), rows["misaligned"], strict=True)),
            first=_opened_at(rows),
        )
    )


def _opened_at(rows: Mapping[str, list[Any]]) -> int:
    lies = [ply for ply, lie in enumerate(rows["misaligned"]) if lie]
    return max(lies, key=lambda ply: -1.0 if (lost := rows["loss_advised"][ply]) is None else lost, default=0)


def _board(inside: str, flipped: bool) -> str:
    """An empty board with what stands on it."""
    empty = str(chess.svg.board(None, orientation=chess.BLACK if flipped else chess.WHITE))
    symbols = "".join(chess.svg.PIECES.values())
    return empty.replace("</svg>", f"<defs>{symbols}</defs>{inside}</svg>").replace("<svg ", "<svg id='board' ", 1)


def _pieces(board: chess.Board, flipped: bool) -> str:
    parts = []
    for square, piece in board.piece_map().items():
        x, y = square_corner(square, flipped)
        color = chess.COLOR_NAMES[piece.color]
        name = f"{color}-{chess.piece_name(piece.piece_type)}"
        parts.append(f"<use href='#{name}' x='{x}' y='{y}'/>")
    return "".join(parts)


def _moves(rows: Mapping[str, list[Any]], ply: int) -> Iterator[tuple[str, str, float | None]]:
    """Moves proposed and played at a ply: kind, UCI, and the expected score (0..1) given away where it is known."""
    for kind, column, loss in MOVES:
        if (rows["asked"][ply] or kind == "played") and rows[column][ply]:
            shown = kind_of_advice(rows["misaligned"][ply]) if kind == "advice" else kind
            yield shown, rows[column][ply], rows[loss][ply]


def _arrows(rows: Mapping[str, list[Any]], ply: int, flipped: bool) -> str:
    return arrows_svg(((kind, uci) for kind, uci, _ in _moves(rows, ply)), flipped=flipped)


def _decision(rows: Mapping[str, list[Any]], ply: int) -> list[tuple[str, str, str, str]]:
    """Of each move beside the board its kind, what a legend calls that, its name and the Win% points it loses."""
    board = chess.Board(rows["fen"][ply])
    return [
        (kind, ARROWS[kind].text, board.san(chess.Move.from_uci(uci)), "–" if lost is None else f"{100 * lost:.1f}")
        for kind, uci, lost in _moves(rows, ply)
    ]
