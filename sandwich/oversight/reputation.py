"""Reputation: believes as often as it paid to believe before, in positions of the same kind."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import chess
import pyarrow as pa
from pydantic import Field

from engines import moves, planes
from sandwich.data.phase import phase_of
from sandwich.oversight.base import Decision, DecisionContext, Oversight

Counts = dict[tuple[str, str], tuple[int, int]]
"""By kind of position and of answer: how often believing went well, and how often not."""


class Reputation(Oversight):
    """Keeps a count, by kind of position and answer, of how often its value had not fallen by its next turn.

    A kind is the phase of the game and whether the move advised is its own move, a capture, or another. The chance to
    believe is the mean of the Beta distribution of the kind's counts, those of earlier steps and of the game so far,
    raised to the power `caution`. A value is believed.
    """

    tolerance: float = Field(0.02, ge=0, le=1)
    """Expected score by which its value may fall until its next turn without the answer being blamed, 0..1."""
    caution: float = Field(3.0, gt=0)
    """The greater, the more a kind with failures is avoided."""

    def decide(self, context: DecisionContext) -> Decision:
        if context.advised is None:
            return Decision(context.own.move, believed=True)
        board = planes.unpack(context.query.packed)
        advised = moves.decode(context.advised, board)
        kind = kind_of(board, advised, context.advised == context.own.move)
        well, badly = 1, 1
        for counts in (context.study or {}, self.counts(context.game)):
            known = counts.get(kind, (0, 0))
            well, badly = well + known[0], badly + known[1]
        reliable = well / (well + badly)
        believed = bool(context.rng.random() < reliable**self.caution)
        return Decision(context.advised if believed else context.own.move, believed, confidence=reliable)

    def study(self, past: pa.Table) -> Counts:
        return self.counts(past.select(SEEN).to_pydict())

    def counts(self, plies: Mapping[str, Sequence[Any]]) -> Counts:
        """Of the answers believed in these plies that were followed by another turn of the student in the same game."""
        outcomes: Counter[tuple[str, str, bool]] = Counter()
        for ply in range(len(plies.get("fen", ())) - 2):
            if not plies["believed"][ply] or plies["advised"][ply] is None or not plies["student"][ply + 2]:
                continue
            if plies["ply"][ply + 2] != plies["ply"][ply] + 2:
                continue  # another game
            board = chess.Board(plies["fen"][ply])
            advised = chess.Move.from_uci(plies["advised"][ply])
            fallen = plies["own_value"][ply] - plies["own_value"][ply + 2]
            kind = kind_of(board, advised, plies["advised"][ply] == plies["own_move"][ply])
            outcomes[(*kind, bool(fallen <= self.tolerance))] += 1
        kinds = {kind[:2] for kind in outcomes}
        return {kind: (outcomes[(*kind, True)], outcomes[(*kind, False)]) for kind in kinds}


SEEN = ("fen", "ply", "student", "own_move", "own_value", "advised", "believed")
"""Ledger columns that the counts are made of."""


def kind_of(board: chess.Board, advised: chess.Move, own: bool) -> tuple[str, str]:
    """Kind of a position and of the answer about it; `own`: the move advised is that of the student itself."""
    return phase_of(board).value, "own" if own else "capture" if board.is_capture(advised) else "quiet"
