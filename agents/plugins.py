"""Finding plugins: classes registered by entry point or lying beside a spec, made from a mapping with a `type`.

A plugin is a frozen record whose fields are its settings. Its `type` in a spec is the name of its
entry point, or `file:Class` for a class in `file.py` beside the spec: such a class travels to the
workers as its source.
"""

import difflib
import hashlib
import importlib.metadata
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, SupportsIndex, TypeVar

from pydantic import BaseModel, ValidationError, ValidationInfo, create_model

from engines.checkpoints import CheckpointError
from engines.settings import Frozen, Mistake, SpecError, mistakes, typed_setting
from engines.stockfish import EngineError
from engines.suggestions import did_you_mean


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
        raise SpecError(f"type: {file} can't be loaded: {what}{_where(error, [file])}") from error
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


def _refused(plugin: Unread, *args: Any, **settings: Any) -> Any:
    raise PluginError(f"{plugin.reference} was only read of, its file was not loaded: it can do nothing here")


def _where(error: BaseException, files: Iterable[str]) -> str:
    """Where an exception came from, in brackets: its last line in the first of these files that it passed, else ""."""
    lines = {frame.f_code.co_filename: line for frame, line in traceback.walk_tb(error.__traceback__)}
    return next((f" ({file}, line {lines[file]})" for file in files if file in lines), "")


def _files(kind: type[Plugin], base: type[Plugin]) -> list[str]:
    """Files of a class and of those between it and the base of its kind, in this order, as tracebacks name them."""
    out: list[str] = []
    for parent in kind.__mro__[: kind.__mro__.index(base)]:
        source = source_of(parent) if issubclass(parent, Plugin) else None
        file = source.file if source else getattr(sys.modules.get(parent.__module__), "__file__", None)
        out += [file] if file else []
    return out


def _flaw(candidate: object, base: type[Plugin]) -> str | None:
    """What keeps an object from being a plugin of a kind; None if nothing does."""
    if not (isinstance(candidate, type) and issubclass(candidate, base)):
        return f"is no {base.__name__}"
    if missing := sorted(getattr(candidate, "__abstractmethods__", ())):
        return f"is no whole {base.__name__}: it lacks {', '.join(missing)}"
    if "type" in candidate.model_fields:
        return "has a setting `type`, which is what a spec names the plugin by"
    for name, info in candidate.model_fields.items():
        if isinstance(info.default, list | dict | set | bytearray):
            return (
                f"has a setting `{name}` whose default, a {type(info.default).__name__}, could be changed while it is"
                " in use: expected a tuple, a frozenset, or Field(default_factory=…)"
            )
    return None


T = TypeVar("T", bound=Plugin)

GROUPS = ("sandwich.misalignments", "sandwich.players", "sandwich.oversight", "sandwich.attacks", "sandwich.specs")
"""Entry-point groups of ours."""
IMPORTING = (__file__, importlib.__file__, importlib.metadata.__file__)
"""Files that an import passes on its way to a plugin's."""


