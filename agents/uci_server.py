"""Any player as a UCI engine, for real chess programs.

Speaks the Universal Chess Interface (Kahlen and Meyer-Kahlen, 2004) on two streams. A player's settings
that are numbers are options, an assistant's dose among them; `go nodes` sets the simulations of a player
that searches, and its time, the clocks and `stop` end the search between two of them; other players answer in
their own time. `searchmoves` is kept, `go infinite` is answered at `stop`. Whatever goes wrong is sent as an
`info string`, and the game goes on; after a position that was refused there is no move but the null move.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TextIO

import chess
import numpy as np

from agents.players.assistant import AssistantPlayer
from agents.players.base import Player
from agents.plugins import PluginError
from agents.sampling import draw
from agents.seat import Turn
from agents.tools import Tools
from agents.uci_options import Option, changed, options
from agents.uci_position import read_moves, read_position
from agents.uci_time import Budget, number_after, seconds_for
from engines import moves, planes
from engines.checkpoints import CheckpointError
from engines.settings import SpecError
from engines.stockfish import EngineError

TEMPERATURE = "temperature"
FAULTS = (CheckpointError, EngineError, PluginError, SpecError, ValueError)
"""What may go wrong and explains itself; of anything else the kind of fault is sent too."""

MOST_NODES = 1_000_000
"""Most simulations that `go nodes` gives: each takes memory, about 2 KB."""


def centipawns(value: float) -> int:
    """Expected score in 0..1 → centipawns for the side to move, within ±1000 (the inverse of Lichess's Win%)."""
    clipped = min(max(value, 1e-6), 1 - 1e-6)
    return round(max(-1000.0, min(1000.0, math.log(clipped / (1 - clipped)) / 0.00368208)))


@dataclass(frozen=True, eq=False)
class SearchRequest:
    """A position in which a move is asked for, with everything that later commands may change.

    among: the moves that may be chosen, all legal ones if nothing else was asked for.
    nodes: simulations of a player that searches; None: its own number.
    budget: what its searches may take.
    """

    player: Player
    temperature: float
    board: chess.Board
    among: Sequence[chess.Move]
    nodes: int | None
    budget: Budget


def _nodes(words: Sequence[str]) -> int | None:
    """What follows `nodes`, at most MOST_NODES; None where that is no number above 0."""
    nodes = number_after(words, "nodes") or 0
    return min(nodes, MOST_NODES) if nodes > 0 else None


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SpecError(f"{TEMPERATURE}: expected a number of 0 or more, got {text!r}")
    return value


def _fault_line(error: Exception) -> str:
    """A fault as one line of the protocol."""
    kind = "" if isinstance(error, FAULTS) else f"{type(error).__name__}: "
    return f"info string {kind}{' '.join(str(error).split())}"


class UciServer:
    """One engine on two streams.

    player: who plays; options change its settings.
    name: what it calls itself.
    """

    def __init__(self, player: Player, name: str, tools: Tools, output: TextIO, seed: int = 0) -> None:
        self._player = player
        self._name = name
        self._tools = tools.limited(self._begin_search)
        self._output = output
        self._seed = seed
        self._games = 0
        self._temperature = 0.0
        self._board: chess.Board | None = chess.Board()  # None: the position that was sent was refused
        self._budget = Budget(None, None, 1, threading.Event())
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
                    self._say(_fault_line(error))
        finally:
            self._finish()

    def _say(self, *lines: str) -> None:
        with self._writing:
            self._output.write("".join(f"{line}\n" for line in lines))
            self._output.flush()

    def _begin_search(self) -> Callable[[], bool]:
        return self._budget.begin()

    def _finish(self) -> None:
        """End the search under way, if any, and let its move be sent."""
        self._stop.set()
        if self._thinking:
            self._thinking.join()
            self._thinking = None

    @property
    def _options(self) -> list[Option]:
        return [Option(TEMPERATURE, self._temperature), *options(self._player)]

    def _do_uci(self, words: list[str]) -> None:
        named = [f"id name sandwich {self._name} {version('sandwich')}", "id author the authors of sandwich"]
        self._say(*named, *(option.declaration for option in self._options), "uciok")

    def _do_isready(self, words: list[str]) -> None:
        try:
            if self._thinking is None or not self._thinking.is_alive():
                self._tools.player(self._player)  # what takes time to load is loaded before `readyok`
        except Exception as error:  # whatever it is, a chess program waits for `readyok`
            self._say(_fault_line(error))
        self._say("readyok")

    def _do_setoption(self, words: list[str]) -> None:
        if words[:1] != ["name"] or "value" not in words:
            raise SpecError("expected setoption name NAME value VALUE")
        place = words.index("value")
        wanted, text = " ".join(words[1:place]), " ".join(words[place + 1 :])
        names = [option.name for option in self._options]
        name = next((name for name in names if name.lower() == wanted.lower()), None)  # the protocol heeds no case
        if name is None:
            raise SpecError(f"unknown option {wanted!r}; known: {', '.join(names)}")
        if name == TEMPERATURE:
            self._temperature = _temperature(text)
        else:
            self._player = changed(self._player, name, text)

    def _do_ucinewgame(self, words: list[str]) -> None:
        self._finish()
        self._games += 1
        self._rng = np.random.default_rng([self._seed, self._games])

    def _do_position(self, words: list[str]) -> None:
        self._finish()
        self._board = None
        self._board = read_position(words)

    def _do_go(self, words: list[str]) -> None:
        self._finish()
        if self._board is None:
            self._say("info string the position was refused: no move", f"bestmove {chess.Move.null().uci()}")
            return
        self._stop.clear()
        nodes = _nodes(words)
        # An assistant's advice may take several searches, beside the one that gives the score.
        share = 0.5 if isinstance(self._player, AssistantPlayer) else 1.0
        self._budget = Budget(seconds_for(words, self._board.turn), nodes, share, self._stop)
        among = read_moves(words[words.index("searchmoves") + 1 :] if "searchmoves" in words else [], self._board)
        request = SearchRequest(self._player, self._temperature, self._board, among, nodes, self._budget)
        until_stopped = "infinite" in words or "ponder" in words
        self._thinking = threading.Thread(target=self._think, args=(request, until_stopped), daemon=True)
        self._thinking.start()

    def _do_stop(self, words: list[str]) -> None:
        self._finish()

    def _do_ponderhit(self, words: list[str]) -> None:
        self._finish()

    def _think(self, request: SearchRequest, until_stopped: bool) -> None:
        try:
            answer = self._answer(request)
        except Exception as error:  # whatever it is, a chess program waits for a move
            answer = [_fault_line(error), f"bestmove {request.among[0].uci()}"]
        *lines, best = answer
        try:
            self._say(*lines)
            if until_stopped:
                self._stop.wait()
            self._say(best)
        except BrokenPipeError:  # nobody listens any more, and the commands end too
            pass

    def _answer(self, request: SearchRequest) -> list[str]:
        board, player = request.board, request.player
        if not request.among:
            ended = "mate 0" if board.is_check() else "cp 0"
            return [f"info depth 0 score {ended}", "bestmove (none)"]
        if request.nodes and "simulations" in type(player).model_fields:
            player = changed(player, "simulations", request.nodes)
        legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        among = sorted(moves.encode_all(request.among, board.turn))
        packed = np.array(planes.pack(board), np.uint64)
        evaluation = self._tools.player(player)(packed[None], [legal])
        move = None
        if isinstance(player, AssistantPlayer):
            plies = len(board.move_stack)
            turn = Turn(packed, legal, plies, plies // 2)
            (move,) = player.seated(self._tools).choose([turn], [self._rng])
        if move not in among:  # what an assistant says need not be
            policy = evaluation.policy[0][np.isin(legal, among)]
            move = among[draw(policy, request.temperature, self._rng)]
        best, score = moves.uci(move, board), centipawns(float(evaluation.value[0]))
        nodes = max(1, request.budget.simulations)
        return [f"info depth 1 nodes {nodes} score cp {score} pv {best}", f"bestmove {best}"]
