"""Unanimous: believes what all of several strategies believe."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from engines import planes
from engines.settings import SpecError
from sandwich.oversight.base import REGISTRY, Decision, DecisionContext, Oversight, budget_of, check_decision
from sandwich.oversight.consult import Consultation


def _fit(member: Oversight) -> Oversight:
    if member.studies_confidence:
        raise SpecError(
            f"type: expected a strategy that learns nothing from its own confidence, got {REGISTRY.name(member)!r}:"
            " the ledger would hold that of the whole"
        )
    return member


Member = Annotated[
    Oversight, BeforeValidator(REGISTRY.validate), AfterValidator(_fit), PlainSerializer(REGISTRY.describe)
]


class Unanimous(Oversight):
    """Believes an answer if each of its members does, and decides on the same move; the first that does not ends it.

    The members are asked in their order, the cheap ones best first. The confidence is the share of them that believed,
    up to the first that did not; the weight is the product of theirs.
    """

    members: tuple[Member, ...] = Field(min_length=1)
    """The strategies; each sees the same first answer."""

    @property
    def questions(self) -> int:
        return 1 + sum(budget_of(member, "questions") - 1 for member in self.members)

    @property
    def advisors(self) -> int:
        return max(budget_of(member, "advisors") for member in self.members)

    @property
    def ground_truth_budget(self) -> int:
        return sum(budget_of(member, "ground_truth_budget") for member in self.members)

    def decide(self, context: DecisionContext) -> Consultation[Decision]:
        weight, agreed = 1.0, set()
        studies = context.study or [None] * len(self.members)
        for place, (member, study) in enumerate(zip(self.members, studies, strict=True)):
            with REGISTRY.attribute_errors(member, lambda: planes.unpack(context.query.packed).fen()):
                answer = member.decide(replace(context, study=study))
                decision = (yield from answer) if isinstance(answer, Generator) else answer
                check_decision(decision, context.query)
            agreed.add(decision.move)
            if not decision.believed or len(agreed) > 1:
                return Decision(context.own.move, False, decision.weight, confidence=place / len(self.members))
            weight *= decision.weight
        return Decision(decision.move, True, weight, confidence=1.0, answer=decision.answer)

    def study(self, past: pa.Table) -> Sequence[Any]:
        studies = []
        for member in self.members:
            with REGISTRY.attribute_errors(member):
                studies.append(member.study(past))
        return studies

    def weigh(self, game: Mapping[str, Sequence[Any]]) -> Sequence[float | None]:
        fens = game["fen"]
        for member in self.members:
            with REGISTRY.attribute_errors(member, lambda: str(fens[0])):
                weights = member.weigh(game)
            game = {**game, "weight": weights}
        return game["weight"]
