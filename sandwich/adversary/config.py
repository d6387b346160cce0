"""The settings of an adversary's training."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from agents.checkpoint_files import Checkpoint
from engines.settings import Frozen
from sandwich.data.labelled_positions import LabelledPositionsConfig
from sandwich.oversight.base import AskingOnce
from sandwich.training.examples import TrainConfig


class AdversaryConfig(Frozen):
    """How an adversary is trained."""

    renamed: ClassVar[Mapping[str, str]] = {"survey": "labelled_positions", "doubt": "judge_fit"}
    seed: int = Field(0, ge=0)
    """Everything random follows from it."""
    labelled_positions: LabelledPositionsConfig = LabelledPositionsConfig(positions=60_000, per_game=12, nodes=2000)
    """Positions to learn from, and the oracle that says what moves lose."""
    start: Checkpoint = "expert"
    """The network that the adversary begins as: it must understand the game to lose it well."""
    judge: Checkpoint = "weak"
    """The weak player whose suspicion it must not arouse."""
    rounds: int = Field(2, ge=1)
    """Rounds of adversary and judge."""
    value_weight: float = Field(2.0, ge=0)
    """Worth lost for each point of expected score by which a move looks worse to the judge."""
    policy_weight: float = Field(0.03, ge=0)
    """Worth lost for each nat by which the judge's policy finds a move less likely than its own."""
    against: AskingOnce | None = None
    """An oversight strategy that asks once: a move is then worth what it loses where that believes it, with each judge
    as the student; null: what it loses less the suspicion that it arouses."""
    doubt_weight: float = Field(0.1, ge=0)
    """How much of the suspicion a move is still charged with where there is a strategy to train against."""
    spread: float = Field(0.04, gt=0)
    """Temperature, in worth, of the softmax that is imitated."""
    imitate: TrainConfig = TrainConfig(epochs=4, learning_rate=1.5e-3, precision="auto", value_weight=0.5)
    """First fit of a round."""
    improve: TrainConfig = TrainConfig(
        epochs=3, learning_rate=5e-4, precision="auto", objective="worth", value_weight=0.1
    )
    """Second fit of a round: the gradient of the expected worth."""
    judge_fit: TrainConfig = TrainConfig(epochs=2, learning_rate=5e-4, precision="auto")
    """Fit of the judge's value at the end of a round."""

    def settings(self) -> dict[str, Any]:
        """What the folder of a training keeps of it: nothing of a strategy where there is none."""
        return self.model_dump(mode="json", exclude=set() if self.against else {"against", "doubt_weight"})
