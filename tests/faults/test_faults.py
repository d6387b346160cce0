"""A run to which something happens ends with the bytes of one to which nothing did: one trial of each kind of fault.

`benchmarks/faults.py` does twenty of each; its table is in docs/reliability.md.
"""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from benchmarks.faults import FAULTS, MOUNTS, Prepared, Tally, group_of, may_mount, prepared, tried

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KINDS = ("driver terminated (SIGTERM)", "worker killed", "file flipped", "disk full", "two drivers")
"""One of each family, but for engines and plugins, whose tests are their own; the others differ in a signal, or in a
way of damage."""
LONG = ("disk full", "two drivers")
"""Of these, what takes longest."""


@pytest.fixture(scope="module")
def of_group(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Prepared]:
    """What trials of a group of faults have in common."""
    return cache(lambda group: prepared(tmp_path_factory.mktemp(group), group))


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in KINDS])
def test_a_run_ends_as_an_undisturbed_one(of_group: Callable[[str], Prepared], name: str, tmp_path: Path) -> None:
    if name in MOUNTS and not may_mount():
        pytest.skip("nothing may be mounted here")
    there, tally = of_group(group_of(name)), Tally()
    tried(there.trial(tmp_path, random.Random(name)), FAULTS[name], there.right, tally)
    assert tally.json() == Tally(injections=1, right=1).json()
