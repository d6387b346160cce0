"""Settings: frozen, checked records with a sentence under each field. Every room builds on these."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from engines.suggestions import did_you_mean, near
from engines.yaml_text import YamlTextError, parse, typed


class Mistake(Exception):
    """What a user can put right; its text is one line that says what was wrong and what would be right."""

    announced = False
    """Whether stderr has it already."""


class SpecError(Mistake, ValueError):
    """Settings that are invalid: one line naming for each the key, what was found and what is allowed."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; also ".join(mistakes))
        self.mistakes = mistakes


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
    """Every mistake, in one line; see `mistakes`."""
    return str(SpecError(*mistakes(model, error)))


def mistakes(model: type[BaseModel], error: ValidationError, settings: object = None) -> list[str]:
    """Each mistake in a line: the key, the value and what is allowed; unknown keys before those that are missing.

    settings: what was read; a key that stands in the wrong place is looked for in them too.
    """
    ranked = sorted(error.errors(), key=lambda detail: _rank(model, detail))
    by_key: dict[str, ErrorDetails] = {}
    for detail in ranked:  # alternatives of one field have a mistake each
        by_key.setdefault(".".join(_walk(model, detail["loc"])[0]), detail)
    # A list with a wrong entry is reported as too short as well.
    own = [detail for key, detail in by_key.items() if not any(other.startswith(f"{key}.") for other in by_key)]
    lines: list[str] = []
    for line in (line for detail in own for line in _lines(model, detail, settings)):
        before, known, names = line.partition(KNOWN)
        reported = known and any(other.endswith(known + names) for other in lines)  # once is enough
        lines.append(before.rstrip("; ") if reported else line)
    return lines


KNOWN = "known here: "
"""What stands before the keys that a record has."""


def _rank(model: type[BaseModel], detail: ErrorDetails) -> int:
    """Where a mistake stands: what has another name now, what is unknown, wrong values, what is missing."""
    if detail["type"] == "extra_forbidden":
        return 0 if _renamed(model, detail["loc"]) else 1
    return 3 if detail["type"] == "missing" else 2


def _lines(model: type[BaseModel], detail: ErrorDetails, settings: object) -> Sequence[str]:
    """A mistake in a line, or those of a record below in one each."""
    path, here = _walk(model, detail["loc"])
    key = ".".join(path)
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        if now := _renamed(model, detail["loc"]):
            return [f"{key}: is called {now} now"]
        known = dict.fromkeys(name for record in here for name in record.model_fields)
        hint = _elsewhere(path[-1], model, settings) if len(path) == 1 else ""
        return [f"{key}: unknown key; {hint or did_you_mean(path[-1], known)}{KNOWN}{', '.join(known)}"]
    if detail["type"] == "missing":
        return [f"{key}: missing"]
    if detail["type"] == "union_tag_invalid":
        where = f"{key}.{context['discriminator'].strip(chr(39))}"
        known_tags = context["expected_tags"].replace(chr(39), "")
        hint = _meant(context["tag"], known_tags.split(", "))
        return [f"{where}: expected one of {known_tags}, got {context['tag']!r}{hint}"]
    if isinstance(context.get("error"), SpecError):  # from a record below: it names the key itself
        return [".".join(filter(None, (key, mistake))) for mistake in context["error"].mistakes]
    message = _in_our_words(detail)
    if not key:  # a check of the whole record, which names its keys itself
        return [message]
    found = detail["input"]
    hint = _meant(found, re.findall("'([^']+)'", message)) if detail["type"] in CHOICES else ""
    number = isinstance(found, str) and NUMBER.fullmatch(found)  # typed, so not in quotes
    return [
        f"{key}: {message}" + (f", got {found if number else repr(found)}{hint}" if type(found) is not dict else "")
    ]


def _meant(found: object, known: Sequence[str]) -> str:
    """`; did you mean X?` for a value that is like one of those that are allowed; or nothing."""
    return f"; did you mean {one}?" if (one := near(str(found), known)) else ""


NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.IGNORECASE)
CHOICES = ("literal_error", "enum")
"""Types of pydantic's errors for a value that is none of those allowed."""
EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "model": "a mapping of keys",
    "dict": "a mapping of keys",
    "list": "a list",
    "tuple": "a list",
}
"""What a field wants, by the beginning of the types of pydantic's errors for a value of another kind."""


def _in_our_words(detail: ErrorDetails) -> str:
    """Pydantic's message as a user of a spec would say it."""
    kind, _, what = detail["type"].partition("_")
    if kind in EXPECTED and what in ("type", "parsing", "from_float", "attributes_type"):
        return f"expected {EXPECTED[kind]}"
    message = detail["msg"].removeprefix("Value error, ")
    for theirs, ours in PHRASES.items():
        message = re.sub(theirs, ours, message)
    return message


PHRASES = {
    "Input should be greater than or equal to ": "expected at least ",
    "Input should be less than or equal to ": "expected at most ",
    "Input should be greater than ": "expected more than ",
    "Input should be less than ": "expected less than ",
    "Input should be ": "expected ",
    "String should match pattern ": "expected text of the form ",
    r"String should have (at \w+ \d+)": r"expected text of \1",
    r"\w+ should have (at \w+) 1 item after validation, not \d+": r"expected \1 one entry",
    r"\w+ should have (at \w+ \d+) items after validation, not \d+": r"expected \1 entries",
}
"""Beginnings of pydantic's messages, and what is said in their place."""


def _elsewhere(name: str, model: type[BaseModel], settings: object) -> str:
    """`did you mean KEY? ` with the dotted key that ends in a name, of the settings or the record; or nothing."""
    found = [key for key in (*_keys_in(settings), *_keys_of(model)) if key.rpartition(".")[2] == name]
    return f"did you mean {found[0]}? " if found else ""


def _keys_in(settings: object, above: str = "") -> Iterator[str]:
    """Dotted keys below the top of nested settings."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if above:
                yield f"{above}{key}"
            yield from _keys_in(value, f"{above}{key}.")


def _keys_of(model: type[BaseModel], above: str = "", seen: tuple[type[BaseModel], ...] = ()) -> Iterator[str]:
    """Dotted keys below the top of a record that holds records."""
    for name, field in model.model_fields.items():
        if above:
            yield f"{above}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and model not in seen:
            yield from _keys_of(field.annotation, f"{above}{name}.", (*seen, model))


def _walk(model: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[str], list[type[BaseModel]]]:
    """The parts of a key as a spec has them, and the records that the last of them is a key of."""
    path: list[str] = []
    here = within = [model]
    for part in map(str, loc):
        if _alternative(part, within):
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


SCALAR = re.compile(r"(str|int|float|bool|none)|(dict|list|tuple|literal|function-\w+)\[.*")
"""How pydantic names the alternatives of a field that are no records."""


def _alternative(part: str, records: Sequence[type[BaseModel]]) -> bool:
    """Whether pydantic says by this part which of several alternatives it tried; a spec has no such key."""
    if any(part in record.model_fields for record in records):
        return False
    if SCALAR.fullmatch(part) or part in (record.__name__ for record in records):
        return True
    kinds = [field.annotation for record in records for field in record.model_fields.values()]
    return any(get_origin(kind) is Literal and part in get_args(kind) for kind in kinds)


def _records(annotation: Any) -> list[type[BaseModel]]:
    """The records that a field may hold, alone or in lists, mappings and alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [record for part in get_args(annotation) for record in _records(part)]
