"""When the student asks: schedules, and what its questions may cost."""

import math
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from agents.advice import Channel
from engines.settings import SpecError
from sandwich.oversight.consistency import Consistency
from sandwich.oversight.trust import Trust
from sandwich.oversight.vote import Vote
from sandwich.spec.run_spec import load_spec
from sandwich.spec.schedule import Chance, Every, Never, QueryBudget, Schedule, UncertaintyWindow, Unsure, would_ask
from tests.helpers.decisions import SHORT, games


def policies(count: int, seed: int = 1) -> list[Any]:
    """Policies over twenty moves, from decided to undecided."""
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.full(20, rng.uniform(0.05, 2))).astype(np.float32) for _ in range(count)]


def asks(schedule: Schedule, some: list[Any]) -> list[bool]:
    """On which of these turns a student asks."""
    rng, window, out = np.random.default_rng(2), UncertaintyWindow(), []
    for turn, policy in enumerate(some):
        window.add(schedule, policy)
        out.append(bool(would_ask(schedule, turn, policy, window, rng)))
    return out


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Every(), [True] * 7),
        (Every(n=3), [True, False, False, True, False, False, True]),
        (Chance(when="chance", q=0), [False] * 7),
        (Chance(when="chance", q=1), [True] * 7),
        (Never(when="never"), [False] * 7),
        (Unsure(when="unsure", quantile=0), [True] * 7),
        (Unsure(when="unsure", threshold=0), [True] * 7),
        (Unsure(when="unsure", threshold=math.log(20) + 0.1), [False] * 7),
    ],
)
def test_a_schedule_asks_on_its_turns(schedule: Schedule, expected: list[bool]) -> None:
    assert asks(schedule, policies(7)) == expected


def test_by_chance_it_asks_about_as_often_as_it_should() -> None:
    assert abs(np.mean(asks(Chance(when="chance", q=0.3), policies(2000))) - 0.3) < 0.03


@pytest.mark.parametrize("by", ["entropy", "gap"])
@pytest.mark.parametrize("quantile", [0.25, 0.5, 0.9])
def test_by_quantile_it_asks_on_the_share_of_turns_left_and_on_those_most_in_doubt(by: Any, quantile: float) -> None:
    some, schedule = policies(2000), Unsure(when="unsure", by=by, quantile=quantile)
    asked = np.array(asks(schedule, some))
    assert abs(asked.mean() - (1 - quantile)) < 0.03
    uncertainty = np.array([schedule.uncertainty(policy) for policy in some])
    late = np.arange(2000) > 1000  # when there is enough to compare with
    bound = np.quantile(uncertainty, quantile)
    assert (asked == (uncertainty >= bound))[late].mean() > 0.95


@pytest.mark.parametrize(
    ("policy", "entropy", "gap"),
    [
        ([1.0], 0, 0),
        ([0.5, 0.5], math.log(2), 1),
        ([0.25, 0.0, 0.75], -0.75 * math.log(0.75) - 0.25 * math.log(0.25), 0.5),
        ([0.125] * 8, math.log(8), 1),
    ],
)
def test_doubt_is_entropy_or_a_narrow_gap_between_the_first_two_moves(
    policy: list[float], entropy: float, gap: float
) -> None:
    some = np.array(policy, np.float32)
    assert Unsure(when="unsure", threshold=0).uncertainty(some) == pytest.approx(entropy)
    assert Unsure(when="unsure", by="gap", threshold=0).uncertainty(some) == pytest.approx(gap)


@pytest.mark.parametrize("settings", [{}, {"threshold": 1, "quantile": 0.5}])
def test_doubt_has_a_threshold_or_a_quantile(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="expected either threshold or quantile"):
        TypeAdapter(Schedule).validate_python({"when": "unsure", **settings})


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("play.ask.n=2",), Every(n=2)),  # as a sweep over n says it
        (("play.ask={n: 3}",), Every(n=3)),
        (("play.ask={when: every, n: 3}", "play.ask.when=never", "finetune.examples=all"), Never(when="never")),
        (("play.ask.q=0.5", "play.ask={when: every, n: 3}", "play.ask.when=chance"), Chance(when="chance", q=0.5)),
    ],
)
def test_a_schedule_is_set_from_the_command_line(overrides: tuple[str, ...], expected: Schedule, root: Path) -> None:
    assert load_spec(root / "experiments" / "specs" / "quick.yaml", overrides).play.ask == expected


