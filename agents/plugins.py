"""Plugins: frozen records whose fields are their settings, of an installed class or of one in a file beside a spec.

A class of a file beside a spec travels to the workers as its source.
"""

import hashlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, SupportsIndex

from pydantic import BaseModel

from engines.checkpoints import CheckpointError
from engines.settings import Frozen, Mistake, SpecError
from engines.stockfish import EngineError


class PluginError(Mistake, RuntimeError):
    """A plugin failed while it was used, or can't be loaded: one line naming it and what happened."""

    def __init__(self, what: str) -> None:
        super().__init__(" ".join(what.split()))


SELF_EXPLANATORY = (PluginError, SpecError, CheckpointError, EngineError)
"""Errors that say everything in one line, also where they happened in a plugin."""


@dataclass(frozen=True)
class Source:
    """A class in a file beside a spec.

    reference: `file:Class`, as a spec names it.
    text: content of the file.
    """

    reference: str
    text: str

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.reference.partition(":")[0] + ".py"

    def load(self) -> type["Plugin"]:
        """The class; the same one each time within a process. SpecError where the file can't be run."""
        name = self.reference.partition(":")[2]
        module = _module(self.file, self.text)
        own = {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == module.__name__
        }
        if name not in own:
            raise SpecError(f"type: {self.file} has no plugin class {name!r}; it has: {', '.join(own) or 'none'}")
        return own[name]


@lru_cache
def _module(file: str, text: str) -> ModuleType:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    module = ModuleType(f"beside_the_spec_{Path(file).stem}_{digest}")
    vars(module)[_SOURCE] = Source(Path(file).stem, text)
    sys.modules[module.__name__] = module  # where pydantic looks up annotations
    try:
        exec(compile(text, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        what = " ".join(f"{type(error).__name__}: {error}".split())  # a SyntaxError says itself where
        raise SpecError(f"type: {file} can't be loaded: {what}{where_raised(error, [file])}") from error
    return module


_SOURCE = "__beside_the_spec__"
"""Name under which the module of a file beside a spec holds its own source."""


class Plugin(Frozen):
    """A frozen record that a spec makes by its `type`."""

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> str | tuple[Any, ...]:
        """Pickled with the source of its class where that is not installed: a worker needs nothing else."""
        source = source_of(type(self))
        return super().__reduce_ex__(protocol) if source is None else (_blank, (source,), self.__getstate__())


def _blank(source: Source) -> Plugin:
    """A plugin whose settings are still to come, and are unpickled when its module is there."""
    kind = source.load()
    return kind.__new__(kind)


def source_of(kind: type[Plugin]) -> Source | None:
    """Where a class comes from if it is not installed."""
    module: Source | None = getattr(sys.modules.get(kind.__module__), _SOURCE, None)
    return module and Source(f"{module.reference}:{kind.__qualname__}", module.text)


class Unread(Plugin):
    """A plugin of a file that is not to be run: what a spec says of it, and nothing that it could do."""

    reference: str
    settings: dict[str, Any]


def where_raised(error: BaseException, files: Iterable[str]) -> str:
    """Where an exception came from, in brackets: its last line in the first of these files that it passed, else ""."""
    lines = {frame.f_code.co_filename: line for frame, line in traceback.walk_tb(error.__traceback__)}
    return next((f" ({file}, line {lines[file]})" for file in files if file in lines), "")


def sources(record: object) -> dict[str, str]:
    """Contents, by file name, of the files beside the spec that the plugins in a record come from."""
    found = (source_of(type(plugin)) for plugin in plugins_in(record))
    return {source.file: source.text for source in found if source}


def plugins_in(record: object) -> Iterator[Plugin]:
    """Every plugin in a record, itself or in its fields, however nested."""
    if isinstance(record, Plugin):
        yield record
    if isinstance(record, BaseModel):
        parts: list[object] = [getattr(record, name) for name in type(record).model_fields]
    elif isinstance(record, Mapping):
        parts = list(record.values())
    else:
        parts = list(record) if isinstance(record, list | tuple | set | frozenset) else []
    for part in parts:
        yield from plugins_in(part)
