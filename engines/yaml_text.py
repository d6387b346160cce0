"""Text in YAML -> plain values: what a file of settings holds, and what is typed for one setting.

A scalar is null, a boolean (true, false) or a number only where it is written as such without any doubt; all else,
`010`, `off` and 2026-11-28 among it, is text, of which the field that wants a number or a boolean makes one.
Keys are text. Nothing here knows what the settings are.
"""

import re
from typing import Any

import yaml

DEEPEST = 64
"""Levels of lists and mappings within each other."""
COPIES = 100_000
"""Values that aliases may add to those that are written."""

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)"
)
_TOO_DEEP = f"lists and mappings are nested more than {DEEPEST} deep"
_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_MERGE = _TAG + "merge"
_STANDS_FOR_HASH = "\uf8ff"
"""A character for private use, in whose place a typed `#` is read: there it begins no comment."""


class YamlTextError(ValueError):
    """Text that is not YAML, or not such as settings may be written in: one line."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with fewer kinds of scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  as PyYAML has it


for _name, _pattern, _first in (
    ("null", _NULL, [*"~nN", ""]),
    ("bool", _BOOLEAN, [*"tTfF"]),
    ("int", _INTEGER, [*"-0123456789"]),
    ("float", _FLOAT, [*"-+.0123456789"]),
    ("merge", re.compile("<<"), ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern.pattern})$"), _first)


def parse(text: str) -> Any:
    """What a YAML document holds. Raises YamlTextError.

    Refused are a key that stands twice in one mapping, lists and mappings that contain themselves or are nested too
    deeply, and aliases that would make very many values of few. What an alias stands for is a value of its own.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            written: set[yaml.Node] = set()
            if _look(node, {}, written) - len(written) > COPIES:
                raise YamlTextError(f"its aliases make more than {COPIES} values of {len(written)}")
            return _own(loader.construct_document(node))
        finally:
            loader.dispose()
    except YamlTextError:
        raise
    except RecursionError:
        raise YamlTextError(_TOO_DEEP) from None
    except (yaml.YAMLError, ValueError, LookupError) as error:  # the last two for values of explicit tags
        raise YamlTextError(" ".join(str(error).split()).replace('in "<unicode string>", ', "in ")) from None


def _look(
    node: yaml.Node, sizes: dict[yaml.Node, int], written: set[yaml.Node], above: tuple[yaml.Node, ...] = ()
) -> int:
    """Values below a node, itself included, those of aliases counted wherever they stand; makes its keys text."""
    if node in above:
        raise YamlTextError(f"{_place(node)} contains itself")
    if node in sizes:
        return sizes[node]
    if node.tag not in _TAGS:
        raise YamlTextError(f"{node.tag.replace(_TAG, '!!')} in line {_line(node)} is no kind of setting")
    if len(above) >= DEEPEST:
        raise YamlTextError(_TOO_DEEP)
    written.add(node)
    below: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _name_keys(node)
        below = [value for _, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        below = node.value
    sizes[node] = 1 + sum(_look(value, sizes, written, (*above, node)) for value in below)
    return sizes[node]


def _name_keys(node: yaml.MappingNode) -> None:
    """Make the keys of a mapping text, but for the one that merges another mapping; refuse one that stands twice."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise YamlTextError(f"expected a name as key, got {_place(key)}")
        line = _line(key)
        if key.value in lines:
            first = lines[key.value]
            where = f"line {line}" if first == line else f"lines {first} and {line}"
            raise YamlTextError(f"{key.value} stands there twice ({where})")
        lines[key.value] = line
        if key.tag != _MERGE:
            key.tag = f"{_TAG}str"


def _place(node: yaml.Node) -> str:
    kind = "the list" if isinstance(node, yaml.SequenceNode) else "the mapping"
    return f"{kind} in line {_line(node)}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _own(value: Any, depth: int = 0) -> Any:
    """The same with lists and mappings that are in one place only."""
    if depth > DEEPEST:
        raise YamlTextError(_TOO_DEEP)
    if isinstance(value, dict):
        return {key: _own(below, depth + 1) for key, below in value.items()}
    return [_own(below, depth + 1) for below in value] if isinstance(value, list) else value


def typed(text: str) -> Any:
    """The value of one setting, as typed: a list or mapping in brackets, or a scalar; text wherever there is doubt.

    `#` begins no comment, and only what stands in brackets or quotes is YAML; quotes that don't end are text.
    Raises YamlTextError for brackets.
    """
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return _with_hashes(parse(text.replace("#", _STANDS_FOR_HASH)))
        except YamlTextError:
            if text[0] in "[{":
                raise
            return text
    if _NULL.fullmatch(text):
        return None
    if text in ("true", "false"):
        return text == "true"
    return int(text) if _INTEGER.fullmatch(text) and text != "-0" else text


def _with_hashes(value: Any) -> Any:
    if isinstance(value, dict):
        return {_with_hashes(key): _with_hashes(below) for key, below in value.items()}
    if isinstance(value, list):
        return list(map(_with_hashes, value))
    return value.replace(_STANDS_FOR_HASH, "#") if isinstance(value, str) else value
