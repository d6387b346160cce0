"""Kinds of specs: from a file to the record of the kind that a command takes, and what to say of another kind."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from engines.settings import SpecError
from sandwich.spec.loading import Override, overridden, spec_settings, validate
from sandwich.spec.shipped import find_spec, plugin_folder, shipped_folders


class Kind(NamedTuple):
    """What a spec describes, the keys at its top that no other kind has, and the command that takes it."""

    what: str
    marks: frozenset[str]
    command: str


RUN = Kind("a run", frozenset({"assistant", "oversight", "play", "evaluate"}), "sandwich run {}")
SWEEP = Kind("a sweep", frozenset({"run", "over", "cells"}), "sandwich sweep {}")
HIGH_STAKES = Kind("a high-stakes experiment", frozenset({"attacks", "harden", "shifts"}), "sandwich highstakes run {}")
MISALIGNMENTS = Kind(
    "an evaluation of misalignments", frozenset({"entries"}), "sandwich evaluate misalignments {}"
)  # fmt: skip
TRAINING = Kind("a training", frozenset({"fit", "fraction"}), "sandwich train expert (or weak)")
ADVERSARY = Kind("a training of an adversary", frozenset({"rounds"}), "sandwich train adversary")
KINDS = (RUN, SWEEP, HIGH_STAKES, MISALIGNMENTS, TRAINING, ADVERSARY)

T = TypeVar("T", bound=BaseModel)


def read_spec(
    model: type[T], kind: Kind, source: str | Path, *overrides: Override | Iterable[Override]
) -> tuple[T, Path]:
    """The record of a YAML file or shipped spec of this kind, with overrides, and its file.

    Where the record has a `name`, that of the file is its default. Raises SpecError in one line: of another kind with
    the command that takes it, of a mistake that the file itself makes with the file.
    """
    path = find_spec(source)
    settings = spec_settings(path)
    shipped = path.parent in shipped_folders()
    _refuse_another(kind, path.stem if shipped else str(source), settings)
    folder, defaults = plugin_folder(path), {"name": path.stem} if "name" in model.model_fields else {}
    changed = overridden(settings, *overrides)
    try:
        return validate(model, {**defaults, **changed}, folder), path
    except SpecError as error:
        if shipped:
            raise
        first, *rest = error.mistakes
        if changed != settings and first not in _mistakes(model, {**defaults, **settings}, folder):
            raise
        raise SpecError(f"{path}: {first}", *rest) from None


def _refuse_another(kind: Kind, source: str, settings: Mapping[str, Any]) -> None:
    if kind.marks & settings.keys():
        return
    for other in KINDS:
        if other.marks & settings.keys():
            raise SpecError(f"{source} is the spec of {other.what}, not of {kind.what}: {other.command.format(source)}")


def _mistakes(model: type[BaseModel], settings: dict[str, Any], folder: Path) -> tuple[str, ...]:
    try:
        validate(model, settings, folder)
    except SpecError as error:
        return error.mistakes
    return ()
