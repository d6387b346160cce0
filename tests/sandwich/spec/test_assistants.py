"""The assistants of a run: one or several, in an order drawn for a game or for the run."""

from typing import Any

import pytest

from engines.settings import SpecError
from sandwich.runs.loop import roles, step_blocks
from sandwich.spec.run_spec import RunSpec, load_spec

LIAR: dict[str, Any] = {"misalignment": {"type": "random_move", "p": 1.0}}
HONEST: dict[str, Any] = {"base": "weak", "misalignment": {"type": "random_move", "p": 0.0}}


def doses(spec: RunSpec) -> list[float]:
    return [assistant.misalignment.model_dump()["p"] for assistant in spec.second]


@pytest.mark.parametrize(
    ("second", "expected"), [(None, []), ([], []), (LIAR, [1]), ([LIAR], [1]), ([HONEST, LIAR, LIAR], [0, 1, 1])]
)
def test_further_assistants_are_a_list_or_one_alone(second: Any, expected: list[float]) -> None:
    spec = load_spec("quick", second=second)
    assert doses(spec) == expected
    written = spec.model_dump(mode="json")
    assert [one["misalignment"]["p"] for one in written["second"]] == expected
    assert RunSpec.model_validate(written) == spec


def test_one_of_several_assistants_is_set_by_its_number() -> None:
    both = {"second": [LIAR, HONEST]}
    assert doses(load_spec("quick", both, "second.1.misalignment.p=0.5")) == [1, 0.5]
    other = load_spec("quick", both, "second.0.misalignment.type=policy_noise", "second.0.misalignment.sigma=2")
    assert [type(one.misalignment).__name__ for one in other.second] == ["PolicyNoise", "RandomMove"]
    assert doses(load_spec("quick", {"second": LIAR}, "second.misalignment.p=0.5")) == [0.5]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("second.2.misalignment.p=0.5",),
            "second.2.misalignment.p: expected the number of one of 2 in a list, from 0 on, got 2",
        ),
        (
            ("second.misalignment.p=0.5",),
            "second.misalignment.p: expected the number of one of 2 in a list, from 0 on, got misalignment",
        ),
        (("second.1.misalignment.p=2",), "second.1.misalignment.p: "),
        (("second.0.dose=1",), "second.0.dose: unknown key"),
        (("second=3",), "second: "),
        (("seats=turn",), "seats: expected "),
        (("oversight=panel:seats=5",), "second: panel asks 5 assistants, 2 more than there are"),
        (
            ("oversight={type: unanimous, members: [plausible, 'panel:seats=4']}",),
            "second: unanimous asks 4 assistants, 1 more than there are",
        ),
        (("oversight=panel", "play.queries_per_game=2"), "play.queries_per_game: one decision takes up to 3 questions"),
    ],
)
def test_an_assistant_that_cannot_be_is_told_in_one_line(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec("quick", {"second": [LIAR, HONEST]}, overrides)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_every_assistant_plays_in_every_block() -> None:
    spec = load_spec("quick", second=[LIAR, HONEST], seats="run")
    there = roles(spec, b"", {})
    assert [getattr(player, "checkpoint", None) for player in (there.base, *there.second)] == [
        "expert",
        "expert",
        "weak",
    ]
    for block in step_blocks(spec, 1):
        assert block.second == tuple(assistant.misalignment for assistant in spec.second)
        assert block.seats == "run"
