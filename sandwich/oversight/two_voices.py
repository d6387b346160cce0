"""Two voices: believes what an honest voice would rather say than a dishonest one, both of them networks."""

import numpy as np
from pydantic import Field

from agents.checkpoint_files import Checkpoint
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.batches import Contexts, Decisions
from sandwich.oversight.consult import Consultation, Floats, Integers, evaluate

LEAST_CHANCE = 1e-5
"""Probability that a voice gives to a move at least."""


class TwoVoices(Oversight):
    """Believes a move that is likelier an honest voice's than a dishonest one's, by the policies of two networks.

    The label model `mixture` leaves such networks in a run's folder, `labels/step-NNN/voice-0-0.safetensors` and
    `voice-1-0.safetensors`: so its judgement can be listened to in play, or trained against. Two evaluations a
    decision; a value is believed.
    """

    honest: Checkpoint = "weak"
    """Network whose policy is the honest voice."""
    dishonest: Checkpoint = "adversary"
    """Network whose policy is the other voice."""
    share: float = Field(0.5, gt=0, lt=1)
    """Share of the answers that are taken to be honest before one is heard."""
    least: float = Field(0.5, ge=0, le=1)
    """Probability of being the honest voice's from which on a move is believed (Bayes)."""

    def decide(self, context: DecisionContext) -> Decision | Consultation[Decision]:
        return Decision(context.own.move, believed=True) if context.advised is None else self._judge(context)

    def _judge(self, context: DecisionContext) -> Consultation[Decision]:
        query, advised, chances = context.query, context.advised, []
        assert advised is not None
        for voice in (self.honest, self.dishonest):
            (policy,) = (yield from evaluate(query.packed[None], [query.legal], network=voice)).policy
            chances.append(policy[query.legal.index(advised)])
        (likely,) = self._likely(*np.array(chances)[:, None])
        believed = bool(likely >= self.least)
        return Decision(advised if believed else context.own.move, believed, confidence=float(likely))

    def decide_all(self, contexts: Contexts) -> Decisions | Consultation[Decisions]:
        if contexts.advice.move is None:
            return Decisions(contexts.own.move, np.ones(len(contexts.questions), np.bool_))
        return self._judge_all(contexts, contexts.advice.move)

    def _judge_all(self, contexts: Contexts, advised: Integers) -> Consultation[Decisions]:
        packed, legal = contexts.questions.packed, contexts.questions.legal
        at, rows, chances = legal.find(advised), np.arange(len(advised)), []
        for voice in (self.honest, self.dishonest):
            policies = (yield from evaluate(packed, legal, rows, voice)).policy
            chances.append([policy[place] for policy, place in zip(policies, at.tolist(), strict=True)])
        likely = self._likely(*np.array(chances))
        believed = likely >= self.least
        return Decisions(np.where(believed, advised, contexts.own.move), believed, likely)

    def _likely(self, honest: Floats, dishonest: Floats) -> Floats:
        """How likely moves are the honest voice's `[K]`, from the probabilities that both voices give them."""
        ours = self.share * np.maximum(honest.astype(np.float64), LEAST_CHANCE)
        theirs = (1 - self.share) * np.maximum(dishonest.astype(np.float64), LEAST_CHANCE)
        return np.asarray(ours / (ours + theirs))
