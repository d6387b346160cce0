"""Writes the generated part of the reference: docs/reference/spec.md, and the tables of settings in plugins.md.

Keys, types, defaults and sentences are those of the records themselves, so that each stands once. A test fails
where the committed pages differ from what this writes.

usage: python scripts/reference.py
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from agents.checkpoint_files import Named
from agents.misalignment.base import REGISTRY as MISALIGNMENTS
from agents.players.base import REGISTRY as PLAYERS
from agents.players.base import Player, describe_player
from agents.plugins import Plugin
from agents.registry import Registry
from sandwich.adversary.config import AdversaryConfig
from sandwich.data.generate import GenerateConfig
from sandwich.data.pgn_import import ImportConfig
from sandwich.evaluation.misalignments import MisalignmentEvaluationConfig
from sandwich.highstakes.attacks.base import REGISTRY as ATTACKS
from sandwich.highstakes.spec import HighStakesSpec
from sandwich.label_models.base import REGISTRY as LABEL_MODELS
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.rl.ppo import PPOConfig
from sandwich.spec.run_spec import RunSpec
from sandwich.sweeps.sweep_spec import Range, SweepSpec
from sandwich.training.pretraining import PretrainConfig

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"

Row = tuple[str, str, str, str]
"""Cells of a table."""

REGISTRIES: dict[str, Registry[Any]] = {
    "Misalignments": MISALIGNMENTS,
    "Players": PLAYERS,
    "Oversight strategies": OVERSIGHT,
    "Label models": LABEL_MODELS,
    "Attacks": ATTACKS,
}
"""Kinds of plugins by the heading that they have in plugins.md."""

SECTIONS: dict[str, tuple[str, type[BaseModel]]] = {
    "A run": ("For `sandwich run SPEC`, and for the cells of a sweep.", RunSpec),
    "A sweep": ("For `sandwich sweep SPEC`; [Sweeps](../how-to/sweeps.md) has an example.", SweepSpec),
    "Values of a key in a sweep": ("In place of a list, a key of `over` may have evenly spaced values.", Range),
    "Generating a corpus": ("For `sandwich corpus generate`.", GenerateConfig),
    "Importing games": ("For `sandwich corpus import`.", ImportConfig),
    "Training a player": ("For `sandwich train expert` and `sandwich train weak`.", PretrainConfig),
    "Training an adversary": ("For `sandwich train adversary`.", AdversaryConfig),
    "Training an oversight policy": ("For `sandwich train oversight`.", PPOConfig),
    "Harm and suspicion": (
        "For `sandwich evaluate misalignments SPEC`. In place of `cases`, a file gives `misalignment`: its settings"
        " without the dose.",
        MisalignmentEvaluationConfig,
    ),
    "High stakes": ("For `sandwich highstakes run SPEC`.", HighStakesSpec),
}
"""Specs by heading: which command takes one, and its record."""

HEADER = """\
# Spec keys

A spec is a YAML file, or the name of a shipped one. Keys within keys are written with dots here and on the command
line: `sandwich run default assistant.misalignment.p=0.5`. In a file they are nested:
`assistant: {misalignment: {p: 0.5}}`. A key that is left out has its default; one without a default is **required**.
`null` means off, or no limit, as the sentence says.

The top-level key `extends` names a file beside the spec, or a shipped spec, whose settings hold where this one says
nothing. An unknown key is refused in one line, and so are one that had another name in an earlier version and one that
stands twice.

What is typed on the command line is text, of which a key that wants a number makes one: `#`, `010` and `2026-11-28`
mean nothing special, and `true` is no number. Lists and mappings are in brackets: `over.seed=[0,1,2]`.

A value of the type *misalignment*, *player*, *oversight strategy*, *label model* or *attack* is a
[plugin](plugins.md): a mapping with `type` and the settings of that type, or in short `TYPE:key=value,…`. A
*checkpoint* is a shipped name (`expert`, `weak`, `adversary`) or a path.

