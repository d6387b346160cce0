"""The only rules of a game: observe → ask? → advice → decide → move.

One `Episode` is one game of the student against its copy. It hears what the networks think and
says what to do next; it evaluates nothing itself, so that `sandwich.protocol.selfplay` can carry many of them
in lock-step. All chance of a game comes from its own two streams: the players' and the assistant's.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import chess
import numpy as np

from agents.advice import Advice, Query
from engines import moves, planes
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
    cost: int = field(init=False)
    """Questions that one decision may take."""
    plies: list[tuple[Any, ...]] = field(default_factory=list)
    """What is known of each ply so far: the ledger columns `RECORDED`."""

    def __post_init__(self) -> None:
        self.cost = self.config.cost(budget_of(self.oversight, "questions"))
        ground_truth = budget_of(self.oversight, "ground_truth_budget")
        self.budget = QueryBudget(self.config.queries_per_game, self.config.queries_per_turn, ground_truth)

    def query(
        self,
        turn: chess.Color,
        packed: planes.Packed,
        legal: list[int],
        ply: int,
        own: OwnView,
        window: UncertaintyWindow,
    ) -> PendingQuery | None:
        """The question asked in this position, or None. Called once for every ply.

        turn: side to move. packed, own: copies that the strategy may be given.
        """
        if turn != self.student_color:
            return None
        before, self.student_turns = self.student_turns, self.student_turns + 1
        if not would_ask(self.config.ask, before, own.policy, window, self.rng):
            return None
        if self.budget.left(self.student_turns) < self.cost:
            return None
        query = Query(packed, legal, self.config.channel, self.budget.asked, ply)
        context = DecisionContext(
            query,
            OwnView(own.move, own.policy, own.value),  # nothing that is done to it changes what is recorded
            Advice(),
            self.rng,
            left=self.cost,
            ground_truth_left=self.budget.ground_truth,
            study=self.study,
            game=PlayedSoFar(self.plies),
        )
        return PendingQuery(context, self.assistant_rng, self.swapped, self.game)

    def move(
        self, fen: str, words: list[int], turn: chess.Color, ply: int, own: OwnView, resolved: PendingQuery | None
    ) -> int:
        """Number of the move to play, everything about it recorded.

        words: packed position. turn: side to move.
        """
        played = decided = own.move
        answered: tuple[Any, ...] = NOT_ASKED
        spelled = own_move = moves.spell(own.move, words)
        if resolved is not None:
            decision, answer = resolved.decision, resolved.answer
            given = answer.given
            decided = decision.move
            if self.config.advice == "played":
                played = decided
            self.budget.spend(resolved.questions, len(resolved.ground_truth))
            answered = (
                self.config.channel.value,
                _uci(given.move, words),
                None if given.policy is None else tuple(given.policy.tolist()),
                given.value,
                _uci(answer.honest.move, words),
                answer.honest.value,
                answer.value,
                answer.misaligned,
                decision.believed,
                decision.weight,
                float(decision.believed) if decision.confidence is None else decision.confidence,
                resolved.questions,
                resolved.evaluations,
                _uci(resolved.ground_truth[-1].move, words) if resolved.ground_truth else None,
            )
            spelled = own_move if decided == own.move else moves.spell(decided, words)
        self.plies.append(
            (
                ply,
                fen,
                _WORDS.pack(*words),
                turn == self.student_color,
                own_move,
                own.value,
                resolved is not None,
                *answered,
                spelled,
                spelled if played == decided else own_move,
            )
        )
        return played

    def finish(self, result: Result) -> dict[str, list[Any]]:
        """All ledger columns of the finished game."""
        columns = dict(zip(RECORDED, map(list, zip(*self.plies, strict=True)), strict=True))
        turns = [fen.split(" ", 2)[1] == "w" for fen in columns["fen"]]
        columns |= {"game": [self.game] * len(turns), "result": [result.score(turn) for turn in turns]}
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


RECORDED = (
    "ply", "fen", "position", "student", "own_move", "own_value", "asked", "channel", "advised", "advised_policy",
    "advised_value", "honest", "honest_value", "assistant_value", "misaligned", "believed", "weight", "confidence",
    "questions", "evaluations", "ground_truth", "decided", "played",
)  # fmt: skip
"""Ledger columns that are known when a move is made."""


NOT_ASKED = (None,) * (RECORDED.index("decided") - RECORDED.index("channel"))
"""What the columns of an answer have where nothing was asked."""
_WORDS = struct.Struct(f"<{planes.WORDS}Q")
_PLACES = {name: place for place, name in enumerate(RECORDED) if name in ledger.VISIBLE}


class PlayedSoFar(Mapping[str, Sequence[Any]]):
    """The visible ledger columns of a game's plies up to now; made where somebody looks."""

    def __init__(self, plies: Sequence[tuple[Any, ...]]) -> None:
        self._plies = plies
        self._count = len(plies)

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        place = _PLACES[name]
        return tuple(row[place] for row in self._plies[: self._count])

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES if self._count else ())

    def __len__(self) -> int:
        return len(_PLACES) if self._count else 0


def _uci(move: int | None, words: Sequence[int]) -> str | None:
    return None if move is None else moves.spell(move, words)
