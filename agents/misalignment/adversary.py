"""A network trained to lose so subtly that a weaker player sees nothing."""

from collections.abc import Sequence

import numpy as np

from agents.advice import Advice, Query, honest_advice
from agents.batches import Answers, Questions
from agents.checkpoint_files import Checkpoint
from agents.misalignment.base import Occasional
from agents.tools import Tools


class Adversary(Occasional):
    """With probability `p` a network answers that was trained to lose subtly (`sandwich train adversary`).

    Its policy is its own; its value head was trained to say what the weak player would, so that a
    question for the value arouses no suspicion either.
    """

    network: Checkpoint = "adversary"
    """The trained adversary: a shipped name or the path of a checkpoint."""

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        evaluation = tools.network(self.network)(np.stack([q.packed for q in queries]), [q.legal for q in queries])
        return [honest_advice(evaluation, row) for row in range(len(queries))]

    def lies_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Answers:
        return Answers.honest(tools.network(self.network)(questions.packed, questions.legal), questions.legal)
