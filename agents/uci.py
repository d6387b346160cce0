"""Any player as a UCI engine, for real chess programs.

Speaks the Universal Chess Interface (Kahlen and Meyer-Kahlen, 2004) on two streams. A player's settings
that are numbers are options, an assistant's dose among them; `go nodes` sets the simulations of a player
that searches, and every other limit is kept because an answer takes milliseconds. `go infinite` is
answered at `stop`.
"""

import math
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, TextIO

import chess
import numpy as np
from pydantic import ValidationError

from agents.network import draw
from agents.players.assistant import AssistantPlayer
from agents.players.base import Player
from agents.plugins import PluginError
from agents.seat import Turn
from agents.tools import Tools
from engines import moves, planes
from engines.network import CheckpointError
from engines.positions import parse_fen
from engines.settings import Frozen, SpecError
from engines.stockfish import EngineError

TEMPERATURE = "temperature"
FAULTS = (CheckpointError, EngineError, PluginError, SpecError, ValueError)
"""What may go wrong with a question; told as an `info string`, and the game goes on."""


def centipawns(value: float) -> int:
    """Expected score in 0..1 → centipawns for the side to move, within ±1000 (the inverse of Lichess's Win%)."""
    clipped = min(max(value, 1e-6), 1 - 1e-6)
    return round(max(-1000.0, min(1000.0, math.log(clipped / (1 - clipped)) / 0.00368208)))


def numbers(record: Frozen, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Dotted names and values of a record's numeric settings, those of the records in it included."""
    for name in type(record).model_fields:
        value = getattr(record, name)
        if isinstance(value, Frozen):
            yield from numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


def changed(record: Frozen, key: str, value: Any) -> Frozen:
    """The record with another value of a dotted setting. Raises ValidationError."""
    name, _, rest = key.partition(".")
    inner = changed(getattr(record, name), rest, value) if rest else value
    return type(record)(**{field: getattr(record, field) for field in type(record).model_fields} | {name: inner})


class UciServer:
    """One engine on two streams.

    player: who plays; options change its settings.
    name: what it calls itself.
    """

    def __init__(self, player: Player, name: str, tools: Tools, output: TextIO, seed: int = 0) -> None:
        self._player = player
        self._name = name
        self._tools = tools
        self._output = output
        self._seed = seed
        self._games = 0
        self._temperature = 0.0
        self._board = chess.Board()
        self._plies = 0
        self._rng = np.random.default_rng([seed, 0])
        self._stop = threading.Event()
        self._thinking: threading.Thread | None = None
        self._writing = threading.Lock()

    def serve(self, commands: TextIO) -> None:
        """Answer commands until `quit` or the end of the stream."""
        try:
            for line in commands:
                words = line.split()
                while words and not hasattr(self, f"_do_{words[0]}") and words[0] != "quit":
                    words = words[1:]  # as the protocol asks: what is unknown before a command is skipped
                if not words:
                    continue
                if words[0] == "quit":
                    break
                try:
                    getattr(self, f"_do_{words[0]}")(words[1:])
                except FAULTS as error:
                    self._say(f"info string {' '.join(str(error).split())}")
        finally:
            self._finish()

    def _say(self, *lines: str) -> None:
        with self._writing:
            self._output.write("".join(f"{line}\n" for line in lines))
            self._output.flush()

    def _finish(self) -> None:
        """Let a move that is being thought about be told."""
        self._stop.set()
        if self._thinking:
            self._thinking.join()
            self._thinking = None

    def _do_uci(self, words: list[str]) -> None:
        options = [f"option name {TEMPERATURE} type string default {self._temperature:g}"]
        options += [f"option name {name} type string default {value:g}" for name, value in numbers(self._player)]
        author = "the authors of sandwich"
        self._say(f"id name sandwich {self._name} {version('sandwich')}", f"id author {author}", *options, "uciok")

    def _do_isready(self, words: list[str]) -> None:
        if self._thinking is None or not self._thinking.is_alive():
            self._tools.player(self._player)  # what takes time to load is loaded before `readyok`
        self._say("readyok")

    def _do_setoption(self, words: list[str]) -> None:
        if words[:1] != ["name"] or "value" not in words:
            raise SpecError("expected setoption name NAME value VALUE")
        place = words.index("value")
        name, text = " ".join(words[1:place]), " ".join(words[place + 1 :])
        known = dict(numbers(self._player))
        if name == TEMPERATURE:
            value = float(text)
            if not (0 <= value < math.inf):
                raise SpecError(f"{name}: expected 0 or more, got {text}")
            self._temperature = value
        elif name in known:
            try:
                player = changed(self._player, name, text)
            except ValidationError as error:
                raise SpecError(f"{name}: {error.errors()[0]['msg']}, got {text}") from None
            assert isinstance(player, Player)
            self._player = player
        else:
            raise SpecError(f"unknown option {name!r}; known: {', '.join([TEMPERATURE, *known])}")

    def _do_ucinewgame(self, words: list[str]) -> None:
        self._finish()
        self._games += 1
        self._rng = np.random.default_rng([self._seed, self._games])

    def _do_position(self, words: list[str]) -> None:
        self._finish()
        place = words.index("moves") if "moves" in words else len(words)
        if words[:1] == ["startpos"]:
            board = chess.Board()
        elif words[:1] == ["fen"]:
            board = parse_fen(" ".join(words[1:place]))
        else:
            raise SpecError("expected position startpos or position fen FEN")
        played = words[place + 1 :]
        for text in played:
            board.push_uci(text)
        self._board, self._plies = board, len(played)

    def _do_go(self, words: list[str]) -> None:
        self._finish()
        self._stop.clear()
        limits = {
            word: int(words[place + 1])
            for place, word in enumerate(words[:-1])
            if word == "nodes" and words[place + 1].isdigit()
        }
        forever = "infinite" in words or "ponder" in words
        self._thinking = threading.Thread(target=self._think, args=(limits.get("nodes"), forever), daemon=True)
        self._thinking.start()

    def _do_stop(self, words: list[str]) -> None:
        self._finish()

    def _do_ponderhit(self, words: list[str]) -> None:
        self._finish()

    def _think(self, nodes: int | None, forever: bool) -> None:
        try:
            answer = self._answer(nodes)
        except FAULTS as error:
            legal = next(iter(self._board.legal_moves), None)
            answer = [f"info string {' '.join(str(error).split())}", f"bestmove {legal or '(none)'}"]
        *told, best = answer
        self._say(*told)
        if forever:
            self._stop.wait()
        self._say(best)

    def _answer(self, nodes: int | None) -> list[str]:
        board = self._board
        legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        if not legal:
            ended = "mate 0" if board.is_check() else "cp 0"
            return [f"info depth 0 score {ended}", "bestmove (none)"]
        player = self._player
        if nodes and "simulations" in type(player).model_fields:
            limited = changed(player, "simulations", nodes)
            assert isinstance(limited, Player)
            player = limited
        words = np.array(planes.pack(board), np.uint64)
        seen = self._tools.player(player)(words[None], [legal])
        if isinstance(player, AssistantPlayer):
            turn = Turn(words, legal, self._plies, self._plies // 2)
            (move,) = player.seat(self._tools).choose([turn], [self._rng])
        else:
            move = legal[draw(seen.policy[0], self._temperature, self._rng)]
        best, score = moves.uci(move, board), centipawns(float(seen.value[0]))
        return [f"info depth 1 nodes {nodes or 1} score cp {score} pv {best}", f"bestmove {best}"]
