"""Whether a ladder's folder may go on with the settings of a spec."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

ADDED = ("variants", "shifts")
"""Keys to which names may be added later: nothing else depends on them."""
FREE = ("name", "workers", "strength")
"""Keys that no figure depends on, or, with `strength`, no other one: a match is played anew."""


def other_key(there: Mapping[str, Any], spec: BaseModel) -> str | None:
    """The first key (dotted) in which a spec says otherwise than a folder was begun with; None: there is none.

    there: the settings of the folder. A key that is missing there, since it came to be known later,
    had its default.
    """
    now, said = spec.model_dump(mode="json"), spec.model_dump(mode="json", exclude_defaults=True)
    kept = {key: value for key, value in there.items() if key not in FREE}
    for key in ADDED:
        names, before = now.pop(key, {}), kept.pop(key, {})
        for name in names.keys() & before.keys():
            if found := _other(before[name], names[name], said[key][name]):
                return f"{key}.{name}.{found}"
    return _other(kept, {key: value for key, value in now.items() if key not in FREE}, said)


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
