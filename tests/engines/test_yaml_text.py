"""YAML as settings are written in it: what is a number and what is text, and what is refused in one line."""

from typing import Any

import pytest

from engines.yaml_text import YamlTextError, parse, typed

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
DEEP = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} {'[' * 50}*a{n - 1}{']' * 50}\n" for n in range(1, 12))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n\nb: 2\na: 3", "a stands there twice (lines 1 and 4)"),
        ("a: 1\nb: {p: 1, q: 2, p: 3}", "p stands there twice (line 2)"),
        ("a:\n  - {p: 1}\n  - p: 1\n    'p': 2", "p stands there twice (lines 3 and 4)"),
        ("1: a\n'1': b", "1 stands there twice (lines 1 and 2)"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a", "<< stands there twice (lines 3 and 4)"),
        ("fixed: &a {x: *a}", "the mapping in line 1 contains itself"),
        ("a:\n  &a [1, [*a]]", "the list in line 2 contains itself"),
        ("a: &a {<<: *a}", "the mapping in line 1 contains itself"),
        (BOMB, "its aliases make more than 100000 values"),
        (MERGED, "its aliases make more than 100000 values"),
        (DEEP, "lists and mappings are nested more than 64 deep"),
        ("[" * 100_000, "lists and mappings are nested more than 64 deep"),
        ("a: \0", "unacceptable character #x0000"),
        ("? [a]\n: 1", "expected a name as key, got the list in line 1"),
        ("a: !!timestamp x", "!!timestamp in line 1 is no kind of setting"),
        ("a: !!python/name:os.system", "!!python/name:os.system in line 1 is no kind of setting"),
        ("a: !!int x", "invalid literal for int()"),
        ("a: !!bool x", "'x'"),
        ("a: b: c", "mapping values are not allowed here"),
    ],
)
def test_what_is_refused_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(YamlTextError) as error:
        parse(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mapping_may_take_in_another_and_say_otherwise() -> None:
    assert parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_what_an_alias_stands_for_is_a_value_of_its_own() -> None:
    settings = parse("a: &a {x: [1]}\nb: *a")
    settings["a"]["x"].append(2)
    assert settings["b"] == {"x": [1]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("null", None),
        ("7", 7),
        ("-7", -7),
        ("0.5", 0.5),
        ("1.0e-05", 1e-5),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("off", "off"),
        ("no", "no"),
        ("2026-11-28", "2026-11-28"),
        ("=", "="),
        ("'7'", "7"),
    ],
)
def test_a_scalar_is_text_unless_it_is_a_number_beyond_doubt(text: str, value: Any) -> None:
    assert parse(f"a: {text}") == {"a": value}
    assert type(parse(f"a: {text}")["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("try #3", "try #3"),
        ("#1.csv", "#1.csv"),
        ("[a #1, '#2']", ["a #1", "#2"]),
        ("{a: b #1}", {"a": "b #1"}),
        ("'a #1'", "a #1"),
        ("a: b", "a: b"),
        ("*a", "*a"),
        ("@a", "@a"),
        ("it's", "it's"),
        ("'tis", "'tis"),
        ('"a" or b', '"a" or b'),
        ("2026-11-28", "2026-11-28"),
        ("010", "010"),
        ("0.50", "0.50"),
        ("12", 12),
        ("true", True),
        ("True", "True"),
        ("null", None),
        ("", None),
        ("[0, 0.5]", [0, 0.5]),
    ],
)
def test_a_typed_value_is_taken_as_it_stands(text: str, value: Any) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


def test_a_key_that_stands_twice_in_a_typed_mapping_is_refused() -> None:
    with pytest.raises(YamlTextError, match="p stands there twice"):
        typed("{p: 0.25, p: 0.9}")
