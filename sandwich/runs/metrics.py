"""A run's figures, step by step: `metrics.jsonl`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandwich.runtime.kept import DamagedError, read_if_there, write_kept


class MetricsError(DamagedError):
    """A metrics.jsonl that cannot be read."""


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Rows of a run folder's metrics.jsonl by step; none where the file is not there yet.

    Raises DamagedError in one line for a file that is damaged, MetricsError where it has no checksum.
    """
    path = Path(folder) / "metrics.jsonl"
    content = read_if_there(path)
    if content is None:
        return []
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        try:
            row = json.loads(line)
            rows[step_of(row)] = row
        except ValueError:
            raise MetricsError(
                f"{path}, line {number}: expected a JSON object with a step, got {line[:60]!r}"
            ) from None
    return [rows[step] for step in sorted(rows)]


def write_metrics(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a run folder's metrics.jsonl anew."""
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    write_kept(folder / "metrics.jsonl", lines.encode())


def step_of(row: Any) -> int:
    step = row.get("step") if isinstance(row, dict) else None
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise ValueError(f"expected a row with a step of 0 or more, got {step!r}")
    return step


def scalars(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """A row's numbers by flat name: `elo`, `elo/low`, `play/queries`, `play/ends/checkmate`, …

    A figure's value stands under the figure's own name. What is None or text is left out.
    """
    flat: dict[str, float] = {}
    for key, value in row.items():
        name = prefix.rstrip("/") if key == "value" else prefix + key
        if isinstance(value, dict):
            flat |= scalars(value, f"{name}/")
        elif isinstance(value, int | float):
            flat[name] = value
    return flat
