"""The spec of a high-stakes experiment: data, filter, attacks, rounds of hardening, and what is measured besides."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from engines.settings import Frozen
from sandwich.highstakes.attack_runs import HUMAN, AttackRunConfig
from sandwich.highstakes.calibrate import CalibrationConfig
from sandwich.highstakes.cascade import CascadeConfig
from sandwich.highstakes.closest import ClosestConfig
from sandwich.highstakes.dataset import DatasetConfig
from sandwich.highstakes.environment import JudgeConfig
from sandwich.highstakes.fit import FilterConfig
from sandwich.highstakes.harden import HardenConfig
from sandwich.highstakes.measure import VerifyConfig
from sandwich.highstakes.rare import RareConfig
from sandwich.highstakes.shift import AnyShift
from sandwich.highstakes.strength import StrengthConfig
from sandwich.highstakes.tune import TuneConfig
from sandwich.highstakes.variants import VariantConfig
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.kinds import HIGH_STAKES, read_spec
from sandwich.spec.loading import Override


class HighStakesSpec(Frozen):
    """All that the results of a high-stakes experiment depend on, and the number of workers, on which they don't."""

    name: str = Field("highstakes", min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the experiment and of its folder."""
    seed: int = Field(0, ge=0)
    """Everything random follows from it, except seconds."""
    workers: int | None = Field(None, ge=1, le=1024)
    """Ray workers; None: one per core."""
    dataset: DatasetConfig = DatasetConfig()
    filter: FilterConfig = FilterConfig()
    variants: dict[str, VariantConfig] = Field({})
    """Other filters on the same data, or on some of it: compared, unattacked."""
    cascades: dict[str, CascadeConfig] = Field({})
    """A second stage behind the first filter: compared, unattacked."""
    closest: ClosestConfig | None = None
    """A closer look at the calibration and the test split, by which cascades are calibrated and measured, and how often
    it errs itself; None: they are by the dataset's labels."""
    rare: RareConfig | None = None
    """How likely random edits break each filter, by splitting; None: that is not estimated."""
    shifts: dict[str, AnyShift] = Field({})
    """Positions of other kinds, on which every filter is measured at the threshold that it has."""
    calibration: CalibrationConfig = CalibrationConfig()
    judge: JudgeConfig = JudgeConfig()
    attacks: dict[str, AttackRunConfig] = Field(min_length=1)
    """Attacks by name, in the order in which they are done; what one finds is given to those behind it."""
    harden: HardenConfig = HardenConfig()
    verify: VerifyConfig | None = VerifyConfig()
    """A closer look at single moves of the test split; None: none."""
    strength: StrengthConfig | None = StrengthConfig()
    """The filtered proposer's match against itself without a filter; None: none."""
    tuned: TuneConfig = TuneConfig()
    """How the proposer is fine-tuned against the last filter, where that is asked for (`sandwich highstakes tune`)."""
    inference: InferenceConfig = InferenceConfig()

    @field_validator("attacks", "variants", "cascades", "shifts")
    @classmethod
    def _names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"expected names of letters, digits, - and _, got {name!r}")
            if name == HUMAN:
                raise ValueError(f"{HUMAN!r} is the attack that a person makes: choose another name")
        return named

    @property
    def proposer(self) -> str:
        """Whose proposals the filter is calibrated on."""
        return next(iter(self.dataset.proposers))


def load_highstakes(source: str | Path, *overrides: Override | Iterable[Override], **keys: Any) -> HighStakesSpec:
    """The spec of a high-stakes experiment: of a YAML file, or the shipped one of that name, with other values.

    Overrides and keys are those of `sandwich.spec.run_spec.load_spec`. Raises SpecError in one line.
    """
    return read_spec(HighStakesSpec, HIGH_STAKES, source, *overrides, keys)[0]
