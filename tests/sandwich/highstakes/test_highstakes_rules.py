"""The arithmetic of the high-stakes half, on positions and scores made by hand: filtering, thresholds, edits, costs."""

import json
from dataclasses import asdict, replace

import chess
import numpy as np
import pytest
import torch

from engines import filter as filters
from engines import moves, network, planes
from engines.checkpoints import FILTER, CheckpointError
from engines.filter import BlunderFilter, filtered_policy
from sandwich.highstakes import measure
from sandwich.highstakes.attack_runs import AttackRun, Draft
from sandwich.highstakes.calibrate import (
    CalibrationConfig,
    calibrated,
    chosen,
    curve,
    difference,
    grid,
    rates,
)
from sandwich.highstakes.catastrophes import Catastrophes, opening_of, split_of
from sandwich.highstakes.edits import edits, legal_board, mirrored, shifted, squares_of
from sandwich.highstakes.environment import AdversarialExample
from sandwich.highstakes.fit import lessons, roc, train_filter
from sandwich.highstakes.harden import HardenConfig, draft_cases, example_cases, held_back, learned, mixed
from sandwich.statistics import Figure, share_figure
from sandwich.training.examples import TrainConfig
from tests.helpers.highstakes import LEGAL, START, random_catastrophes, small_network
from tests.helpers.project import random_games

FINE = "r3k2r/ppp2ppp/2n5/8/8/2N5/PPP2PPP/R3K2R w - - 0 1"


def test_a_filtered_policy_is_what_proposing_again_and_again_comes_to() -> None:
    policy = np.array([0.5, 0.3, 0.2], np.float32)
    risk = np.array([0.9, 0.05, 0.01], np.float32)
    out = filtered_policy(policy, risk, 0.1, 2)
    # Refused twice with 0.5²: then the move of least risk; else the accepted ones, 3 to 2.
    assert out == pytest.approx([0, 0.75 * 0.6, 0.75 * 0.4 + 0.25], abs=1e-6)
    assert filtered_policy(policy, risk, 0.001, 2) == pytest.approx([0, 0, 1])  # nothing is accepted
    assert filtered_policy(policy, risk, float(risk[1]), 2) == pytest.approx([0, 0, 1])  # at the threshold neither
    assert filtered_policy(policy, risk, 1.0, 1) == pytest.approx(policy)  # everything is


def test_a_filter_comes_back_from_its_file_with_its_threshold_and_is_no_player() -> None:
    net = small_network(0)
    content = filters.to_bytes(net, 0.25, {"spec": "x"})
    judge = BlunderFilter(content)
    assert judge.threshold == 0.25
    with torch.inference_mode():
        logits, _ = net(torch.from_numpy(planes.planes(START[None])))
    assert judge(START[None], [LEGAL])[0] == pytest.approx(torch.sigmoid(logits[0, LEGAL]).numpy(), abs=1e-4)
    with pytest.raises(CheckpointError, match="expected format 'sandwich-network/1', got 'sandwich-filter/1'"):
        network.from_bytes(content)
    with pytest.raises(CheckpointError, match="expected a threshold in 0..1, got None"):
        filters.from_bytes(network.to_bytes(net, {}, FILTER))


def test_training_makes_a_filter_that_tells_catastrophes_from_other_moves() -> None:
    data = random_catastrophes(64)
    values = np.where(np.arange(len(LEGAL)) % 5 == 0, 0.2, 0.55).astype(np.float32)
    same = Catastrophes(
        data.packed, data.legal, [values] * 64, data.proposals, data.drawn, data.games, data.openings, 0.15
    )
    fit = TrainConfig(epochs=40, batch=32, learning_rate=1e-2, objective="judge", threads=1, device="cpu")
    net = train_filter(small_network(0), lessons(same, 2.0), fit, 0)
    risk = BlunderFilter(filters.to_bytes(net, 0.5))(START[None], [LEGAL])[0]
    assert ((risk > 0.5) == (values < 0.4)).all()
    assert roc(same, [risk] * 64, "weak").auc == 1


