"""Annotated games for the report's board: every position worked out here, so that the page needs no rules."""

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import chess.pgn

GAMES_PER_STEP = 12
"""Games of one step that a report shows at most."""
BUDGET = 900_000
"""Characters that the games of all steps may take; what is over it is left out, the last games of each step first."""


def shown_games(folder: Path) -> list[dict[str, Any]]:
    """Games of every step with a `games/step-*.pgn`, by step: `{"step": t, "left_out": n, "games": […]}`.

    `step` numbers the student W_t that played; its row of metrics is the next one. What can't be read
    as a game is left out.
    """
    named = ((path, re.fullmatch(r"step-(\d+)\.pgn", path.name)) for path in folder.glob("games/step-*.pgn"))
    steps = sorted((int(match[1]), _texts(path)) for path, match in named if match)
    shown: dict[int, list[dict[str, Any]]] = {step: [] for step, _ in steps}
    room = BUDGET
    for number in range(GAMES_PER_STEP):
        for step, texts in reversed(steps):
            if number < len(texts) and (game := _game(texts[number])) is not None:
                size = len(json.dumps(game))
                if size > room:
                    return _listed(steps, shown)
                room -= size
                shown[step].append(game)
    return _listed(steps, shown)


def _listed(steps: list[tuple[int, list[str]]], shown: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {"step": step, "left_out": len(texts) - len(shown[step]), "games": shown[step]}
        for step, texts in steps
        if shown[step]
    ]


def _texts(path: Path) -> list[str]:
    """The games of a PGN file as text, each from its first header on."""
    games: list[list[str]] = []
    header = False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("[") and not header:
            games.append([])
        if games:
            games[-1].append(line)
        header = line.startswith("[")
    return ["\n".join(lines) for lines in games]


def _game(text: str) -> dict[str, Any] | None:
    """One game: its headers, first position, and for each ply [SAN, position, from–to, comment, arrows]."""
    game = chess.pgn.read_game(StringIO(text))
    if game is None or game.errors or not game.variations:
        return None
    head = game.headers
    board = game.board()
    start = board.board_fen()
    number, white = board.fullmove_number, board.turn
    plies = []
    for node in game.mainline():
        comment = " ".join(node.comment.split())
        plies.append([board.san(node.move), "", node.move.uci(), comment, _arrows(board, node.move, comment)])
        board.push(node.move)
        plies[-1][1] = board.board_fen()
    return {
        "round": head.get("Round", "?"),
        "white": head.get("White", "?"),
        "black": head.get("Black", "?"),
        "result": head.get("Result", "*"),
        "end": head.get("Termination", ""),
        "start": start,
        "number": number,
        "whiteFirst": white,
        "plies": plies,
    }


def _arrows(board: chess.Board, played: chess.Move, comment: str) -> list[list[str]]:
    """Moves named in a comment and not played, as [kind, from–to]: `own`, `advised`, `honest`."""
    arrows = []
    for part in comment.replace(", honest", "; honest").split("; "):
        kind, _, san = part.partition(" ")
        if kind not in ("own", "advised", "honest"):
            continue
        try:
            move = board.parse_san(san)
        except ValueError:
            continue
        if move != played:
            arrows.append([kind, move.uci()[:4]])
    return arrows
