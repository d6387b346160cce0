"""One driver a folder: who is refused, who takes over, and what a killed one leaves."""

import json
import signal
import socket
from pathlib import Path

import pytest

from sandwich.runtime.locks import LOCK, BusyError, driver, holder
from tests.helpers.faults import another_driver


def test_the_second_driver_is_refused_with_the_process_and_host_of_the_first(tmp_path: Path) -> None:
    with another_driver(tmp_path / "out") as first:
        with pytest.raises(BusyError) as caught, driver(tmp_path / "out"):
            pytest.fail("two drivers")
        there = holder(tmp_path / "out")
        assert there is not None and there.process == first.pid
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'out'} is in use by process {first.pid} on {socket.gethostname()}, since ")
    assert said.endswith("wait for its end, or choose another --out")
    assert "\n" not in said


def test_the_lock_of_a_killed_driver_is_taken_over(tmp_path: Path) -> None:
    with another_driver(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert (tmp_path / LOCK).exists()
    assert holder(tmp_path) is None
    with driver(tmp_path):
        there = holder(tmp_path)
        assert there is not None and there.process != first.pid
    assert list(tmp_path.iterdir()) == []


def test_who_waits_comes_after_the_one_before(tmp_path: Path) -> None:
    with another_driver(tmp_path) as first:
        first.terminate()
        with driver(tmp_path, wait=30):
            assert first.wait() == -signal.SIGTERM


def test_a_driver_of_another_machine_is_not_taken_for_dead(tmp_path: Path) -> None:
    other = {"process": 7, "host": "elsewhere", "boot": "another", "since": "2026-01-01 10:00:00+00:00"}
    (tmp_path / LOCK).write_text(json.dumps(other))
    with pytest.raises(BusyError, match=f"process 7 on elsewhere, since .* if that process is gone, delete .*{LOCK}$"):
        driver(tmp_path).__enter__()
    assert str(holder(tmp_path)).startswith("process 7 on elsewhere")
    (tmp_path / LOCK).unlink()
    with driver(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", bytes(40), b'{"process": 3}', b"[]"])
def test_a_lock_that_names_nobody_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    assert holder(tmp_path) is None
    with driver(tmp_path):
        pass


def test_an_error_ends_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), driver(tmp_path):
        raise ZeroDivisionError
    with driver(tmp_path):
        pass


def test_a_driver_removes_what_killed_ones_left_half_written_and_nothing_else(tmp_path: Path) -> None:
    stays = [
        tmp_path / ".DS_Store",
        tmp_path / "ledger" / "step-000.parquet",
        tmp_path / "cells" / "3f2a" / ".metrics.jsonl.host-12-0123abcd.tmp",
    ]
    goes = [
        tmp_path / f".result.json.{socket.gethostname()}-999999999-0123abcd.tmp",
        tmp_path / "ledger" / ".step-001.parquet.another-1-0123abcd.tmp",
    ]
    for path in (*stays, *goes, tmp_path / "cells" / "3f2a" / "cell.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    with driver(tmp_path, apart=("cell.json",)):
        assert [path for path in (*stays, *goes) if path.exists()] == stays
