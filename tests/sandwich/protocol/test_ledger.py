"""The ledger's file: what was written is read, and what is no ledger of this version is refused in one line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sandwich.protocol import ledger
from sandwich.protocol.ledger import HIDDEN, SCHEMA, VERSION, LedgerError
from sandwich.runtime.files import parquet_bytes
from tests.helpers.ledgers import ledger_table, position_of

FEN = "8/8/3k4/8/2R5/8/3K1B2/8 w - - 0 1"
ROW: dict[str, Any] = {
    "game": 3, "ply": 7, "fen": FEN, "position": position_of(FEN), "student": True, "own_move": "c4c1",
    "own_value": 0.75, "asked": True, "channel": "distribution", "advised": "c4c2", "advised_policy": [0.25, 0.75],
    "advised_value": None, "repeated": ["c4c2", "c4c3"], "panel": ["c4c2", None, "c4c3"], "honest": "c4c3",
    "honest_value": None, "assistant_value": 0.875, "misaligned": True, "panel_misaligned": [True, None, False],
    "believed": False, "weight": 0.5, "confidence": -0.25, "questions": 3, "evaluations": 18, "ground_truth": "c4c3",
    "decided": "c4c1", "played": "c4c1", "result": 0.5, "loss_own": None, "loss_advised": 0.125, "loss_honest": 0.0,
    "loss_played": None, "loss_weight": 2.5,
}  # fmt: skip
UNASKED = ROW | {name: None for name in SCHEMA.names if SCHEMA.field(name).nullable} | {"asked": False}


def rows(*some: dict[str, Any]) -> pa.Table:
    """A ledger of these rows."""
    return ledger_table(some)


def write(path: Path, content: pa.Table) -> Path:
    """Write a ledger file, with the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(parquet_bytes(content))
    return path


def refused(path: Path) -> str:
    """What is said of a file or folder that is no ledger: one line, which names it."""
    with pytest.raises(LedgerError) as caught:
        ledger.read(path)
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    return said


def test_what_was_written_is_read(tmp_path: Path) -> None:
    content = rows(ROW, UNASKED)
    there = ledger.read(write(tmp_path / "p=0.5" / "step-000.parquet", content))  # "=" makes no partition of it
    assert there.equals(content)
    assert there.schema.metadata == SCHEMA.metadata
    assert there.to_pylist() == [ROW, UNASKED]


def test_a_column_that_is_never_null_cannot_be(tmp_path: Path) -> None:
    for name in ("game", "fen", "student", "asked", "decided", "played", "result"):
        assert not SCHEMA.field(name).nullable
    for name in HIDDEN:
        assert SCHEMA.field(name).nullable


@pytest.mark.parametrize("within", ["run", "run/ledger"])
def test_a_folder_is_read_step_by_step(tmp_path: Path, within: str) -> None:
    for step in (10, 2, 0, 1000):
        write(tmp_path / "run" / "ledger" / f"step-{step:03d}.parquet", rows(ROW | {"game": step}, UNASKED))
    (tmp_path / "run" / "ledger" / "step-000.parquet.part").write_text("")  # not a step
    (tmp_path / "run" / "ledger" / "step-old.parquet").write_text("")
    there = ledger.read(tmp_path / within)
    assert there.column_names == ["step", *SCHEMA.names]
    assert there["step"].to_pylist() == [0, 0, 2, 2, 10, 10, 1000, 1000]
    assert there["game"].to_pylist()[::2] == [0, 2, 10, 1000]
    assert there.schema.field("step").type == pa.uint16()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no ledger" in refused(tmp_path / "step-000.parquet")


def test_a_folder_without_steps_is_refused(tmp_path: Path) -> None:
    assert "expected step-*.parquet in it, found none" in refused(tmp_path)
    (tmp_path / "ledger").mkdir()
    assert "found none" in refused(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "footer"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "step-000.parquet", rows(ROW, UNASKED))
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[:-100],
            "empty": b"",
            "text": b"game,ply\n" * 100,
            "footer": whole[:-400] + bytes(392) + whole[-8:],
        }[damage]
    )
    assert "damaged or not Parquet" in refused(path)
    with pytest.raises(LedgerError, match="step-000.parquet is damaged"):
        ledger.read(tmp_path)  # among the others of a run, too


@pytest.mark.parametrize("version", ["sandwich-ledger/0", "sandwich-ledger/1", None])
def test_an_unknown_version_is_refused(tmp_path: Path, version: str | None) -> None:
    metadata = None if version is None else {"version": version}
    path = write(tmp_path / "step-000.parquet", rows(ROW).replace_schema_metadata(metadata))
    said = refused(path)
    assert repr(version or "none") in said
    assert repr(VERSION) in said


@pytest.mark.parametrize(
    "other",
    [
        rows(ROW).drop_columns(["honest"]),
        rows(ROW).append_column("clock", pa.array([1.0])),
        rows(ROW).select(SCHEMA.names[::-1]),
        rows(ROW).set_column(0, pa.field("game", pa.int64(), nullable=False), pa.array([3])),
        rows(ROW).set_column(0, pa.field("game", pa.uint32()), pa.array([3], pa.uint32())),
    ],
    ids=["one fewer", "one more", "another order", "another type", "null allowed"],
)
def test_other_columns_are_refused(tmp_path: Path, other: pa.Table) -> None:
    path = write(tmp_path / "step-000.parquet", other.replace_schema_metadata({"version": VERSION}))
    assert "its columns are not those of" in refused(path)


def test_every_column_is_explained(root: Path) -> None:
    text = (root / "docs" / "reference" / "ledger.md").read_text()
    table = {line.split("|")[1].strip().strip("`"): line for line in text.splitlines() if line.startswith("| `")}
    assert [name for name in SCHEMA.names if name not in table] == []
    hidden = [name for name in SCHEMA.names if table[name].split("|")[-2].strip() == "hidden"]
    assert hidden == [name for name in SCHEMA.names if name in HIDDEN]


@pytest.mark.parametrize("whole_run", [False, True])
def test_a_column_that_a_ledger_has_not_is_told_with_what_was_meant(whole_run: bool, tmp_path: Path) -> None:
    file = write(tmp_path / "ledger" / "step-000.parquet", rows(ROW))
    with pytest.raises(
        LedgerError, match=r"^a ledger has no column 'asekd'; did you mean asked\? columns: game, ply, "
    ):
        ledger.read(tmp_path if whole_run else file, ["game", "asekd"])


def test_the_step_may_be_named_among_the_columns_of_a_run(tmp_path: Path) -> None:
    write(tmp_path / "ledger" / "step-000.parquet", rows(ROW))
    assert ledger.read(tmp_path, ["step", "asked"]).column_names == ["step", "asked"]
