"""Whether what a folder or a storage holds belongs to the run that is asked for."""

from pathlib import Path
from typing import Any

from engines.settings import SpecError
from sandwich.runtime.kept import read_settings
from sandwich.runtime.progress import Row
from sandwich.spec.loading import validate
from sandwich.spec.run_spec import NO_RESULT, RunSpec

ORIGIN = ("checkpoints", "files", "programs")
"""Parts of provenance that are digests of what a run was begun with."""


def refuse_other_settings(about: Path, spec: RunSpec, where: str) -> None:
    """Raises SpecError where the spec in a file asks for other results; more or fewer steps are no others.

    where: what holds that spec.
    """
    different = _difference(_result_keys(about), spec.result_keys())
    if different and different[0] != "steps":
        key, old, new = different
        raise SpecError(f"{where} holds a run with {key}={old!r}, not {new!r}: choose another --out")


def refuse_other_origin(kept: dict[str, Any], made: dict[str, Any], where: str) -> None:
    """Raises SpecError where provenance (JSON) names another file than there is now, or than is named elsewhere."""
    for part in ORIGIN:
        before = kept.get(part, {})
        changed = [name for name, digest in made.get(part, {}).items() if before.get(name, digest) != digest]
        if changed:
            raise SpecError(f"{where} was begun with another {changed[0]}: choose another --out")


def _result_keys(about: Path) -> Row:
    """The part of a run folder's spec that results depend on; keys that it was written without have their defaults."""
    there = read_settings(about)
    try:
        return validate(RunSpec, there, about.parent, load=False).result_keys()
    except SpecError:  # it has what this version does not know
        return {key: value for key, value in there.items() if key not in NO_RESULT}


def _difference(there: Any, asked: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key in which two nested settings differ, other than `steps`, else `steps` if that does."""
    if isinstance(there, dict) and isinstance(asked, dict):
        differences = [_difference(there.get(k), asked.get(k), f"{key}.{k}".strip(".")) for k in {**there, **asked}]
        return next((d for d in sorted(filter(None, differences), key=lambda d: d[0] == "steps")), None)
    return None if there == asked else (key, there, asked)
