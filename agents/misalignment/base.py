"""The form of a misalignment.

A misalignment is a frozen record whose fields are its settings, with one method, `corrupt`
(docs/tutorials/writing-a-misalignment.md). It is registered by an entry point of the group
`sandwich.misalignments`, whose name is its `type` in a spec.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer

from agents.advice import Advice, Query, check_advice, locked_advice, locked_queries
from agents.batches import Answers, Bools, Questions, check_answers, is_batched
from agents.plugins import Plugin, PluginError
from agents.registry import Registry
from agents.tools import Tools
from engines import planes, rules


class Misalignment(Plugin, ABC):
    """How an assistant's answers differ from its honest ones."""

    @abstractmethod
    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        """Answers to a batch of queries, in their order.

        honest: for each query what the assistant's honest self thinks: move, policy and value.
        rngs: for each query the random numbers of its game; all randomness comes from them, and
            what is drawn for a query depends on that query alone, so that batches can be split.
        tools: networks and engines to think with.

        To be honest in an answer, return the object that `honest` holds; any other counts as
        misaligned, even if it happens to say the same. An answer must fill what its query's channel
        carries; the rest is dropped.
        """

    def corrupt_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> tuple[Answers, Bools]:
        """The same in arrays, for a misalignment that needs no object for each question: answers, and which are lies.

        What is not defined costs nothing but time: then `corrupt` is asked. What is has to say what `corrupt` says.
        All arrays are read-only. Answers need have no more than what the questions' channel carries.
        """
        return _one_by_one(self, self.corrupt, questions, honest, rngs, tools)


Rule = Callable[[Sequence[Query], Sequence[Advice], Sequence[np.random.Generator], Tools], Sequence[Advice]]
"""Answers to a batch of queries, in their order: what `Misalignment.corrupt` is."""


def answer_where(
    rule: Rule,
    rows: Sequence[int],
    queries: Sequence[Query],
    honest: Sequence[Advice],
    rngs: Sequence[np.random.Generator],
    tools: Tools,
) -> Sequence[Advice]:
    """Answers to a batch of queries: those in `rows` by a rule, all others as `honest` has them."""
    if not rows:
        return honest
    part = rule([queries[row] for row in rows], [honest[row] for row in rows], [rngs[row] for row in rows], tools)
    answers = list(honest)
    for row, answer in zip(rows, part, strict=True):
        answers[row] = answer
    return answers


def corrupt_where(
    misalignment: Misalignment,
    rows: Sequence[int],
    queries: Sequence[Query],
    honest: Sequence[Advice],
    rngs: Sequence[np.random.Generator],
    tools: Tools,
) -> Sequence[Advice]:
    """Answers to a batch of queries of which only those in `rows` are put to a misalignment."""
    return answer_where(partial(corrupted, misalignment), rows, queries, honest, rngs, tools)


def corrupted(
    misalignment: Misalignment,
    queries: Sequence[Query],
    honest: Sequence[Advice],
    rngs: Sequence[np.random.Generator],
    tools: Tools,
    rule: Rule | None = None,
) -> Sequence[Advice]:
    """`corrupt`; PluginError, naming misalignment and position, where it fails or answers what it can't.

    The misalignment is given copies: what it does to them changes neither the questions nor the truth.
    rule: another of its methods in place of `corrupt`.
    """
    rule = rule or misalignment.corrupt
    before = [rng.bit_generator.state for rng in rngs]
    asked, shown = locked_queries(queries), locked_advice(honest)
    policies = [advice.policy for advice in shown]
    try:
        given = rule(list(asked), list(shown), rngs, tools)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        for rng, state in zip(rngs, before, strict=True):
            rng.bit_generator.state = state
        raise _failure(misalignment, _culprit(rule, asked, shown, rngs, tools), error) from error
    answers: object = given  # a plugin may say anything
    if not isinstance(answers, Sequence) or len(answers) != len(queries):
        got = f"{len(answers)} answers" if isinstance(answers, Sequence) else type(answers).__name__
        raise _failure(misalignment, queries[0], f"expected a list of {len(queries)} answers, got {got}")
    out = []
    for query, truth, show, policy, lie in zip(queries, honest, shown, policies, given, strict=True):
        if truth.policy is not None and policy is not None and truth.policy.tobytes() != policy.tobytes():
            raise _failure(misalignment, query, "changed the honest policy in place: change a copy, and return that")
        try:
            if lie is not show:
                if not isinstance(lie, Advice):
                    raise ValueError(f"expected an Advice, got {type(lie).__name__}")
                check_advice(lie, query)
        except ValueError as error:
            raise _failure(misalignment, query, str(error)) from None
        out.append(truth if lie is show else lie)
    return out


