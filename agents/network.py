"""Players made of a network: the expert and the weak player are the same class with other weights."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import repeat
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from engines import network
from engines.network import CheckpointError, PolicyValueNet

SHIPPED = ("expert", "weak", "adversary")
"""Names of the players that come with the package."""
FILTER = "filter"
"""Name of the blunder filter that comes with it, which is not a player."""

_NAMES_A_CHECKPOINT = "names a checkpoint"
Checkpoint = Annotated[str, _NAMES_A_CHECKPOINT]
"""A field of a spec that names a checkpoint: a shipped name or a path."""


def checkpoints_in(record: object) -> set[str]:
    """Every checkpoint that a spec names, in its own fields and in those of the records in them, however nested."""
    return set(_names(record, Any))


def _names(value: object, kind: Any) -> Iterator[str]:
    """Checkpoints that a value names, by its annotation and by the fields of the records in it."""
    origin, parts = get_origin(kind), get_args(kind)
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _marked(getattr(value, name), field.annotation, field.metadata)
    elif origin is Annotated:
        yield from _marked(value, parts[0], parts[1:])
    elif origin in (Union, UnionType):
        for part in parts:
            yield from _names(value, part)
    elif isinstance(value, Mapping):
        of_keys, of_values = parts if len(parts) == 2 else (Any, Any)
        for key, item in value.items():
            yield from _names(key, of_keys)
            yield from _names(item, of_values)
    elif isinstance(value, list | tuple | set | frozenset):
        kinds = parts if origin is tuple and ... not in parts else repeat(parts[0] if parts else Any)
        for item, part in zip(value, kinds, strict=False):
            yield from _names(item, part)


def _marked(value: object, kind: Any, marks: Sequence[object]) -> Iterator[str]:
    if _NAMES_A_CHECKPOINT not in marks:
        yield from _names(value, kind)
    elif isinstance(value, str):
        yield value


def checkpoint_path(player: str) -> Path:
    """File of a player or filter: one of the shipped names, or a path; CheckpointError where there is none."""
    shipped = player in (*SHIPPED, FILTER)
    path = Path(str(files("agents"))) / "checkpoints" / f"{player}.safetensors" if shipped else Path(player)
    if not path.is_file():
        if path.suffix or len(path.parts) > 1:
            raise CheckpointError(f"no such file: {player}")
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