class Registry(Generic[T]):
    """The plugins of one kind.

    kind: what a user calls them ("misalignment").
    group: entry-point group in which they are registered.
    base: class that all of them extend.
    renamed: types that once had another name, and the one that they have now.
    """

    def __init__(self, kind: str, group: str, base: type[T], renamed: Mapping[str, str] = {}) -> None:
        self.kind = kind
        self.group = group
        self.base = base
        self.renamed = renamed

    @cached_property
    def _registered(self) -> list[EntryPoint]:
        return sorted(entry_points(group=self.group), key=lambda entry: entry.name)

    @property
    def entries(self) -> dict[str, EntryPoint]:
        """Every registered plugin's entry point by name, in alphabetical order; nothing is imported."""
        return {entry.name: entry for entry in self._registered}

    def load(self, name: str) -> type[T]:
        """A registered class; PluginError for one that can't be imported or used, and for a name of two of them."""
        entry = self.entries[name]
        rivals = {other.value: _origin(other) for other in self._registered if other.name == name}
        if len(rivals) > 1:
            both = " and ".join(f"{value} ({origin})" for value, origin in rivals.items())
            raise PluginError(f"{self.kind} {name!r} is registered more than once: {both}")
        try:
            target = entry.load()
        except (Exception, SystemExit) as error:
            passed = [frame.filename for frame in traceback.extract_tb(error.__traceback__)[::-1]]
            own = [file for file in passed if file not in IMPORTING and not file.startswith("<")]
            raise PluginError(
                f"{self.kind} {name!r} ({entry.value}) can't be loaded:"
                f" {type(error).__name__}: {error}{_where(error, own)}"
            ) from error
        if flaw := _flaw(target, self.base):
            raise PluginError(f"{self.kind} {name!r}: {entry.value} {flaw}")
        loaded: type[T] = target
        return loaded

    def parse(self, settings: Any, info: ValidationInfo | None = None) -> T:
        """A plugin from `{"type": name, **settings}` or its short form; SpecError ("key: what is wrong") for others.

        The validation context's `folder` says where a `file:Class` is looked for; with `load` False there no file is
        run, and such a plugin is `Unread`.
        """
        if isinstance(settings, self.base):
            return settings
        if isinstance(settings, str):
            settings = self.spelled_out(settings)
        known = f"{', '.join(self.entries)}, or file:Class of a file beside the spec"
        if not isinstance(settings, dict) or not isinstance(settings.get("type"), str):
            raise SpecError(f"type: expected a mapping with a type, got {settings!r}; known types: {known}")
        name = settings["type"]
        context = (info.context if info else None) or {}
        if ":" in name and not context.get("load", True):
            rest = {key: value for key, value in settings.items() if key != "type"}
            unread: Any = self._unread
            return unread.model_construct(reference=name, settings=rest)  # type: ignore[no-any-return]  # of this kind
        if ":" in name:
            kind = self._beside(name, context.get("folder"))
        elif name in self.entries:
            kind = self.load(name)
        elif name in self.renamed:
            raise SpecError(f"type: {self.kind} {name!r} is called {self.renamed[name]!r} now")
        else:
            hint = did_you_mean(name, self.entries)
            raise SpecError(f"type: unknown {self.kind} {name!r}; {hint}known: {known}{self.misspelt(name)}")
        try:
            return kind.model_validate({k: v for k, v in settings.items() if k != "type"}, context=context)
        except ValidationError as error:
            raise SpecError(*mistakes(kind, error)) from None
        except PluginError:
            raise
        except (Exception, SystemExit) as error:  # from a check that the plugin makes itself
            what = f"{type(error).__name__}: {error} (in its settings){_where(error, _files(kind, self.base))}"
            raise PluginError(f"{self.kind} {name}: {what}") from error

    def spelled_out(self, short: str) -> dict[str, Any]:
        """The mapping that `TYPE` or `TYPE:key=value,…` is short for (keys may be dotted)."""
        kind, _, rest = short.partition(":")
        name, _, behind = rest.partition(":")
        if kind not in self.entries and name and "=" not in name:
            kind, rest = f"{kind}:{name}", behind  # a file:Class
        values: dict[str, Any] = {"type": kind}
        for part in rest.split(",") if rest else []:
            key, equals, text = part.partition("=")
            if not equals:
                raise SpecError(f"type: expected {kind}:key=value,…, got {short!r}")
            *path, last = key.strip().split(".")
            place = values
            for step in path:
                place = place.setdefault(step, {})
                if not isinstance(place, dict):
                    raise SpecError(f"{key}: {step} is a value and has no keys below it")
            if last in place:
                raise SpecError(f"{key}: stands twice in {short!r}")
            place[last] = typed_setting(key, text)
        return values

    def validate(self, settings: Any, info: ValidationInfo) -> T:
        """`parse` as the validator of a field: pydantic hands its context only to who can't do without."""
        return self.parse(settings, info)

    def _beside(self, reference: str, folder: Path | None) -> type[T]:
        file, _, name = reference.partition(":")
        if folder is None:
            raise SpecError(f"type: {reference!r} names a file beside a spec, and there is no spec here")
        if not (file.isidentifier() and name.isidentifier()):
            raise SpecError(f"type: expected file:Class, got {reference!r}")
        path = folder / f"{file}.py"
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except OSError:
            raise SpecError(f"type: {reference!r} needs a file {path}") from None
        except UnicodeDecodeError:
            raise SpecError(f"type: {path} is not UTF-8 text") from None
        target = Source(reference, text).load()
        if flaw := _flaw(target, self.base):
            raise SpecError(f"type: {reference} {flaw}")
        kind: type[T] = target  # type: ignore[assignment]  # by the look at its flaws
        return kind

    @cached_property
    def _unread(self) -> type[T]:
        """What stands for a plugin of a file that is not run."""
        kind: Any = create_model(f"Unread{self.base.__name__}", __base__=(Unread, self.base), __module__=__name__)
        for method in kind.__abstractmethods__:
            setattr(kind, method, _refused)
        kind.__abstractmethods__ = frozenset()
        return kind  # type: ignore[return-value]  # of this kind

    def misspelt(self, name: str | None = None) -> str:
        """Where plugins (of this name, if one is given) stand in a group that is called almost as this one; else "".

        A package that misspells a group registers its plugins where nobody looks.
        """
        ours = {**dict.fromkeys(GROUPS), self.group: None}
        found = [
            f"{_origin(entry)} registers {entry.name!r} in the group {group!r}"
            for group in entry_points().groups
            if group not in ours and difflib.get_close_matches(group.lower(), ours, 1, 0.8) == [self.group]
            for entry in entry_points(group=group)
            if name in (None, entry.name)
        ]
        return f"; {', '.join(found)}, expected {self.group!r}" if found else ""

    def describe(self, plugin: T) -> dict[str, Any]:
        """The settings that `parse` makes the same plugin of."""
        if isinstance(plugin, Unread):
            return {"type": plugin.reference, **plugin.settings}
        return {"type": self.name(plugin), **plugin.model_dump(mode="json")}

    def name(self, plugin: T) -> str:
        """The `type` that a spec names the plugin by."""
        kind = type(plugin)
        if isinstance(plugin, Unread):
            return plugin.reference
        if source := source_of(kind):
            return source.reference
        target = f"{kind.__module__}:{kind.__qualname__}"
        by_value = (name for name, entry in self.entries.items() if entry.value == target)
        return next(by_value, None) or next((name for name in self.entries if self._is(name, kind)), target)

    def failure(self, plugin: T, what: BaseException | str, position: str = "") -> PluginError:
        """What to raise for an exception in a plugin (named with its file and line), or for what it must not do."""
        text = what
        if not isinstance(what, str):
            text = f"{type(what).__name__}: {what}{_where(what, _files(type(plugin), self.base))}"
        where = f" (in position {position})" if position else ""
        return PluginError(f"{self.kind} {self.name(plugin)}: {text}{where}")

    @contextmanager
    def attribute_errors(
        self, plugin: T, position: Callable[[], str] = lambda: "", passing: type[Exception] | tuple[()] = ()
    ) -> Iterator[None]:
        """An exception in here is one of the plugin: PluginError, unless it says everything in one line anyway.

        passing: what is no failure, and is left as it is.
        """
        try:
            yield
        except SELF_EXPLANATORY:
            raise
        except passing:
            raise
        except (Exception, SystemExit) as error:  # a plugin may not end the program
            raise self.failure(plugin, error, position()) from error

    def _is(self, name: str, kind: type[T]) -> bool:
        try:
            return self.load(name) is kind
        except PluginError:  # somebody else's trouble
            return False

    def listed(self) -> list[dict[str, Any]]:
        """What there is to tell of every registered plugin: JSON values; `error` where it can't be loaded."""
        out = []
        for name, entry in self.entries.items():
            about: dict[str, Any] = {"kind": self.kind, "group": self.group, "name": name, "value": entry.value}
            about["origin"] = _origin(entry)
            try:
                kind = self.load(name)
                summary = (kind.__doc__ or "").strip().split("\n")[0]
                out.append({**about, "summary": summary, "fields": _fields(kind), "error": None})
            except Exception as error:  # a plugin's own; the others are listed all the same
                out.append({**about, "summary": "", "fields": [], "error": " ".join(str(error).split())})
        return out


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


