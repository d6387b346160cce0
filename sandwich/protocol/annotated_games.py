"""One game of a ledger in words: annotated PGN, and a line for every ply of who proposed what.

A game is its ledger columns as lists, one entry for each ply.
"""

from collections.abc import Mapping
from typing import Any

import chess
import chess.pgn

from sandwich.data.pgn_writing import pgn_text

Rows = Mapping[str, list[Any]]
"""Ledger columns of one game."""


def student_color(rows: Rows) -> chess.Color:
    """The colour that the student has."""
    return bool(rows["student"][0]) == (chess.Board(rows["fen"][0]).turn == chess.WHITE)


def result_of(rows: Rows) -> str:
    """How the game ended, as in PGN."""
    white = rows["result"][0] if chess.Board(rows["fen"][0]).turn == chess.WHITE else 1 - rows["result"][0]
    return {1.0: "1-0", 0.0: "0-1", 0.5: "1/2-1/2"}[white]


def annotated_pgn(rows: Rows, step: int, end: str | None = None) -> str:
    """One game as PGN; comments say what the student would have played, what it was advised, and what was a lie.

    end: why the game ended, where that is known.
    """
    game = chess.pgn.Game()
    board = chess.Board(rows["fen"][0])
    game.setup(board)
    names = ("student", "copy") if student_color(rows) else ("copy", "student")
    game.headers.update(
        Event=f"step {step}", Site="?", Date="????.??.??", Round=str(rows["game"][0]),
        White=names[0], Black=names[1], Result=result_of(rows), **({} if end is None else {"Termination": end}),
    )  # fmt: skip
    node: chess.pgn.GameNode = game
    for ply, text in enumerate(rows["played"]):
        move = chess.Move.from_uci(text)
        node = node.add_variation(move)
        if rows["asked"][ply]:
            node.comment = comment(board, rows, ply)
        board.push(move)
    return pgn_text(game)


def comment(board: chess.Board, rows: Rows, ply: int) -> str:
    """What the student would have played, was advised and believed at a ply at which it asked."""

    def san(name: str) -> str:
        return board.san(chess.Move.from_uci(rows[name][ply]))

    parts = [f"own {san('own_move')}"]
    if rows["advised"][ply]:
        parts.append(f"advised {san('advised')}")
    if rows["advised_value"][ply] is not None:
        parts.append(f"advised value {rows['advised_value'][ply]:.2f}")
    if rows["misaligned"][ply]:
        parts.append("misaligned" + (f", honest {san('honest')}" if rows["honest"][ply] else ""))
    parts.append("believed" if rows["believed"][ply] else "refused")
    return "; ".join(parts)


def proposals(rows: Rows) -> list[str]:
    """For each ply its move, who made it, and who had proposed what: `3. g3 student: own Qh5; advised g3; …`."""
    board = chess.Board(rows["fen"][0])
    lines = []
    for ply, text in enumerate(rows["played"]):
        move = chess.Move.from_uci(text)
        number = f"{board.fullmove_number}{'.' if board.turn == chess.WHITE else '…'}"
        who = "student" if rows["student"][ply] else "copy"
        parts = f": {comment(board, rows, ply)}" if rows["asked"][ply] else ""
        lines.append(f"{number} {board.san(move)} {who}{parts}")
        board.push(move)
    return lines
