"""A player whose proposals a blunder filter must let through."""

from collections.abc import Sequence

from pydantic import Field

from agents.network import FILTER, FilterCheckpoint
from agents.players.base import AnyPlayer, Player
from agents.players.network import Network
from agents.tools import Tools
from engines import planes
from engines.filter import filtered_policy
from engines.inference import Evaluation, Evaluator


class Filtered(Player):
    """A player behind a blunder filter: it proposes, is refused, and proposes again.

    Its policy is that of what is played in the end; its value that of the player itself.
    """

    player: AnyPlayer = Network(checkpoint="weak")
    """Who proposes moves, drawn from its policy."""
    filter: FilterCheckpoint = FILTER
    """`filter`, which is shipped, or the path of one (`sandwich highstakes`)."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Probability of a catastrophe from which on a move is refused; None: the one the filter was calibrated to."""
    proposals: int = Field(16, ge=1)
    """Proposals at most; where all are refused the legal move of least risk is played."""

    def open(self, tools: Tools) -> Evaluator:
        proposer, judge = tools.player(self.player), tools.filter(self.filter)
        threshold = judge.threshold if self.threshold is None else self.threshold

        def evaluate(words: planes.Words, legal: Sequence[Sequence[int]]) -> Evaluation:
            seen, risks = proposer(words, legal), judge(words, legal)
            played = [
                filtered_policy(policy, risk, threshold, self.proposals)
                for policy, risk in zip(seen.policy, risks, strict=True)
            ]
            return Evaluation(seen.legal, played, seen.wdl)

        return evaluate
