"""Moves drawn from a policy at a temperature."""

import numpy as np
import pytest

from agents.sampling import draw, draw_all

POLICY = np.array([0.1, 0.6, 0.3], np.float32)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1.0, [0.1, 0.6, 0.3]),
        (0.5, [1 / 46, 36 / 46, 9 / 46]),  # squares: colder is surer
        (2.0, [0.1940, 0.4751, 0.3360]),  # roots
    ],
)
def test_moves_are_drawn_as_often_as_the_temperature_says(temperature: float, expected: list[float]) -> None:
    rng = np.random.default_rng(1)
    drawn = np.bincount([draw(POLICY, temperature, rng) for _ in range(4000)], minlength=3) / 4000
    assert drawn == pytest.approx(expected, abs=0.03)


def test_at_0_the_most_probable_is_taken_without_a_random_number() -> None:
    rng = np.random.default_rng(1)
    assert draw(POLICY, 0, rng) == 1
    assert rng.random() == np.random.default_rng(1).random()


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
def test_drawing_from_many_policies_is_drawing_from_each(temperature: float) -> None:
    source = np.random.default_rng(3)
    policies = [
        source.dirichlet(np.full(count, 0.3)).astype(np.float32) for count in source.integers(1, 219, 2000).tolist()
    ]
    alone, together = ([np.random.default_rng([7, game]) for game in range(2000)] for _ in range(2))
    each = [draw(policy, temperature, rng) for policy, rng in zip(policies, alone, strict=True)]
    assert draw_all(policies, temperature, together) == each
    assert [rng.random() for rng in together] == [rng.random() for rng in alone]  # as many numbers were drawn


def test_drawing_from_no_policies() -> None:
    assert draw_all([], 1.0, []) == []
