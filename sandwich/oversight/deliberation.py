"""Deliberation: a decision made in single actions, and what the one who takes them knows before each.

The student may refuse, believe, ask the same once more, or ask elsewhere: how the assistant would answer its
own move. Who takes the actions is left open: a trained policy (`sandwich.oversight.learned`), or
somebody outside (`sandwich.rl.environments`, `sandwich.rl.ppo`). All of them see the same figures.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agents.advice import Advice, Channel
from engines import planes
from engines.positions import successors
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import (
    ActionRequest,
    Consultation,
    Floats,
    answered,
    ask,
    own_values,
    searched_values,
)


class Action(IntEnum):
    """What the student does next with the advice that it has."""

    OWN = 0
    """Refuse: play its own move."""
    ADVICE = 1
    """Believe: play the move that most answers name."""
    AGAIN = 2
    """Ask the same question again."""
    ELSEWHERE = 3
    """Ask how the assistant would reply, as the opponent, to the move that it advises."""


FEATURES = {
    "likely": "log of the student's own probability of the move advised, over 5",
    "sure": "log of its probability of the move that it likes best, over 5",
    "same": "1 where the two are the same move",
    "gain": "own value behind the move advised less that behind its own best, times 5",
    "far gain": "the same behind the best of the opponent's likeliest replies, times 5",
    "again": "further answers that name the move advised, over 2",
    "against": "answers that name another move, over 2",
    "replied": "1 where the assistant has been asked for its reply to the move advised",
    "behind": "own value behind that reply less its value of the position, times 5; 0 before",
    "value": "own value of the position, less ½, times 2",
    "pieces": "queens, rooks, bishops and knights on the board, over 14",
    "left": "share of the further questions of the decision that may still be asked",
}
"""What an action is chosen by, `F` numbers, each for the side to move and within ±`BOUND`."""

BOUND = 3.0
"""Greatest size of a feature."""


@dataclass(frozen=True, eq=False)
class Situation:
    """All that the next action may depend on.

    context: the question and its first answer.
    said: moves named in answer to it so far, in their order.
    replies: replies of the assistant to moves of its own, in their order.
    advised: the move that most answers name.
    left: questions that may still be asked in this decision.
    features: `[F]`, in the order of `FEATURES`.
    mask: `[4]`, True for the actions that can be taken.
    """

    context: DecisionContext
    named: Sequence[int]
    replies: Sequence[int]
    advised: int
    left: int
    features: Floats
    mask: npt.NDArray[np.bool_]

    @property
    def asked(self) -> int:
        """Questions of the game so far."""
        return self.context.query.number + len(self.named) + len(self.replies)


class Deliberation(Oversight, ABC):
    """Decides in single actions. A value is believed.

    Costs, where the assistant does not name the student's own best move, 2 · (2 + `replies`) evaluations for the first
    answer, and one for each question asked elsewhere.
    """

    asks: int = Field(2, ge=0)
    """Questions that one decision may take beside the first."""
    replies: int = Field(4, ge=1)
    """Replies looked at behind each of the moves that are compared."""

    @property
    def questions(self) -> int:
        return 1 + self.asks

    @abstractmethod
    def action(self, situation: Situation) -> int | None:
        """The next action; None leaves it to whoever carries the games on."""

    def confidence(self, situation: Situation) -> float | None:
        """How much the answers are trusted at the end (`Decision.confidence`)."""
        return None

    def decide(self, context: DecisionContext) -> Decision | Consultation[Decision]:
        return Decision(context.own.move, believed=True) if context.advised is None else self._act(context)

    def _act(self, context: DecisionContext) -> Consultation[Decision]:
        query, facts = context.query, _Facts(context, min(self.asks, context.left))
        while True:
            yield from facts.look(self.replies)
            situation = facts.situation()
            action = self.action(situation)
            if action is None:
                action = yield ActionRequest(situation)
            if not 0 <= action < len(Action) or not situation.mask[action]:
                allowed = ", ".join(f"{action} ({action.name})" for action in Action if situation.mask[action])
                raise ValueError(f"action: expected one of {allowed}, got {action!r}")
            match Action(action):
                case Action.OWN:
                    return Decision(context.own.move, believed=False, confidence=self.confidence(situation))
                case Action.ADVICE:
                    return Decision(facts.advised, True, confidence=self.confidence(situation), answer=facts.answer)
                case Action.AGAIN:
                    facts.answers += yield from ask(query.packed[None], [query.legal], query.channel)
                case Action.ELSEWHERE:
                    worth, reply = yield from answered(query.packed, facts.advised)
                    facts.behind[facts.advised] = worth
                    facts.replies += [] if reply is None else [reply]


class ExternalDeliberation(Deliberation):
    """Leaves every action to whoever carries the games on."""

    def action(self, situation: Situation) -> int | None:
        return None


class _Facts:
    """What is known in one decision so far."""

    def __init__(self, context: DecisionContext, asks: int) -> None:
        self.context = context
        self.asks = asks
        self.answers = [context.advice]
        self.replies: list[int] = []
        self.behind: dict[int, float] = {}
        """Expected score behind the assistant's reply to a move, where it was asked for."""
        self.worth: dict[int, tuple[float, float]] = {}
        """Own value behind a move, and behind the best reply to it."""
        board = planes.unpack(context.query.packed)
        self._pieces = (board.occupied & ~board.pawns & ~board.kings).bit_count()

    @property
    def advised(self) -> int:
        """The move that most answers name, the one named first of those with as many."""
        named = Counter(advice.move for advice in self.answers)  # in the order of the answers
        (move, _), *_ = named.most_common(1)
        assert move is not None
        return move

    @property
    def answer(self) -> Advice:
        """The first answer that names it."""
        return next(advice for advice in self.answers if advice.move == self.advised)

    @property
    def left(self) -> int:
        """Questions that may still be asked."""
        return self.asks - (len(self.answers) - 1) - len(self.replies)

    def look(self, replies: int) -> Consultation[None]:
        """Find out what is not known yet of the move advised and the own best one, where these differ."""
        best = self.context.own.best(self.context.query)
        new = [move for move in (best, self.advised) if move not in self.worth]
        if self.advised != best and new:
            packed = self.context.query.packed
            near = yield from own_values(packed, new)
            far = yield from searched_values(packed, new, replies)
            self.worth |= dict(zip(new, zip(near.tolist(), far.tolist(), strict=True), strict=True))

    def situation(self) -> Situation:
        context, advised = self.context, self.advised
        query, own = context.query, context.own
        best = own.best(query)
        own_gain, advised_gain = (0.0, 0.0), (0.0, 0.0)
        if advised != best:
            own_gain, advised_gain = self.worth[best], self.worth[advised]
        named = sum(advice.move == advised for advice in self.answers)
        features = {
            "likely": np.log(max(own.chance(query, advised), 1e-6)) / 5,
            "sure": np.log(max(own.chance(query, best), 1e-6)) / 5,
            "same": float(advised == best),
            "gain": 5 * (advised_gain[0] - own_gain[0]),
            "far gain": 5 * (advised_gain[1] - own_gain[1]),
            "again": (named - 1) / 2,
            "against": (len(self.answers) - named) / 2,
            "replied": float(advised in self.behind),
            "behind": 5 * (self.behind[advised] - own.value) if advised in self.behind else 0.0,
            "value": 2 * (own.value - 0.5),
            "pieces": self._pieces / 14,
            "left": self.left / max(self.asks, 1),
        }
        assert list(features) == list(FEATURES)
        may_ask = self.left > 0 and query.channel in (Channel.MOVE, Channel.DISTRIBUTION)
        elsewhere = may_ask and advised not in self.behind and self._goes_on(advised)
        return Situation(
            context,
            [advice.move for advice in self.answers if advice.move is not None],
            list(self.replies),
            advised,
            self.left,
            np.clip(np.array(list(features.values()), np.float32), -BOUND, BOUND),
            np.array([True, True, may_ask, elsewhere]),
        )

    def _goes_on(self, move: int) -> bool:
        return bool(np.isnan(successors(self.context.query.packed[None], [move]).score[0]))
