"""Registries: the plugins of one kind, made from a mapping with a `type`.

A `type` in a spec is the name of an entry point, or `file:Class` for a class in `file.py` beside the spec.
"""

import difflib
import importlib.metadata
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError, ValidationInfo, create_model

from agents.plugins import SELF_EXPLANATORY, Plugin, PluginError, Source, Unread, source_of, where_raised
from engines.settings import SpecError, mistakes, typed_setting
from engines.suggestions import did_you_mean


def _refused(plugin: Unread, *args: Any, **settings: Any) -> Any:
    raise PluginError(f"{plugin.reference} was only read of, its file was not loaded: it can do nothing here")


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
GROUPS = (
    "sandwich.misalignments", "sandwich.players", "sandwich.oversight", "sandwich.label_models", "sandwich.attacks",
    "sandwich.specs",
)  # fmt: skip
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
                f" {type(error).__name__}: {error}{where_raised(error, own)}"
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
            what = f"{type(error).__name__}: {error} (in its settings){where_raised(error, _files(kind, self.base))}"
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
            text = f"{type(what).__name__}: {what}{where_raised(what, _files(type(plugin), self.base))}"
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