This page is written by `python scripts/reference.py` from the code.
"""


def spec_page() -> str:
    """All of spec.md."""
    parts = [HEADER]
    for heading, (sentence, record) in SECTIONS.items():
        parts.append(f"## {heading}\n\n{sentence}\n\n{_table(_formatted(rows(record)))}")
    return "\n".join(parts)


def _formatted(table: Iterable[Row]) -> Iterator[Row]:
    """Keys as code."""
    for key, kind, default, sentence in table:
        yield f"`{key}`", kind, default, sentence


def plugins_page(page: str) -> str:
    """plugins.md with the tables between its markers written anew."""
    for heading, registry in REGISTRIES.items():
        begin, end = _markers(heading)
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"plugins.md: expected {begin} and {end} in it")
        page = f"{before}{begin}\n\n{_settings_table(registry)}\n{end}{after}"
    return page


def _markers(heading: str) -> tuple[str, str]:
    name = heading.lower().replace(" ", "-")
    return f"<!-- settings of {name}: written by scripts/reference.py -->", f"<!-- end of the settings of {name} -->"


def _settings_table(registry: Registry[Any]) -> str:
    """The settings of every plugin of a kind that this package ships."""
    table = []
    for about in registry.listed():
        if not about["origin"].startswith("sandwich "):
            continue
        if about["error"]:
            raise ValueError(about["error"])
        name = f"`{about['name']}`"
        for field in about["fields"]:
            default = "**required**" if field["default"] == "required" else _code(field["default"])
            table.append((name, f"`{field['name']}`", default, _sentence(field["description"])))
    return _table(table, ("type", "setting", "default", "meaning"))


def rows(record: type[BaseModel], prefix: str = "", default: BaseModel | None = None) -> Iterator[Row]:
    """Key, type, default and sentence of every setting, those of the records within included.

    default: the record's own value where it is one of another record's settings.
    """
    for name, field in record.model_fields.items():
        value = getattr(default, name) if default is not None else field.get_default(call_default_factory=True)
        yield from _rows_of(f"{prefix}{name}", field, value)


def _rows_of(key: str, field: FieldInfo, value: Any) -> Iterator[Row]:
    sentence = _sentence(field.description or "")
    alternatives = [kind for kind in _members(field.annotation) if kind is not NoneType]
    if len(alternatives) == 1 and _is_record(alternatives[0]):
        (within,) = alternatives
        if sentence or not isinstance(value, within):
            yield key, "settings", _default(value), sentence or _summary(within)
        if isinstance(value, within) or field.is_required():
            yield from rows(within, f"{key}.", value if isinstance(value, within) else None)
        return
    kinds = [kind for kind in alternatives if _is_record(kind)]
    if kinds and len(kinds) == len(alternatives):  # told apart by one of their settings
        tag = next(name for name, part in kinds[0].model_fields.items() if get_origin(part.annotation) is Literal)
        yield key, "settings", _default(value), sentence
        for kind in kinds:
            chosen = get_args(kind.model_fields[tag].annotation)[0]
            yield f"{key}.{tag}", f"`{chosen}`", "", _summary(kind)
            for name, part in kind.model_fields.items():
                if name != tag:
                    shown = part.get_default(call_default_factory=True)
                    yield from _rows_of(f"{key}.{name}", part, shown)
        return
    yield key, _type(field), _default(value), sentence
    yield from _items(key, field.annotation)


def _items(key: str, annotation: Any) -> Iterator[Row]:
    """Settings of the records in a mapping or a list."""
    if get_origin(annotation) is dict:
        within, place = get_args(annotation)[1], "NAME"
    elif get_origin(annotation) in (tuple, list):
        within, place = get_args(annotation)[0], "N"
    else:
        return
    field = FieldInfo.from_annotation(within)
    if all(_is_record(kind) for kind in _members(field.annotation)):
        if len(_members(field.annotation)) == 1:
            yield from rows(field.annotation, f"{key}.{place}.")  # type: ignore[arg-type]  # by the test above
        else:
            yield from _rows_of(f"{key}.{place}", field, PydanticUndefined)


def _sentence(description: str) -> str:
    """A description in one line, with None as a spec writes it."""
    return re.sub(r"\bNone\b", "`null`", " ".join(description.split()))


def _members(annotation: Any) -> tuple[Any, ...]:
    """What a value may be: the members of a union, or the one type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_record(kind: Any) -> bool:
    """Whether a spec writes the settings of this out; those of plugins stand on their own page."""
    return isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, Plugin) and kind is not Range


def _summary(record: type[BaseModel]) -> str:
    return (record.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def _type(field: FieldInfo) -> str:
    """A field's type in words, with its bounds."""
    members = _members(field.annotation)
    words = [_type_name(kind, field.metadata) for kind in members if kind is not NoneType]
    bounds = [text for part in field.metadata if (text := _bound(part))]
    return ", ".join([" or ".join(words), *bounds]) + (", or `null`" if NoneType in members else "")


def _type_name(kind: Any, metadata: Sequence[Any]) -> str:
    if any(isinstance(part, Named) for part in metadata):
        return "checkpoint"
    if get_origin(kind) is Annotated:
        return _type_name(get_args(kind)[0], get_args(kind)[1:])
    if get_origin(kind) is Literal:
        return ", ".join(_code(choice) for choice in get_args(kind))
    if get_origin(kind) is dict:
        return "mapping"
    if get_origin(kind) in (list, tuple):
        return "list"
    for registry in REGISTRIES.values():
        if kind is registry.base:
            return registry.kind
    if isinstance(kind, type) and issubclass(kind, str) and kind is not str:
        return ", ".join(_code(str(member)) for member in kind)  # type: ignore[attr-defined]  # an enumeration
    return NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _bound(part: Any) -> str:
    match part:
        case annotated_types.Ge():
            return f"≥ {part.ge}"
        case annotated_types.Gt():
            return f"> {part.gt}"
        case annotated_types.Le():
            return f"≤ {part.le}"
        case annotated_types.Lt():
            return f"< {part.lt}"
        case annotated_types.MultipleOf():
            return f"a multiple of {part.multiple_of}"
        case _:
            return ""


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, BaseModel) and not isinstance(value, Plugin):
        scalars = value.model_dump(mode="json")
        short = not any(isinstance(entry, dict | list) for entry in scalars.values()) and len(scalars) <= 2
        return ", ".join(f"`{key}: {entry}`" for key, entry in scalars.items()) if short else ""
    return _code(_described(value))


def _described(value: Any) -> Any:
    """A value as a spec has it."""
    if isinstance(value, Player):
        return describe_player(value)
    for registry in REGISTRIES.values():
        if isinstance(value, registry.base):
            return registry.describe(value)
    if isinstance(value, tuple):
        return [_described(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _described(entry) for name, entry in value.items()}
    return value


def _code(value: Any) -> str:
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value == ():
        return "`[]`"
    return f"`{value}`"


def _table(table: Iterable[Row], heads: Row = ("key", "type", "default", "meaning")) -> str:
    escaped = ([re.sub(r"(?<!\\)\|", r"\\|", text) for text in row] for row in table)
    return "".join("| " + " | ".join(cells) + " |\n" for cells in (heads, ["---"] * 4, *escaped))


def main() -> None:
    (REFERENCE / "spec.md").write_text(spec_page(), encoding="utf-8")
    plugins = REFERENCE / "plugins.md"
    plugins.write_text(plugins_page(plugins.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
