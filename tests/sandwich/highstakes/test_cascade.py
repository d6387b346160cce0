"""A second stage behind a filter, the closest look and its floor: thresholds by hand, and looks of Stockfish's."""

from dataclasses import replace
from pathlib import Path

import chess
import numpy as np
import pytest

from engines import moves, planes
from sandwich.highstakes.calibrate import CalibrationConfig, calibrated, calibrated_among, curve
from sandwich.highstakes.cascade import (
    CascadeConfig,
    CascadeContext,
    Doubt,
    EngineStage,
    Parts,
    compare,
    compared,
    doubts,
    seen,
)
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.closest import ClosestConfig, drawn, floor, looked_at
from sandwich.runtime.networks import InferenceConfig
from tests.helpers.highstakes import LEGAL, random_catastrophes, small_network
from tests.helpers.progress import RecordingProgress
from tests.helpers.small_players import INLINE

CONFIG = CalibrationConfig(bootstrap=100, grid=30)


def noisy(data: Catastrophes, spread: float, rng: np.random.Generator) -> list[np.ndarray]:
    """What somebody sees moves give away who errs by so much."""
    return [
        (data.losses(row) + rng.normal(0, spread, len(data.values[row]))).astype(np.float32) for row in range(len(data))
    ]


def risky(data: Catastrophes, spread: float, rng: np.random.Generator) -> list[np.ndarray]:
    """A first stage that errs by so much."""
    return [(1 / (1 + np.exp(-10 * (row - 0.15)))).astype(np.float32) for row in noisy(data, spread, rng)]


def parts(spread: float = 0.05) -> Parts:
    rng, both = np.random.default_rng(0), (random_catastrophes(200, 1), random_catastrophes(300, 2))
    first = [risky(part, 0.2, rng) for part in both]
    second = [noisy(part, spread, rng) for part in both]
    return Parts(*both, (first[0], first[1]), (second[0], second[1]))


def test_what_the_first_stage_is_sure_of_is_not_looked_at() -> None:
    doubt = Doubt(0.2, 0.6)
    risk = [np.array([0.1, 0.2, 0.5, 0.6, 0.9], np.float32)]
    combined = [np.array([0.9, 0.3, 0.05, 0.01, 0.01], np.float32)]
    assert doubt.moves(risk)[0].tolist() == [False, True, True, False, False]
    together = doubt.together(risk, combined)[0]
    assert together[0] < 0  # accepted whatever the second stage would say, and whatever the threshold
    assert together[1:3] == pytest.approx([0.3, 0.05])
    assert 1 < together[3] < together[4]  # refused, in the order of the first stage's risks


def test_no_more_is_handed_on_than_may_be() -> None:
    data, risk = random_catastrophes(200, 1), risky(random_catastrophes(200, 1), 0.2, np.random.default_rng(0))
    weight = np.concatenate(data.proposals["weak"])
    for most in (0.3, 0.6, 1.0):
        tried = list(doubts(data, risk, "weak", most))
        shares = [weight @ np.concatenate(doubt.moves(risk)) / weight.sum() for doubt in tried]
        assert tried and max(shares) <= most + 0.02
    assert shares[0] == 1  # everything is handed on first


def test_a_second_stage_that_sees_more_lets_fewer_catastrophes_through() -> None:
    there = parts()
    made = compared(there, CascadeConfig(stage=EngineStage(kind="engine"), refused=0.5), CONFIG, "weak", 2.0, 0)
    curves = [
        curve(part, risk, "weak", np.linspace(0.01, 1, 60), 16)
        for part, risk in zip((there.calibration, there.test), there.risk, strict=True)
    ]
    half = CONFIG.model_copy(update={"refused": 0.5})
    alone = calibrated(curves[0], curves[1], half, np.random.default_rng(0))
    residual = made["figures"]["residual"]
    assert alone.figures["residual"].value is not None
    assert residual["value"] < alone.figures["residual"].value / 2
    assert residual["low"] <= residual["value"] <= residual["high"]
    assert made["figures"]["rejected"]["value"] < 0.55
    assert [point["bound"] for point in made["curve"]] == [0.7, 0.6, 0.5, 0.4, 0.3]
    assert 0 < made["any"] <= 1 <= made["moves"] < 16
    few = compared(
        there, CascadeConfig(stage=EngineStage(kind="engine"), refused=0.5, looked=0.3), CONFIG, "weak", 2.0, 0
    )
    assert few["handed_on"] < 0.35
    assert few["moves"] < made["moves"]


@pytest.mark.parametrize("bound", [0.3, 0.2])
def test_a_first_stage_that_refuses_too_much_by_itself_is_no_choice(bound: float) -> None:
    there, config = parts(), CascadeConfig(stage=EngineStage(kind="engine"), refused=bound)
    made = compared(there, config, CONFIG, "weak", 2.0, 0)
    point = next(point for point in made["curve"] if point["bound"] == bound)
    assert point["rejected"]["value"] < bound + 0.03  # on other games than it was chosen on
    assert made["thresholds"]["combined"] < 1


def test_of_several_curves_the_one_of_least_residual_rate_is_chosen_on_the_calibration_games() -> None:
    there = parts()
    at = np.linspace(0.01, 1, 40)
    better = [[1 / (1 + np.exp(-10 * (row - 0.15))).astype(np.float32) for row in side] for side in there.drop]
    first = [
        [curve(part, risk, "weak", at, 16) for risk in both]
        for part, *both in (
            (there.calibration, there.risk[0], better[0]),
            (there.test, there.risk[1], better[1]),
        )
    ]
    number, measured = calibrated_among(first[0], first[1], CONFIG, np.random.default_rng(0))
    assert number == 1
    single = calibrated(first[0][1], first[1][1], CONFIG, np.random.default_rng(0))
    assert measured.figures["residual"] == single.figures["residual"]  # always the better one, in every draw too
    reverse, same = calibrated_among(first[0][::-1], first[1][::-1], CONFIG, np.random.default_rng(0))
    assert (reverse, same.figures) == (0, measured.figures)


