"""Cells to be done by this process, as by a trial on the driver's machine or on another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandwich.sweeps.cells import Cell
from sandwich.sweeps.home import SIGN, Home, Lot, files_of


def lot_of(cells: Sequence[Cell], root: Path, *, elsewhere: bool = False, storage: str | None = None) -> Lot:
    """What trials are given, with the driver's part in this process. elsewhere: the sweep's folder is not seen."""
    by_key = {cell.key: cell for cell in cells}
    home = Home(by_key)

    def call(method: str, *arguments: Any) -> Any:
        return getattr(home, method)(*arguments)

    if not elsewhere:
        (root / SIGN).write_text("here")
    return Lot(by_key, files_of(cells), call, root, "here", storage)
