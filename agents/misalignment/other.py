"""Another player answers in the assistant's place."""

from collections.abc import Sequence

import numpy as np

from agents.advice import Advice, Query, honest_advice
from agents.batches import Answers, Questions
from agents.misalignment.base import Occasional
from agents.players.base import AnyPlayer
from agents.players.network import Network
from agents.tools import Tools


class Other(Occasional):
    """With probability `p` another player answers: its move, its policy, its value."""

    player: AnyPlayer = Network(checkpoint="weak")
    """Who answers: a checkpoint, an engine, or any registered player."""

    def lies(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        evaluation = tools.player(self.player)(np.stack([q.packed for q in queries]), [q.legal for q in queries])
        return [honest_advice(evaluation, row) for row in range(len(queries))]

    def lies_all(
        self, questions: Questions, honest: Answers, rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Answers:
        return Answers.honest(tools.player(self.player)(questions.packed, questions.legal), questions.legal)
