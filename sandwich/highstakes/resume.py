"""Whether the folder of a high-stakes experiment may go on with the settings of a spec."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

ADDED = ("variants", "shifts")
"""Keys to which names may be added later: nothing else depends on them."""
FREE = ("name", "workers", "strength")
"""Keys that no figure depends on, or, with `strength`, no other one: a match is played anew."""


ORDERED = ("dataset.proposers", "attacks")
"""Keys whose names have an order: the filter is calibrated on the first proposer, and the place of an attack is part of
its seed."""


def other_key(begun_with: Mapping[str, Any], spec: BaseModel) -> str | None:
    """The first key (dotted) in which a spec says otherwise than a folder was begun with, or `order of` such a key;
    None: there is none.

    begun_with: the settings of the folder. A key that is missing there, since it came to be known later,
    had its default.
    """
    now, changed = spec.model_dump(mode="json"), spec.model_dump(mode="json", exclude_defaults=True)
    kept = {key: value for key, value in begun_with.items() if key not in FREE}
    for key in ADDED:
        names, before = now.pop(key, {}), kept.pop(key, {})
        if not isinstance(before, Mapping):
            return key
        for name in names.keys() & before.keys():
            if not isinstance(before[name], Mapping):
                return f"{key}.{name}"
            if other := _other(before[name], names[name], changed[key][name]):
                return f"{key}.{name}.{other}"
    if other := _other(kept, {key: value for key, value in now.items() if key not in FREE}, changed):
        return other
    return next((f"order of {key}" for key in ORDERED if _names(kept, key) not in (None, _names(now, key))), None)


def _names(settings: Mapping[str, Any], key: str) -> list[str] | None:
    """The names below a dotted key, in their order; None: there are none."""
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return list(value) if isinstance(value, Mapping) else None


def _other(begun_with: Mapping[str, Any], now: Mapping[str, Any], changed: Mapping[str, Any]) -> str | None:
    """The same below a key; `changed` is what in `now` differs from its default."""
    for key, value in now.items():
        if key not in begun_with:
            if key in changed:
                return key
        elif isinstance(value, dict) and isinstance(begun_with[key], dict):
            inner = changed.get(key)
            if other := _other(begun_with[key], value, inner if isinstance(inner, dict) else {}):
                return f"{key}.{other}"
        elif begun_with[key] != value:
            return key
    return next((key for key in begun_with if key not in now), None)


def united(begun_with: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a spec, and those of the variants and shifts that the folder has beside them."""
    return {**settings, **{key: {**begun_with.get(key, {}), **settings.get(key, {})} for key in ADDED}}
