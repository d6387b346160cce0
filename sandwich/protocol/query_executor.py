"""Where questions are answered: many consultations advance in lock-step, the requests of all of them in batches.

Everything that a strategy finds out passes through here, so that it is counted: questions to the
assistants, evaluations by the student's own network, and true answers of the expert.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from agents.advice import Advice, Channel, Query, honest_advice
from agents.assistant import Answer, Assistant
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluation, Evaluator
from engines.positions import successors
from sandwich.oversight.base import REGISTRY, Decision, Oversight, OwnView, Question, check_decision
from sandwich.oversight.consult import Ask, Audit, Choose, Consultation, Floats, Look, Request, Risks

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Matter:
    """A turn on which the student asks, before it has.

    query: its first question.
    own: what it thinks itself.
    rng: random numbers of the game's players and strategy.
    assistant_rng: of the game's assistants.
    left: questions that may be asked, the first included.
    audits: true answers that may be had.
    swapped: whether the second assistant is the first one in this game.
    game: the visible ledger columns of the game so far.
    number: the game's number.
    """

    query: Query
    own: OwnView
    rng: np.random.Generator
    assistant_rng: np.random.Generator
    left: int = 1
    audits: int = 0
    swapped: bool = False
    game: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    number: int = 0


Choices = Generator[list[tuple[int, Choose]], Sequence[int], T]
"""What yields the choices that are left to others, each with its game's number, is sent the actions taken, and returns
a `T`."""


def unled(course: Choices[T]) -> T:
    """What comes of it where nobody is there to choose. Raises PluginError for a strategy that leaves a choice."""
    try:
        next(course)
    except StopIteration as end:
        result: T = end.value
        return result
    course.throw(ValueError("leaves its choices to others, and there is nobody here to make them"))
    raise AssertionError("what is thrown in is raised")


@dataclass(eq=False)
class Settled:
    """What was decided, on which answer, and what it took.

    answer: the one that the decision is about, with what the one who asked never sees.
    questions, evaluations: asked of assistants; made by the student's network, its view of the position not counted.
    audited: the expert's true answers.
    """

    decision: Decision
    answer: Answer
    questions: int
    evaluations: int
    audited: list[Advice]


@dataclass(eq=False)
class _Open:
    """A matter that is being settled."""

    matter: Matter
    said: list[Answer] = field(default_factory=list)
    questions: int = 0
    evaluations: int = 0
    audited: list[Advice] = field(default_factory=list)
    course: Consultation[Decision] | None = None
    pending: Request | None = None
    decision: Decision | None = None


class Desk:
    """Settles the matters of many games at once.

    weak: the student's network.
    assistants: one, or two.
    oversight: the strategy that decides.
    memory: what its `study` made of earlier steps.
    expert: gives true answers; None where the strategy has none to ask for.
    tools: what opens a blunder filter; None where the strategy asks for none.
    candidates: on channel `candidates`, of how many own moves the value behind is asked.
    """

    def __init__(
        self,
        weak: Evaluator,
        assistants: Sequence[Assistant],
        oversight: Oversight,
        memory: Any = None,
        expert: Evaluator | None = None,
        tools: Tools | None = None,
        candidates: int = 4,
    ) -> None:
        self._weak = weak
        self._assistants = assistants
        self._oversight = oversight
        self._memory = memory
        self._expert = expert
        self._tools = tools
        self._candidates = candidates

    def settle(self, matters: Sequence[Matter]) -> list[Settled]:
        """Ask, consult and decide on each matter. Raises PluginError, naming strategy and position."""
        return unled(self.settling(matters))

    def settling(self, matters: Sequence[Matter]) -> Choices[list[Settled]]:
        """`settle` for a strategy that leaves choices to others; they are yielded when nothing else is to be done."""
        opened = [_Open(matter) for matter in matters]
        first = self.first_answers(matters)
        for one, (answer, questions) in zip(opened, first, strict=True):
            one.said.append(answer)
            one.questions = questions
            self._begin(one)
        while waiting := [one for one in opened if one.decision is None]:
            if asking := [one for one in waiting if not isinstance(one.pending, Choose)]:
                self._answer(asking)
                continue
            with self._told(waiting[0].matter):
                actions = yield [(one.matter.number, one.pending) for one in waiting if isinstance(one.pending, Choose)]
            for one, action in zip(waiting, actions, strict=True):
                self._advance(one, action)
        return [self._settled(one) for one in opened]

    def first_answers(self, matters: Sequence[Matter]) -> list[tuple[Answer, int]]:
        """The answer to the first question of each matter, and how many questions it took."""
        if any(matter.query.channel is Channel.CANDIDATES for matter in matters):  # of all, then
            return self._compared(matters)
        return [(answer, 1) for answer in self._asked([(matter, matter.query, 0) for matter in matters])]

    def _asked(self, questions: Sequence[tuple[Matter, Query, int]]) -> list[Answer]:
        """Answers of the assistants, each asked for all that it is asked at once; given order."""
        out: list[Answer | None] = [None] * len(questions)
        for number, assistant in enumerate(self._assistants):
            mine = [row for row, (matter, _, advisor) in enumerate(questions) if advisor ^ matter.swapped == number]
            queries = [questions[row][1] for row in mine]
            answers = assistant.answer(queries, [questions[row][0].assistant_rng for row in mine])
            for row, answer in zip(mine, answers, strict=True):
                out[row] = answer
        return [answer for answer in out if answer is not None]

    def _compared(self, matters: Sequence[Matter]) -> list[tuple[Answer, int]]:
        """Channel `candidates`: the best of the student's own likeliest moves by the values that it is told."""
        asked: list[tuple[Matter, Query, int]] = []
        plans = []
        for matter in matters:
            places = np.argsort(-matter.own.policy, kind="stable")[: self._candidates]
            chosen = [matter.query.legal[place] for place in places]
            after = successors(np.repeat(matter.query.packed[None], len(chosen), axis=0), chosen)
            open_rows = np.flatnonzero(np.isnan(after.score))
            plans.append((chosen, after.score, open_rows))
            asked += [
                (matter, _other(matter.query, after.packed[row], after.legal[row], Channel.VALUE, number, 1), 0)
                for number, row in enumerate(open_rows)
            ]
        answers = iter(self._asked(asked))
        out = []
        for chosen, score, open_rows in plans:
            mine = [next(answers) for _ in open_rows]
            given, honest = 1 - score, 1 - score
            given[open_rows] = [1 - _value(answer.given) for answer in mine]
            honest[open_rows] = [1 - _value(answer.honest) for answer in mine]
            best = [Advice(move=chosen[int(values.argmax())], value=float(values.max())) for values in (given, honest)]
            out.append((Answer(best[0], best[1], any(answer.misaligned for answer in mine)), len(mine)))
        return out

    def _begin(self, one: _Open) -> None:
        matter = one.matter
        question = Question(
            matter.query, matter.own, one.said[0].given, matter.rng, matter.left - one.questions, matter.audits,
            self._memory, matter.game,
        )  # fmt: skip
        with self._told(matter):
            decision = self._oversight.decide(question)
            if not isinstance(decision, Generator):
                self._decide(one, decision)
                return
            one.course = decision
        self._advance(one)

    def _advance(self, one: _Open, reply: Any = None) -> None:
        """Send a consultation the reply it waits for; None starts it."""
        assert one.course is not None
        with self._told(one.matter):
            try:
                one.pending = one.course.send(reply)
            except StopIteration as end:
                self._decide(one, end.value)
                return
            self._check(one, one.pending)

    def _check(self, one: _Open, request: object) -> None:
        if isinstance(request, Ask):
            left = one.matter.left - one.questions
            if len(request.legal) > left:
                raise ValueError(f"asked {len(request.legal)} more questions, {left} were left")
            if request.advisor >= len(self._assistants):
                raise ValueError(f"asked advisor {request.advisor}, there are {len(self._assistants)}")
        elif isinstance(request, Audit):
            if len(one.audited) >= one.matter.audits:
                raise ValueError("asked for a true answer, none were left")
        elif not isinstance(request, Look | Risks | Choose):
            raise ValueError(f"expected to be asked Ask, Look, Risks or Audit, got {type(request).__name__}")

    def _decide(self, one: _Open, decision: Any) -> None:
        check_decision(decision, one.matter.query)
        if decision.answer is not None and all(decision.answer is not answer.given for answer in one.said):
            raise ValueError("decided on an answer that was not given")
        one.decision = decision

    def _answer(self, waiting: Sequence[_Open]) -> None:
        """Answer what every open matter waits for, and let each go on."""
        asks = [(one, one.pending) for one in waiting if isinstance(one.pending, Ask)]
        looks = [(one, one.pending) for one in waiting if isinstance(one.pending, Look)]
        judged = [(one, one.pending) for one in waiting if isinstance(one.pending, Risks)]
        audits = [one for one in waiting if isinstance(one.pending, Audit)]
        replies: list[tuple[_Open, Any]] = [
            *self._answers(asks), *self._looks(looks), *self._risks(judged), *self._truths(audits)
        ]  # fmt: skip
        for one, reply in replies:
            self._advance(one, reply)

    def _answers(self, asks: Sequence[tuple[_Open, Ask]]) -> list[tuple[_Open, list[Advice]]]:
        asked = []
        for one, request in asks:
            channel = Channel.MOVE if request.channel is Channel.CANDIDATES else request.channel
            for number, (packed, legal) in enumerate(zip(request.packed, request.legal, strict=True)):
                query = _other(one.matter.query, packed, legal, channel, one.questions + number, 0)
                asked.append((one.matter, query, request.advisor))
            one.questions += len(request.legal)
        answers = iter(self._asked(asked))
        replies = []
        for one, request in asks:
            mine = [next(answers) for _ in request.legal]
            one.said += mine
            replies.append((one, [answer.given for answer in mine]))
        return replies

    def _looks(self, looks: Sequence[tuple[_Open, Look]]) -> list[tuple[_Open, Evaluation]]:
        if not looks:
            return []
        packed = np.concatenate([request.packed for _, request in looks])
        legal = [row for _, request in looks for row in request.legal]
        starts = range(0, len(legal), BATCH)
        parts = [self._weak(packed[start : start + BATCH], legal[start : start + BATCH]) for start in starts]
        policy, wdl = [row for part in parts for row in part.policy], np.concatenate([part.wdl for part in parts])
        replies, first = [], 0
        for one, request in looks:
            last = first + len(request.legal)
            replies.append((one, Evaluation(legal[first:last], policy[first:last], wdl[first:last])))
            one.evaluations += last - first
            first = last
        return replies

    def _risks(self, judged: Sequence[tuple[_Open, Risks]]) -> list[tuple[_Open, tuple[list[Floats], float]]]:
        replies = []
        for name in dict.fromkeys(request.filter for _, request in judged):
            assert self._tools is not None
            mine = [(one, request) for one, request in judged if request.filter == name]
            legal = [row for _, request in mine for row in request.legal]
            judge = self._tools.filter(name)
            said = judge(np.concatenate([request.packed for _, request in mine]), legal)
            for one, request in mine:
                count = len(request.legal)
                replies.append((one, (said[:count], judge.threshold)))
                said = said[count:]
                one.evaluations += count
        return replies

    def _truths(self, audits: Sequence[_Open]) -> list[tuple[_Open, Advice]]:
        if not audits:
            return []
        assert self._expert is not None
        queries = [one.matter.query for one in audits]
        seen = self._expert(np.stack([query.packed for query in queries]), [query.legal for query in queries])
        replies = []
        for row, one in enumerate(audits):
            one.audited.append(honest_advice(seen, row))
            replies.append((one, one.audited[-1]))
        return replies

    def _settled(self, one: _Open) -> Settled:
        assert one.decision is not None
        answer = next((a for a in one.said if a.given is one.decision.answer), one.said[0])
        return Settled(one.decision, answer, one.questions, one.evaluations, one.audited)

    def _told(self, matter: Matter) -> Any:
        return REGISTRY.told(self._oversight, lambda: planes.unpack(matter.query.packed).fen())


BATCH = 1024
"""Positions that the student's network evaluates at a time."""


def _other(
    query: Query, packed: planes.Packed, legal: Sequence[int], channel: Channel, number: int, plies: int
) -> Query:
    """Another question in the same game: `number` questions later, `plies` plies on."""
    return Query(packed, legal, channel, query.number + number, query.ply + plies, query.training)


def _value(advice: Advice) -> float:
    assert advice.value is not None
    return advice.value
