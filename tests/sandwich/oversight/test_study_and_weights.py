"""What strategies make of finished games and of earlier steps: weights, reputations, the curve of true answers."""

from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest

from agents.misalignment.random_move import RandomMove
from sandwich.oversight.ground_truth import GroundTruthQueries
from sandwich.oversight.outcome import Outcome
from sandwich.oversight.reputation import Reputation, kind_of
from sandwich.protocol import ledger
from tests.helpers.decisions import START, Case, Lines, games, number

# Outcome


def finished(**columns: Any) -> dict[str, Any]:
    """A game of four plies: White, the student, is asked twice, and Black wins."""
    plain = {
        "asked": [True, False, True, False], "weight": [1.0, None, 0.5, None],
        "own_value": [0.5, 0.4, 0.25, 0.9], "result": [0.0, 1.0, 0.0, 1.0],
    }  # fmt: skip
    return plain | columns


@pytest.mark.parametrize(
    ("share", "gains"),
    [
        (0.0, [0.25 - 0.5, 0.0 - 0.25]),  # until its next turn, behind the last of which is the result
        (1.0, [0.0 - 0.5, 0.0 - 0.25]),
        (0.5, [(-0.5 - 0.25) / 2, -0.25]),
    ],
)
def test_an_answer_weighs_by_what_came_of_it(share: float, gains: list[float]) -> None:
    weights = Outcome(result=share, steepness=4).weigh(finished())
    assert [weights[ply] for ply in (0, 2)] == pytest.approx([2 / (1 + np.exp(-4 * gain)) for gain in gains])
    assert [weights[ply] for ply in (1, 3)] == [None, None]


def test_nothing_gained_weighs_1_and_nothing_weighs_over_2() -> None:
    even = finished(own_value=[0.0, 0.5, 0.0, 0.5])
    assert Outcome().weigh(even)[0] == 1
    won = finished(own_value=[0.0, 1.0, 1.0, 0.0], result=[1.0, 0.0, 1.0, 0.0])
    assert 1.99 < float(Outcome(steepness=50).weigh(won)[0] or 0) <= 2


def test_in_games_the_weights_are_those_of_the_answers_alone() -> None:
    rows = games(Outcome(), lies=RandomMove(p=0.5)).rows.to_pandas()
    assert rows[~rows.asked].weight.isna().all()
    asked = rows[rows.asked]
    assert asked.weight.between(0, 2).all()
    assert asked.weight.nunique() > 10
    assert asked.believed.all()


# Reputation

PLAIN = ("opening", "quiet")


@pytest.mark.parametrize(
    ("fen", "move", "own", "kind"),
    [
        (chess.STARTING_FEN, "e2e4", False, ("opening", "quiet")),
        (chess.STARTING_FEN, "e2e4", True, ("opening", "own")),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6", False, ("endgame", "capture")),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6", True, ("endgame", "own")),
        ("r3k2r/8/8/8/8/8/RRR5/RR2K3 w - - 0 1", "a2a8", False, ("middlegame", "capture")),
        ("r3k2r/8/8/8/8/8/RRR5/RR2K3 w - - 0 1", "a2a3", False, ("middlegame", "quiet")),
    ],
)
def test_kinds_are_told_by_phase_and_by_the_move(fen: str, move: str, own: bool, kind: tuple[str, str]) -> None:
    assert kind_of(chess.Board(fen), chess.Move.from_uci(move), own) == kind


