"""Finding plugins: classes registered by entry point or lying beside a spec, made from a mapping with a `type`.

A plugin is a frozen record whose fields are its settings. Its `type` in a spec is the name of its
entry point, or `file:Class` for a class in `file.py` beside the spec: such a class travels to the
workers as its source.
"""

import hashlib
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from engines.settings import Frozen, SpecError, explain


class PluginError(RuntimeError):
    """A plugin failed while it was used, or can't be loaded: one line naming it and what happened."""


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
        found = getattr(module, name, None)
        if not (isinstance(found, type) and issubclass(found, Plugin)):
            there = [key for key, value in vars(module).items() if _is_own_plugin(value, module)]
            raise SpecError(f"type: {self.file} has no plugin class {name!r}; it has: {', '.join(there) or 'none'}")
        found.source = self
        return found


def _is_own_plugin(value: Any, module: ModuleType) -> bool:
    return isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == module.__name__


@lru_cache
def _module(file: str, text: str) -> ModuleType:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    module = ModuleType(f"beside_the_spec_{Path(file).stem}_{digest}")
    sys.modules[module.__name__] = module  # where pydantic looks up annotations
    try:
        exec(compile(text, file, "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module.__name__]
        raise SpecError(f"type: {file} can't be loaded: {type(error).__name__}: {error}") from error
    return module


class Plugin(Frozen):
    """A frozen record that a spec makes by its `type`."""

    source: ClassVar[Source | None] = None
    """Where the class comes from if it is not installed."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its settings, and its source where it has one: a worker needs nothing else."""
        kind = type(self)
        own = kind.source if kind.source and kind.source.load() is kind else None
        return _made, (own or kind, {name: getattr(self, name) for name in kind.model_fields})


def _made(kind: type[Plugin] | Source, settings: dict[str, Any]) -> Plugin:
    return (kind.load() if isinstance(kind, Source) else kind)(**settings)


T = TypeVar("T", bound=Plugin)


class Registry(Generic[T]):
    """The plugins of one kind.

    kind: what a user calls them ("misalignment").
    group: entry-point group in which they are registered.
    base: class that all of them extend.
    """

    def __init__(self, kind: str, group: str, base: type[T]) -> None:
        self.kind = kind
        self.group = group
        self.base = base

    @cached_property
    def entries(self) -> dict[str, EntryPoint]:
        """Every registered plugin's entry point by name, in alphabetical order; nothing is imported."""
        return {entry.name: entry for entry in sorted(entry_points(group=self.group), key=lambda entry: entry.name)}

    def load(self, name: str) -> type[T]:
        """A registered class; PluginError for one that can't be imported or is of another kind."""
        entry = self.entries[name]
        try:
            found = entry.load()
        except Exception as error:
            raise PluginError(
                f"{self.kind} {name!r} ({entry.value}) can't be loaded: {type(error).__name__}: {error}"
            ) from error
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise PluginError(f"{self.kind} {name!r}: {entry.value} is no {self.base.__name__}")
        return found

    def parse(self, settings: Any, info: ValidationInfo | None = None) -> T:
        """A plugin from `{"type": name, **settings}`; SpecError ("key: what is wrong") for what can't be one.

        The validation context's `folder` says where a `file:Class` is looked for.
        """
        if isinstance(settings, self.base):
            return settings
        known = f"{', '.join(self.entries)}, or file:Class of a file beside the spec"
        if not isinstance(settings, dict) or not isinstance(settings.get("type"), str):
            raise SpecError(f"type: expected a mapping with a type, got {settings!r}; known types: {known}")
        name = settings["type"]
        context = (info.context if info else None) or {}
        if ":" in name:
            found = self._beside(name, context.get("folder"))
        elif name in self.entries:
            found = self.load(name)
        else:
            raise SpecError(f"type: unknown {self.kind} {name!r}; known: {known}")
        try:
            return found.model_validate({k: v for k, v in settings.items() if k != "type"}, context=context)
        except ValidationError as error:
            raise SpecError(explain(found, error)) from None

    def _beside(self, reference: str, folder: Path | None) -> type[T]:
        file, _, name = reference.partition(":")
        if folder is None:
            raise SpecError(f"type: {reference!r} names a file beside a spec, and there is no spec here")
        path = folder / f"{file}.py"
        if not (file.isidentifier() and name.isidentifier()):
            raise SpecError(f"type: expected file:Class, got {reference!r}")
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError):
            raise SpecError(f"type: {reference!r} needs a file {path}") from None
        found = Source(reference, text).load()
        if not issubclass(found, self.base):
            raise SpecError(f"type: {reference} is no {self.base.__name__}")
        return found

    def describe(self, plugin: T) -> dict[str, Any]:
        """The settings that `parse` makes the same plugin of."""
        return {"type": self.name(plugin), **plugin.model_dump(mode="json")}

    def name(self, plugin: T) -> str:
        """The `type` that a spec names the plugin by."""
        kind = type(plugin)
        if kind.source:
            return kind.source.reference
        target = f"{kind.__module__}:{kind.__qualname__}"
        by_value = (name for name, entry in self.entries.items() if entry.value == target)
        return next(by_value, None) or next((name for name in self.entries if self.load(name) is kind), target)

    def listed(self) -> list[dict[str, Any]]:
        """What there is to tell of every registered plugin: JSON values; `error` where it can't be loaded."""
        out = []
        for name, entry in self.entries.items():
            about: dict[str, Any] = {"kind": self.kind, "group": self.group, "name": name, "value": entry.value}
            about["origin"] = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
            try:
                kind = self.load(name)
            except PluginError as error:
                out.append({**about, "summary": "", "fields": [], "error": str(error)})
                continue
            about["summary"] = (kind.__doc__ or "").strip().split("\n")[0]
            fields = [_field(key, info) for key, info in kind.model_fields.items()]
            out.append({**about, "fields": fields, "error": None})
        return out


def _field(name: str, info: FieldInfo) -> dict[str, Any]:
    default = None if info.is_required() else to_jsonable_python(info.get_default(call_default_factory=True))
    text = " ".join((info.description or "").split())
    return {"name": name, "default": "required" if info.is_required() else default, "description": text}


def sources(record: object) -> dict[str, str]:
    """Contents, by file name, of the files beside the spec that the plugins in a record come from."""
    found: dict[str, str] = {}
    if isinstance(record, Plugin) and record.source:
        found[record.source.file] = record.source.text
    if isinstance(record, BaseModel):
        parts: list[object] = [getattr(record, name) for name in type(record).model_fields]
    else:
        parts = list(record) if isinstance(record, list | tuple) else []
    for part in parts:
        found |= sources(part)
    return found
