"""Streams of random numbers: each use, seed and key has its own."""

import itertools

import numpy as np
import pytest

from sandwich.runtime.rng import RngStream, make_rng, make_seed
from tests.helpers.project import ROOT

LISTS = {
    "sandwich/runtime/rng.py",  # where streams are made
    "sandwich/data/generate.py", "sandwich/data/labelled_positions.py",  # one thing draws: the corpus
    "sandwich/training/pretraining.py", "sandwich/training/supervised.py",
    "sandwich/rl/ppo.py",
    "sandwich/sweeps/results.py", "sandwich/sweeps/comparison.py",  # bootstraps that are the same each time
    "sandwich/evaluation/misalignments.py",  # the same for an answer that is thrown away
    "sandwich/highstakes/human.py",  # a person's, which nothing repeats
}  # fmt: skip
"""Files with generators that are no stream: `[1, 2]` and `[1, 2, 0]` are one for them."""


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


def test_generators_stand_outside_the_streams_only_where_it_is_known() -> None:
    files = [path for path in (ROOT / "sandwich").rglob("*.py") if "default_rng(" in path.read_text(encoding="utf-8")]
    assert {path.relative_to(ROOT).as_posix() for path in files} == LISTS


def test_a_seed_of_one_run_and_step_is_none_of_the_next_run_and_the_step_before() -> None:
    drawn = {make_seed(RngStream.FILTER_FIT, seed, number) for seed in range(20) for number in range(20)}
    assert len(drawn) == 400
