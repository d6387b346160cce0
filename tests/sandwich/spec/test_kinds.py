"""A spec of another kind, a misspelt name and a file's own mistakes: one line that says what would be right."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.settings import SpecError
from sandwich.highstakes.spec import load_highstakes
from sandwich.spec.kinds import MISALIGNMENTS, read_spec
from sandwich.spec.run_spec import RunSpec, load_spec
from sandwich.spec.shipped import find_spec
from sandwich.sweeps.sweep_spec import load_sweep


def load_misalignments(source: str | Path) -> RunSpec:
    return read_spec(RunSpec, MISALIGNMENTS, source)[0]


@pytest.mark.parametrize(
    ("load", "name", "said"),
    [
        (load_spec, "dose_smoke", "the spec of a sweep, not of a run: sandwich sweep dose_smoke"),
        (load_spec, "train_weak", "the spec of a training, not of a run: sandwich train expert (or weak)"),
        (
            load_spec,
            "train_adversary",
            "the spec of a training of an adversary, not of a run: sandwich train adversary",
        ),
        (
            load_spec,
            "highstakes_small",
            "the spec of a high-stakes experiment, not of a run: sandwich highstakes run highstakes_small",
        ),
        (load_sweep, "quick", "the spec of a run, not of a sweep: sandwich run quick"),
        (load_highstakes, "quick", "the spec of a run, not of a high-stakes experiment: sandwich run quick"),
        (
            load_misalignments,
            "quick",
            "the spec of a run, not of an evaluation of misalignments: sandwich run quick",
        ),
    ],
)
def test_a_spec_of_another_kind_is_refused_with_the_command_that_takes_it(
    load: Callable[[str | Path], object], name: str, said: str
) -> None:
    for source in (name, find_spec(name)):  # as typed, and as the command line hands it on
        with pytest.raises(SpecError) as error:
            load(source)
        assert str(error.value) == f"{name} is {said}"


def test_every_shipped_spec_is_taken_by_its_own_command() -> None:
    assert load_spec("quick").name == "quick"
    assert load_sweep("dose_smoke").name == "dose_smoke"
    assert load_highstakes("highstakes_small").name == "highstakes_small"
    assert load_highstakes("highstakes_variants").name == "highstakes_variants"


def test_a_misspelt_key_of_a_file_is_told_with_the_file_before_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("steps: 1\nstpes: 2\n")
    with pytest.raises(SpecError) as error:
        load_spec(path)
    assert str(error.value).startswith(f"{path}: stpes: unknown key; did you mean steps? known here: name, seed, ")
    assert str(error.value).endswith("; also assistant: missing; also oversight: missing")


def test_a_mistake_of_an_override_is_not_told_with_the_file(tmp_path: Path) -> None:
    (path := tmp_path / "mine.yaml").write_text("extends: quick\n")
    with pytest.raises(SpecError, match=r"^steps: expected a whole number, got 2\.5$"):
        load_spec(path, "steps=2.5")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("p=0.5",), "p: unknown key; did you mean assistant.misalignment.p? known here: name, "),
        (("games=8",), "games: unknown key; did you mean play.games? known here: name, "),
        (("oversight=trsut",), "oversight.type: unknown oversight strategy 'trsut'; did you mean trust? known: "),
        (("play.channel=mov",), "play.channel: expected 'move', 'distribution', 'value' or 'candidates', got 'mov';"),
        (("play.ask={when: evry}",), "play.ask.when: expected one of every, chance, unsure, never, got 'evry'; did "),
    ],
)
def test_what_was_meant_is_said(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec("quick", overrides)
    assert str(error.value).startswith(said)


def test_every_wrong_key_is_told_in_one_line() -> None:
    with pytest.raises(SpecError) as error:
        load_spec("quick", "steps=2.5", "assistant.misalignment={type: random_move, q: 1, p: 2}", "sead=1")
    parts = str(error.value).split("; also ")
    assert [part.partition(":")[0] for part in parts] == [
        "sead",
        "steps",
        "assistant.misalignment.q",
        "assistant.misalignment.p",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty: expected keys with their values"), ("- 1", ": expected keys with their values, got a list")],
)
def test_a_file_without_keys_is_told_in_plain_words(content: str, said: str, tmp_path: Path) -> None:
    (path := tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(SpecError) as error:
        load_spec(path)
    assert str(error.value).removeprefix(str(path)).strip() == said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("qiuck", "no spec at qiuck: expected a YAML file, or a shipped spec; did you mean quick?"),
        ("quik.yaml", "no spec at quik.yaml: expected a YAML file, or a shipped spec; did you mean quick?"),
        ("missing.yaml", "no spec at missing.yaml: expected the path of a YAML file, or the name of a shipped spec, "),
    ],
)
def test_a_misspelt_spec_does_not_list_them_all(typed: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        find_spec(typed)
    assert str(error.value).startswith(said)
    assert "dose_smoke" not in str(error.value)


def test_wrong_values_of_a_plugin_are_told_with_their_keys() -> None:
    settings: dict[str, Any] = {"assistant.misalignment": {"type": "random_mvoe"}}
    with pytest.raises(
        SpecError, match="^assistant.misalignment.type: unknown misalignment 'random_mvoe'; did you mea"
    ):
        load_spec("quick", settings)
