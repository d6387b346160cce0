"""Streams of random numbers: each use, seed and key has its own."""

import itertools

import numpy as np
import pytest

from sandwich.runtime.rng import RngStream, make_rng


def test_the_same_stream_is_the_same_numbers() -> None:
    first, again = (make_rng(RngStream.PLAYERS, 3, 1, 2).random(8) for _ in range(2))
    assert np.array_equal(first, again)


def test_all_uses_seeds_and_keys_differ() -> None:
    keys = [key for length in range(4) for key in itertools.product(range(4), repeat=length)]
    drawn = [int(make_rng(use, seed, *key).integers(2**63)) for use in RngStream for seed in range(3) for key in keys]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(("shorter", "longer"), [((), (0,)), ((1,), (1, 0)), ((1, 2), (1, 2, 0)), ((0,), (0, 0, 0))])
def test_a_key_with_a_zero_behind_it_is_another(shorter: tuple[int, ...], longer: tuple[int, ...]) -> None:
    assert make_rng(RngStream.MATCH, 5, *shorter).random() != make_rng(RngStream.MATCH, 5, *longer).random()


def test_large_seeds_stay_apart_from_keys() -> None:
    drawn = {
        make_rng(RngStream.FIT, seed).random() for seed in (0, 6, 2**32, 6 + 2**32, 6 * 2**32, 2**64, 2**96, 2**128)
    }
    assert len(drawn) == 8


def test_no_two_uses_share_a_number() -> None:
    assert len(RngStream.__members__) == len(list(RngStream))
