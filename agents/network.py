"""Players made of a network: the expert and the weak player are the same class with other weights."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from engines import network
from engines.network import CheckpointError, PolicyValueNet

SHIPPED = ("expert", "weak", "adversary")
"""Names of the checkpoints that come with the package."""

_NAMES_A_CHECKPOINT = "names a checkpoint"
Checkpoint = Annotated[str, _NAMES_A_CHECKPOINT]
"""A field of a spec that names a checkpoint: a shipped name or a path."""


def checkpoints_in(record: object) -> set[str]:
    """Every checkpoint that a spec names, in its own fields and in those of the records in them."""
    if isinstance(record, list | tuple):
        return {name for item in record for name in checkpoints_in(item)}
    if not isinstance(record, BaseModel):
        return set()
    found: set[str] = set()
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        found |= {value} if _NAMES_A_CHECKPOINT in field.metadata else checkpoints_in(value)
    return found


def checkpoint_path(player: str) -> Path:
    """File of a player: one of the shipped names, or a path; CheckpointError where there is none."""
    path = Path(str(files("agents"))) / "checkpoints" / f"{player}.safetensors" if player in SHIPPED else Path(player)
    if not path.is_file():
        raise CheckpointError(f"unknown player {player!r}; known: {', '.join(SHIPPED)}, or the path of a checkpoint")
    return path


def load_player(player: str) -> PolicyValueNet:
    """Network of a shipped name or a path; CheckpointError in one line."""
    return network.load_network(checkpoint_path(player))


def draw(policy: npt.NDArray[np.float32], temperature: float, rng: np.random.Generator) -> int:
    """Place in `policy` `[M]` of a move drawn at a temperature; 0 takes the most probable and no random number."""
    if temperature == 0:
        return int(policy.argmax())
    chances = policy if temperature == 1 else policy ** (1 / temperature)
    edges = chances.cumsum()
    return min(int(edges.searchsorted(rng.random() * edges[-1], side="right")), len(policy) - 1)
