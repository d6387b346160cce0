"""Files that are there whole or not at all, and tables as bytes."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all (temporary name, flush, rename)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def parquet_bytes(content: pa.Table) -> bytes:
    """A table as Parquet, the same bytes for the same table."""
    sink = pa.BufferOutputStream()
    pq.write_table(content, sink, compression="zstd")
    return bytes(sink.getvalue())
