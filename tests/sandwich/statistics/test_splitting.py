"""Splitting of a chain whose probabilities are known: unbiased, with ties and without, for any importance function."""

import numpy as np
import pytest

from sandwich.statistics import Figure, Floats, mean_figure, splitting, splitting_figure
from sandwich.statistics.splitting import States

STEPS, TOP = 12, 7


class Ladder:
    """Steps of one up, one down or none; paths are often as high as one another."""

    def start(self, count: int, rng: np.random.Generator) -> States:
        return np.zeros(count, np.int64)

    def step(self, states: States, rng: np.random.Generator) -> States:
        return np.asarray(states + rng.choice([-1, 0, 1], states.shape, p=[0.4, 0.3, 0.3]))

    def levels(self, states: States) -> Floats:
        return states.astype(np.float64)


class Misled(Ladder):
    """The same, by an importance function that says little between the bottom and the top."""

    def levels(self, states: States) -> Floats:
        return np.where(states >= TOP, TOP, states % 3).astype(np.float64)


def ladder_reaches(top: int) -> float:
    """Worked out state by state."""
    at, reached = {0: 1.0}, 0.0
    for _ in range(STEPS):
        after: dict[int, float] = {}
        for state, chance in at.items():
            for move, share in ((-1, 0.4), (0, 0.3), (1, 0.3)):
                after[state + move] = after.get(state + move, 0) + chance * share
        reached += after.pop(top, 0.0)
        at = after
    return reached


@pytest.mark.parametrize("chain", [Ladder(), Misled()], ids=["by height", "misled"])
def test_splitting_is_unbiased_by_whatever_importance_function(chain: Ladder) -> None:
    rng, truth = np.random.default_rng(7), ladder_reaches(TOP)
    made = [splitting(chain, STEPS, TOP, rng, paths=40, discarded=4) for _ in range(1500)]
    figure = mean_figure(np.array([one.value for one in made]))
    assert truth == pytest.approx(0.00506, rel=0.01)
    assert figure.low is not None and figure.high is not None
    assert figure.low < truth < figure.high
    assert (figure.high - figure.low) / truth < 0.4  # tight enough to tell a biased one
    assert all(one.value == pytest.approx(one.scale * one.reached) for one in made)


def test_what_paths_are_worth_is_counted_in_the_states_in_which_they_first_came_there() -> None:
    """Of twins that differ in nothing the ladder sees, half are worth something."""

    class Twins(Ladder):
        def start(self, count: int, rng: np.random.Generator) -> States:
            return np.stack([np.zeros(count, np.int64), rng.integers(2, size=count)], 1)

        def step(self, states: States, rng: np.random.Generator) -> States:
            return np.stack([super().step(states[:, 0], rng), states[:, 1]], 1)

        def levels(self, states: States) -> Floats:
            return states[:, 0].astype(np.float64)

    def worth(states: States) -> Floats:
        assert (states[:, 0] == TOP).all()
        return states[:, 1].astype(np.float64)

    rng = np.random.default_rng(8)
    made = np.array([splitting(Twins(), STEPS, TOP, rng, paths=40, discarded=4, worth=worth).value for _ in range(800)])
    figure = splitting_figure(made)
    assert figure.low is not None and figure.high is not None
    assert figure.low < ladder_reaches(TOP) / 2 < figure.high


def test_a_path_that_begins_at_the_level_has_come_to_it() -> None:
    made = splitting(Ladder(), 3, 0.0, np.random.default_rng(0), paths=20, discarded=2)
    assert (made.value, made.reached, made.looked) == (1.0, 20, 80)


def test_the_same_generator_gives_the_same_estimate() -> None:
    first, second = (splitting(Ladder(), STEPS, TOP, np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_what_cannot_be_estimated_says_why() -> None:
    assert splitting_figure(np.zeros(30)) == Figure(None, reason="none of 30 splittings came to what is looked for")
    assert splitting_figure(np.ones(19)) == Figure(None, reason="expected at least 20 splittings, got 19")
    with pytest.raises(ValueError, match="expected 0 < discarded < paths, got 20 and 20"):
        splitting(Ladder(), 3, 1.0, np.random.default_rng(0), paths=20, discarded=20)
    never = splitting(Ladder(), 3, 4.0, np.random.default_rng(0), paths=20, discarded=2)
    assert (never.value, never.reached) == (0.0, 0)
