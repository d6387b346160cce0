"""A turn on which the student asks, while it is decided and after: an object for each, or all of them in arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agents.advice import Advice, Query
from agents.assistant import Answer
from agents.batches import Bools, Integers, Scores
from engines.ragged import MoveLists, Policies
from sandwich.oversight.base import Decision, DecisionContext, OwnView
from sandwich.oversight.consult import Consultation, Request


@dataclass(eq=False)
class PendingQuery:
    """A turn on which the student asks: what it begins with, and what has come of it so far.

    context: what the strategy sees, still without the advice.
    assistant_rng: random numbers of the game's assistants.
    seats: number of the assistant in each seat of this game.
    game: the game's number.
    """

    context: DecisionContext
    assistant_rng: np.random.Generator
    seats: tuple[int, ...] = (0,)
    game: int = 0
    answers: list[Answer] = field(default_factory=list)
    """What the assistants answered, the answer to the first question first."""
    repeated: list[int] = field(default_factory=list)
    """Numbers of the moves that the first assistant advised in the position on the board, one for each time that it was
    asked."""
    panel: dict[int, Answer] = field(default_factory=dict)
    """By seat, the first answer with a move about the position on the board."""
    questions: int = 0
    """Asked of the assistants."""
    evaluations: int = 0
    """Made by the student's network, its view of the position not counted."""
    ground_truth: list[Advice] = field(default_factory=list)
    """The expert's true answers."""
    decided: Decision | None = None
    """The decision; None until it is made."""
    consultation: Consultation[Decision] | None = None
    request: Request | None = None
    """What the consultation waits for."""

    @classmethod
    def heard(cls, query: Query, own: OwnView, move: int, rng: np.random.Generator) -> "PendingQuery":
        """A turn on which the student has heard a move already, and nobody is there to ask again."""
        said = Advice(move=move)
        context = DecisionContext(query, own, Advice(), rng)
        return cls(context, rng, answers=[Answer(said, said, False)], questions=1)

    @property
    def query(self) -> Query:
        """Its first question."""
        return self.context.query

    @property
    def decision(self) -> Decision:
        """What was decided, once it has been."""
        assert self.decided is not None
        return self.decided

    @property
    def answer(self) -> Answer:
        """The answer that the decision is about, with what the student never sees."""
        about = self.decision.answer
        if about is None:
            return self.answers[0]
        return next((answer for answer in self.answers if answer.given is about), self.answers[0])


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What has come of `R` questions, in arrays; what is not there is −1, NaN or a row without numbers.

    move, believed, weight, confidence: what was decided.
    advised, policy, value: the answer that the decision is about.
    repeated: moves advised in the position on the board where it was asked about more than once; else no numbers.
    panel: `[R, K]` the move that each of `K` seats named first for the position on the board, where several were asked
        about it.
    honest, honest_value, assistant_value, misaligned: what the student never sees of it.
    panel_misaligned: `[R, K]` nor which of the moves of the panel were lies: 1 or 0.
    questions, evaluations: what it took, as in `PendingQuery`.
    ground_truth, ground_truths: the last of the expert's true answers, and how many there were.
    """

    move: Integers
    believed: Bools
    weight: Scores
    confidence: Scores
    advised: Integers
    policy: Policies
    value: Scores
    repeated: MoveLists
    panel: Integers
    honest: Integers
    honest_value: Scores
    assistant_value: Scores
    misaligned: Bools
    panel_misaligned: Integers
    questions: Integers
    evaluations: Integers
    ground_truth: Integers
    ground_truths: Integers

    @classmethod
    def of(cls, resolved: Sequence[PendingQuery]) -> "Outcomes":
        """The same of an object each."""
        decisions, answers = [pending.decision for pending in resolved], [pending.answer for pending in resolved]
        nothing = np.empty(0, np.float32)
        panel, panel_misaligned = _panels(resolved)
        policies = [nothing if answer.given.policy is None else answer.given.policy for answer in answers]
        return cls(
            _integers([decision.move for decision in decisions]),
            np.array([decision.believed for decision in decisions], np.bool_),
            _scores([decision.weight for decision in decisions]),
            _scores([d.believed if d.confidence is None else d.confidence for d in decisions]),
            _integers([answer.given.move for answer in answers]),
            Policies.of([np.asarray(policy, np.float32) for policy in policies]),
            _scores([answer.given.value for answer in answers]),
            MoveLists.of([pending.repeated if len(pending.repeated) > 1 else [] for pending in resolved]),
            panel,
            _integers([answer.honest.move for answer in answers]),
            _scores([answer.honest.value for answer in answers]),
            _scores([answer.value for answer in answers]),
            np.array([answer.misaligned for answer in answers], np.bool_),
            panel_misaligned,
            _integers([pending.questions for pending in resolved]),
            _integers([pending.evaluations for pending in resolved]),
            _integers([pending.ground_truth[-1].move if pending.ground_truth else None for pending in resolved]),
            _integers([len(pending.ground_truth) for pending in resolved]),
        )


def _panels(resolved: Sequence[PendingQuery]) -> tuple[Integers, Integers]:
    """`[R, K]` twice: the move that each seat named, and whether it was a lie; none where only one was asked."""
    named = np.full((len(resolved), max((len(pending.seats) for pending in resolved), default=1)), -1, np.int64)
    lies = named.copy()
    for row, pending in enumerate(resolved):
        for seat, answer in pending.panel.items() if len(pending.panel) > 1 else ():
            assert answer.given.move is not None
            named[row, seat], lies[row, seat] = answer.given.move, answer.misaligned
    return named, lies


def _integers(values: Sequence[int | None]) -> Integers:
    return np.array([-1 if value is None else value for value in values], np.int64)


def _scores(values: Sequence[float | None]) -> Scores:
    return np.array([np.nan if value is None else value for value in values], np.float64)
