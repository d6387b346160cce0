"""Files that are there whole or not at all: on a full disk, in a read-only folder, by several at once."""

import subprocess
from pathlib import Path

import pytest

from sandwich.runtime.files import FileError, clear_leftovers, holds_nothing, write_whole
from sandwich.runtime.locks import driver
from tests.helpers.faults import small_disk


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        write_whole(disk / "a", b"first")
        with pytest.raises(FileError) as caught:
            write_whole(disk / "a", bytes(200_000))
        assert str(caught.value) == (
            f"{disk / 'a'} can't be written (No space left on device): make room, then give the same command again"
        )
        assert [path.name for path in disk.iterdir()] == ["a"]
        assert (disk / "a").read_bytes() == b"first"


def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(FileError, match=r"disk/a can't be written \(Read-only file system\)$"):
            write_whole(disk / "a", b"")
        with pytest.raises(FileError, match=r"disk can't be written \(Read-only file system\): choose another --out"):
            driver(disk).__enter__()


def test_a_lock_on_a_full_disk_is_one_line_and_leaves_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16k") as disk:
        (disk / "big").write_bytes(b"")
        with pytest.raises(OSError, match="No space"):
            (disk / "big").write_bytes(bytes(100_000))
        with pytest.raises(FileError, match=r"No space left on device"):
            driver(disk).__enter__()
        assert [path.name for path in disk.iterdir()] == ["big"]


def test_temporary_names_of_two_writers_differ_even_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    replace = Path.replace

    def seen(self: Path, target: Path) -> None:
        names.append(self.name)
        replace(self, target)

    monkeypatch.setattr(Path, "replace", seen)
    for host in ("one", "one", "two.example.org"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        write_whole(tmp_path / "a", b"")
    assert len({*names}) == 3
    assert [name.split(".")[2].partition("-")[0] for name in names] == ["one", "one", "two_example_org"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", [".DS_Store", ".gitkeep", ".lock", "lost+found", "Thumbs.db", "desktop.ini"])
def test_files_that_nobody_put_there_do_not_count(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert holds_nothing(tmp_path)
    (tmp_path / "letter.txt").write_bytes(b"")
    assert not holds_nothing(tmp_path)
