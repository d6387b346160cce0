"""Whether the folder of a high-stakes experiment may go on with the settings of a spec, and with what is here.

`provenance.json` in the folder says what it was made with: versions, engine, networks, the code of each attack and of
all other plugins. Copies of the files of plugins that are not installed lie beside it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agents.plugin_code import code_of
from agents.plugins import sources
from engines.settings import SpecError
from sandwich.runs.provenance import gone_on, latest, provenance
from sandwich.runtime.kept import damaged, forget_removed, read_if_there, read_json, write_kept

ADDED = ("variants", "cascades", "shifts")
"""Keys to which names may be added later: nothing else depends on them."""
FREE = ("name", "workers", "strength", "closest", "rare")
"""Keys that no figure depends on, or, with `strength`, `closest` and `rare`, no other one: those are made anew."""


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
    """Settings of a spec, and those of the variants, cascades and shifts that the folder has beside them."""
    return {**settings, **{key: {**begun_with.get(key, {}), **settings.get(key, {})} for key in ADDED}}


def claim(out: Path, spec: BaseModel, attacks: Mapping[str, BaseModel], checkpoints: Mapping[str, bytes]) -> None:
    """Note in an experiment's folder what it is made with; SpecError where what is there was made with other things.

    attacks: of the spec, by name: one of which nothing is there yet may have been changed. Raises DamagedError.
    """
    note, begun = out / "provenance.json", any(out.glob("dataset/block-*.parquet"))
    code = code_of(spec.model_copy(update={"attacks": {}}))
    by_attack = {name: code_of(attack) for name, attack in attacks.items()}
    made = provenance((), checkpoints, {}, None) | {"code": code, "attacks": by_attack}
    del made["engine"]  # engine.json beside its labels
    if read_if_there(note) is not None:
        kept = _read(note)
        last = latest(kept)
        before, now = {**last["code"], **last["checkpoints"]}, {**code, **made["checkpoints"]}
        if begun and (changed := [name for name, digest in now.items() if before.get(name, digest) != digest]):
            raise SpecError(f"{out} was begun with another {changed[0]}: choose another folder")
        for name, digests in by_attack.items():
            if last["attacks"].get(name, digests) != digests and (there := _runs_of(out, name)):
                file = next(iter(sources(attacks[name])), "code")
                raise SpecError(
                    f"{out} was attacked with another {file} of {name}: remove {there} and all later generations, or"
                    " choose another folder"
                )
        kept["checkpoints"] = last["checkpoints"] | made["checkpoints"]
        made = gone_on(kept, made | {"code": last["code"] | code}, len(list(out.glob("generation-*"))))
    elif begun:
        return  # by a version that noted nothing: whose it is can't be known
    for name, text in sources(spec).items():
        write_kept(out / name, text.encode())
    write_kept(note, (json.dumps(made, indent=2) + "\n").encode())


def take_back(out: Path) -> None:
    """Have what somebody removed of an experiment's generations made anew, as its refusals say. Raises DamagedError."""
    forget_removed(out, "generation-")


def _read(note: Path) -> dict[str, Any]:
    kept = read_json(note)
    for key in ("code", "attacks", "checkpoints"):
        if not isinstance(kept.get(key), dict):
            raise damaged(note, f"expected digests by name in {key}")
    return kept


def _runs_of(out: Path, attack: str) -> Path | None:
    """The first folder that has runs of an attack, or what it prepared; None: there is none."""
    there = sorted(out.glob(f"generation-*/attacks/{attack}"))
    return next((folder for folder in there if any(folder.iterdir())), None)
