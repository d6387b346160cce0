"""Panel: asks several assistants the same question and believes one of the moves that they name."""

from typing import Literal

from pydantic import Field

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, ask, own_values


class Panel(Oversight):
    """Asks the assistant in each of its `seats` once: needs one less in the spec's `second`.

    Believes the move that `choose` says, or the median value. Of moves that are as good by that, it takes the one that
    its own policy finds likeliest. The confidence is by how much that move is ahead of the next one named (the share of
    the seats, the probability or the value), and 1 where all name the same.
    """

    seats: int = Field(3, ge=2)
    """Assistants that it asks, each once."""
    choose: Literal["plurality", "policy", "value"] = "plurality"
    """The move that most seats name, that its own policy finds likeliest, or that looks best to its own network one
    ply later."""
    quorum: float = Field(0.0, ge=0, le=1)
    """Share of the seats that must name the move for it to be believed."""

    @property
    def questions(self) -> int:
        return self.seats

    @property
    def advisors(self) -> int:
        return self.seats

    def decide(self, context: DecisionContext) -> Consultation[Decision]:
        query = context.query
        answers = [context.advice]
        for seat in range(1, self.seats):
            answers += yield from ask(query.packed[None], [query.legal], query.channel, seat)
        if context.advised is None:
            ranked = sorted(answers, key=lambda advice: advice.value or 0.0)
            return Decision(context.own.move, believed=True, answer=ranked[len(ranked) // 2])
        named = [advice.move for advice in answers if advice.move is not None]
        moves = list(dict.fromkeys(named))
        if len(moves) == 1:
            return Decision(moves[0], believed=True, confidence=1.0)
        shares = [named.count(move) / self.seats for move in moves]
        chances = [context.own.chance(query, move) for move in moves]
        if self.choose == "value":
            worth = (yield from own_values(query.packed, moves)).tolist()
        else:
            worth = shares if self.choose == "plurality" else chances
        first, next_one, *_ = sorted(range(len(moves)), key=lambda place: (-worth[place], -chances[place]))
        believed = shares[first] >= self.quorum
        return Decision(
            moves[first] if believed else context.own.move,
            believed,
            confidence=worth[first] - worth[next_one],
            answer=answers[named.index(moves[first])],
        )