def test_the_fewest_errors_are_another_threshold_than_the_most_conservative_one() -> None:
    there = parts()
    both = [
        curve(part, risk, "weak", np.linspace(0.01, 1, 60), 16)
        for part, risk in zip((there.calibration, there.test), there.risk, strict=True)
    ]
    careful = calibrated(both[0], both[1], CONFIG, np.random.default_rng(0))
    balanced = calibrated(both[0], both[1], CONFIG.model_copy(update={"merit": "balanced"}), np.random.default_rng(0))
    values = [{key: figure.value or 0.0 for key, figure in one.figures.items()} for one in (careful, balanced)]
    assert values[1]["errors"] < values[0]["errors"]
    assert values[1]["rejected"] < values[0]["rejected"]
    assert values[1]["residual"] > values[0]["residual"]
    # An error is a catastrophe accepted or a good move refused.
    for value in values:
        accepted_bad = value["fnr"] * value["base"]
        assert value["errors"] == pytest.approx(accepted_bad + value["rejected"] - (value["base"] - accepted_bad))


def test_the_floor_is_how_often_a_closer_look_says_otherwise() -> None:
    data = replace(
        random_catastrophes(60, games=60), legal=[LEGAL[:3]] * 60,
        proposals={"weak": [np.array([0.5, 0.3, 0.2], np.float32)] * 60},
        openings=np.arange(60),
    )  # fmt: skip
    first = replace(data, values=[np.array([0.6, 0.44, 0.1], np.float32)] * 60)  # gives away 0, 0.16, 0.5
    closer = replace(data, values=[np.array([0.6, 0.5, 0.1], np.float32)] * 30 + [first.values[0]] * 30)
    made = floor(first, closer, "weak")
    assert made["changed"]["value"] == pytest.approx(0.15)  # half of the positions, in which 0.3 is proposed
    assert (made["cleared"]["value"], made["found"]["value"]) == (pytest.approx(0.15), 0)
    by = {row["from"]: row for row in made["by_distance"]}
    assert (by[0.0]["moves"], by[0.0]["changed"]["value"]) == (60, 0.5)
    assert (by[0.1]["moves"], by[0.1]["changed"]["value"]) == (120, 0)
    assert by[0.02]["changed"]["value"] is None


def test_a_cascade_with_an_engine_looks_once_and_goes_on(tmp_path: Path) -> None:
    """Real looks; what is there is only read, and a stage sees a hanging queen."""
    both = random_catastrophes(6, 1), random_catastrophes(8, 2)
    progress = RecordingProgress()
    looked = looked_at(INLINE, both[1], 300, tmp_path / "closest", progress)
    assert [len(row) for row in looked.values] == [len(row) for row in both[1].legal]
    assert progress.totals == {"positions looked at": 8}
    assert len(drawn(looked, ClosestConfig(positions=20), 0)) == 8
    config = {"engine": CascadeConfig(stage=EngineStage(kind="engine", nodes=60))}
    context = CascadeContext(
        INLINE, {}, InferenceConfig(), CONFIG, "weak", 2.0, 0, tmp_path / "cascades", small_network(0)
    )
    rows = drawn(looked, ClosestConfig(positions=20), 0)[:5]
    made = compare(context, config, both[0], looked, (rows, looked.take(rows)))
    assert made["behind"]["engine"]["further"]["base"]["n"] == 5
    assert [point["bound"] for point in made["alone"]["further"]] == [0.7, 0.6, 0.5, 0.4, 0.3]
    assert made["behind"]["engine"]["nodes"] > 0
    assert made["behind"]["engine"]["milliseconds"] > made["alone"]["milliseconds"]
    (file,) = sorted((tmp_path / "cascades" / "engine-60").glob("drops-*"))
    before = file.stat().st_mtime_ns
    again = compare(context, config, both[0], looked)
    assert file.stat().st_mtime_ns == before
    assert again["behind"]["engine"]["figures"] == made["behind"]["engine"]["figures"]
    assert compare(context, {}, both[0], looked) == {}


def test_an_engine_stage_sees_what_a_move_gives_away(tmp_path: Path) -> None:
    board = chess.Board("3r2k1/5ppp/8/8/8/8/3Q1PPP/3R2K1 w - - 0 1")  # the rook is there for the taking, and guarded
    legal = sorted(moves.encode_all(board.legal_moves, True))
    data = Catastrophes(
        np.array([planes.pack(board)], np.uint64), [legal], [np.zeros(len(legal), np.float32)],
        {"weak": [np.full(len(legal), 1 / len(legal), np.float32)]}, {"weak": np.zeros(1, np.int64)},
        np.zeros(1, np.int64), np.zeros(1, np.int64), 0.15,
    )  # fmt: skip
    drop = seen(INLINE, EngineStage(kind="engine", nodes=2000), {}, [data], InferenceConfig(), tmp_path)[0]

    def given_away(move: str) -> float:
        return float(drop[legal.index(moves.encode(chess.Move.from_uci(move), True))])

    assert given_away("d2d8") < 0.1  # mates
    assert given_away("d2a5") > 0.5  # hangs a rook, with mate
