"""Single decisions and whole games with evaluators by rule, for tests of what the student asks and believes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import chess
import numpy as np
from pydantic import Field

from agents.advice import Advice, Channel, Query
from agents.assistant import Assistant
from agents.misalignment.base import Misalignment
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines import moves, planes
from engines.inference import Evaluation, Evaluator
from sandwich.oversight.base import REGISTRY, DecisionContext, Oversight, OwnView
from sandwich.protocol.pending import PendingQuery
from sandwich.protocol.query_executor import QueryExecutor
from sandwich.protocol.selfplay import Block, Played, play_episodes
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig, Seats
from tests.helpers.fakes import Even, Hashed, alone, fake_tools, pack_board, question

START = chess.Board()
HONEST = RandomMove(p=0)


def shipped() -> dict[str, Oversight]:
    """Every shipped strategy with few settings, by name; the filter is that of `fake_tools`."""
    own = {
        "ground_truth": "ground_truth:per_game=8,doubt=0.5", "filter": "filter:filter=filter",
        "unanimous": "unanimous:members=[plausible]",
    }  # fmt: skip
    names = [name for name, entry in REGISTRY.entries.items() if entry.dist and entry.dist.name == "sandwich"]
    return {name: REGISTRY.parse(own.get(name, name)) for name in names}


class Lines:
    """An evaluator that knows some lines of moves (UCI, joined by spaces) from one position on.

    values: expected score, for who is to move behind a line; 0.5 behind any other.
    best: the move that it gives nine tenths behind a line; the rest is shared evenly, as is all elsewhere.
    """

    def __init__(self, board: chess.Board, values: Mapping[str, float] = {}, best: Mapping[str, str] = {}) -> None:
        self._values = {_behind(board, line): value for line, value in values.items()}
        self._best = {_behind(board, line): move for line, move in best.items()}

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        keys = [tuple(row) for row in packed.tolist()]
        policy = []
        for key, row, numbers in zip(keys, packed, legal, strict=True):
            shares = np.full(len(numbers), 1 / len(numbers), np.float32)
            if key in self._best:
                first = list(numbers).index(number(planes.unpack(row), self._best[key]))
                shares = np.full(len(numbers), 0.1 / max(len(numbers) - 1, 1), np.float32)
                shares[first] = 0.9
            policy.append(shares)
        value = np.array([self._values.get(key, 0.5) for key in keys], np.float32)
        return Evaluation(legal, policy, np.stack([value, 0 * value, 1 - value], 1))


def _behind(board: chess.Board, line: str) -> tuple[int, ...]:
    board = board.copy(stack=False)
    for move in line.split():
        board.push_uci(move)
    return tuple(pack_board(board).tolist())


def number(board: chess.Board, move: str) -> int:
    """Number of a move in UCI notation."""
    return moves.encode(chess.Move.from_uci(move), board.turn)


class Script(Misalignment):
    """Answers some of a game's questions, by their number, with a move (UCI) or a value; the others honestly."""

    said: dict[int, str | float] = Field(default_factory=dict)
    """What it says."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [self._one(query, truth) for query, truth in zip(queries, honest, strict=True)]

    def _one(self, query: Query, truth: Advice) -> Advice:
        said = self.said.get(query.number)
        if said is None:
            return truth
        if isinstance(said, str):
            return replace(truth, move=number(planes.unpack(query.packed), said))
        return replace(truth, value=said)


class Case:
    """One decision: the position, what the student and each assistant think, and the strategy's means."""

    def __init__(
        self,
        board: chess.Board = START,
        *,
        weak: Evaluator | None = None,
        says: Sequence[Evaluator] | None = None,
        lies: Misalignment = HONEST,
        own: str | None = None,
        channel: Channel = Channel.MOVE,
        expert: Evaluator | None = None,
        seed: int = 1,
        candidates: int = 4,
        **means: Any,
    ) -> None:
        self.board, self.weak, self.says, self.lies = board, weak or Even(), says or [Even()], lies
        self.own, self.channel, self.expert, self.seed, self.candidates = own, channel, expert, seed, candidates
        self.means = means

    def pending(self, oversight: Oversight) -> PendingQuery:
        """The student's turn; as many questions are left as the strategy takes at most."""
        query = question(self.board, self.channel)
        policy, value = alone(self.weak, self.board)
        move = query.legal[int(policy.argmax())] if self.own is None else number(self.board, self.own)
        mine, theirs = (np.random.default_rng([self.seed, stream]) for stream in (0, 1))
        cost = PlayConfig(channel=self.channel, candidates=self.candidates).cost(oversight.questions)
        means = {"left": cost, **self.means}
        seats = means.pop("seats", tuple(range(len(self.says))))
        context = DecisionContext(query, OwnView(move, policy, value), Advice(), mine, **means)
        return PendingQuery(context, theirs, seats)

    def resolved(self, oversight: Oversight) -> PendingQuery:
        """What is decided on it."""
        with fake_tools() as tools:
            assistants = [Assistant(base, self.lies, tools) for base in self.says]
            pending = self.pending(oversight)
            QueryExecutor(self.weak, assistants, oversight, self.expert, tools, self.candidates).resolve([pending])
        return pending

    def decided(self, oversight: Oversight) -> tuple[str, bool, int, int]:
        """Move, whether the answer is believed, questions and evaluations."""
        resolved = self.resolved(oversight)
        move = moves.uci(resolved.decision.move, self.board)
        return move, bool(resolved.decision.believed), resolved.questions, resolved.evaluations


SHORT = PlayConfig(games=8, block=8, ply_cap=24, pgn_games=0)


def games(
    oversight: Oversight,
    play: PlayConfig = SHORT,
    *,
    lies: Misalignment = HONEST,
    second: Sequence[Misalignment] = (),
    openings: Sequence[str] = (chess.STARTING_FEN,) * 8,
    first: int = 0,
    study: Any = None,
    seats: Seats = "game",
) -> Played:
    """A block of games between evaluators whose answers look arbitrary."""
    block = Block(
        7, 0, first, tuple(openings), play, lies, oversight, InferenceConfig(), tuple(second), study, seats
    )  # fmt: skip
    with fake_tools() as tools:
        assistants = [Assistant(Hashed("expert"), lies, tools)]
        assistants += [Assistant(Hashed(f"second {place}"), one, tools) for place, one in enumerate(second)]
        return play_episodes(Hashed("weak"), assistants, block, Hashed("expert"), tools)
