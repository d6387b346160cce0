"""A player whose proposals a blunder filter must let through."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.checkpoint_files import FILTER, FilterCheckpoint
from agents.players.base import AnyPlayer, Player
from agents.players.network import Network
from agents.seat import Seat, Turn
from agents.tools import Tools
from engines import planes
from engines.filter import BlunderFilter, filtered_policy
from engines.inference import Evaluation, Evaluator


class Filtered(Player):
    """A player behind a blunder filter: it proposes, is refused, and proposes again.

    Its policy is that of what is played in the end; its value that of the player itself. Of an assistant they are those
    of its honest self, as the assistant's own.
    """

    player: AnyPlayer = Network(checkpoint="weak")
    """Who proposes moves: drawn from its policy, or, of an assistant, what it advises."""
    filter: FilterCheckpoint = FILTER
    """`filter`, which is shipped, or the path of one (`sandwich highstakes`)."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Probability of a catastrophe from which on a move is refused; None: the one the filter was calibrated to."""
    proposals: int = Field(16, ge=1)
    """Proposals at most; where all are refused the legal move of least risk is played."""

    def open(self, tools: Tools) -> Evaluator:
        proposer, (judge, threshold) = tools.player(self.player), self._judge(tools)

        def evaluate(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
            evaluation, risks = proposer(packed, legal), judge(packed, legal)
            played = [
                filtered_policy(policy, risk, threshold, self.proposals)
                for policy, risk in zip(evaluation.policy, risks, strict=True)
            ]
            return Evaluation(evaluation.legal, played, evaluation.wdl)

        return evaluate

    def seat(self, tools: Tools, temperature: float = 0.0) -> Seat:
        """It at a board; a player that does not play by its policy, as an assistant, is asked for every proposal."""
        if type(self.player).seat is Player.seat:
            return super().seat(tools, temperature)
        return FilteredSeat(self.player.seat(tools, temperature), *self._judge(tools), self.proposals)

    def _judge(self, tools: Tools) -> tuple[BlunderFilter, float]:
        """The filter, and the probability from which on it refuses."""
        judge = tools.filter(self.filter)
        return judge, judge.threshold if self.threshold is None else self.threshold


class FilteredSeat:
    """Plays what another seat proposes and a filter accepts; after so many `proposals` the move of least risk."""

    def __init__(self, proposer: Seat, judge: BlunderFilter, threshold: float, proposals: int) -> None:
        self._proposer, self._judge, self._threshold, self._proposals = proposer, judge, threshold, proposals

    def choose(self, turns: Sequence[Turn], rngs: Sequence[np.random.Generator]) -> list[int]:
        risks = self._judge(np.stack([turn.packed for turn in turns]), [turn.legal for turn in turns])
        chosen = [turn.legal[int(risk.argmin())] for turn, risk in zip(turns, risks, strict=True)]
        refused = list(range(len(turns)))
        for _ in range(self._proposals):
            if not refused:
                break
            proposed = self._proposer.choose([turns[row] for row in refused], [rngs[row] for row in refused])
            asked, refused = refused, []
            for row, move in zip(asked, proposed, strict=True):
                if risks[row][turns[row].legal.index(move)] < self._threshold:
                    chosen[row] = move
                else:
                    refused.append(row)
        return chosen
