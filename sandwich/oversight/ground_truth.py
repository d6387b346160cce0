"""Ground truth: a few true answers of the expert, spent where doubt is highest; the rest is inferred from them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from scipy.optimize import minimize

from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, ask_expert, searched_values


class GroundTruthQueries(Oversight):
    """Believes a move that is more likely than not the expert's, as far as the true answers so far tell.

    The score of an answer is what `lookahead` finds it gains on the student's own move. From the answers checked in
    earlier steps a logistic curve is fitted that turns scores into the probability that the expert would have said the
    same (in the first step it is that of `scale`). Where the probability is closest to one half (within `doubt`), and
    the game has a true answer left, the expert is asked instead: its move is played, and the answer believed if it is
    the same. A value is believed.
    """

    studies_confidence: ClassVar[bool] = True
    renamed: ClassVar[Mapping[str, str]] = {"audits": "per_game"}
    per_game: int = Field(2, ge=1)
    """True answers in one game."""
    doubt: float = Field(0.15, gt=0, le=0.5)
    """How close to one half a probability must be for the expert to be asked."""
    scale: float = Field(0.05, gt=0)
    """Score at which, in the first step, the odds are e to 1."""
    replies: int = Field(8, ge=1)
    """Replies looked at behind each of the two moves."""

    @property
    def ground_truth_budget(self) -> int:
        return self.per_game

    def decide(self, context: DecisionContext) -> Decision | Consultation[Decision]:
        return Decision(context.own.move, believed=True) if context.advised is None else self._judge(context)

    def _judge(self, context: DecisionContext) -> Consultation[Decision]:
        advised, best = context.advised, context.own.best(context.query)
        assert advised is not None
        score = 0.0
        if advised != best:
            own, other = yield from searched_values(context.query.packed, [best, advised], self.replies)
            score = float(other - own)
        slope, height = context.study or (1 / self.scale, 0.0)
        likely = 1 / (1 + np.exp(-np.clip(slope * score + height, -30, 30)))
        if context.ground_truth_left and abs(likely - 0.5) <= self.doubt:
            truth = yield from ask_expert()
            assert truth.move is not None
            return Decision(truth.move, believed=truth.move == advised, confidence=score)
        believed = bool(likely >= 0.5)
        return Decision(advised if believed else context.own.move, believed, confidence=score)

    def study(self, past: pa.Table) -> tuple[float, float] | None:
        """Slope and height of the logistic curve by maximum likelihood, with a weak prior around `scale`."""
        checked = past.select(["confidence", "ground_truth", "advised"]).filter(pc.is_valid(past["ground_truth"]))
        if checked.num_rows < 20:
            return None
        score = checked["confidence"].to_numpy().astype(np.float64) / self.scale
        same = pc.equal(checked["ground_truth"], checked["advised"]).to_numpy(zero_copy_only=False)

        def unlikely(curve: Any) -> float:
            logit = curve[0] * score + curve[1]
            missed = np.logaddexp(0, np.where(same, -logit, logit)).sum()
            return float(missed + ((curve - [1, 0]) ** 2).sum() / 2)

        slope, height = minimize(unlikely, np.array([1.0, 0.0])).x
        return float(max(slope, 0.0) / self.scale), float(height)
