"""Whether a ladder's folder may go on with the settings of a spec."""

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


def other_key(there: Mapping[str, Any], spec: BaseModel) -> str | None:
    """The first key (dotted) in which a spec says otherwise than a folder was begun with, or `order of` such a key;
    None: there is none.

    there: the settings of the folder. A key that is missing there, since it came to be known later,
    had its default.
    """
    now, said = spec.model_dump(mode="json"), spec.model_dump(mode="json", exclude_defaults=True)
    kept = {key: value for key, value in there.items() if key not in FREE}
    for key in ADDED:
        names, before = now.pop(key, {}), kept.pop(key, {})
        if not isinstance(before, Mapping):
            return key
        for name in names.keys() & before.keys():
            if not isinstance(before[name], Mapping):
                return f"{key}.{name}"
            if found := _other(before[name], names[name], said[key][name]):
                return f"{key}.{name}.{found}"
    if found := _other(kept, {key: value for key, value in now.items() if key not in FREE}, said):
        return found
    return next((f"order of {key}" for key in ORDERED if _names(kept, key) not in (None, _names(now, key))), None)


def _names(settings: Mapping[str, Any], key: str) -> list[str] | None:
    """The names below a dotted key, in their order; None: there are none."""
    found: Any = settings
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return list(found) if isinstance(found, Mapping) else None


def _other(there: Mapping[str, Any], now: Mapping[str, Any], said: Mapping[str, Any]) -> str | None:
    """The same below a key; `said` is what in `now` differs from its default."""
    for key, value in now.items():
        if key not in there:
            if key in said:
                return key
        elif isinstance(value, dict) and isinstance(there[key], dict):
            inner = said.get(key)
            if found := _other(there[key], value, inner if isinstance(inner, dict) else {}):
                return f"{key}.{found}"
        elif there[key] != value:
            return key
    return next((key for key in there if key not in now), None)


def united(there: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a spec, and those of the variants and shifts that the folder has beside them."""
    return {**settings, **{key: {**there.get(key, {}), **settings.get(key, {})} for key in ADDED}}
