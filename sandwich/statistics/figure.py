"""What every figure is: a value with its 95 % interval, or no value and the reason."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sandwich.statistics.quantiles import normal_quantile

Z = normal_quantile(0.975)
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[Any]
"""Whatever tells clusters apart: numbers, names."""


@dataclass(frozen=True)
class Figure:
    """A measured figure: value, 95 % interval and `n` observations; or None and the reason.

    A bound that the data do not give is None (a player that won every game has no upper Elo).
    p: two-sided p-value of the value 0: the least α for which the interval at 1 − α excludes it; None where that was
        not worked out. It is not in the JSON.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""
    p: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError("expected a reason where there is no value, and only there")

    def json(self) -> dict[str, Any]:
        """As the JSON of results has it."""
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    @classmethod
    def from_json(cls, figure: dict[str, Any]) -> "Figure":
        """The reverse of `json`."""
        return cls(**figure)