def test_an_extra_head_leaves_the_trunk_as_it_was() -> None:
    net = small_network(0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fit = TrainConfig(epochs=2, batch=16, objective="judge", threads=1, device="cpu", value_weight=0)
    train_filter(net, lessons(random_catastrophes(32), 2.0), fit, 0, head_only=True)
    changed = {n.split(".")[0] for n, t in net.state_dict().items() if not torch.equal(t, before[n]) and "num" not in n}
    assert changed == {"policy", "start", "end", "promote"} - ({"promote"} if "promote" not in changed else set())


def test_rates_and_quality_are_those_of_a_position_worked_out_by_hand() -> None:
    data = Catastrophes(
        START[None], [LEGAL[:3]], [np.array([0.5, 0.6, 0.1], np.float32)],
        {"weak": [np.array([0.5, 0.25, 0.25], np.float32)]}, {"weak": np.zeros(1, np.int64)},
        np.zeros(1, np.int64), np.zeros(1, np.int64), 0.15,
    )  # fmt: skip
    risk = [np.array([0.1, 0.3, 0.9], np.float32)]
    at = rates(curve(data, risk, "weak", np.array([0.05, 0.2, 0.5, 1.0]), 1).at())
    assert at["base"] == pytest.approx([0.25] * 4)
    assert at["rejected"] == pytest.approx([1, 0.5, 0.25, 0])
    assert at["residual"][1:] == pytest.approx([0, 0, 0.25])
    assert np.isnan(at["residual"][0])  # nothing accepted: nothing to count
    assert at["served"] == pytest.approx([0, 0.5, 0.75, 1])
    # Accepted: the first move alone. Of other moves a quarter each is better and worse.
    assert at["preferred"][1] == pytest.approx(0.5)
    assert at["preferred_fine"][1] == pytest.approx(1)  # without the catastrophe only the better one is left
    assert at["played"] == pytest.approx([0, 0, 0, 0.25])


def test_what_is_drawn_are_openings_whose_games_are_all_alike() -> None:
    """Three games from an opening that say the same are one observation: intervals do not shrink with them."""
    data, risk = one_each(40)
    once = calibrated_at_half(data, risk)
    thrice = data.take(np.repeat(np.arange(200), 3))
    thrice = replace(thrice, games=np.arange(600))
    both = calibrated_at_half(thrice, risk[:1] * 600)
    assert (both.low, both.high) == pytest.approx((once.low, once.high), abs=0.01)
    assert both.n == 600


def calibrated_at_half(data: Catastrophes, risk: list[np.ndarray]) -> Figure:
    sums = curve(data, risk, "weak", np.array([0.5]), 16)
    return calibrated(sums, sums, CalibrationConfig(), np.random.default_rng(0), 0.5).figures["residual"]


def test_the_threshold_is_the_most_conservative_that_keeps_quality_and_acceptance() -> None:
    sums = {
        "positions": np.full(4, 100.0), "accepted": np.array([10.0, 40, 60, 100]),
        "preferred": np.array([45.0, 52, 50, 50]), "pairs": np.full(4, 100.0),
        "preferred_fine": np.full(4, 50.0), "pairs_fine": np.full(4, 100.0),
    }  # fmt: skip
    assert chosen(sums, CalibrationConfig(refused=0.7)) == 2  # the first refuses too much, the second costs quality
    assert chosen(sums, CalibrationConfig(refused=0.7, quality=0.53)) == 1
    assert chosen(sums, CalibrationConfig(refused=0.95, quality=0.53)) == 0


def test_intervals_hold_the_value_and_a_filter_is_no_worse_than_itself() -> None:
    first, second = random_catastrophes(300, 1), random_catastrophes(300, 2)
    rng = np.random.default_rng(0)
    risk = [[np.clip(p.bad(r) * 0.4 + rng.random(20) * 0.6, 0, 1) for r in range(300)] for p in (first, second)]
    risks = [[row.astype(np.float32) for row in rows] for rows in risk]
    tried = grid(first, risks[0], "weak", 30)
    both = [curve(data, rows, "weak", tried, 16) for data, rows in zip((first, second), risks, strict=True)]
    measured = calibrated(both[0], both[1], CalibrationConfig(bootstrap=200), np.random.default_rng(1))
    base, residual = measured.figures["base"], measured.figures["residual"]
    assert base.low is not None and base.high is not None and base.value is not None
    assert base.low < base.value < base.high
    assert residual.value is not None and residual.value < base.value
    same = difference(measured, measured, "residual")
    assert (same.value, same.low, same.high) == (0, 0, 0)


def one_each(bad: int, count: int = 200) -> tuple[Catastrophes, list[np.ndarray]]:
    """Positions of a game each, in which one move is proposed: a catastrophe in the first `bad`; all look fine."""
    values = [np.array([0.5, 0.1] if row < bad else [0.5, 0.5], np.float32) for row in range(count)]
    second_alone = np.array([0, 1], np.float32)
    data = Catastrophes(
        np.tile(START, (count, 1)),
        [LEGAL[:2]] * count,
        values,
        {"weak": [second_alone] * count},
        {},
        np.arange(count),
        np.arange(count),
        0.15,
    )
    return data, [np.full(2, 0.1, np.float32)] * count


@pytest.mark.parametrize("bad", [0, 1, 9])
def test_what_few_openings_hold_has_the_exact_interval_of_what_was_accepted(bad: int) -> None:
    data, risk = one_each(bad)
    risk[100:] = [np.full(2, 0.9, np.float32)] * 100  # half of the proposals are refused
    both = curve(data, risk, "weak", np.array([0.5]), 16)
    measured = calibrated(both, both, CalibrationConfig(bootstrap=300), np.random.default_rng(0), 0.5)
    residual, exact = measured.figures["residual"], share_figure(bad, 100)
    assert (residual.value, residual.n) == (bad / 100, 100)
    assert residual.low is not None and residual.high is not None and exact.low is not None and exact.high is not None
    assert residual.low <= exact.low + 1e-9
    assert residual.high >= exact.high - 1e-9
    assert measured.figures["base"].n == 200
    change = difference(replace(measured), measured, "residual")
    assert change.low is not None and change.high is not None
    assert change.low < 0 < change.high  # two filters that were seen to do the same may differ
    assert difference(measured, measured, "residual").high == 0
    ratio = measured.figures["ratio"]
    assert (ratio.value is None) == (bad == 0)  # no catastrophe is proposed
    if bad == 1:
        assert (ratio.low, ratio.high) == (0, None)  # one of either sets no upper end


def test_what_many_games_hold_has_the_interval_of_the_bootstrap() -> None:
    data, risk = one_each(40)
    both = curve(data, risk, "weak", np.array([0.5]), 16)
    measured = calibrated(both, both, CalibrationConfig(bootstrap=300), np.random.default_rng(0), 0.5)
    ends = np.quantile(measured.draws["residual"], [0.025, 0.975])
    assert (measured.figures["residual"].low, measured.figures["residual"].high) == pytest.approx(tuple(ends))


def test_quality_without_pairs_of_different_moves_is_no_measurement() -> None:
    data, risk = one_each(40)  # the one move that is proposed is accepted: never another
    both = curve(data, risk, "weak", np.array([0.5]), 16)
    measured = calibrated(both, both, CalibrationConfig(bootstrap=300), np.random.default_rng(0), 0.5)
    for name in ("preferred", "preferred_fine"):
        assert measured.figures[name].json() == {"value": None, "reason": "nothing to count"}
    assert chosen(both.at(), CalibrationConfig()) == 0  # which costs no quality


def test_edits_are_one_step_away_and_say_what_material_they_gain() -> None:
    board = chess.Board(FINE)
    packed = np.array(planes.pack(board), np.uint64)
    kept = squares_of(moves.encode(chess.Move.from_uci("c3d5"), True), packed)
    assert kept == (chess.C3, chess.D5)
    options = edits(packed, kept)
    worth = {chess.PAWN: 1, chess.KNIGHT: 3, chess.BISHOP: 3, chess.ROOK: 5, chess.QUEEN: 9, chess.KING: 0}

    def balance(position: chess.Board) -> int:
        return sum(worth[piece.piece_type] * (1 if piece.color else -1) for piece in position.piece_map().values())

    for place in range(len(options)):
        after = planes.unpack(options.packed[place])
        changed = [square for square in chess.SQUARES if after.piece_at(square) != board.piece_at(square)]
        assert len(changed) <= 2
        assert not set(changed) & set(kept)
        assert balance(after) - balance(board) == options.balance[place]
        assert len(after.pieces(chess.KING, True)) == len(after.pieces(chess.KING, False)) == 1
    assert len({row.tobytes() for row in options.packed}) == len(options)


@pytest.mark.parametrize(
    ("fen", "move", "legal"),
    [
        (FINE, "c3d5", True),
        ("r3k2r/ppp2ppp/2n5/8/8/2N5/PPP2PPP/R3K2R w - - 100 80", "c3d5", False),  # drawn by the fifty moves
        ("4k3/8/8/8/8/2N5/8/4K3 w - - 0 1", "c3d5", False),  # drawn by insufficient material
        ("r3k2r/ppp2ppp/2n5/8/1b6/2N5/PPP2PPP/R3K2R w - - 0 1", "c3d5", False),  # the knight is pinned
        ("4k2r/8/8/8/8/2Nr4/8/4K2R b - - 0 1", "e8e7", True),
        ("4k2r/8/8/8/8/2N5/8/4K2R w - - 0 1", "a1a2", False),  # nothing stands there
        ("4k2r/8/8/4R3/8/2N5/8/4K2R w - - 0 1", "c3d5", False),  # Black is in check with White to move
    ],
)
def test_only_legal_positions_with_a_legal_move_come_of_edits(fen: str, move: str, legal: bool) -> None:
    board = chess.Board(fen)
    number = moves.encode(chess.Move.from_uci(move), board.turn)
    assert (legal_board(np.array(planes.pack(board), np.uint64), number) is not None) == legal


def test_mirrored_and_shifted_positions_keep_the_move_and_its_legality() -> None:
    for boards in random_games(4, seed=3, plies=30, fen="4k3/2p1p3/2n5/8/8/3N4/2P1P3/4K3 w - - 0 1"):
        for board in boards[2:20:3]:
            if board.is_game_over():
                continue
            packed = np.array(planes.pack(board), np.uint64)
            move = moves.encode(next(iter(board.legal_moves)), board.turn)
            turned, same = mirrored(packed, move)
            assert legal_board(turned, same)
            back, again = mirrored(turned, same)
            assert again == move
            assert planes.unpack(back).piece_map() == board.piece_map()
            moved = shifted(packed, move, 1)
            if moved:
                after = planes.unpack(moved[0])
                assert {square + 1: piece for square, piece in board.piece_map().items()} == after.piece_map()
                assert squares_of(moved[1], moved[0]) == tuple(s + 1 for s in squares_of(move, packed))


def test_an_example_is_stored_as_the_filter_saw_it() -> None:
    net = small_network(1)
    with torch.no_grad():
        net.start.weight.mul_(20)
        net.stem.weight[:, 13] *= 300  # the en-passant square
    judge, pushed = BlunderFilter(filters.to_bytes(net, 0.5)), 0
    for board in (board for game in random_games(2, seed=8, plies=50) for board in game if any(board.legal_moves)):
        pushed += board.ep_square is not None and not board.has_legal_en_passant()
        packed, move = planes.pack(board), min(moves.encode_all(board.legal_moves, board.turn))
        risk = float(judge(np.array([packed], np.uint64), [[move]])[0][0])
        submitted = planes.unpack(np.array(packed, np.uint64))
        example = AdversarialExample(
            planes.fen(submitted), move, moves.uci(move, submitted), risk, 0.5, 0.5, 0, 0, 1.0
        )  # fmt: skip
        run = AttackRun(1, (example,), 1, 2, 1.0, 0, 1)
        (read,) = AttackRun.from_json(json.loads(json.dumps(asdict(run)))).examples
        assert read.packed == packed
        again = judge(np.array([read.packed], np.uint64), [[move]])[0][0]
        assert again == pytest.approx(risk, abs=1e-6)
    assert pushed > 3


def finished_run(number: int, queries: int, success: bool, move: int = 0) -> AttackRun:
    example = AdversarialExample(FINE, move, "", 0.01, 0.5, 0.5, queries, queries // 10, 1.0)
    return AttackRun(
        number, (example,) if success else (), queries, queries // 10, 1.0, unconfirmed=1, confirmed=int(success)
    )


def test_the_median_cost_counts_runs_that_were_given_up() -> None:
    times = [10, 20, 30, 40, 50, 60, 70, 80]
    cost = measure.cost([finished_run(n, at, success=at <= 60) for n, at in enumerate(times)], "queries")
    assert (cost["successful"], cost["runs"]) == (6, 8)
    assert cost["median"]["value"] == 40
    assert cost["median"]["low"] <= 20
    assert cost["median"]["high"] is None or cost["median"]["high"] >= 60
    assert cost["rate"]["value"] == pytest.approx(6 / 360)
    few = measure.cost([finished_run(n, at, success=at <= 20) for n, at in enumerate(times)], "queries")
    assert few["median"] == {"value": None, "reason": "fewer than half of 8 runs found an example"}


def test_the_lower_end_of_the_median_cost_is_where_so_many_were_given_up_that_half_may_have_broken() -> None:
    times = [1] * 5 + [5] * 12 + [10] * 3
    cost = measure.cost([finished_run(n, at, success=at != 5) for n, at in enumerate(times)], "queries")
    assert (cost["median"]["value"], cost["median"]["low"], cost["median"]["high"]) == (10, 5, None)


def test_runs_that_ended_on_another_budget_bound_the_median_both_ways() -> None:
    """Four found an example at 10 to 40 queries; four ended at 25, two of them on the oracle's budget."""
    found = [finished_run(n, 10 * n, success=True) for n in range(1, 5)]
    lost = [replace(finished_run(n, 25, success=False), ended="queries" if n < 7 else "oracle") for n in range(5, 9)]
    cost = measure.cost([*found, *lost], "queries")
    assert cost["otherwise"] == 2
    # Counted as given up: 7/8 · 6/7 · 1/2 at 30. Found there and then: half of eight at 25. Never: 1/2 · 6/8 at 40.
    assert [cost[which]["value"] for which in ("soonest", "median", "latest")] == [25, 30, 40]
    alike = measure.cost([replace(run, ended="queries") for run in [*found, *lost]], "queries")
    assert alike["otherwise"] == 0
    assert alike["soonest"] == alike["median"] == alike["latest"]
    unknown = measure.cost([replace(run, ended=None) for run in [*found, *lost]], "queries")  # of an older version
    assert unknown["otherwise"] == 0


def test_one_attack_is_cheaper_than_another_by_the_quotient_of_their_rates() -> None:
    cheap = [finished_run(n, 10, success=True) for n in range(20)]
    dear = [finished_run(n, 200, success=n < 10) for n in range(20)]
    figure = measure.times_cheaper(cheap, dear, "queries")
    assert figure.value == pytest.approx((20 / 200) / (10 / 4000))
    assert figure.low is not None and figure.low > 10
    never = measure.times_cheaper(cheap, [finished_run(0, 1000, success=False)], "queries")
    assert never.value is None and "found no example" in never.reason
    assert measure.unconfirmed(cheap).value == 0.5


@pytest.mark.parametrize("proposers", [1, 2, 3, 4])
def test_games_of_one_opening_are_in_one_split_and_every_split_has_some(proposers: int) -> None:
    first = random_catastrophes(60, games=1)
    data = replace(
        first,
        proposals={str(number): first.proposals["weak"] for number in range(proposers)},
        drawn={},
        games=np.arange(60),
        openings=opening_of(np.arange(60), proposers),
    )
    splits = [set(data.split(name).games.tolist()) for name in ("train", "calibration", "test")]
    assert [len(games) > 0 for games in splits] == [True] * 3
    began = [{opening_of(game, proposers) for game in games} for games in splits]
    assert sum(map(len, began)) == len(set().union(*began))
    assert not {*data.dealt(True).openings} & {*data.dealt(False).openings}
    names = [split_of(opening) for opening in range(10)]
    assert (names.count("calibration"), names.count("test"), names.count("train")) == (1, 2, 7)


def test_games_of_three_proposers_are_dealt_out_as_they_always_were() -> None:
    assert [split_of(opening_of(game, 3)) for game in range(12)] == ["calibration"] * 3 + ["test"] * 6 + ["train"] * 3


def test_examples_weigh_as_much_as_they_are_meant_to_and_some_are_held_back() -> None:
    play, examples = random_catastrophes(300), random_catastrophes(100, 5)
    both = mixed(play, [examples], [], 2.0, HardenConfig(share=0.4))
    assert both.weight[300:].sum() / both.weight.sum() == pytest.approx(0.4)
    light = mixed(play, [random_catastrophes(2, 5)], [], 2.0, HardenConfig(share=0.4, heaviest=3.0))
    assert light.weight.max() == 3
    with_drafts = mixed(play, [examples], [random_catastrophes(50, 6)], 2.0, HardenConfig(drafts=1.5))
    assert with_drafts.weight[400:].tolist() == [1.5] * 50
    assert len(mixed(play, [examples], [random_catastrophes(50, 6)], 2.0, HardenConfig(drafts=0))) == 400
    runs = [finished_run(n, 10, success=True, move=n) for n in range(8)]
    assert (len(learned(runs)), [number for number, _ in held_back(runs)]) == (6, [0, 4])


def test_an_example_that_several_runs_found_counts_once() -> None:
    runs = [finished_run(n, 10, success=True, move=n % 2) for n in range(12)]
    assert [example.move for example in learned(runs)] == [1, 0]
    assert [(number, example.move) for number, example in held_back(runs)] == [(0, 0)]


def test_drafts_are_learned_from_once_and_not_where_they_became_examples_or_are_held_back() -> None:
    drafts = tuple(Draft(FINE, move) for move in (0, 1, 2))
    runs = [replace(finished_run(n, 10, success=n == 1), drafts=drafts if n < 3 else drafts[:1]) for n in range(1, 4)]
    held = replace(finished_run(4, 10, success=False), drafts=(Draft(FINE, 9),))
    assert [(case.move, case.loss) for case in draft_cases([*runs, held])] == [(1, 0.0), (2, 0.0)]
    assert [(case.move, case.loss) for case in example_cases([*runs, held])] == [(0, 0.5)]


def test_runs_that_are_held_back_begin_from_other_openings() -> None:
    positions = random_catastrophes(200)
    learned_from, held = positions.dealt(False), positions.dealt(True)
    assert not set(learned_from.openings) & set(held.openings)
    assert len(learned_from) + len(held) == 200
    assert 20 < len(held) < 90
    single = positions.take(np.flatnonzero(positions.openings == 4))
    assert len(single.dealt(True)) == len(single.dealt(False)) == len(single) > 0