def corrupted_all(
    misalignment: Misalignment,
    questions: Questions,
    honest: Answers,
    rngs: Sequence[np.random.Generator],
    tools: Tools,
) -> tuple[Answers, Bools]:
    """The same of many questions in arrays: the answers, and which of them are lies."""
    if not is_batched(type(misalignment), "corrupt_all", "corrupt"):
        return _one_by_one(misalignment, misalignment.corrupt, questions, honest, rngs, tools)
    try:
        answers, lying = misalignment.corrupt_all(questions, honest, rngs, tools)
        check_answers(answers, lying, questions)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise _failure(misalignment, questions.take([0]).queries()[0], error) from error
    return answers, lying


def _one_by_one(
    misalignment: Misalignment,
    rule: Rule,
    questions: Questions,
    honest: Answers,
    rngs: Sequence[np.random.Generator],
    tools: Tools,
) -> tuple[Answers, Bools]:
    queries, truths = questions.queries(), honest.advice()
    given = corrupted(misalignment, queries, truths, rngs, tools, rule)
    lying = np.array([lie is not truth for lie, truth in zip(given, truths, strict=True)], np.bool_)
    return Answers.of(given, questions.channel), lying


def _culprit(
    rule: Rule,
    queries: Sequence[Query],
    honest: Sequence[Advice],
    rngs: Sequence[np.random.Generator],
    tools: Tools,
) -> Query:
    """The first query of a failed batch that fails alone, else the first of all."""
    for query, truth, rng in zip(queries, honest, rngs, strict=True):
        try:
            rule([query], [truth], [rng], tools)
        except (Exception, SystemExit):
            return query
    return queries[0]


def _failure(misalignment: Misalignment, query: Query, what: BaseException | str) -> PluginError:
    return REGISTRY.failure(misalignment, what, planes.unpack(query.packed).fen())


class Occasional(Misalignment):
    """A misalignment that lies with probability `p` and is honest otherwise."""

    p: float = Field(0.25, ge=0, le=1)
    """Chance that an answer is dishonest, 0..1: the dose."""
    coin: Literal["question", "position"] = "question"
    """What chance is drawn for: each question, or each position, which then always has the same answer, so that asking
    again shows nothing."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        drawn = self._drawn([query.packed for query in queries], rngs)
        lying = [row for row, rng in enumerate(drawn) if rng.random() < self.p]
        return answer_where(self.lies, lying, queries, honest, drawn, tools)

    def corrupt_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> tuple[Answers, Bools]:
        drawn = self._drawn(questions.packed, rngs)
        misaligned = np.array([rng.random() for rng in drawn]) < self.p
        if not misaligned.any():
            return honest, misaligned
        rows = np.flatnonzero(misaligned)
        part, truth, chances = questions.take(rows), honest.take(rows), [drawn[row] for row in rows.tolist()]
        if is_batched(type(self), "lies_all", "lies"):
            lies = self.lies_all(part, truth, chances, tools)
        else:
            lies, misaligned[rows] = _one_by_one(self, self.lies, part, truth, chances, tools)
        return honest.replaced(rows, lies), misaligned

    def _drawn(
        self, packed: Sequence[planes.Packed] | planes.Packed, rngs: Sequence[np.random.Generator]
    ) -> Sequence[np.random.Generator]:
        """Where the chance of each answer comes from: its game, or its position `[10]` without clock and past."""
        if self.coin == "question" or not len(packed):
            return rngs
        return [np.random.default_rng(words) for words in rules.identities(np.stack(list(packed))).tolist()]

    @abstractmethod
    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        """Dishonest answers to a batch of queries, in their order."""

    def lies_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Answers:
        """The same in arrays, where there is no need for an object for each question."""
        raise NotImplementedError


REGISTRY: Registry[Misalignment] = Registry("misalignment", "sandwich.misalignments", Misalignment)  # type: ignore[type-abstract]

AnyMisalignment = Annotated[Misalignment, BeforeValidator(REGISTRY.validate), PlainSerializer(REGISTRY.describe)]
"""A field of a spec that holds a misalignment."""
