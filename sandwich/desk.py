"""Where questions are answered: many consultations advance in lock-step, the requests of all of them in batches.

Everything that a strategy finds out passes through here, so that it is counted: questions to the
assistants, evaluations by the student's own network, and true answers of the expert.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from agents.assistant import Answer, Assistant
from agents.base import Advice, Channel, Query, honest_advice
from engines import planes
from engines.inference import Evaluation, Evaluator
from engines.positions import successors
from sandwich.oversight.base import REGISTRY, Decision, Oversight, OwnView, Question, check_decision
from sandwich.oversight.consult import Ask, Audit, Choose, Consultation, Look, Request

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Matter:
    """A turn on which the student asks, before it has.

    query: its first question.
    own: what it thinks itself.
    rng: random numbers of the game's players and strategy.
    assistant_rng: of the game's assistants.
    left: questions that may be asked, the first included; infinite where nothing bounds them.
    audits: true answers that may be had.
    swapped: whether the second assistant is the first one in this game.
    game: the visible ledger columns of the game so far.
    number: the game's number.
    """

    query: Query
    own: OwnView
    rng: np.random.Generator
    assistant_rng: np.random.Generator
    left: float = 1
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
    candidates: on channel `candidates`, of how many own moves the value behind is asked.
    """

    def __init__(
        self,
        weak: Evaluator,
        assistants: Sequence[Assistant],
        oversight: Oversight,
        memory: Any = None,
        expert: Evaluator | None = None,
        candidates: int = 4,
    ) -> None:
        self._weak = weak
        self._assistants = assistants
        self._oversight = oversight
        self._memory = memory
        self._expert = expert
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
            one.questions += questions
            self._begin(one)
        while waiting := [one for one in opened if one.decision is None]:
            if asking := [one for one in waiting if not isinstance(one.pending, Choose)]:
                self._answer(asking)
                continue
            with self._told(waiting[0].matter):
                actions = yield [(one.matter.number, one.pending) for one in waiting if isinstance(one.pending, Choose)]
            for one, action in zip(waiting, actions, strict=True):
                self._advance(one, lambda course, action=action: course.send(action))  # type: ignore[misc]
        return [self._settled(one) for one in opened]

    def first_answers(self, matters: Sequence[Matter]) -> list[tuple[Answer, int]]:
        """The answer to the first question of each matter, and how many questions it took."""
        plain = [row for row, matter in enumerate(matters) if matter.query.channel is not Channel.CANDIDATES]
        out: list[tuple[Answer, int] | None] = [None] * len(matters)
        answers = self._asked([(matters[row], matters[row].query, 0) for row in plain])
        for row, answer in zip(plain, answers, strict=True):
            out[row] = answer, 1
        compared = [row for row in range(len(matters)) if out[row] is None]
        for row, pair in zip(compared, self._compared([matters[row] for row in compared]), strict=True):
            out[row] = pair
        return [pair for pair in out if pair is not None]

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
            after = successors(np.repeat(matter.query.words[None], len(chosen), axis=0), chosen)
            open_rows = np.flatnonzero(np.isnan(after.score))
            plans.append((chosen, after.score, open_rows))
            asked += [
                (matter, _other(matter.query, after.words[row], after.legal[row], Channel.VALUE, number, 1), 0)
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
            matter.query, matter.own, one.said[0].given, matter.rng, self._left(one), matter.audits, self._memory,
            matter.game,
        )  # fmt: skip
        with self._told(matter):
            decision = self._oversight.decide(question)
            if not isinstance(decision, Generator):
                self._decide(one, decision)
                return
            one.course = decision
        self._advance(one, lambda course: next(course))

    def _left(self, one: _Open) -> int:
        return int(min(one.matter.left, 1 << 30)) - one.questions

    def _advance(self, one: _Open, step: Callable[[Consultation[Decision]], Request]) -> None:
        assert one.course is not None
        with self._told(one.matter):
            try:
                one.pending = step(one.course)
            except StopIteration as end:
                self._decide(one, end.value)
                return
            self._check(one, one.pending)

    def _check(self, one: _Open, request: object) -> None:
        if isinstance(request, Ask):
            if len(request.legal) > self._left(one):
                raise ValueError(f"asked {len(request.legal)} more questions, {self._left(one)} were left")
            if not 0 <= request.advisor < len(self._assistants):
                raise ValueError(f"asked advisor {request.advisor}, there are {len(self._assistants)}")
        elif isinstance(request, Audit):
            if len(one.audited) >= one.matter.audits:
                raise ValueError("asked for a true answer, none were left")
        elif not isinstance(request, Look | Choose):
            raise ValueError(f"expected to be asked Ask, Look, Audit or Choose, got {type(request).__name__}")

    def _decide(self, one: _Open, decision: Any) -> None:
        check_decision(decision, one.matter.query)
        if decision.answer is not None and all(decision.answer is not answer.given for answer in one.said):
            raise ValueError("decided on an answer that was not given")
        one.decision = decision

    def _answer(self, waiting: Sequence[_Open]) -> None:
        """Answer what every open matter waits for, and let each go on."""
        for kind, group in groupby(sorted(waiting, key=_kind), key=_kind):
            some = list(group)
            replies = (self._answers, self._looks, self._truths)[kind](some)
            for one, reply in zip(some, replies, strict=True):
                self._advance(one, lambda course, reply=reply: course.send(reply))  # type: ignore[misc]

    def _answers(self, some: Sequence[_Open]) -> list[list[Advice]]:
        asked = []
        for one in some:
            request = one.pending
            assert isinstance(request, Ask)
            for number, (words, legal) in enumerate(zip(request.words, request.legal, strict=True)):
                query = _other(one.matter.query, words, legal, request.channel, one.questions + number, 0)
                asked.append((one.matter, query, request.advisor))
            one.questions += len(request.legal)
        answers = iter(self._asked(asked))
        replies = []
        for one in some:
            mine = [next(answers) for _ in one.pending.legal]  # type: ignore[union-attr]  # it is an Ask
            one.said += mine
            replies.append([answer.given for answer in mine])
        return replies

    def _looks(self, some: Sequence[_Open]) -> list[Evaluation]:
        requests = [one.pending for one in some]
        words = np.concatenate([request.words for request in requests])  # type: ignore[union-attr]  # they are Looks
        legal = [row for request in requests for row in request.legal]  # type: ignore[union-attr]
        policy, wdl = [], []
        for start in range(0, len(legal), BATCH):
            seen = self._weak(words[start : start + BATCH], legal[start : start + BATCH])
            policy += seen.policy
            wdl.append(seen.wdl)
        whole = np.concatenate(wdl) if wdl else np.zeros((0, 3), np.float32)
        out, first = [], 0
        for one, request in zip(some, requests, strict=True):
            last = first + len(request.legal)  # type: ignore[union-attr]
            out.append(Evaluation(legal[first:last], policy[first:last], whole[first:last]))
            one.evaluations += last - first
            first = last
        return out

    def _truths(self, some: Sequence[_Open]) -> list[Advice]:
        assert self._expert is not None
        queries = [one.matter.query for one in some]
        seen = self._expert(np.stack([query.words for query in queries]), [query.legal for query in queries])
        truths = [honest_advice(seen, row) for row in range(len(some))]
        for one, truth in zip(some, truths, strict=True):
            one.audited.append(truth)
        return truths

    def _settled(self, one: _Open) -> Settled:
        assert one.decision is not None
        answer = next((a for a in one.said if a.given is one.decision.answer), one.said[0])
        return Settled(one.decision, answer, one.questions, one.evaluations, one.audited)

    def _told(self, matter: Matter) -> Any:
        return REGISTRY.told(self._oversight, lambda: planes.unpack(matter.query.words).fen())


BATCH = 1024
"""Positions that the student's network evaluates at a time."""


def _kind(one: _Open) -> int:
    return 0 if isinstance(one.pending, Ask) else 1 if isinstance(one.pending, Look) else 2


def _other(query: Query, words: planes.Words, legal: Sequence[int], channel: Channel, number: int, plies: int) -> Query:
    """Another question in the same game: `number` questions later, `plies` plies on."""
    return Query(words, legal, channel, query.number + number, query.ply + plies, query.training)


def _value(advice: Advice) -> float:
    assert advice.value is not None
    return advice.value
