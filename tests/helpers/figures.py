"""What tests of figures share."""

import numpy as np

from sandwich.statistics import Figure, Floats

RNG = np.random.default_rng


def pairs(*scores: float) -> Floats:
    """Pair scores as an array."""
    return np.array(scores, np.float64)


def bounds(figure: Figure) -> tuple[float, float]:
    """Both ends of an interval that is there."""
    assert figure.low is not None and figure.high is not None
    return figure.low, figure.high
