"""YAML files and key=value overrides into checked records, whatever the record is."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from engines.settings import SpecError, explain, read_yaml


def spec_settings(path: Path, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Settings of a YAML file, laid over those of the file that it `extends`, with overrides; SpecError in one line."""
    return overridden(_layered(path), overrides)


def _layered(path: Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Settings of a file, laid over those of the file beside it that it `extends`."""
    settings = read_yaml(path)
    if not isinstance(settings, dict):
        raise SpecError(f"{path}: expected a mapping of keys, got {type(settings).__name__}")
    extended = settings.pop("extends", None)
    if extended is None:
        return settings
    if not isinstance(extended, str) or Path(extended).name != extended or extended in (path.name, *above):
        raise SpecError(f"extends: expected the name of another file beside {path}, not laid over it, got {extended!r}")
    return _merged(_layered(path.with_name(extended), (path.name, *above)), settings)


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


def overridden(settings: dict[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Nested settings with `key.path=value` overrides; SpecError for one that can't be read."""
    values: dict[str, Any] = {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise SpecError(f"override {override!r}: expected key=value, such as assistant.misalignment.p=0.5")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SpecError(f"{key}: {text!r} is not a YAML value") from None
    return assigned(settings, values)


def assigned(settings: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with other values of dotted keys; SpecError for a key below a value.

    Another `type` of a plugin, or `when` of a schedule, drops the settings of the one before it, wherever it stands in
    the order; a mapping stands before the keys inside it.
    """
    settings = copy.deepcopy(settings)
    for key in sorted(values, key=lambda key: (not isinstance(values[key], dict), not key.endswith(KINDS))):
        _assign(settings, key, copy.deepcopy(values[key]))
    return settings


def _assign(settings: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = settings
    for part in path:
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


def validate(model: type[T], settings: dict[str, Any], folder: Path | None = None) -> T:
    """The settings as a record; SpecError naming the key, the value and what is allowed.

    folder: where a plugin of the form `file:Class` is looked for.
    """
    try:
        return model.model_validate(settings, context={"folder": folder})
    except ValidationError as error:
        raise SpecError(explain(model, error)) from None
