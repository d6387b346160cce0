"""The only rules of a game: observe → ask? → advice → decide → move.

One `Episode` is one game of the student against its copy. It is told what the networks think and
says what to do next; it evaluates nothing itself, so that `sandwich.selfplay` can carry many of them
in lock-step. All chance of a game comes from its own two streams: the players' and the assistant's.
"""

from dataclasses import dataclass, field
from typing import Any

import chess
import numpy as np

from agents.assistant import Answer
from agents.base import Advice, Query
from agents.network import draw
from engines import moves
from engines.inference import Evaluation
from engines.planes import Words
from engines.positions import Result
from sandwich.config import PlayConfig
from sandwich.oversight.base import REGISTRY, Decision, Oversight, OwnView, check_decision


@dataclass
class Episode:
    """One game: whose side the student is on, what it asked, and everything that happened."""

    config: PlayConfig
    oversight: Oversight
    game: int
    student_color: chess.Color
    rng: np.random.Generator
    """Of the players and of the oversight strategy."""
    assistant_rng: np.random.Generator
    questions: int = 0
    student_turns: int = 0
    rows: dict[str, list[Any]] = field(default_factory=dict)
    """Ledger columns of the plies so far, without `game` and `result`."""

    def query(self, board: chess.Board, words: Words, legal: list[int], ply: int) -> Query | None:
        """The question asked in this position, or None. Called once for every ply."""
        if board.turn != self.student_color:
            return None
        turn, self.student_turns = self.student_turns, self.student_turns + 1
        if self.config.ask_every is None or turn % self.config.ask_every:
            return None
        query = Query(words, legal, self.config.channel, self.questions, ply)
        self.questions += 1
        return query

    def move(
        self, board: chess.Board, ply: int, own: Evaluation, row: int, query: Query | None, answer: Answer | None
    ) -> int:
        """Number of the move to play, everything about it recorded; `own` is the player's view, in `row`."""
        policy = own.policy[row]
        own_move = own.legal[row][draw(policy, self.config.temperature, self.rng)]
        value = float(own.value[row])
        played = decided = own_move
        record: dict[str, Any] = {}
        if query is not None and answer is not None:
            decision = self._decision(query, OwnView(own_move, policy, value), answer.given, board)
            decided = decision.move
            if self.config.advice == "played":
                played = decided
            record = {
                "channel": query.channel.value,
                **self._advice(answer.given, board),
                "honest": _uci(answer.honest.move, board),
                "honest_value": answer.honest.value,
                "misaligned": answer.misaligned,
                "believed": decision.believed,
                "weight": decision.weight,
            }
        self._record(
            ply=ply,
            fen=board.fen(en_passant="fen"),  # the planes show the square after every double step
            student=board.turn == self.student_color,
            own_move=moves.uci(own_move, board),
            own_value=value,
            asked=query is not None,
            decided=moves.uci(decided, board),
            played=moves.uci(played, board),
            **record,
        )
        return played

    def _decision(self, query: Query, own: OwnView, advice: Advice, board: chess.Board) -> Decision:
        with REGISTRY.told(self.oversight, board.fen):
            decision = self.oversight.decide(query, own, advice, self.rng)
        try:
            check_decision(decision, query)
        except ValueError as error:
            raise REGISTRY.failure(self.oversight, str(error), board.fen()) from None
        return decision

    def finish(self, result: Result) -> dict[str, list[Any]]:
        """All ledger columns of the finished game."""
        turns = [fen.split(" ", 2)[1] == "w" for fen in self.rows["fen"]]
        return self.rows | {"game": [self.game] * len(turns), "result": [result.score(turn) for turn in turns]}

    @staticmethod
    def _advice(advice: Advice, board: chess.Board) -> dict[str, Any]:
        policy = None if advice.policy is None else advice.policy.tolist()
        return {"advised": _uci(advice.move, board), "advised_policy": policy, "advised_value": advice.value}

    def _record(self, **row: Any) -> None:
        for name in RECORDED:
            self.rows.setdefault(name, []).append(row.get(name))


RECORDED = (
    "ply", "fen", "student", "own_move", "own_value", "asked", "channel", "advised", "advised_policy", "advised_value",
    "honest", "honest_value", "misaligned", "believed", "weight", "decided", "played",
)  # fmt: skip
"""Ledger columns that are known when a move is made."""


def _uci(move: int | None, board: chess.Board) -> str | None:
    return None if move is None else moves.uci(move, board)
