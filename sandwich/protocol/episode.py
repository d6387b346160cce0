"""The only rules of a game: observe → ask? → advice → decide → move.

An episode is one game of the student against its copy. `Episodes` are those of a block: they hear what the networks
think and say what to do next, and evaluate nothing themselves, so that `sandwich.protocol.selfplay` can carry them in
lock-step. All chance of a game comes from its own two streams: the players' and the assistant's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from agents.advice import Advice
from agents.batches import Bools, Integers, Questions
from engines import moves, planes
from engines.positions import Result
from engines.ragged import MoveLists
from sandwich.oversight.base import REGISTRY, DecisionContext, Oversight, OwnView, budget_of, is_weight
from sandwich.oversight.batches import OwnViews
from sandwich.protocol import ledger
from sandwich.protocol.annotated_games import annotated_pgn
from sandwich.protocol.pending import Outcomes, PendingQuery
from sandwich.protocol.record import Record, Values
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.spec.run_spec import PlayConfig, Seats
from sandwich.spec.schedule import QueryBudget, UncertaintyWindow, asking


class Episodes:
    """`G` games of a block: whose side the student is on, what it asked, and everything that happened.

    config: what is played.
    seed, step, first: say with a game's number what its chance is; `first` is the number of the first game.
    assistants: how many there are.
    seats: for how long they keep their order.
    study: what the strategy's `study` made of earlier steps.
    """

    def __init__(
        self,
        config: PlayConfig,
        oversight: Oversight,
        count: int,
        *,
        seed: int,
        step: int,
        first: int,
        assistants: int = 1,
        seats: Seats = "game",
        study: Any = None,
    ) -> None:
        keys = [(seed, step, first + place) for place in range(count)]
        self.rngs = [make_rng(RngStream.PLAYERS, *key) for key in keys]
        """Of the players and of the oversight strategy."""
        self.assistant_rngs = [make_rng(RngStream.ASSISTANT, *key) for key in keys]
        self.seats = [seating(assistants, *(key if seats == "game" else (seed,))) for key in keys]
        """Number of the assistant in each seat, of each game."""
        self.record = Record(first)
        self._config, self._oversight, self._study, self._first = config, oversight, study, first
        # Both games of an opening's pair are neighbours; the student has White in the first of them.
        self._student_white = (first + np.arange(count)) % 2 == 0
        self._turns = np.zeros(count, np.int64)
        self._window = UncertaintyWindow()
        self._cost = config.cost(budget_of(oversight, "questions"))
        self._budget = QueryBudget(
            count, config.queries_per_game, config.queries_per_turn, budget_of(oversight, "ground_truth_budget")
        )

    def student_moves(self, games: Integers, white: Bools) -> Bools:
        """Whether the student is to move in some games, where White is or is not."""
        return np.asarray(self._student_white[games] == white)

    def asked(self, games: Integers, white: Bools, own: OwnViews) -> Integers:
        """Rows of these games in which the student asks now. Called once for every ply."""
        rows = np.flatnonzero(self.student_moves(games, white))
        before = self._turns[games[rows]]
        self._turns[games[rows]] += 1
        rngs = [self.rngs[game] for game in games[rows].tolist()]
        wants = asking(self._config.ask, before, own.policy.take(rows), self._window, rngs)
        return np.asarray(rows[wants & (self._budget.left(games[rows], before + 1) >= self._cost)])

    def questions(self, games: Integers, packed: planes.Packed, legal: MoveLists, plies: Integers) -> Questions:
        """The questions that the student asks in some games, in these positions."""
        return Questions(packed, legal, self._config.channel, self._budget.asked[games], plies)

    def pending(self, games: Integers, questions: Questions, own: OwnViews) -> list[PendingQuery]:
        """An object for each question, for a strategy that is given one after the other."""
        out = []
        for query, game, move, policy, value in zip(
            questions.queries(), games.tolist(), own.move.tolist(), own.policy, own.value.tolist(), strict=True
        ):
            context = DecisionContext(
                query,
                OwnView(move, policy, value),
                Advice(),
                self.rngs[game],
                left=self._cost,
                ground_truth_left=int(self._budget.ground_truth[game]),
                study=self._study,
                game=self.record.so_far(game),
            )
            out.append(PendingQuery(context, self.assistant_rngs[game], self.seats[game], self._first + game))
        return out

    def move(
        self,
        games: Integers,
        packed: planes.Packed,
        fens: Sequence[str],
        plies: Integers,
        own: OwnViews,
        rows: Integers,
        outcomes: Outcomes,
    ) -> Integers:
        """Number of the move to play in each game, everything about them recorded.

        rows: of those in which the student asked; outcomes: what came of it.
        """
        white = (packed[:, 9] & np.uint64(1)).astype(bool)
        decided = own.move.copy()
        decided[rows] = outcomes.move
        played = decided if self._config.advice == "played" else own.move
        asked = np.zeros(len(games), np.bool_)
        asked[rows] = True
        self._budget.spend(games[rows], outcomes.questions, outcomes.ground_truths)
        answered = packed[rows]
        of_answers: dict[str, Values] = {
            "channel": np.full(len(rows), self._config.channel.value, object),
            "advised": moves.spellings(outcomes.advised, answered),
            "advised_policy": outcomes.policy,
            "advised_value": outcomes.value,
            "repeated": MoveLists(
                moves.spellings(outcomes.repeated.flat, answered[outcomes.repeated.owners]), outcomes.repeated.starts
            ),
            "panel": np.stack([moves.spellings(seat, answered) for seat in outcomes.panel.T], 1),
            "honest": moves.spellings(outcomes.honest, answered),
            "honest_value": outcomes.honest_value,
            "assistant_value": outcomes.assistant_value,
            "misaligned": outcomes.misaligned,
            "panel_misaligned": outcomes.panel_misaligned,
            "believed": outcomes.believed,
            "weight": outcomes.weight,
            "confidence": outcomes.confidence,
            "questions": outcomes.questions,
            "evaluations": outcomes.evaluations,
            "ground_truth": moves.spellings(outcomes.ground_truth, answered),
        }
        spelled = moves.spellings(decided, packed)
        own_moves = moves.spellings(own.move, packed)
        of_plies: dict[str, Values] = {
            "ply": plies,
            "fen": np.array(fens, object),
            "position": packed,
            "student": self.student_moves(games, white),
            "own_move": own_moves,
            "own_value": own.value,
            "asked": asked,
            "decided": spelled,
            "played": spelled if played is decided else own_moves,
        }
        self.record.add(games, of_plies, of_answers if len(rows) else {})
        return played

    def finish(self, results: Sequence[Result], step: int) -> tuple[pa.Table, list[str]]:
        """The ledger's rows of the finished games, and annotated PGN of the first ones of the step.

        Raises PluginError for a strategy whose weights can't be.
        """
        finished = self.record.finish(results)
        weights: list[float | None] | None = None
        if type(self._oversight).weigh is not Oversight.weigh:
            weights = [
                weight
                for game in range(len(results))
                for weight in self._weights({n: tuple(c) for n, c in finished.game(game, ledger.VISIBLE).items()})
            ]
        shown = range(max(0, min(self._config.pgn_games - self._first, len(results))))
        pgn = [annotated_pgn(finished.game(game, ledger.SCHEMA.names), step, results[game].end) for game in shown]
        return finished.table(weights), pgn

    def _weights(self, game: Mapping[str, Sequence[Any]]) -> list[float | None]:
        """What the strategy makes of the weights once it knows the result."""
        with REGISTRY.attribute_errors(self._oversight, lambda: game["fen"][0]):
            weights: list[float | None] = list(self._oversight.weigh(game))
            if len(weights) != len(game["fen"]):
                raise ValueError(f"expected {len(game['fen'])} weights of a game, got {len(weights)}")
            for weight in weights:
                if weight is not None and not is_weight(weight):
                    raise ValueError(f"expected a weight that is a finite number, 0 or more, got {weight!r}")
        return weights


def seating(assistants: int, seed: int, *key: int) -> tuple[int, ...]:
    """Number of the assistant in each seat, drawn for the run or, with a key of step and game, for one of its games."""
    order = list(range(assistants))
    rng = make_rng(RngStream.ORDER, seed, *key)
    for seat in range(assistants - 1):  # of two this is the one draw that says whether they are swapped
        other = seat + int(rng.integers(assistants - seat))
        order[seat], order[other] = order[other], order[seat]
    return tuple(order)
