"""What happened, ply by ply: the ledger of one step's games, in Parquet.

Owns the schema (docs/reference/ledger.md explains each column), its version, and the one function that reads
it. The columns in `HIDDEN` are the analyst's: no oversight strategy and no training view reads them.
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engines import planes
from engines.suggestions import did_you_mean
from sandwich.runtime.kept import DamagedError, noted, read_if_there

VERSION = "sandwich-ledger/6"

SCHEMA = pa.schema(
    [
        pa.field("game", pa.uint32(), nullable=False),
        pa.field("ply", pa.uint16(), nullable=False),
        pa.field("fen", pa.string(), nullable=False),
        # ten little-endian 64-bit words, see engines.planes
        pa.field("position", pa.binary(8 * planes.WORDS), nullable=False),
        pa.field("student", pa.bool_(), nullable=False),
        pa.field("own_move", pa.string(), nullable=False),
        pa.field("own_value", pa.float32(), nullable=False),
        pa.field("asked", pa.bool_(), nullable=False),
        pa.field("channel", pa.string()),
        pa.field("advised", pa.string()),
        pa.field("advised_policy", pa.list_(pa.float32())),
        pa.field("advised_value", pa.float32()),
        pa.field("repeated", pa.list_(pa.string())),
        pa.field("panel", pa.list_(pa.string())),
        pa.field("honest", pa.string()),
        pa.field("honest_value", pa.float32()),
        pa.field("assistant_value", pa.float32()),
        pa.field("misaligned", pa.bool_()),
        pa.field("panel_misaligned", pa.list_(pa.bool_())),
        pa.field("believed", pa.bool_()),
        pa.field("weight", pa.float32()),
        pa.field("confidence", pa.float32()),
        pa.field("questions", pa.uint16()),
        pa.field("evaluations", pa.uint16()),
        pa.field("ground_truth", pa.string()),
        pa.field("decided", pa.string(), nullable=False),
        pa.field("played", pa.string(), nullable=False),
        pa.field("result", pa.float32(), nullable=False),
        pa.field("loss_own", pa.float32()),
        pa.field("loss_advised", pa.float32()),
        pa.field("loss_honest", pa.float32()),
        pa.field("loss_played", pa.float32()),
        pa.field("loss_weight", pa.float32()),
    ],
    metadata={"version": VERSION},
)

LOSSES = {"loss_own": "own_move", "loss_advised": "advised", "loss_honest": "honest", "loss_played": "played"}
"""Columns that the oracle fills, and the move that each is about."""

HIDDEN = ("honest", "honest_value", "assistant_value", "misaligned", "panel_misaligned", *LOSSES, "loss_weight")
"""Columns that the student must not see."""

VISIBLE = tuple(name for name in SCHEMA.names if name not in HIDDEN)
"""Columns that the student has seen: what an oversight strategy may study, and fine-tuning learn from."""


class LedgerError(DamagedError):
    """A file that is no ledger, or one of a version that this code does not know."""


def read(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The ledger of one step, or of all steps of a run folder in order (with a column `step` then).

    columns: those to read; None: all of them.
    Raises LedgerError in one line for a missing, damaged or unknown file, DamagedError for one that is not what was
    written.
    """
    path = Path(path)
    if columns is not None and path.is_dir():
        columns = [name for name in columns if name != "step"]  # there in any case
    _refuse_unknown(columns or ())
    if not path.is_dir():
        return _read_file(path, columns)
    folder = path / "ledger" if (path / "ledger").is_dir() else path
    there = {*folder.iterdir(), *noted(path, "ledger/")}  # one of the second that is gone is reported when it is read
    files = {int(match[1]): file for file in there if (match := re.fullmatch(r"step-(\d+)\.parquet", file.name))}
    if not files:
        raise LedgerError(f"{path}: expected step-*.parquet in it, found none")
    tables = []
    for step, file in sorted(files.items()):
        content = _read_file(file, columns)
        steps = pa.array([step] * content.num_rows, pa.uint16())
        tables.append(content.add_column(0, pa.field("step", pa.uint16(), nullable=False), steps))
    return pa.concat_tables(tables)


def _refuse_unknown(columns: Sequence[str]) -> None:
    for name in columns:
        if name not in SCHEMA.names:
            hint = did_you_mean(name, SCHEMA.names)
            raise LedgerError(f"a ledger has no column {name!r}; {hint}columns: {', '.join(SCHEMA.names)}")


def _read_file(path: Path, columns: Sequence[str] | None) -> pa.Table:
    whole = read_if_there(path)
    if whole is None:
        raise LedgerError(f"no ledger at {path}")
    try:
        schema = pq.read_schema(io.BytesIO(whole))
        wanted = columns if schema.equals(SCHEMA) else ()
        content = pq.read_table(io.BytesIO(whole), columns=None if wanted is None else list(wanted))
    except (OSError, pa.ArrowException) as error:
        raise LedgerError(f"{path} is damaged or not Parquet ({' '.join(str(error).split())}): restore it") from None
    version = (schema.metadata or {}).get(b"version", b"none").decode(errors="replace")
    if version != VERSION:
        raise LedgerError(f"{path}: its version is {version!r}, this code reads {VERSION!r}")
    if not schema.equals(SCHEMA):
        raise LedgerError(f"{path}: its columns are not those of {VERSION!r}")
    return content
