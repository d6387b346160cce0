"""Lookahead: believes what a short search with the student's own network does not refute."""

from collections.abc import Sequence

from pydantic import Field

from engines import planes
from sandwich.oversight.consult import Consultation, Floats, Integers, searched_values
from sandwich.oversight.veto import Veto


class Lookahead(Veto):
    """Believes a move unless a search of two plies behind it finds that it loses more than `delta`.

    The search answers the move advised, and the move it would make itself, with the opponent's likeliest replies, and
    values what is on the board then: at most 2 · (1 + `replies`) evaluations a decision. A value is believed.
    """

    replies: int = Field(8, ge=1)
    """Replies looked at behind each of the two moves."""

    def _values(
        self, packed: planes.Packed, moves: Sequence[int] | Integers, rows: Integers | None = None
    ) -> Consultation[Floats]:
        return searched_values(packed, moves, self.replies, rows)
