"""YAML files and key=value overrides into checked records, whatever the record is."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from engines.settings import SpecError, mistakes, read_yaml, typed_setting
from sandwich.spec.shipped import find_spec, shipped_specs

Override = str | Mapping[str, Any]
"""`key.path=value` with the value as `engines.yaml_text.typed` reads it, or dotted keys with their values."""


def spec_settings(source: str | Path, *overrides: Override | Iterable[Override]) -> dict[str, Any]:
    """Settings of a YAML file or shipped spec, laid over those that it `extends`, with overrides.

    Raises SpecError in one line.
    """
    return overridden(_layered(find_spec(source)), *overrides)


def _layered(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Settings of a file, laid over those of the file beside it, or of the shipped spec, that it `extends`."""
    settings = read_yaml(path)
    if settings is None:
        raise SpecError(f"{path} is empty: expected keys with their values")
    if not isinstance(settings, dict):
        found = "a list" if isinstance(settings, list) else repr(settings)
        raise SpecError(f"{path}: expected keys with their values, got {found}")
    extended = settings.pop("extends", None)
    if extended is None:
        return settings
    below = _extended(path, extended)
    if below is None or below in (path, *above):
        raise SpecError(
            f"extends: expected the name of another file beside {path}, not laid over it, or of a shipped spec,"
            f" got {extended!r}"
        )
    return _merged(_layered(below, (path, *above)), settings)


def _extended(path: Path, name: Any) -> Path | None:
    """The file that a file names in `extends`; None where that is no name of a file or shipped spec."""
    if not isinstance(name, str) or Path(name).name != name:
        return None
    beside = path.with_name(name)
    return beside if beside.is_file() or name not in shipped_specs() else find_spec(name)


KINDS = ("type", "when")
"""Keys that say what the other keys beside them are settings of."""


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    if any(key in above and above[key] != below.get(key) for key in KINDS):
        return above  # another plugin: the settings of the one below are not its own
    both = {
        key: _merged(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return {**below, **above, **both}


def overridden(settings: dict[str, Any], *overrides: Override | Iterable[Override]) -> dict[str, Any]:
    """Nested settings with `key.path=value` overrides, or mappings of dotted keys; of a key's values the last counts.

    Raises SpecError for one that can't be read.
    """
    values: dict[str, Any] = {}
    for override in _flat(overrides):
        if isinstance(override, Mapping):
            values |= {key: str(value) if isinstance(value, Path) else value for key, value in override.items()}
            continue
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise SpecError(f"override {override!r}: expected key=value, such as assistant.misalignment.p=0.5")
        values[key] = typed_setting(key, text)
    return assigned(settings, values)


def _flat(overrides: Iterable[Override | Iterable[Override]]) -> Iterator[Override]:
    for override in overrides:
        if isinstance(override, str | Mapping):
            yield override
        else:
            yield from override


def assigned(settings: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with other values of dotted keys; SpecError for a key below a value.

    Another `type` of a plugin, or `when` of a schedule, drops the settings of the one before it, wherever it stands in
    the order; a mapping, or a list, stands before the keys inside it.
    """
    settings = copy.deepcopy(settings)

    def place(key: str) -> tuple[bool, bool]:
        holds = isinstance(values[key], dict) or any(other.startswith(f"{key}.") for other in values)
        return not holds, not key.endswith(KINDS)

    for key in sorted(values, key=place):
        _assign(settings, key, copy.deepcopy(values[key]))
    return settings


def _assign(settings: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = settings
    for part in path:
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise SpecError(f"{key}: expected the number of one of {len(place)} in a list, from 0 on, got {part}")
            place = place[int(part)]
            continue
        place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if place is None:
            known = ", ".join(settings)
            raise SpecError(f"{key}: {part} has no keys below it; top-level keys here: {known}")
    if not isinstance(place, dict):
        above = ".".join(path)
        hint = f"; {above}.type={place} may have" if isinstance(place, str) else ""
        raise SpecError(f"{key}: {above} is a value and has no keys below it{hint}")
    if last in KINDS and place.get(last, value) != value:
        place.clear()
    place[last] = value


T = TypeVar("T", bound=BaseModel)


def validate(model: type[T], settings: dict[str, Any], folder: Path | None = None, *, load: bool = True) -> T:
    """The settings as a record; SpecError naming of each mistake the key, the value and what is allowed.

    folder: where a plugin of the form `file:Class` is looked for.
    load: whether such a file may be run. Whoever only reads a folder runs nothing that lies in it: there such a
        plugin is `agents.plugins.Unread`.
    """
    try:
        return model.model_validate(settings, context={"folder": folder, "load": load})
    except ValidationError as error:
        raise SpecError(*mistakes(model, error, settings)) from None
