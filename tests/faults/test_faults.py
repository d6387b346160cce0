"""A run to which something happens ends with the bytes of one to which nothing did: one trial of each kind of fault.

`benchmarks/faults.py` does twenty of each; its table is in docs/reliability.md.
"""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from benchmarks.faults import FAULTS, MOUNTS, Tally, Trial, group_of, may_mount, settings, tried, undisturbed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Prepared = tuple[Path, dict[str, str], Path, dict[str, str], float]

KINDS = (
    "driver terminated (SIGTERM)", "worker killed", "engine: rubbish", "plugin: exit", "file flipped", "disk full",
    "two drivers",
)  # fmt: skip
"""One of each family: the others differ from these in a signal, a way of damage, or what a plugin does."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Prepared]:
    """Spec, environment, and what an undisturbed run comes to, for the group that a kind of fault belongs to."""

    @cache
    def for_group(group: str) -> Prepared:
        folder = tmp_path_factory.mktemp(group)
        spec, environment = settings(folder / "spec", group)
        finished = folder / "undisturbed"
        return spec, environment, finished / "out", *undisturbed(finished, spec, environment)

    return lambda name: for_group(group_of(name))


@pytest.mark.parametrize("name", KINDS)
def test_a_run_ends_as_an_undisturbed_one(prepared: Callable[[str], Prepared], name: str, tmp_path: Path) -> None:
    if name in MOUNTS and not may_mount():
        pytest.skip("nothing may be mounted here")
    spec, environment, finished, right, typical = prepared(name)
    tally = Tally()
    tried(Trial(tmp_path, spec, random.Random(name), typical, finished, environment), FAULTS[name], right, tally)
    assert tally.json() == Tally(injections=1, right=1).json()
