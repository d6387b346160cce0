"""Files of networks and blunder filters: the shipped ones by name, others by path, and which of them a spec names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import repeat
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from engines import checkpoints
from engines import filter as filters
from engines.checkpoints import CheckpointError, read
from engines.paths import is_file
from engines.suggestions import did_you_mean

if TYPE_CHECKING:  # the networks' libraries take seconds to load: only who builds one does
    from engines.network import PolicyValueNet

SHIPPED = ("expert", "weak", "adversary")
"""Names of the players that come with the package."""
NAMES_PLAYER = "checkpoint"
"""The setting of a network by whose value alone a spec may name it."""
FILTER = "filter"
"""Name of the blunder filter that comes with it, which is not a player."""


class UnknownNameError(CheckpointError):
    """A name that is no path and not shipped."""


@dataclass(frozen=True)
class Named:
    """What marks a field that names a file by a shipped name or a path, on whose content results depend.

    find: the file of a name. check: reads its content, the name beside it. Both raise CheckpointError in one line.
    """

    find: Callable[[str], Path]
    check: Callable[[bytes, str], object]


def checkpoint_path(name: str, form: str = checkpoints.NETWORK) -> Path:
    """File of a network, or of another `form`, by its shipped name or its path; CheckpointError if there is none."""
    kind, shipped = ("filter", (FILTER,)) if form == checkpoints.FILTER else ("player", SHIPPED)
    path = Path(str(files("agents"))) / "checkpoints" / f"{name}.safetensors" if name in shipped else Path(name)
    if not is_file(path):
        if path.suffix or len(path.parts) > 1:
            raise CheckpointError(f"no such file: {name}")
        hint = did_you_mean(name, shipped)
        raise UnknownNameError(
            f"unknown {kind} {name!r}; {hint}known: {', '.join(shipped)}, or the path of a checkpoint"
        )
    return path


def _network(content: bytes, source: str) -> "PolicyValueNet":
    from engines.network import from_bytes

    return from_bytes(content, source)


Checkpoint = Annotated[str, Named(checkpoint_path, _network)]
"""A field of a spec that names a network: a shipped name or a path."""
FilterCheckpoint = Annotated[str, Named(partial(checkpoint_path, form=checkpoints.FILTER), filters.from_bytes)]
"""A field of a spec that names a blunder filter: `FILTER` or a path."""


def checkpoints_in(record: object) -> set[str]:
    """Every checkpoint that a spec names, in its own fields and in those of the records in them, however nested."""
    return {name for name, _, _ in _names(record, Any)}


def read_checkpoints(record: object, *, check: bool = True) -> dict[str, bytes]:
    """Contents of the files of all of these, by name.

    Raises CheckpointError in one line, with the key, for a file that is missing, broken, or of another form than its
    field wants.
    check: whether to look into the files, which loads torch; without it their contents are only read.
    """
    keys = {(name, mark): key for name, mark, key in reversed(list(_names(record, Any)))}
    out = {}
    for name, mark in sorted(keys, key=lambda found: found[0]):
        try:
            out[name] = read(mark.find(name))
            if check:
                mark.check(out[name], name)
        except CheckpointError as error:
            key = keys[name, mark]
            raise CheckpointError(f"{key}: {error}" if key else str(error)) from None
    return out


def _names(value: object, kind: Any, key: str = "") -> Iterator[tuple[str, Named, str]]:
    """Checkpoints that a value names, by its annotation and by the fields of the records in it, with their keys."""
    origin, parts = get_origin(kind), get_args(kind)
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _marked(getattr(value, name), field.annotation, field.metadata, _below(key, name))
    elif origin is Annotated:
        yield from _marked(value, parts[0], parts[1:], key)
    elif origin in (Union, UnionType):
        for part in parts:
            yield from _names(value, part, key)
    elif isinstance(value, Mapping):
        of_keys, of_values = parts if len(parts) == 2 else (Any, Any)
        for name, item in value.items():
            yield from _names(name, of_keys, key)
            yield from _names(item, of_values, _below(key, str(name)))
    elif isinstance(value, list | tuple | set | frozenset):
        kinds = parts if origin is tuple and ... not in parts else repeat(parts[0] if parts else Any)
        for place, (item, part) in enumerate(zip(value, kinds, strict=False)):
            yield from _names(item, part, f"{key}.{place}" if key else "")


def _below(key: str, name: str) -> str:
    """A dotted key below another; a network is named by its player's own key, in short."""
    return f"{key}.{name}".strip(".") if name != NAMES_PLAYER else key


def _marked(value: object, kind: Any, marks: Sequence[object], key: str) -> Iterator[tuple[str, Named, str]]:
    mark = next((mark for mark in marks if isinstance(mark, Named)), None)
    if mark is None:
        yield from _names(value, kind, key)
    elif isinstance(value, str):
        yield value, mark, key


def load_player(player: str) -> "PolicyValueNet":
    """Network of a shipped name or a path; CheckpointError in one line."""
    from engines.network import load_network

    return load_network(checkpoint_path(player))
