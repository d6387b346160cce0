"""Unanimous: believes what all of several strategies believe."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BeforeValidator, Field, PlainSerializer

from sandwich.oversight.base import REGISTRY, Decision, Oversight, Question
from sandwich.oversight.consult import Consultation

Member = Annotated[Oversight, BeforeValidator(REGISTRY.validate), PlainSerializer(REGISTRY.describe)]


class Unanimous(Oversight):
    """Believes an answer if each of its members does, and decides on the same move; the first that does not ends it.

    The members are asked in their order, the cheap ones best first. The trust is the share of them that believed, up to
    the first that did not; the weight is the product of theirs.
    """

    members: tuple[Member, ...] = Field(min_length=1)
    """The strategies; each sees the same first answer."""

    @property
    def questions(self) -> int:
        return 1 + sum(member.questions - 1 for member in self.members)

    @property
    def advisors(self) -> int:
        return max(member.advisors for member in self.members)

    @property
    def audit_budget(self) -> int:
        return sum(member.audit_budget for member in self.members)

    def decide(self, question: Question) -> Consultation[Decision]:
        weight, agreed = 1.0, set()
        memories = question.memory or [None] * len(self.members)
        for place, (member, memory) in enumerate(zip(self.members, memories, strict=True)):
            said = member.decide(replace(question, memory=memory))
            decision = (yield from said) if isinstance(said, Generator) else said
            agreed.add(decision.move)
            if not decision.believed or len(agreed) > 1:
                return Decision(question.own.move, False, decision.weight, trust=place / len(self.members))
            weight *= decision.weight
        return Decision(decision.move, True, weight, trust=1.0, answer=decision.answer)

    def study(self, past: pa.Table) -> Sequence[Any]:
        return [member.study(past) for member in self.members]

    def weigh(self, game: Mapping[str, Sequence[Any]]) -> Sequence[float | None]:
        for member in self.members:
            game = {**game, "weight": member.weigh(game)}
        return game["weight"]
