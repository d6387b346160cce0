"""The files that W&B's client writes, read back."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2


def records(folder: Path) -> list[Any]:
    """Records of the only W&B run in a run folder, once it is written to its end.

    W&B's own process closes the file a moment after `finish` has returned.
    """
    (path,) = folder.glob("wandb/*/*.wandb")
    deadline = time.monotonic() + 20
    while not (read := list(parse(path.read_bytes()))) or not read[-1].HasField("exit"):
        assert time.monotonic() < deadline, f"{path} has no end"
        time.sleep(0.01)
    return read


def parse(content: bytes) -> Iterator[Any]:
    """Protobuf messages in LevelDB's log format.

    Seven bytes of header; then blocks of 32 KiB, in which each piece has its checksum, length and type
    (whole, first, middle, last).
    """
    assert content[:4] == b":W&B"
    place, message = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        if place + 7 + size > len(content):
            return
        message += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(message)  # type: ignore[attr-defined]
            message = b""


def entries(items: Any) -> dict[str, Any]:
    """Keys and values of W&B's items, whose values are JSON; nested keys are joined by slashes."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, line by line, without W&B's own columns."""
    lines = [entries(record.history.item) for record in records(folder) if record.HasField("history")]
    return [{key: value for key, value in line.items() if not key.startswith("_")} for line in lines]
