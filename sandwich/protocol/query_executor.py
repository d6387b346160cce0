"""Where questions are answered: many consultations advance in lock-step, the requests of all of them in batches.

Everything that a strategy finds out passes through here, so that it is counted: questions to the
assistants, evaluations by networks, and true answers of the expert.
"""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from agents.advice import Advice, Channel, Query, honest_advice
from agents.assistant import Answer, Assistant
from agents.batches import Integers, Questions, is_batched
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluation, Evaluator
from engines.positions import successors
from engines.ragged import MoveLists, Policies
from sandwich.oversight.base import REGISTRY, Oversight, check_decision
from sandwich.oversight.batches import Contexts, Decisions, OwnViews, check_decisions
from sandwich.oversight.consult import ActionRequest, Ask, AskExpert, Consultation, Evaluate, Floats, Risks
from sandwich.protocol.pending import Outcomes, PendingQuery


class QueryExecutor:
    """Answers the questions of many games at once.

    student: the student's network.
    assistants: one or several, by their number.
    oversight: the strategy that decides.
    expert: gives true answers; None where the strategy has none to ask for.
    tools: what opens networks and blunder filters; None where the strategy names none.
    candidates: on channel `candidates`, of how many own moves the value behind is asked.
    """

    def __init__(
        self,
        student: Evaluator,
        assistants: Sequence[Assistant],
        oversight: Oversight,
        expert: Evaluator | None = None,
        tools: Tools | None = None,
        candidates: int = 4,
    ) -> None:
        self._student = student
        self._assistants = assistants
        self._oversight = oversight
        self._expert = expert
        self._tools = tools
        self._candidates = candidates

    @property
    def is_batched(self) -> bool:
        """Whether `resolve_all` can decide on what the strategy is asked."""
        return len(self._assistants) == 1 and is_batched(type(self._oversight), "decide_all", "decide")

    def resolve_all(
        self,
        questions: Questions,
        own: OwnViews,
        rngs: Sequence[np.random.Generator],
        assistant_rngs: Sequence[np.random.Generator],
    ) -> Outcomes:
        """Ask and decide on many questions in arrays, none of them on channel `candidates`.

        Raises PluginError, naming strategy and position.
        """
        answered = self._assistants[0].answer_all(questions, assistant_rngs)
        count, given, honest = len(questions), answered.given, answered.honest
        evaluations = np.zeros(count, np.int64)
        with REGISTRY.attribute_errors(self._oversight, lambda: planes.unpack(questions.packed[0]).fen()):
            decisions = self._oversight.decide_all(Contexts(questions, own, given, rngs))
            if isinstance(decisions, Generator):
                decisions = self._consulted(decisions, evaluations)
            check_decisions(decisions, questions)
        none, nothing = np.full(count, -1), np.full(count, np.nan)
        confidence = decisions.believed if decisions.confidence is None else decisions.confidence
        return Outcomes(
            decisions.move,
            decisions.believed,
            np.ones(count),
            confidence.astype(np.float64),
            none if given.move is None else given.move,
            Policies(np.empty(0, np.float32), np.zeros(count + 1, np.int64)) if given.policy is None else given.policy,
            nothing if given.value is None else given.value,
            MoveLists(np.empty(0, np.int64), np.zeros(count + 1, np.int64)),
            none[:, None],
            none if honest.move is None else honest.move,
            nothing if honest.value is None else honest.value,
            answered.value,
            answered.misaligned,
            none[:, None],
            np.ones(count, np.int64),
            evaluations,
            none,
            np.zeros(count, np.int64),
        )

    def _consulted(self, consultation: Consultation[Decisions], evaluations: Integers) -> Decisions:
        """What a consultation on many questions decides; `evaluations` `[R]` counts what it looks at for each."""
        reply: Evaluation | None = None
        while True:
            try:
                request = consultation.send(reply)
            except StopIteration as end:
                decided: Decisions = end.value
                return decided
            if not isinstance(request, Evaluate):
                raise ValueError(f"expected to be asked Evaluate with its rows, got {type(request).__name__}")
            if request.rows is None:
                raise ValueError("expected Evaluate with its rows, got none")
            if len(outside := request.rows[(request.rows < 0) | (request.rows >= len(evaluations))]):
                raise ValueError(f"expected rows of 0 to {len(evaluations) - 1}, got {outside[0]}")
            evaluations += np.bincount(request.rows, minlength=len(evaluations))
            reply = self._evaluated(request.packed, request.legal, request.network)

    def _evaluated(self, packed: planes.Packed, legal: Sequence[Sequence[int]], name: str | None = None) -> Evaluation:
        """What the student's network thinks of positions `[B, 10]`, or one of that name, so many at a time."""
        network = self._student
        if name is not None:
            assert self._tools is not None
            network = self._tools.network(name)
        if len(legal) <= BATCH:
            return network(packed, legal)
        starts = range(0, len(legal), BATCH)
        parts = [network(packed[start : start + BATCH], legal[start : start + BATCH]) for start in starts]
        return Evaluation(
            legal, [row for part in parts for row in part.policy], np.concatenate([part.wdl for part in parts])
        )

    def resolve(self, queries: Sequence[PendingQuery]) -> None:
        """Ask, consult and decide on each. Raises PluginError, naming strategy and position.

        That is also raised for a strategy that leaves its actions to others: nobody is here to take them.
        """
        if waiting := self.begin(queries):
            with self._attribute_errors(waiting[0]):
                raise ValueError("leaves its actions to others, and there is nobody here to take them")

    def begin(self, queries: Sequence[PendingQuery]) -> list[PendingQuery]:
        """`resolve` as far as it goes: those that wait for an action (`resume`), none where all are decided."""
        for pending, (answer, questions) in zip(queries, self.first_answers(queries), strict=True):
            pending.answers.append(answer)
            if answer.given.move is not None and pending.query.channel is not Channel.CANDIDATES:
                pending.repeated.append(answer.given.move)
            if answer.given.move is not None:
                pending.panel[0] = answer
            pending.questions = questions
            self._start(pending)
        return self._answer_all(queries)

    def decide_on(self, queries: Sequence[PendingQuery]) -> None:
        """Decide on answers that were given long ago, an `Answer` in each query; nobody is there to ask again.

        Raises PluginError, naming strategy and position.
        """
        for pending in queries:
            self._start(pending)
        if waiting := self._answer_all(queries):
            with self._attribute_errors(waiting[0]):
                raise ValueError("leaves its actions to others, and there is nobody here to take them")

    def resume(self, waiting: Sequence[PendingQuery], actions: Sequence[int]) -> list[PendingQuery]:
        """Go on with those that `begin` or `resume` left waiting, an action for each; those that wait again."""
        with self._attribute_errors(waiting[0]):
            if len(actions) != len(waiting):
                raise ValueError(f"expected {len(waiting)} actions, got {len(actions)}")
        for pending, action in zip(waiting, actions, strict=True):
            self._advance(pending, action)
        return self._answer_all(waiting)

    def _answer_all(self, queries: Sequence[PendingQuery]) -> list[PendingQuery]:
        """Answer requests until nothing is left but actions; the queries that wait for one."""
        while waiting := [pending for pending in queries if pending.decided is None]:
            asking = [pending for pending in waiting if not isinstance(pending.request, ActionRequest)]
            if not asking:
                break
            self._answer(asking)
        return waiting

    def first_answers(self, queries: Sequence[PendingQuery]) -> list[tuple[Answer, int]]:
        """The answer to the first question of each, and how many questions it took."""
        if any(pending.query.channel is Channel.CANDIDATES for pending in queries):  # of all, then
            return self._compared(queries)
        return [(answer, 1) for answer in self._asked([(pending, pending.query, 0) for pending in queries])]

    def _asked(self, questions: Sequence[tuple[PendingQuery, Query, int]]) -> list[Answer]:
        """Answers of the assistants, each asked for all that it is asked at once; given order."""
        out: list[Answer | None] = [None] * len(questions)
        for number, assistant in enumerate(self._assistants):
            rows = [row for row, (pending, _, advisor) in enumerate(questions) if pending.seats[advisor] == number]
            queries = [questions[row][1] for row in rows]
            answers = assistant.answer(queries, [questions[row][0].assistant_rng for row in rows])
            for row, answer in zip(rows, answers, strict=True):
                out[row] = answer
        return [answer for answer in out if answer is not None]

    def _compared(self, queries: Sequence[PendingQuery]) -> list[tuple[Answer, int]]:
        """Channel `candidates`: the best of the student's own likeliest moves by the values that it is given."""
        asked: list[tuple[PendingQuery, Query, int]] = []
        plans = []
        for pending in queries:
            query = pending.query
            places = np.argsort(-pending.context.own.policy, kind="stable")[: self._candidates]
            chosen = [query.legal[place] for place in places]
            after = successors(np.repeat(query.packed[None], len(chosen), axis=0), chosen)
            open_rows = np.flatnonzero(np.isnan(after.score))
            plans.append((chosen, after.score, open_rows))
            asked += [
                (pending, _other(query, after.packed[row], after.legal[row], Channel.VALUE, number, 1), 0)
                for number, row in enumerate(open_rows)
            ]
        answers = iter(self._asked(asked))
        out = []
        for chosen, score, open_rows in plans:
            behind = [next(answers) for _ in open_rows]
            given, honest = 1 - score, 1 - score
            given[open_rows] = [1 - _value(answer.given) for answer in behind]
            honest[open_rows] = [1 - _value(answer.honest) for answer in behind]
            best = [Advice(move=chosen[int(values.argmax())], value=float(values.max())) for values in (given, honest)]
            lied = any(answer.misaligned for answer in behind)
            out.append((Answer(best[0], best[1], lied, best[1].value), len(behind)))
        return out

    def _start(self, pending: PendingQuery) -> None:
        """Put the first answer to the strategy."""
        left = pending.context.left - pending.questions
        context = pending.context.with_advice(pending.answers[0].given, left)
        with self._attribute_errors(pending):
            decision = self._oversight.decide(context)
            if not isinstance(decision, Generator):
                self._decide(pending, decision)
                return
            pending.consultation = decision
        self._advance(pending)

    def _advance(self, pending: PendingQuery, reply: Any = None) -> None:
        """Send a consultation the reply it waits for; None starts it."""
        assert pending.consultation is not None
        with self._attribute_errors(pending):
            try:
                pending.request = pending.consultation.send(reply)
            except StopIteration as end:
                self._decide(pending, end.value)
                return
            self._check(pending, pending.request)

    def _check(self, pending: PendingQuery, request: object) -> None:
        if isinstance(request, Ask):
            left = pending.context.left - pending.questions
            if len(request.legal) > left:
                raise ValueError(f"asked {len(request.legal)} more questions, {left} were left")
            if request.advisor >= len(self._assistants):
                raise ValueError(f"asked advisor {request.advisor}, there are {len(self._assistants)}")
        elif isinstance(request, AskExpert):
            if len(pending.ground_truth) >= pending.context.ground_truth_left:
                raise ValueError("asked for a true answer, none were left")
        elif not isinstance(request, Evaluate | Risks | ActionRequest):
            raise ValueError(f"expected to be asked Ask, Evaluate, Risks or AskExpert, got {type(request).__name__}")

    def _decide(self, pending: PendingQuery, decision: Any) -> None:
        check_decision(decision, pending.query)
        if decision.answer is not None and all(decision.answer is not answer.given for answer in pending.answers):
            raise ValueError("decided on an answer that was not given")
        pending.decided = decision
        pending.consultation = pending.request = None

    def _answer(self, waiting: Sequence[PendingQuery]) -> None:
        """Answer what every query waits for, and let each go on."""
        asks = [(pending, pending.request) for pending in waiting if isinstance(pending.request, Ask)]
        evaluations = [(pending, pending.request) for pending in waiting if isinstance(pending.request, Evaluate)]
        risks = [(pending, pending.request) for pending in waiting if isinstance(pending.request, Risks)]
        for_expert = [pending for pending in waiting if isinstance(pending.request, AskExpert)]
        replies: list[tuple[PendingQuery, Any]] = [
            *self._answers(asks), *self._evaluations(evaluations), *self._risks(risks),
            *self._expert_answers(for_expert),
        ]  # fmt: skip
        for pending, reply in replies:
            self._advance(pending, reply)

    def _answers(self, asks: Sequence[tuple[PendingQuery, Ask]]) -> list[tuple[PendingQuery, list[Advice]]]:
        asked = []
        for pending, request in asks:
            channel = Channel.MOVE if request.channel is Channel.CANDIDATES else request.channel
            for number, (packed, legal) in enumerate(zip(request.packed, request.legal, strict=True)):
                query = _other(pending.query, packed, legal, channel, pending.questions + number, 0)
                asked.append((pending, query, request.advisor))
            pending.questions += len(request.legal)
        answers = iter(self._asked(asked))
        replies = []
        for pending, request in asks:
            new = [next(answers) for _ in request.legal]
            pending.answers += new
            same = (request.packed == pending.query.packed).all(1)
            said = [answer for answer, here in zip(new, same, strict=True) if here and answer.given.move is not None]
            if said:
                pending.panel.setdefault(request.advisor, said[0])
            if request.advisor == 0:
                pending.repeated += [answer.given.move for answer in said if answer.given.move is not None]
            replies.append((pending, [answer.given for answer in new]))
        return replies

    def _evaluations(self, requests: Sequence[tuple[PendingQuery, Evaluate]]) -> list[tuple[PendingQuery, Evaluation]]:
        replies = []
        for name in dict.fromkeys(request.network for _, request in requests):
            same = [(pending, request) for pending, request in requests if request.network == name]
            packed = np.concatenate([request.packed for _, request in same])
            legal = [row for _, request in same for row in request.legal]
            seen = self._evaluated(packed, legal, name)
            policy, wdl, first = list(seen.policy), seen.wdl, 0
            for pending, request in same:
                last = first + len(request.legal)
                replies.append((pending, Evaluation(legal[first:last], policy[first:last], wdl[first:last])))
                pending.evaluations += last - first
                first = last
        return replies

    def _risks(
        self, requests: Sequence[tuple[PendingQuery, Risks]]
    ) -> list[tuple[PendingQuery, tuple[list[Floats], float]]]:
        replies = []
        for name in dict.fromkeys(request.filter for _, request in requests):
            assert self._tools is not None
            same = [(pending, request) for pending, request in requests if request.filter == name]
            legal = [row for _, request in same for row in request.legal]
            judge = self._tools.filter(name)
            risks = judge(np.concatenate([request.packed for _, request in same]), legal)
            for pending, request in same:
                count = len(request.legal)
                replies.append((pending, (risks[:count], judge.threshold)))
                risks = risks[count:]
                pending.evaluations += count
        return replies

    def _expert_answers(self, waiting: Sequence[PendingQuery]) -> list[tuple[PendingQuery, Advice]]:
        if not waiting:
            return []
        assert self._expert is not None
        queries = [pending.query for pending in waiting]
        evaluation = self._expert(np.stack([query.packed for query in queries]), [query.legal for query in queries])
        replies = []
        for row, pending in enumerate(waiting):
            pending.ground_truth.append(honest_advice(evaluation, row))
            replies.append((pending, pending.ground_truth[-1]))
        return replies

    def _attribute_errors(self, pending: PendingQuery) -> AbstractContextManager[None]:
        return REGISTRY.attribute_errors(self._oversight, lambda: planes.unpack(pending.query.packed).fen())


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
