"""What attackers and the defender spend, worked out by hand; and the slope of a race whose slope is known."""

import json
import re
from typing import Any

import numpy as np
import pytest

from engines.network import NetworkConfig
from engines.settings import SpecError
from experiments.figures.race import race_figure, svg
from sandwich.highstakes.attack_runs import AttackRun
from sandwich.highstakes.attacks.policy import Policy
from sandwich.highstakes.attacks.sample import Sample
from sandwich.highstakes.compute import Defender, cost_of_break, passes, passes_spent, race, raced, slope, slopes
from sandwich.highstakes.environment import AdversarialExample, AttackData, JudgeConfig
from sandwich.training.examples import TrainConfig
from tests.helpers.highstakes import random_catastrophes

JUDGE = JudgeConfig(nodes=600, again=10)


def run(number: int, queries: int, oracle: int, *, success: bool) -> AttackRun:
    example = AdversarialExample("", 0, "", 0.01, 0.5, 0.5, queries, oracle, 1.0)
    return AttackRun(number, (example,) if success else (), queries, oracle, 1.0, 0, int(success))


def test_a_run_pays_for_queries_looks_and_what_was_prepared() -> None:
    spent, found = passes_spent([run(0, 30, 5, success=True), run(1, 80, 2, success=False)], JUDGE, 1000)
    # A verdict is two looks of 600 nodes, four passes; the last one of a success is confirmed at ten times the nodes.
    assert spent.tolist() == [1000 + 30 + 4 * 5 + 36, 1000 + 80 + 4 * 2]
    assert found.tolist() == [True, False]
    figure = cost_of_break(spent, found)
    assert figure.value == pytest.approx(spent.sum())
    assert figure.low is not None and figure.high is not None
    assert figure.low < spent.sum() < figure.high
    none = cost_of_break(np.array([300.0, 300.0]), np.zeros(2, np.bool_))
    assert none.reason == "no run found an example: at least 163 passes"  # 600 over χ²'s 7.38/2


def test_what_a_policy_trains_is_counted() -> None:
    data = AttackData(random_catastrophes(50), random_catastrophes(5), "weak")
    fit = TrainConfig(epochs=2)
    assert Policy(imitate=fit, improve=fit).preparation(data) == 50 * (1 + 3 * 4)
    assert Sample().preparation(data) == 0


def test_a_defender_pays_for_learning_and_for_labels() -> None:
    assert Defender(learned=1000, labelled=200, nodes=3000).passes == 3000 + 2000
    assert Defender(learned=1000, labelled=200, nodes=3000, look=0.5).passes == 1500 + 2000


def test_a_smaller_network_costs_less_by_its_operations() -> None:
    convolution = 2 * 64 * 9  # on 64 squares, a multiplication and an addition for each pair of channels
    small, whole = (NetworkConfig(blocks=blocks, channels=64, head=64) for blocks in (3, 6))
    assert passes(whole) == 1
    # Half of the blocks, and the same stem and heads beside them.
    assert 1 - passes(small) == pytest.approx(6 * 64 * 64 * convolution / 61_862_272, rel=0.01)
    spent, _ = passes_spent([run(0, 30, 0, success=False)], JUDGE, 100, look=0.15)
    assert spent.tolist() == [pytest.approx(104.5)]


def raced_by_hand(power: float, seed: int) -> list[dict[str, Any]]:
    """Five rounds in which the attacker's cost grows with this power of the defender's."""
    rng = np.random.default_rng(seed)
    defenders = [Defender(1000 * 2**number, 0, 1) for number in range(5)]
    runs = [
        {"it": [run(n, round(3 * defender.passes**power * rng.uniform(0.8, 1.2)), 0, success=True) for n in range(40)]}
        for defender in defenders
    ]
    return race(defenders, runs, JudgeConfig(nodes=1, again=1), [{}] * 5)


RACE = raced_by_hand(0.7, 0)


@pytest.mark.parametrize("power", [0.5, 1.2])
def test_the_slope_is_that_of_the_race(power: float) -> None:
    experiments = [raced_by_hand(power, seed) for seed in range(3)]
    figure = slopes(experiments)["it"]
    assert figure.value == pytest.approx(power, abs=0.05)
    assert figure.low is not None and figure.high is not None
    assert figure.low - 0.02 < power < figure.high + 0.02
    assert slope(experiments[0][:2], "it").reason == "expected at least 3 rounds with it, got 2"
    assert "expected at least 3 seeds" in slopes(experiments[:2])["it"].reason


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        ((), [], "compute: expected at least one entry"),
        ((), "fast", "compute: "),
        ((0,), 3, "compute.0: "),
        ((1, "attacks"), None, "compute.1.attacks: "),
        ((1, "defender", "passes"), 0, "compute.1.defender.passes: "),
        ((1, "attacks", "it", "spent"), -1, "compute.1.attacks.it.spent: "),
        ((1, "attacks", "it", "cost"), {}, "compute.1.attacks.it.cost.value: missing"),
    ],
)
def test_a_race_that_is_none_is_told(path: tuple[str | int, ...], value: object, wrong: str) -> None:
    result: Any = {"compute": json.loads(json.dumps(RACE))}
    assert raced(result) == result["compute"]
    *before, last = ("compute", *path)
    place = result
    for key in before:
        place = place[key]
    place[last] = value
    with pytest.raises(SpecError, match=re.escape(wrong)):
        raced(result)


def test_rounds_that_cost_the_same_have_no_slope() -> None:
    same = [{**entry, "defender": {"passes": 5.0}} for entry in RACE]
    assert slope(same, "it").reason == "the defender had spent the same in every round"


def test_the_picture_shows_every_attack_and_rounds_without_an_example() -> None:
    rounds = raced_by_hand(0.7, 0)
    rounds[4]["attacks"]["it"] |= {"successful": 0, "cost": {"value": None, "reason": "none"}}
    content = svg(race_figure([rounds, raced_by_hand(0.7, 1)]))
    assert content.startswith(b"<?xml")
    assert b">it<" in content and b"slope 1" in content
    assert svg(race_figure([rounds, raced_by_hand(0.7, 1)])) == content
