"""Settings that can't be: one line that names the key, what was found and what is known."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from engines.settings import Frozen, SpecError, explain, read_yaml
from sandwich.spec.loading import overridden, spec_settings, validate
from sandwich.spec.run_spec import load_spec


class Inner(Frozen):
    """A record."""

    size: int = 1
    """A setting."""


class Other(Frozen):
    """Another."""

    length: int = 1
    """A setting."""


class Outer(Frozen):
    """Records in every place where one may stand."""

    one: Inner = Inner()
    maybe: Inner | None = None
    some: tuple[Inner, ...] = ()
    listed: Annotated[list[Inner | None], Field(max_length=3)] | None = None
    named: dict[str, Inner] | None = None
    deep: dict[str, list[Inner]] | None = None
    either: Inner | Other | None = None
    pair: tuple[int, Other] | None = None
    count: int = Field(1, ge=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"eno": {}},
            "eno: unknown key; known here: one, maybe, some, listed, named, deep, either, pair, count",
        ),
        ({"one": {"sise": 2}}, "one.sise: unknown key; did you mean size? known here: size"),
        ({"maybe": {"sise": 2}}, "maybe.sise: unknown key; did you mean size? known here: size"),
        ({"some": [{}, {"sise": 2}]}, "some.1.sise: unknown key; did you mean size? known here: size"),
        ({"listed": [None, {"sise": 2}]}, "listed.1.sise: unknown key; did you mean size? known here: size"),
        ({"named": {"a": {"sise": 2}}}, "named.a.sise: unknown key; did you mean size? known here: size"),
        ({"named": {"size": {"sise": 2}}}, "named.size.sise: unknown key; did you mean size? known here: size"),
        ({"deep": {"a": [{}, {"sise": 2}]}}, "deep.a.1.sise: unknown key; did you mean size? known here: size"),
        ({"either": {"sise": 2}}, "either.sise: unknown key; did you mean size? known here: size, length"),
        ({"pair": [1, {"size": 2}]}, "pair.1.size: unknown key; known here: length"),
        ({"count": 0}, "count: expected at least 1, got 0"),
        ({"some": [{"size": "big"}]}, "some.0.size: expected a whole number"),
        ({"pair": [1]}, "pair.1: missing"),
        ([], "expected a mapping of keys"),
    ],
)
def test_the_first_mistake_is_told_in_one_line(settings: Any, said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(settings)
    message = explain(Outer, error.value)
    assert message.startswith(said)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read {file}: No such file or directory"),
        (b"a: [1", "{file} is not YAML: while parsing"),
        (b"a: \xff", "{file} is not YAML: 'utf-8' codec"),
        (b"a: \0", "{file} is not YAML: unacceptable character #x0000"),
        (b"a: 1\na: 2", "{file} is not YAML: a stands there twice (lines 1 and 2)"),
    ],
)
def test_a_file_that_is_no_yaml_is_named_in_one_line(content: bytes | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SpecError) as error:
        read_yaml(file)
    assert str(error.value).startswith(said.format(file=file))
    assert "\n" not in str(error.value)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"\xef\xbb\xbfa: J\xc3\xbcrgen")
    assert read_yaml(tmp_path / "spec.yaml") == {"a": "Jürgen"}


class Scalars(Frozen):
    """A field of every kind of scalar."""

    name: str = ""
    maybe: str | None = None
    names: tuple[str, ...] = ()
    count: int = 0
    share: float | None = None
    doses: list[float] = Field(default_factory=list)
    by_name: dict[str, float] = Field(default_factory=dict)
    whether: bool = False
    width: Literal[1, 2] = 1
    anything: Any = None


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("name=try #3", "try #3"),
        ("name=2026-11-28", "2026-11-28"),
        ("name=010", "010"),
        ("name=2.50", "2.50"),
        ("name=7", "7"),
        ("name=true", "true"),
        ("name=off", "off"),
        ("maybe=7", "7"),
        ("maybe=null", None),
        ("names=[7, true, a]", ("7", "true", "a")),
        ("count=010", 10),
        ("count=7", 7),
        ("share=1e-3", 0.001),
        ("share=2", 2.0),
        ("doses=[0.5, 1]", [0.5, 1.0]),
        ("by_name.a=1", {"a": 1.0}),
        ("whether=off", False),
        ("whether=true", True),
        ("whether=1", True),
        ("width=2", 2),
        ("anything=true", True),
    ],
)
def test_a_field_makes_its_own_of_what_was_typed(override: str, value: Any) -> None:
    assert getattr(validate(Scalars, overridden({}, override)), override.partition("=")[0].partition(".")[0]) == value


@pytest.mark.parametrize("override", ["count=true", "share=false", "doses=[0.5, true]", "by_name.a=true", "width=true"])
def test_a_boolean_is_no_number(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(SpecError, match=rf"^{key}: expected a number, got (true|false)$"):
        validate(Scalars, overridden({}, override))


@pytest.mark.parametrize("override", ["names=7", "by_name=7", "names=true"])
def test_a_scalar_is_no_list_and_no_mapping(override: str) -> None:
    with pytest.raises(SpecError, match=r"^(names|by_name): expected (a list|a mapping of keys), got (7|True)$"):
        validate(Scalars, overridden({}, override))


def test_a_boolean_is_no_number_in_a_plugin() -> None:
    with pytest.raises(SpecError, match=r"^assistant\.misalignment\.p: expected a number, got true$"):
        load_spec("quick", "assistant.misalignment.p=true")


def test_a_key_twice_in_one_override_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^over: '.*' is not a YAML value \(p stands there twice \(line 1\)\)$"):
        overridden({}, "over={p: [0.25], p: [0.9]}")


def test_settings_are_laid_over_those_of_their_base(tmp_path: Path) -> None:
    (tmp_path / "low.yaml").write_text("a: 1\nb: {c: 2, d: 3}")
    (tmp_path / "middle.yaml").write_text("extends: low.yaml\nb: {c: 4}")
    (tmp_path / "high.yaml").write_text("extends: middle.yaml\ne: 5")
    assert spec_settings(tmp_path / "high.yaml") == {"a": 1, "b": {"c": 4, "d": 3}, "e": 5}


@pytest.mark.parametrize("base", ["self.yaml", "circle.yaml", "../self.yaml", "{}", "3"])
def test_a_file_that_cannot_be_extended_is_named_in_one_line(base: str, tmp_path: Path) -> None:
    (tmp_path / "self.yaml").write_text(f"extends: {base}")
    (tmp_path / "circle.yaml").write_text("extends: self.yaml")
    with pytest.raises(SpecError, match=r"^extends: expected the name of another file beside .*, got ") as error:
        spec_settings(tmp_path / "self.yaml")
    assert "\n" not in str(error.value)