def test_a_spec_may_ask_at_other_times_than_the_file_it_extends(tmp_path: Path, root: Path) -> None:
    low = (root / "experiments" / "specs" / "quick.yaml").read_text().replace("{games", "{ask: {n: 4}, games")
    (tmp_path / "low.yaml").write_text(low)
    (tmp_path / "high.yaml").write_text("extends: low.yaml\nplay: {ask: {when: chance, q: 0.5}}")
    assert load_spec(tmp_path / "low.yaml").play.ask == Every(n=4)
    assert load_spec(tmp_path / "high.yaml").play.ask == Chance(when="chance", q=0.5)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("play.ask.m=2",), "play.ask.m: unknown key; known here: "),
        (("play.ask.when=now",), "play.ask.when: expected one of every, chance, unsure, never, got 'now'"),
        (
            ("play.ask.when=never",),
            "play.ask is never, so nothing is queried: finetune.examples must be student or all",
        ),
        (
            ("oversight=vote", "play.queries_per_game=2"),
            "play.queries_per_game: one decision takes up to 3 questions, got 2",
        ),
        (
            ("play.channel=candidates", "play.queries_per_game=3"),
            "play.queries_per_game: one decision takes up to 4 questions, got 3",
        ),
        (("oversight=two_advisors",), "second: two_advisors asks 2 assistants, 1 more than there are"),
    ],
)
def test_what_could_never_be_asked_is_refused_in_one_line(overrides: tuple[str, ...], said: str, root: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(root / "experiments" / "specs" / "quick.yaml", overrides)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("per_game", "per_turn", "asked", "turns", "left"),
    [
        (None, None, 99, 1, math.inf),
        (10, None, 4, 1, 6),
        (None, 1, 0, 3, 3),
        (None, 0.1, 0, 10, 1),  # 0.1 · 10 questions, whatever a computer makes of the product
        (None, 0.3, 2, 10, 1),
        (None, 0.25, 0, 3, 0),
        (5, 2, 4, 3, 1),
        (9, 2, 4, 3, 2),
    ],
)
def test_a_purse_holds_what_is_left(
    per_game: int | None, per_turn: float | None, asked: int, turns: int, left: float
) -> None:
    budget = QueryBudget(3, per_game, per_turn)
    budget.spend(np.array([1]), np.array([asked]), np.array([0]))
    whole = QueryBudget(3, per_game, per_turn).left(np.array([1]), np.array([turns]))
    assert budget.left(np.array([1, 2]), np.array([turns, turns])).tolist() == [left, *whole]


# In games


def turns(rows: pd.DataFrame) -> Any:
    """For each game: the student's turns and the questions asked."""
    return rows[rows.student].groupby("game").agg(turns=("asked", "size"), questions=("questions", "sum"))


@pytest.mark.parametrize("strategy", [Trust(), Vote(), Vote(answers=4), Consistency()])
def test_at_one_pace_strategies_ask_equally_often_however_many_answers_a_decision_takes(strategy: Any) -> None:
    """One question a turn, but for what is saved when the game ends: less than one decision takes."""
    long = SHORT.model_copy(update={"ply_cap": 240, "queries_per_turn": 1})
    found = turns(games(strategy, long, openings=[chess.STARTING_FEN] * 4).rows.to_pandas())
    assert (found.turns > 2 * strategy.questions).all()
    assert (found.turns - found.questions).between(0, strategy.questions - 1).all()


def test_savings_are_spent_as_soon_as_a_decision_can_be_paid() -> None:
    rows = games(Vote(), SHORT.model_copy(update={"queries_per_turn": 1})).rows.to_pandas()
    for _, game in rows[rows.student].groupby("game"):
        assert game.asked.tolist() == [turn % 3 == 2 for turn in range(len(game))]


def test_a_budget_ends_the_questions_of_a_game_before_a_decision_that_it_cannot_pay() -> None:
    rows = games(Vote(), SHORT.model_copy(update={"queries_per_game": 8})).rows.to_pandas()
    assert (turns(rows).questions == 6).all()
    for _, game in rows[rows.student].groupby("game"):
        assert game.asked.tolist() == [turn < 2 for turn in range(len(game))]


def test_candidates_are_paid_one_by_one() -> None:
    play = SHORT.model_copy(update={"queries_per_game": 8, "channel": Channel.CANDIDATES, "candidates": 3})
    assert (turns(games(Trust(), play).rows.to_pandas()).questions == 6).all()


def test_of_the_students_turns_in_a_block_it_asks_on_the_share_most_in_doubt() -> None:
    """Also where the doubt grows in the course of the games, as it does between players whose moves are arbitrary."""
    play = SHORT.model_copy(update={"ply_cap": 50, "ask": Unsure(when="unsure", quantile=0.8)})
    rows = games(Trust(), play, openings=[chess.STARTING_FEN] * 64).rows.to_pandas()
    assert abs(rows[rows.student].asked.mean() - 0.2) < 0.07