def plies(*some: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns of plies in each of which the student, White, is advised d4 and believes it; Black's are in between."""
    rows: list[dict[str, Any]] = []
    for ply, row in enumerate(some):
        plain = {
            "fen": chess.STARTING_FEN, "ply": ply, "student": ply % 2 == 0, "own_move": "e2e4", "own_value": 0.5,
            "advised": "d2d4" if ply % 2 == 0 else None, "believed": True if ply % 2 == 0 else None,
        }  # fmt: skip
        rows.append(plain | row)
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize(
    ("some", "expected"),
    [
        (({}, {}), {}),  # no turn of the student came after it
        (({}, {}, {"own_value": 0.49}), {PLAIN: (1, 0)}),
        (({}, {}, {"own_value": 0.45}), {PLAIN: (0, 1)}),
        (({}, {}, {"own_value": 0.9}, {}, {"own_value": 0.5}), {PLAIN: (1, 1)}),
        (({"believed": False}, {}, {"own_value": 0.1}), {}),
        (({"advised": None}, {}, {"own_value": 0.1}), {}),  # a value
        (({"own_move": "d2d4"}, {}, {"own_value": 0.1}), {("opening", "own"): (0, 1)}),
        (({"ply": 6}, {"ply": 7}, {"ply": 0, "own_value": 0.1}), {}),  # another game
    ],
)
def test_reputation_counts_how_often_the_value_did_not_fall(some: Any, expected: dict[Any, Any]) -> None:
    assert Reputation().counts(plies(*some)) == expected


def test_steps_are_studied_and_counted_with_the_game_so_far() -> None:
    past = pa.table(plies({}, {}, {"own_value": 0.9}, {}, {"own_value": 0.1}))
    assert Reputation().study(past) == {PLAIN: (1, 1)}
    before = plies({}, {}, {"own_value": 0.1})
    case = Case(weak=E4, says=[D4], study={PLAIN: (5, 1)}, game=before)
    assert case.resolved(Reputation()).decision.confidence == pytest.approx((1 + 5) / (2 + 6 + 1))


E4 = Lines(START, best={"": "e2e4"})
D4 = Lines(START, best={"": "d2d4"})


@pytest.mark.parametrize(
    ("counts", "caution", "chance"),
    [((0, 0), 1, 0.5), ((0, 0), 3, 0.125), ((998, 0), 1, 0.999), ((0, 998), 1, 0.001), ((7, 1), 2, 0.64)],
)
def test_believing_is_as_likely_as_it_paid(counts: tuple[int, int], caution: float, chance: float) -> None:
    strategy = Reputation(caution=caution)
    cases = [Case(weak=E4, says=[D4], study={PLAIN: counts}, seed=seed) for seed in range(300)]
    decided = [case.resolved(strategy).decision for case in cases]
    assert abs(np.mean([one.believed for one in decided]) - chance) < 0.09
    assert {one.move for one in decided if one.believed} <= {number(START, "d2d4")}
    assert {one.move for one in decided if not one.believed} <= {number(START, "e2e4")}


# Ground truth


def student(gain: float) -> Lines:
    """A student who would play e4, and by whose search d4 gains so much."""
    replies = [
        move.uci() for move in chess.Board("rnbqkbnr/pppppppp/8/8/3P4/8/PPP1PPPP/RNBQKBNR b KQkq - 0 1").legal_moves
    ]
    return Lines(START, {f"d2d4 {reply}": 0.5 + gain for reply in replies}, {"": "e2e4"})


@pytest.mark.parametrize(
    ("gain", "true_answers", "expected"),
    # with `scale` 0.05 the probability is 1 / (1 + exp(−gain / 0.05)); within 0.15 of one half is up to a gain of 0.031
    [
        (0.02, 2, ("c2c4", False, 1)),
        (-0.02, 2, ("c2c4", False, 1)),
        (0.04, 2, ("d2d4", True, 0)),
        (-0.04, 2, ("e2e4", False, 0)),
        (0.02, 0, ("d2d4", True, 0)),
        (-0.02, 0, ("e2e4", False, 0)),
    ],
)
def test_the_expert_is_asked_where_doubt_is_highest(gain: float, true_answers: int, expected: tuple[Any, ...]) -> None:
    truth = Lines(START, best={"": "c2c4"})
    case = Case(weak=student(gain), says=[D4], expert=truth, ground_truth_left=true_answers)
    resolved = case.resolved(GroundTruthQueries())
    assert (*case.decided(GroundTruthQueries())[:2], len(resolved.ground_truth)) == expected
    assert resolved.decision.confidence == pytest.approx(gain, abs=1e-6)
    assert resolved.questions == 1


def test_an_answer_that_the_audit_bears_out_is_believed() -> None:
    case = Case(weak=student(0.02), says=[D4], expert=D4, ground_truth_left=1)
    assert case.decided(GroundTruthQueries())[:2] == ("d2d4", True)


def checked(scores: Any, same: Any) -> pa.Table:
    """Earlier steps: answers with these scores, and whether the expert said the same; and as many not checked."""
    rows = [
        {"confidence": float(score), "ground_truth": "d2d4" if true else "c2c4", "advised": "d2d4"}
        for score, true in zip(scores, same, strict=True)
    ]
    return pa.Table.from_pylist([*rows, *[{"confidence": 0.3, "ground_truth": None, "advised": "d2d4"}] * len(rows)])


def test_the_curve_is_fitted_to_the_audits_of_earlier_steps() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 0.2, 4000)
    same = rng.random(4000) < 1 / (1 + np.exp(-(9 * scores + 0.7)))
    fitted = GroundTruthQueries().study(checked(scores, same))
    assert fitted == pytest.approx((9, 0.7), rel=0.15)


def test_few_audits_make_no_curve_and_scores_that_mislead_are_not_turned_round() -> None:
    assert GroundTruthQueries().study(checked([0.1] * 19, [True] * 19)) is None
    scores = np.linspace(-0.5, 0.5, 200)
    slope, _ = GroundTruthQueries().study(checked(scores, scores < 0)) or (None, None)
    assert slope == 0


def test_the_curve_decides_from_then_on() -> None:
    for height, expected in ((9.0, ("d2d4", True)), (-9.0, ("e2e4", False))):
        case = Case(weak=student(0.0), says=[D4], study=(20.0, height), ground_truth_left=2, expert=D4)
        assert case.decided(GroundTruthQueries())[:2] == expected
        assert not case.resolved(GroundTruthQueries()).ground_truth


def test_games_leave_what_the_next_step_studies() -> None:
    lies = RandomMove(p=0.5)
    past = games(GroundTruthQueries(per_game=8, doubt=0.5), lies=lies).rows.select(list(ledger.VISIBLE))
    curve = GroundTruthQueries().study(past)
    assert curve is not None
    counts = Reputation().study(games(Reputation(caution=0.1), lies=lies).rows.select(list(ledger.VISIBLE)))
    assert sum(sum(pair) for pair in counts.values()) > 20
