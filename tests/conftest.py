"""What several tests share: Stockfish and data, which are not part of the project, and random games."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Threads of torch wait asleep, not spinning: several tests, and what they start, share few cores. Read as torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import settings

from agents.tools import Tools
from sandwich.runtime.cluster import Cluster
from tests.helpers.fakes import fake_tools
from tests.helpers.project import ROOT

settings.register_profile("repeatable", derandomize=True, deadline=None)  # the same examples each time, at any speed
settings.load_profile("repeatable")


# Heeded again where `nohup` or a shell's background had them ignored: what tests start inherits that.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGHUP else signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests may take longest come first, so that no process is left alone with one at the end."""
    longest: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0), float(limit.args[0]) if limit else 0)
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(scope="session", autouse=True)
def oracle_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the oracle has found is kept for these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANDWICH_CACHE", str(tmp_path_factory.mktemp("oracle")))
        yield


@pytest.fixture(scope="session")
def cluster(oracle_cache: None) -> Iterator[Cluster]:
    """One Ray for all tests of this process that take it; what they start inside joins it, whatever its size."""
    with Cluster(3) as running:
        running.start()
        yield running


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the project."""
    return ROOT


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    """Networks by rule, and the real engine."""
    with fake_tools() as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public chess data, which lies beside the project's folder on some machines only."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project's folder")
    return folder