def _fields(kind: type[Plugin]) -> list[dict[str, Any]]:
    """Name, default (as a spec would say it) and description of each setting."""
    defaults: dict[str, Any] = kind.model_construct().model_dump(mode="json", warnings=False, fallback=repr)
    return [
        {
            "name": name,
            "default": "required" if info.is_required() else defaults[name],
            "description": " ".join((info.description or "").split()),
        }
        for name, info in kind.model_fields.items()
    ]


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


def code_of(record: object) -> dict[str, str]:
    """SHA-256 of the code of every plugin in a record, wherever it comes from, by `module:Class` or `file:Class`.

    Of one whose file is not to be run nothing is known.
    """
    kinds = {type(plugin) for plugin in plugins_in(record) if not isinstance(plugin, Unread)}
    return dict(sorted((_reference(kind), _code_digest(kind)) for kind in kinds))


def _reference(kind: type[Plugin]) -> str:
    source = source_of(kind)
    return source.reference if source else f"{kind.__module__}:{kind.__qualname__}"


@lru_cache
def _code_digest(kind: type[Plugin]) -> str:
    return hashlib.sha256(code_text(kind).encode()).hexdigest()


def code_text(kind: type[Plugin]) -> str:
    """The modules of a class and of all plugins that it extends, one behind the other."""
    texts = {other.__module__: _code(other) for other in kind.__mro__ if issubclass(other, Plugin) and other != Plugin}
    return "\0".join(texts.values())


def _code(kind: type[Plugin]) -> str:
    if source := source_of(kind):
        return source.text
    try:
        return inspect.getsource(sys.modules[kind.__module__])
    except (KeyError, OSError, TypeError):  # typed in, or without its source
        return f"{kind.__module__}:{kind.__qualname__}"
