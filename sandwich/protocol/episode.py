"""The only rules of a game: observe → ask? → advice → decide → move.

One `Episode` is one game of the student against its copy. It hears what the networks think and
says what to do next; it evaluates nothing itself, so that `sandwich.protocol.selfplay` can carry many of them
in lock-step. All chance of a game comes from its own two streams: the players' and the assistant's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import chess
import numpy as np

from agents.advice import Advice, Query
from agents.sampling import draw
from engines import moves, planes
from engines.inference import Evaluation, locked
from engines.positions import Result
from sandwich.oversight.base import REGISTRY, DecisionContext, Oversight, OwnView, budget_of, is_weight
from sandwich.protocol import ledger
from sandwich.protocol.query_executor import PendingQuery
from sandwich.spec.run_spec import PlayConfig
from sandwich.spec.schedule import QueryBudget, UncertaintyWindow, would_ask


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
    study: Any = None
    """What the strategy's `study` made of earlier steps."""
    swapped: bool = False
    """Whether the second assistant is the first one in this game."""
    student_turns: int = 0
    budget: QueryBudget = field(init=False)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    """Ledger columns of the plies so far, without `game` and `result`."""

    def __post_init__(self) -> None:
        ground_truth = budget_of(self.oversight, "ground_truth_budget")
        self.budget = QueryBudget(self.config.queries_per_game, self.config.queries_per_turn, ground_truth)

    def view(self, own: Evaluation, row: int) -> OwnView:
        """What the player to move would do by itself. Called once for every ply; `own` is its view, in `row`."""
        policy = own.policy[row]
        move = own.legal[row][draw(policy, self.config.temperature, self.rng)]
        return OwnView(move, policy, float(own.value[row]))

    def query(
        self,
        board: chess.Board,
        packed: planes.Packed,
        legal: list[int],
        ply: int,
        own: OwnView,
        window: UncertaintyWindow,
    ) -> PendingQuery | None:
        """The question asked in this position, or None. Called once for every ply."""
        if board.turn != self.student_color:
            return None
        turn, self.student_turns = self.student_turns, self.student_turns + 1
        if not would_ask(self.config.ask, turn, own.policy, window, self.rng):
            return None
        cost = self.config.cost(budget_of(self.oversight, "questions"))
        if self.budget.left(self.student_turns) < cost:
            return None
        query = Query(packed, legal, self.config.channel, self.budget.asked, ply)
        visible = {name: tuple(column) for name, column in self.rows.items() if name in ledger.VISIBLE}
        context = DecisionContext(
            query.locked(),
            replace(own, policy=locked(own.policy)),
            Advice(),
            self.rng,
            left=cost,
            ground_truth_left=self.budget.ground_truth,
            study=self.study,
            game=visible,
        )
        return PendingQuery(context, self.assistant_rng, self.swapped, self.game)

    def move(
        self, board: chess.Board, packed: planes.Packed, ply: int, own: OwnView, resolved: PendingQuery | None
    ) -> int:
        """Number of the move to play, everything about it recorded."""
        played = decided = own.move
        record: dict[str, Any] = {}
        if resolved is not None:
            decision, answer = resolved.decision, resolved.answer
            decided = decision.move
            if self.config.advice == "played":
                played = decided
            self.budget.spend(resolved.questions, len(resolved.ground_truth))
            record = {
                "channel": self.config.channel.value,
                **self._advice(answer.given, board),
                "honest": _uci(answer.honest.move, board),
                "honest_value": answer.honest.value,
                "assistant_value": answer.value,
                "misaligned": answer.misaligned,
                "believed": decision.believed,
                "weight": decision.weight,
                "confidence": float(decision.believed) if decision.confidence is None else decision.confidence,
                "questions": resolved.questions,
                "evaluations": resolved.evaluations,
                "ground_truth": _uci(resolved.ground_truth[-1].move, board) if resolved.ground_truth else None,
            }
        self._record(
            ply=ply,
            fen=planes.fen(board),
            position=packed.astype("<u8").tobytes(),
            student=board.turn == self.student_color,
            own_move=moves.uci(own.move, board),
            own_value=own.value,
            asked=resolved is not None,
            decided=moves.uci(decided, board),
            played=moves.uci(played, board),
            **record,
        )
        return played

    def finish(self, result: Result) -> dict[str, list[Any]]:
        """All ledger columns of the finished game."""
        turns = [fen.split(" ", 2)[1] == "w" for fen in self.rows["fen"]]
        columns = self.rows | {"game": [self.game] * len(turns), "result": [result.score(turn) for turn in turns]}
        return columns | {"weight": self._weights({name: tuple(columns[name]) for name in ledger.VISIBLE})}

    def _weights(self, game: Mapping[str, Sequence[Any]]) -> list[float | None]:
        """What the strategy makes of the weights once it knows the result."""
        with REGISTRY.attribute_errors(self.oversight, lambda: game["fen"][0]):
            weights: list[float | None] = list(self.oversight.weigh(game))
            if len(weights) != len(game["fen"]):
                raise ValueError(f"expected {len(game['fen'])} weights of a game, got {len(weights)}")
            for weight in weights:
                if weight is not None and not is_weight(weight):
                    raise ValueError(f"expected a weight that is a finite number, 0 or more, got {weight!r}")
        return weights

    @staticmethod
    def _advice(advice: Advice, board: chess.Board) -> dict[str, Any]:
        policy = None if advice.policy is None else tuple(advice.policy.tolist())
        return {"advised": _uci(advice.move, board), "advised_policy": policy, "advised_value": advice.value}

    def _record(self, **row: Any) -> None:
        for name in RECORDED:
            self.rows.setdefault(name, []).append(row.get(name))


RECORDED = (
    "ply", "fen", "position", "student", "own_move", "own_value", "asked", "channel", "advised", "advised_policy",
    "advised_value", "honest", "honest_value", "assistant_value", "misaligned", "believed", "weight", "confidence",
    "questions", "evaluations", "ground_truth", "decided", "played",
)  # fmt: skip
"""Ledger columns that are known when a move is made."""


def _uci(move: int | None, board: chess.Board) -> str | None:
    return None if move is None else moves.uci(move, board)
