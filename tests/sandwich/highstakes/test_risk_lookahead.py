"""The arithmetic of a filter's look-ahead: what is seen behind a move, how it is weighed up, and what it costs."""

from dataclasses import replace
from pathlib import Path

import chess
import numpy as np
import pytest

from engines import moves, network, planes
from engines.inference import make_evaluator
from engines.positions import successors
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.lookahead import Combination, LookaheadConfig, drops, fitted, moves_judged
from sandwich.runtime.networks import InferenceConfig
from tests.helpers.highstakes import LEGAL, START, random_catastrophes
from tests.helpers.progress import RecordingProgress
from tests.helpers.small_players import INLINE, checkpoint

FORK = "4k3/8/8/3q4/8/2N5/8/4K3 w - - 0 1"
CHECKMATE_NEXT = "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1"


def test_the_combination_is_that_which_labels_were_drawn_from() -> None:
    rng, data = np.random.default_rng(3), random_catastrophes(1500, 2)
    risk = [rng.uniform(0.02, 0.98, len(LEGAL)).astype(np.float32) for _ in range(1500)]
    drop = [rng.normal(0, 0.5, len(LEGAL)).astype(np.float32) for _ in range(1500)]
    true = Combination(0.7, 3.0, -0.4)
    bad = [rng.random(len(LEGAL)) < chance for chance in true(risk, drop)]
    values = [np.where(row, 0.2, 0.6).astype(np.float32) for row in bad]
    labelled = replace(data, values=values)
    keep = [row for row in range(1500) if not bad[row].all()]
    combination = fitted(labelled.take(keep), [risk[row] for row in keep], [drop[row] for row in keep], 2.0)
    assert (combination.risk, combination.drop, combination.bias) == pytest.approx((0.7, 3.0, -0.4), abs=0.1)
    same = Combination(1.0, 0.0, 0.0)(risk, drop)
    assert np.concatenate(same) == pytest.approx(np.concatenate(risk), abs=1e-5)


def test_moves_judged_are_those_that_drawing_until_one_is_accepted_comes_to() -> None:
    policy, risk = np.array([0.4, 0.3, 0.2, 0.1], np.float32), np.array([0.9, 0.1, 0.8, 0.7], np.float32)
    data = Catastrophes(
        START[None], [LEGAL[:4]], [np.zeros(4, np.float32)], {"weak": [policy]}, {"weak": np.zeros(1, np.int64)},
        np.zeros(1, np.int64), np.zeros(1, np.int64), 0.15,
    )  # fmt: skip
    rng, drawn = np.random.default_rng(0), []
    for _ in range(20_000):
        proposals = rng.choice(4, p=[0.4, 0.3, 0.2, 0.1], size=3).tolist()
        first = proposals.index(1) + 1 if 1 in proposals else 3
        drawn.append(len(set(proposals[:first])))
    assert moves_judged(data, [risk], "weak", 0.5, 3).moves == pytest.approx(np.mean(drawn), abs=0.02)
    assert moves_judged(data, [risk], "weak", 1.0, 3).moves == pytest.approx(1)  # the first is accepted
    assert moves_judged(data, [risk], "weak", 0.0, 1).moves == pytest.approx(1)
    assert moves_judged(data, [risk], "weak", 0.0, 1000).moves == pytest.approx(4)


def test_of_moves_judged_those_that_are_not_doubted_cost_nothing() -> None:
    policy, risk = np.array([0.4, 0.3, 0.2, 0.1], np.float32), np.array([0.9, 0.1, 0.8, 0.05], np.float32)
    data = Catastrophes(
        START[None], [LEGAL[:4]], [np.zeros(4, np.float32)], {"weak": [policy]}, {"weak": np.zeros(1, np.int64)},
        np.zeros(1, np.int64), np.zeros(1, np.int64), 0.15,
    )  # fmt: skip
    doubted = np.array([False, True, True, False])  # the first is refused and the last accepted without a look
    rng, moves, some = np.random.default_rng(1), [], []
    for _ in range(20_000):
        looked: set[int] = set()
        for move in rng.choice(4, p=[0.4, 0.3, 0.2, 0.1], size=3).tolist():
            looked |= {move} if doubted[move] else set()
            if risk[move] < 0.5:
                break
        moves.append(len(looked))
        some.append(bool(looked))
    judged = moves_judged(data, [risk], "weak", 0.5, 3, [doubted])
    assert judged.moves == pytest.approx(np.mean(moves), abs=0.02)
    assert judged.any == pytest.approx(np.mean(some), abs=0.01)
    assert moves_judged(data, [risk], "weak", 0.5, 3, [~doubted & False]).any == pytest.approx(0)


def both_positions() -> Catastrophes:
    boards = [chess.Board(FORK), chess.Board(CHECKMATE_NEXT), chess.Board()]
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    values = [np.zeros(len(row), np.float32) for row in legal]
    shares = [np.full(len(row), 1 / len(row), np.float32) for row in legal]
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    none = np.zeros(3, np.int64)
    return Catastrophes(packed, legal, values, {"weak": shares}, {"weak": none}, np.arange(3), np.arange(3), 0.15)


@pytest.mark.parametrize("plies", [1, 2])
def test_a_drop_is_what_the_network_sees_behind_a_move(
    plies: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandwich.highstakes.kept_rows.BLOCK", 2)
    data = both_positions()
    config = LookaheadConfig.model_validate({"plies": plies, "replies": 2})
    seen_drops = drops(INLINE, config, checkpoint(3), [data.take([0]), data.take([1, 2])], InferenceConfig(), tmp_path)
    assert [len(row) for row in seen_drops] == [len(row) for row in data.legal]
    player = make_evaluator(network.from_bytes(checkpoint(3)))
    for row in range(3):
        before = player(data.packed[[row]], [data.legal[row]]).value[0]
        for place in range(0, len(data.legal[row]), 3):
            after = successors(data.packed[[row]], [data.legal[row][place]])
            worth = after.score[0]
            if np.isnan(worth):
                evaluation = player(after.packed, after.legal)
                worth = evaluation.value[0]
                if plies == 2:
                    replies = [after.legal[0][n] for n in np.argsort(-evaluation.policy[0], kind="stable")[:2]]
                    behind = successors(np.repeat(after.packed, len(replies), axis=0), replies)
                    leaves = [
                        score if not np.isnan(score) else player(behind.packed[[n]], [behind.legal[n]]).value[0]
                        for n, score in enumerate(behind.score)
                    ]
                    worth = 1 - min(leaves)
            assert seen_drops[row][place] == pytest.approx(before - (1 - worth), abs=1e-4)
    mate = data.legal[1].index(moves.encode(chess.Move.from_uci("d1d8"), True))
    assert seen_drops[1][mate] == seen_drops[1].min()  # nothing is better
    # A killed one goes on: what is there is only read.
    files = sorted(tmp_path.glob("drops-*"))
    assert len(files) == 2
    files[1].unlink()
    progress = RecordingProgress()
    again = drops(INLINE, config, checkpoint(3), [data], InferenceConfig(), tmp_path, progress)
    assert progress.done == progress.totals == {"positions looked at": 3}
    assert [row.tolist() for row in again] == [row.tolist() for row in seen_drops]
    assert config.evaluations == (1 if plies == 1 else 3)
