"""Files of networks as bytes: their forms, and what is wrong where one can't be used. Loads no library of networks."""

from pathlib import Path

from engines.paths import read_bytes
from engines.settings import Mistake

NETWORK = "sandwich-network/1"
"""Form of a player's network."""
FILTER = "sandwich-filter/1"
"""Form of a blunder filter."""


class CheckpointError(Mistake, ValueError):
    """A file that is missing, damaged, or not a network of this code."""


def read(path: Path) -> bytes:
    """The bytes of a checkpoint file; CheckpointError where there is none."""
    try:
        return read_bytes(path)
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {path} ({error.strerror})") from None
