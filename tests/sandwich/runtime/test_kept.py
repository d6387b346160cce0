"""Checksums: what is damaged is told, what was written is never called damaged, whoever was killed when."""

import hashlib
import multiprocessing
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sandwich.runtime.files import parquet_bytes, write_whole
from sandwich.runtime.kept import (
    SUMS,
    DamagedError,
    check,
    check_all,
    keep_checksums,
    read_if_there,
    read_json,
    read_json_lines,
    read_kept,
    read_parquet,
    read_settings,
    remove_kept,
    write_kept,
)
from tests.helpers.faults import DAMAGES, damage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with checksums and three files."""
    root = tmp_path / "out"
    (root / "ledger").mkdir(parents=True)
    keep_checksums(root)
    write_kept(root / "spec.yaml", b"name: here\nsteps: 3\n")
    write_kept(root / "metrics.jsonl", b'{"step": 0}\n')
    write_kept(root / "ledger" / "step-000.parquet", parquet_bytes(pa.table({"a": [1, 2, 3]})))
    return root


def refused(path: Path) -> str:
    """What is said of a file: one line that names it."""
    with pytest.raises(DamagedError) as caught:
        read_kept(path)
    said = str(caught.value)
    assert said.startswith(f"{path} is ")
    assert "\n" not in said
    return said


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum")
def test_checksums_are_those_of_sha256sum(folder: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", SUMS], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["ledger/step-000.parquet: OK", "metrics.jsonl: OK", "spec.yaml: OK"]
    damage(folder / "metrics.jsonl", "flipped")
    assert subprocess.run(["sha256sum", "-c", SUMS], cwd=folder, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["spec.yaml", "metrics.jsonl", "ledger/step-000.parquet"])
def test_a_damaged_file_is_named_with_the_way_out(folder: Path, name: str, how: str) -> None:
    damage(folder / name, how)
    expected = {"missing": "missing", "empty": "damaged: it is empty"}
    said = refused(folder / name)
    assert expected.get(how, "damaged: its SHA-256 is not the one in SHA256SUMS") in said
    assert said.endswith("restore it, or begin anew with another --out")
    assert check(folder).problems == (said,)


@pytest.mark.parametrize("how", [how for how in DAMAGES if how != "missing"])
def test_damaged_checksums_are_blamed_themselves(folder: Path, how: str) -> None:
    damage(folder / SUMS, how)
    with pytest.raises(DamagedError, match=f"{SUMS} is damaged"):
        read_kept(folder / "spec.yaml")
    with pytest.raises(DamagedError, match=f"{SUMS} is damaged"):
        write_kept(folder / "spec.yaml", b"")
    assert len(check(folder).problems) == 1


def test_every_flipped_byte_of_the_checksums_is_seen(folder: Path) -> None:
    whole = (folder / SUMS).read_bytes()
    for place in range(len(whole)):
        (folder / SUMS).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError):
            read_kept(folder / "spec.yaml")


def test_a_cell_and_a_control_may_be_deleted_as_well(tmp_path: Path) -> None:
    for above in ("cells", "controls"):
        root = tmp_path / above / "3f2a"
        root.mkdir(parents=True)
        keep_checksums(root)
        write_kept(root / "cell.json", b"{}")
        damage(root / "cell.json", "empty")
        assert f"restore it, or delete {root}, and it is done anew, or begin" in refused(root / "cell.json")


def test_folders_without_checksums_are_read_unchecked(tmp_path: Path) -> None:
    path = tmp_path / "old" / "spec.yaml"
    path.parent.mkdir()
    write_kept(path, b"name: old\n")
    assert not (path.parent / SUMS).exists()
    path.write_bytes(b"name: other\n")
    assert read_settings(path) == {"name": "other"}
    assert check_all(tmp_path) is None
    with pytest.raises(DamagedError, match="provenance.json is missing"):
        read_kept(path.with_name("provenance.json"))


@pytest.mark.parametrize("content", [b"", b"name: o", bytes(20), b"just text\n", b"a: [1\n", b"\xff\xfe\n"])
def test_what_can_not_be_settings_is_damaged_without_checksums_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="spec.yaml is damaged: "):
        read_settings(path)


@pytest.mark.parametrize("content", [b"", b'{"a": ', bytes(20), b"[1]", b"[" * 100_000, b"\xff\xfe"])
def test_what_can_not_be_json_is_damaged_without_checksums_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cell.json"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="cell.json is damaged: "):
        read_json(path)
    if content not in (b"", b"[1]"):
        with pytest.raises(DamagedError, match="cell.json is damaged: line 1"):
            read_json_lines(path)


def test_what_can_not_be_parquet_is_damaged_without_checksums_too(tmp_path: Path) -> None:
    path = tmp_path / "block-00000.parquet"
    path.write_bytes(b"PAR1" + bytes(50))
    with pytest.raises(DamagedError, match="block-00000.parquet is damaged: it is not Parquet"):
        read_parquet(path)


def test_checksums_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    foreign = f"{hashlib.sha256(b'').hexdigest()}  games.pgn\n".encode()
    (tmp_path / SUMS).write_bytes(foreign)
    write_kept(tmp_path / "notes.json", b"{}")
    assert read_kept(tmp_path / "notes.json") == b"{}"
    assert (tmp_path / SUMS).read_bytes() == foreign


def test_a_folder_within_has_its_own(folder: Path) -> None:
    inner = folder / "controls" / "honest"
    inner.mkdir(parents=True)
    keep_checksums(inner)
    write_kept(inner / "metrics.jsonl", b"{}\n")
    assert b"honest" not in (folder / SUMS).read_bytes()
    checked = check_all(folder)
    assert checked is not None
    assert (checked.files, checked.problems) == (4, ())


def test_a_removed_file_is_not_missed(folder: Path) -> None:
    remove_kept(folder / "metrics.jsonl")
    assert check(folder).problems == ()
    assert read_if_there(folder / "metrics.jsonl") is None


class Killed(BaseException):
    """What a kill is like."""


@pytest.mark.parametrize("writes", range(4))
@pytest.mark.parametrize("new", [False, True])
def test_a_kill_between_any_two_writes_leaves_a_file_that_fits(
    folder: Path, writes: int, new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / ("result.json" if new else "metrics.jsonl")
    left = [writes]

    def killed(*arguments: Any) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write_whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("sandwich.runtime.kept.write_whole", killed)
        try:
            write_kept(path, b'{"step": 1}\n')
        except Killed:
            assert writes < 3
    there = b'{"step": 1}\n' if writes >= 2 else None if new else b'{"step": 0}\n'
    assert read_if_there(path) == there
    assert check(folder).problems == ()
    for content in (b'{"step": 2}\n', b'{"step": 3}\n'):
        write_kept(path, content)
        assert read_kept(path) == content
    keep_checksums(folder)
    assert b"next" not in (folder / SUMS).read_bytes()


def _write_many(folder: str, first: int) -> None:
    for number in range(first, first + 20):
        write_kept(Path(folder) / f"runs-{number:05d}.jsonl", b"{}\n")


def test_several_that_write_in_one_folder_lose_no_checksum(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_write_many, args=(str(folder), first)) for first in (0, 100)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    checked = check(folder)
    assert (checked.files, checked.problems) == (43, ())


def test_who_reads_while_another_writes_is_told_no_damage(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_write_over, args=(str(folder / "metrics.jsonl"),))
    writer.start()
    while writer.is_alive():
        assert read_kept(folder / "metrics.jsonl").startswith(b'{"step": ')
    writer.join()


def _write_over(path: str) -> None:
    for number in range(60):
        write_kept(Path(path), f'{{"step": {number}}}\n'.encode())
