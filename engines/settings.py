"""Settings: frozen, checked records with a sentence under each field. Every room builds on these."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from engines.yaml_text import YamlTextError, parse, typed


class Mistake(Exception):
    """What a user can put right; its text is one line that says what was wrong and what would be right."""


class SpecError(Mistake, ValueError):
    """A setting that can't be: one line naming the key, what was found and what is allowed."""


class Frozen(BaseModel):
    """A record of settings: keyword-only, checked, unchangeable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    renamed: ClassVar[Mapping[str, str]] = {}
    """Names that fields once had, and those that they have now: an old one is refused with the new one named."""

    @model_validator(mode="before")
    @classmethod
    def _scalars(cls, settings: Any) -> Any:
        """Text that looks like a number or a boolean is text where that is wanted; a boolean is no number."""
        if not isinstance(settings, Mapping):
            return settings
        fields = cls.model_fields
        return {
            key: _fitting(key, value, fields[key].annotation) if key in fields else value
            for key, value in settings.items()
        }


def _fitting(key: str, value: Any, *annotations: Any) -> Any:
    """A value as a field of one of these kinds has it, where the two differ in no more than the kind of a scalar.

    Raises SpecError for a boolean in place of a number.
    """
    kinds = [kind for annotation in annotations for kind in _alternatives(annotation)]
    if Any in kinds:
        return value
    if type(value) in (list, tuple):
        parts = [part for kind in kinds if _is(kind, list, tuple) for part in get_args(kind) if part is not ...]
        return type(value)(_fitting(key, item, *parts) for item in value)
    if type(value) is dict:
        parts = [get_args(kind)[1] for kind in kinds if _is(kind, Mapping) and get_args(kind)]
        return {name: _fitting(f"{key}.{name}", item, *parts) for name, item in value.items()}
    number = int in kinds or float in kinds
    if isinstance(value, bool) and number and bool not in kinds:
        raise SpecError(f"{key}: expected a number, got {str(value).lower()}")
    if type(value) in (bool, int) and str in kinds and not number and bool not in kinds:
        return str(value).lower()
    return value


def _is(kind: Any, *containers: type) -> bool:
    """Whether a kind is a container of one of these, whatever is in it."""
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, containers)


def _alternatives(annotation: Any) -> list[Any]:
    """The kinds of value that a field may hold; in place of values that are listed, their kinds."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [object if isinstance(value, str) else type(value) for value in parts]
    if origin is Annotated:
        return _alternatives(parts[0])
    if origin in (Union, UnionType):
        return [kind for part in parts for kind in _alternatives(part)]
    return [annotation]


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; SpecError in one line."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}") from None
    except (YamlTextError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not YAML: {error}") from None


def typed_setting(key: str, text: str) -> Any:
    """The value that somebody typed for a key, see `yaml_text.typed`; SpecError in one line."""
    try:
        return typed(text)
    except YamlTextError as error:
        raise SpecError(f"{key}: {text!r} is not a YAML value ({error})") from None


def explain(model: type[BaseModel], error: ValidationError) -> str:
    """The first mistake in one line: the key, the value and what is allowed."""
    errors = error.errors()
    old = [detail for detail in errors if detail["type"] == "extra_forbidden" and _renamed(model, detail["loc"])]
    first = (old or errors)[0]
    path, here = _walk(model, first["loc"])
    key = ".".join(path)
    if old:
        return f"{key}: is called {_renamed(model, first['loc'])} now"
    if first["type"] == "extra_forbidden":
        known = dict.fromkeys(name for record in here for name in record.model_fields)
        return f"{key}: unknown key; known here: {', '.join(known)}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "union_tag_invalid":
        union = first["ctx"]
        where = f"{key}.{union['discriminator'].strip(chr(39))}"
        return f"{where}: expected one of {union['expected_tags'].replace(chr(39), '')}, got {union['tag']!r}"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), SpecError):  # from a record below: it names the key itself
        return ".".join(filter(None, (key, message)))
    if not key:  # a check of the whole record, which names its keys itself
        return message
    return f"{key}: {message}" + (f", got {first['input']!r}" if not isinstance(first["input"], dict) else "")


def _walk(model: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[str], list[type[BaseModel]]]:
    """The parts of a key as a spec has them, and the records that the last of them is a key of."""
    path: list[str] = []
    here = within = [model]
    for part in map(str, loc):
        if _tag(part, within):  # pydantic says which of several records was meant; a spec has no such key
            continue
        here = within
        fields = [record.model_fields[part].annotation for record in here if part in record.model_fields]
        # A place in a list and a key of a mapping are no fields: the records stay the same.
        within = [record for field in fields for record in _records(field)] or here
        path.append(part)
    return path, here


def _renamed(model: type[BaseModel], loc: Sequence[int | str]) -> str | None:
    """The dotted name that a key has now, where this one is an old name of it."""
    path, here = _walk(model, loc)
    names = [record.renamed[path[-1]] for record in here if issubclass(record, Frozen) and path[-1] in record.renamed]
    return ".".join([*path[:-1], names[0]]) if names else None


def _tag(part: str, records: Sequence[type[BaseModel]]) -> bool:
    """Whether this is the value by which one of these records differs from the others."""
    kinds = [field.annotation for record in records for field in record.model_fields.values()]
    return any(get_origin(kind) is Literal and part in get_args(kind) for kind in kinds)


def _records(annotation: Any) -> list[type[BaseModel]]:
    """The records that a field may hold, alone or in lists, mappings and alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [record for part in get_args(annotation) for record in _records(part)]
