"""Finding plugins: classes registered by entry point, made from a mapping with a `type`.

A plugin is a frozen record whose fields are its settings; the name of its entry point is its `type`
in a spec.
"""

from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from pydantic import ValidationError

from engines.settings import Frozen, SpecError

T = TypeVar("T", bound=Frozen)


class Registry(Generic[T]):
    """The plugins of one kind.

    kind: what a user calls them ("misalignment").
    group: entry-point group in which they are registered.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group

    @cached_property
    def known(self) -> dict[str, type[T]]:
        """Every registered plugin by name, in alphabetical order."""
        found = sorted(entry_points(group=self.group), key=lambda entry: entry.name)
        return {entry.name: entry.load() for entry in found}

    def parse(self, settings: Any) -> T:
        """A plugin from `{"type": name, **settings}`; SpecError ("key: what is wrong") for what can't be one."""
        if isinstance(settings, tuple(self.known.values())):
            return cast(T, settings)
        if not isinstance(settings, dict) or not isinstance(settings.get("type"), str):
            raise SpecError(
                f"type: expected a mapping with a type, got {settings!r}; known types: {', '.join(self.known)}"
            )
        name = settings["type"]
        if name not in self.known:
            raise SpecError(f"type: unknown {self.kind} {name!r}; known: {', '.join(self.known)}")
        kind = self.known[name]
        try:
            return kind(**{key: value for key, value in settings.items() if key != "type"})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            hint = f"; settings of {name}: {', '.join(kind.model_fields)}" if first["type"] == "extra_forbidden" else ""
            raise SpecError(f"{key}: {first['msg']}, got {first['input']!r}{hint}") from None

    def describe(self, plugin: T) -> dict[str, Any]:
        """The settings that `parse` makes the same plugin of."""
        name = next(name for name, kind in self.known.items() if kind is type(plugin))
        return {"type": name, **plugin.model_dump(mode="json")}
