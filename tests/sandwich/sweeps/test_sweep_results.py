"""What is made of a sweep's results: figures over seeds, curves, pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.settings import SpecError
from experiments.cli.sweep import mapped
from experiments.figures.dose_response import heat_map, response
from sandwich.statistics import Figure
from sandwich.sweeps.results import Curve, Point, curves, dose_keys, label, numeric_keys

P = "assistant.misalignment.p"


def rows(start: float, end: float, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """First and last row of a run whose student goes from one score to another."""
    rng = np.random.default_rng(seed)

    def row(score: float) -> dict[str, Any]:
        pairs = [float(s) for s in rng.binomial(4, score, 200) / 4]
        elo = -400 * np.log10(1 / score - 1)
        base = -400 * np.log10(1 / start - 1)
        return {"pairs": {"best": pairs}, "pgr": Figure(float(1 - elo / base), -1, 1, 400).json()}

    return row(start), row(end)


def point(p: float, end: float, seeds: int, **more: Any) -> Point:
    return Point({P: p, **more}, [rows(0.07, end, 10 * seed + round(100 * p)) for seed in range(seeds)])


def test_break_even_is_the_dose_up_to_which_it_surely_helps() -> None:
    found = [point(0.75, 0.06, 3), point(0, 0.3, 3), point(0.25, 0.25, 3)]
    (curve,) = curves(found, P)
    assert curve.doses == [0, 0.25, 0.75]
    assert curve.label == ""
    lows = [figure.low for figure in curve.figures]
    assert lows[0] is not None and lows[1] is not None and lows[2] is not None
    assert lows[1] > 0 > lows[2]
    assert curve.break_even == 0.25
    assert curve.break_even_text == "break-even dose: 0.25, no more at 0.75"


@pytest.mark.parametrize(
    ("lows", "told"),
    [
        ([0.1, 0.05, -0.1], "0.5, no more at 1"),
        ([0.1, None, -0.1], "0.2, not known at 0.5"),  # of two seeds there is no interval
        ([0.1, None, 0.1], "0.2, not known at 0.5"),
        ([0.1, 0.05, None], "0.5, not known at 1"),
        ([0.1, 0.05, 0.2], "1, the largest of all"),
        ([0.1, -0.1, 0.2], "0.2, no more at 0.5"),  # whatever there is beyond
        ([0.1, 0.0, 0.2], "0.2, no more at 0.5"),
        ([-0.1, None, 0.2], "none"),
        ([None, 0.1, -0.2], "not known, 0.2 has no interval"),
        ([None, None, None], "not known, no dose has an interval"),
    ],
)
def test_break_even_says_how_far_it_was_looked(lows: list[float | None], told: str) -> None:
    figures = [Figure(0.2, low, None if low is None else 0.4, 3) for low in lows]
    assert Curve("bias", [0.2, 0.5, 1], [], figures).break_even_text == f"break-even dose of bias: {told}"


def test_seeds_are_joined_where_there_are_enough() -> None:
    assert point(0, 0.3, 1).pgr().low == -1  # a run's own interval
    two = point(0, 0.3, 2).pgr()
    assert two.value is not None and two.low is None and two.n == 2
    three = point(0, 0.3, 3).pgr()
    assert three.value is not None and three.low is not None and three.n == 3
    assert three.high is not None and three.low < three.value < three.high


def test_a_withheld_seed_withholds_the_figure_over_seeds() -> None:
    some = point(0, 0.3, 4)
    some.rows[2][1]["pgr"] = Figure(None, reason="no gap").json()
    assert some.pgr().reason == "seed 2 of 4: no gap"
    assert Point({}, some.rows[2:]).pgr().reason == "seed 0 of 2: no gap"


def test_every_dose_has_its_picture_where_misalignments_differ_in_theirs() -> None:
    kind = "assistant.misalignment.type"
    noise = [Point({kind: "value_noise", "s": s}, [rows(0.07, 0.3, 1)]) for s in (1, 2, 3)]
    found = [point(p, 0.2, 1, **{kind: "random_move"}) for p in (0, 1)] + noise
    assert dose_keys(found) == ["s", P]
    assert dose_keys([point(p, 0.2, 1, n=n) for p in (0, 0.5, 1) for n in (1, 2)]) == [P]
    assert [(curve.label, curve.doses) for curve in curves(found, P)] == [("random_move", [0, 1])]


def test_curves_are_told_apart_by_the_other_keys() -> None:
    kind = "assistant.misalignment.type"
    found = [point(p, 0.2, 1, **{kind: name}) for name in ("bias", "random_move") for p in (0, 1)]
    assert [(curve.label, curve.doses) for curve in curves(found, P)] == [("bias", [0, 1]), ("random_move", [0, 1])]
    assert numeric_keys(found) == [P]
    assert label({kind: "bias", "play.ask.n": 4}) == "bias, n = 4"


def test_pictures_are_written_for_papers(tmp_path: Path) -> None:
    found = [point(p, 0.2, 3, **{"play.ask.n": n}) for p in (0, 0.5) for n in (1, 4)]
    for path in response(curves(found, P), P, tmp_path / "response") + heat_map(
        found, (P, "play.ask.n"), tmp_path / "heat"
    ):
        assert path.stat().st_size > 2000
    assert (tmp_path / "response.png").read_bytes()[:4] == b"\x89PNG"
    assert "performance gap recovered" in (tmp_path / "response.svg").read_text()


def test_a_heat_map_hides_no_other_key() -> None:
    found = [point(p, 0.2, 1, n=n, how=how) for p in (0, 1) for n in (1, 2) for how in ("a", "b")]
    with pytest.raises(SpecError, match=f"--heat {P} n: how varies too"):
        mapped(found, (P, "n"))
    assert len(mapped([point(0, 0.2, 1, n=1), Point({P: 1}, [])], (P, "n"))) == 1


@pytest.mark.filterwarnings("error")
def test_curves_told_apart_by_many_settings_leave_room_for_themselves(tmp_path: Path) -> None:
    long = ", ".join(f"oversight.members.{number}.replies = {number}" for number in range(8))
    some = [Curve(f"{number}, {long}", [0.6], [Point({}, [])], [Figure(0.2, 0.1, 0.3, 3)]) for number in range(7)]
    for path in response(some, "assistant.misalignment.p", tmp_path / "response"):
        assert path.stat().st_size > 1000
