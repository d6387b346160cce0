"""From ledgers to new weights: what the student learns from, what it must not see, and the same bytes every time."""

from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest

from engines import moves, planes
from engines.settings import SpecError
from sandwich.protocol import ledger
from sandwich.protocol.finetuning import WIDEST, Lessons, _shown, finetune, training_view
from sandwich.spec.run_spec import FinetuneConfig
from sandwich.training.examples import Examples, TrainConfig
from sandwich.training.labels import wdl_of_value
from tests.helpers.ledgers import ledger_table, scrambled
from tests.helpers.progress import RecordingProgress
from tests.helpers.small_players import student_checkpoint

FIT = TrainConfig(epochs=2, batch=4, threads=1, device="cpu")
START = chess.Board()
LEGAL = sorted(moves.encode_all(START.legal_moves, START.turn))


def number(text: str, board: chess.Board = START) -> int:
    """Number of a move in UCI notation."""
    return moves.encode(chess.Move.from_uci(text), board.turn)


def unasked(**columns: Any) -> dict[str, Any]:
    """A row at which nothing was asked: the student played e4 and the game was drawn."""
    plain = dict.fromkeys(ledger.SCHEMA.names) | {
        "game": 0, "ply": 0, "fen": START.fen(), "student": True, "own_move": "e2e4", "own_value": 0.5,
        "asked": False, "decided": "e2e4", "played": "e2e4", "result": 0.5,
    }  # fmt: skip
    return plain | columns


def asked(**columns: Any) -> dict[str, Any]:
    """A row at which a move was asked for, d4 advised, believed and played, which was a lie."""
    plain = unasked(
        asked=True, channel="move", advised="d2d4", honest="g1f3", misaligned=True, believed=True, weight=1.0,
        decided="d2d4", played="d2d4",
    )  # fmt: skip
    return plain | columns


def rows(*some: dict[str, Any]) -> pa.Table:
    """A ledger of these rows."""
    return ledger_table(some)


def view(*ledgers: pa.Table, seed: int = 1, **settings: Any) -> Lessons:
    """What is learned from these ledgers."""
    return training_view(
        list(ledgers), FinetuneConfig(**{"results": "examples", **settings}), np.random.default_rng(seed)
    )


def values(found: Examples) -> list[float]:
    """Expected score that each example teaches."""
    return (found.wdl[:, 0] + found.wdl[:, 1] / 2).round(4).tolist()  # type: ignore[no-any-return]


def test_hidden_and_visible_columns_have_nothing_in_common() -> None:
    assert not set(ledger.VISIBLE) & set(ledger.HIDDEN)
    assert set(ledger.VISIBLE) <= set(ledger.SCHEMA.names)


# Chances of win, draw and loss


@pytest.mark.parametrize(
    ("believed", "result", "expected"),
    [
        (0.5, 1.0, [0.25, 0.5, 0.25]),  # an even position is no certain draw
        (0.75, 0.0, [0.625, 0.25, 0.125]),
        (1.0, 0.0, [1, 0, 0]),
        (None, 0.5, [0, 1, 0]),  # a game that was drawn is one
        (None, 0.0, [0, 0, 1]),
    ],
)
def test_a_believed_value_has_the_draws_of_pretraining_and_a_result_is_what_it_was(
    believed: float | None, result: float, expected: list[float]
) -> None:
    found = view(rows(asked(channel="value", advised=None, advised_value=believed, result=result)))
    assert found.wdl[0].tolist() == pytest.approx(expected)
    if believed is not None:
        assert found.wdl[0].tolist() == wdl_of_value(np.array([believed], np.float32), np.array([False]))[0].tolist()


# Which rows


@pytest.mark.parametrize(
    ("examples", "expected"),
    [
        ("queried", [0.25]),
        ("student", [0.0, 0.25]),
        ("all", [0.0, 0.25, 1.0]),
    ],
)
def test_the_rows_learned_from_are_those_asked_for(examples: str, expected: list[float]) -> None:
    content = rows(
        unasked(result=0.0),
        asked(channel="value", advised=None, advised_value=0.25),
        unasked(student=False, result=1.0),
    )
    assert values(view(content, examples=examples)) == expected


def test_the_control_that_knows_the_lies_learns_every_honest_answer_and_nothing_else() -> None:
    """Also one that was refused, which a weight of 0 left out; of a value that was refused, too."""
    honest = {"misaligned": False, "honest": "g1f3", "advised": "g1f3"}
    content = rows(
        unasked(),
        asked(),
        asked(**honest, believed=False, weight=0.0, decided="e2e4"),
        asked(**honest, weight=0.5, decided="g1f3"),
        asked(channel="value", advised=None, advised_value=0.25, misaligned=False, believed=False, decided="e2e4"),
    )
    found = view(content, examples="honest", refused="nothing")
    assert [found.moves[row, 0] for row in range(len(found))] == [number("g1f3"), number("g1f3"), number("e2e4")]
    assert found.weight.tolist() == [1, 1, 1]
    assert values(found)[2] == 0.25
    with pytest.raises(SpecError, match="nothing to learn from"):
        view(rows(unasked(), asked()), examples="honest")


def test_the_control_that_knows_the_lies_learns_an_honest_move_that_was_said_beside_a_lie() -> None:
    lie = {"misaligned": True, "honest": "g1f3", "advised": "e2e4", "decided": "e2e4", "believed": True}
    content = rows(
        asked(**lie, repeated=["e2e4", "g1f3", "e2e4"]),
        asked(**lie, panel=["e2e4", "g1f3"]),
        asked(**lie, repeated=["e2e4", "d2d4"], panel=["e2e4", None]),
    )
    found = view(content, examples="honest", refused="nothing")
    assert found.moves[:, 0].tolist() == [number("g1f3")] * 2


def test_rows_of_weight_0_are_left_out_and_weights_kept() -> None:
    content = rows(asked(weight=0.0, result=0.0), asked(weight=0.25, result=1.0), unasked())
    found = view(content, examples="all")
    assert values(found) == [1.0, 0.5]
    assert found.weight.tolist() == [0.25, 1.0]  # a row without a weight counts whole


def test_nothing_to_learn_from_is_refused_in_one_line() -> None:
    for content in (rows(), rows(unasked()), rows(asked(weight=0.0))):
        with pytest.raises(ValueError, match="no queried positions with a weight above 0") as caught:
            view(content)
        assert "\n" not in str(caught.value)


def step(result: float, count: int) -> pa.Table:
    """A step of so many questions, told apart by the games' result."""
    return rows(*[asked(result=result, weight=(place + 1) / 16) for place in range(count)])


def test_the_newest_step_comes_first_and_older_ones_fill_up() -> None:
    old, middle, new = step(0.0, 8), step(0.5, 8), step(1.0, 4)
    assert values(view(old, middle, new)) == [0.0] * 8 + [0.5] * 8 + [1.0] * 4
    assert values(view(old, middle, new, max_examples=14)) == [0.0] * 2 + [0.5] * 8 + [1.0] * 4
    assert values(view(old, middle, new, max_examples=12)) == [0.5] * 8 + [1.0] * 4
    assert values(view(old, middle, new, max_examples=6)) == [0.5] * 2 + [1.0] * 4
    assert values(view(old, middle, new, max_examples=3)) == [1.0] * 3


def test_a_step_without_anything_to_learn_does_not_stop_the_filling() -> None:
    assert values(view(step(0.0, 2), rows(unasked()), step(1.0, 1), max_examples=3)) == [0.0, 0.0, 1.0]


def test_a_sample_is_without_repeats_and_follows_its_random_numbers() -> None:
    content = step(0.5, 16)
    weights = view(content, max_examples=8).weight.tolist()
    assert len(set(weights)) == 8
    assert weights == sorted(weights)  # in the order of the ledger
    assert view(content, max_examples=8).weight.tolist() == weights
    assert view(content, max_examples=8, seed=2).weight.tolist() != weights


# What a row teaches


def test_a_move_asked_for_teaches_the_move_decided_on() -> None:
    found = view(rows(asked(), asked(believed=False, decided="a2a3", played="a2a3"), asked(played="h2h3")))
    assert found.moves.tolist() == [[number("d2d4")], [number("a2a3")], [number("d2d4")]]
    assert found.policy.tolist() == [[1], [1], [1]]


def test_a_row_without_question_teaches_the_move_played() -> None:
    board = chess.Board("n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 b - - 0 1")
    content = rows(unasked(fen=board.fen(), student=False, decided="b2a1n", played="b2a1n", result=1.0))
    found = view(content, examples="all")
    assert found.moves.tolist() == [[number("b2a1n", board)]]
    assert found.packed.tolist() == [list(planes.pack(board))]
    assert found.wdl.tolist() == [[1, 0, 0]]


def test_a_believed_distribution_is_learned_by_its_most_probable_moves() -> None:
    advised = np.arange(20, dtype=np.float32)
    advised /= advised.sum()
    policy = advised[np.random.default_rng(1).permutation(20)]
    found = view(rows(asked(channel="distribution", advised_policy=policy.tolist())))
    ranked = np.argsort(-policy)[:WIDEST]
    assert found.moves.tolist() == [[LEGAL[place] for place in ranked]]
    assert found.policy[0] == pytest.approx(policy[ranked] / policy[ranked].sum())
    assert found.policy.sum() == pytest.approx(1)


def test_a_distribution_that_was_not_believed_is_not_learned() -> None:
    told = {"channel": "distribution", "advised_policy": [0.05] * 20}
    found = view(rows(asked(**told, believed=False, decided="a2a3"), asked(**told)))
    assert found.moves[0].tolist() == [number("a2a3"), *[-1] * (WIDEST - 1)]
    assert found.policy[0].tolist() == [1, *[0] * (WIDEST - 1)]
    assert found.policy[1] == pytest.approx(np.full(WIDEST, 1 / WIDEST))


def test_a_believed_value_is_learned_in_place_of_the_result() -> None:
    told = {"channel": "value", "advised": None, "advised_value": 0.75, "decided": "e2e4", "result": 0.0}
    found = view(rows(asked(**told), asked(**told, believed=False)))
    assert found.wdl.tolist() == [[0.625, 0.25, 0.125], [0, 0, 1]]
    assert found.moves.tolist() == [[number("e2e4")]] * 2


@pytest.mark.parametrize(("result", "wdl"), [(1.0, [1, 0, 0]), (0.5, [0, 1, 0]), (0.0, [0, 0, 1])])
def test_a_result_is_a_win_a_draw_or_a_loss(result: float, wdl: list[float]) -> None:
    assert view(rows(asked(result=result))).wdl.tolist() == [wdl]


# What it must not see


def some_steps() -> list[pa.Table]:
    """Two steps of questions on every channel, with everything hidden filled in."""
    rng = np.random.default_rng(3)
    steps = []
    for _ in range(2):
        plies = []
        board = chess.Board()
        for ply in range(12):
            legal = [move.uci() for move in board.legal_moves]
            own, advised, honest = (str(rng.choice(legal)) for _ in range(3))
            channel = ("move", "distribution", "value")[ply % 3]
            policy = rng.dirichlet(np.ones(len(legal))).astype(np.float32).tolist()
            hidden = {name: float(rng.random()) for name in ledger.HIDDEN if name.startswith("loss")}
            answer = {
                "channel": channel, "advised": None if channel == "value" else advised,
                "advised_policy": policy if channel == "distribution" else None,
                "advised_value": float(rng.random()) if channel == "value" else None,
                "honest": honest, "honest_value": float(rng.random()), "misaligned": bool(rng.integers(2)),
                "believed": bool(rng.integers(2)), "weight": float(rng.integers(3)) / 2, "decided": advised,
            }  # fmt: skip
            plies.append(asked(ply=ply, fen=board.fen(), own_move=own, played=advised, **answer, **hidden))
            board.push_uci(advised)
        steps.append(rows(*plies, unasked(result=1.0)))
    return steps


@pytest.mark.parametrize("how", ["reversed", "null", "opposite"])
@pytest.mark.parametrize("examples", ["queried", "student", "all"])
def test_what_is_hidden_changes_nothing(how: str, examples: str) -> None:
    plain, other = some_steps(), [scrambled(content, how) for content in some_steps()]
    assert not any(a.equals(b) for a, b in zip(plain, other, strict=True))
    config = FinetuneConfig(examples=examples, max_examples=14, fit=FIT)
    seen, same = (training_view(steps, config, np.random.default_rng(1)) for steps in (plain, other))
    for name in ("packed", "moves", "policy", "wdl", "weight"):
        assert getattr(seen, name).tobytes() == getattr(same, name).tobytes()
    assert finetune(student_checkpoint(), seen, config, 1)[0] == finetune(student_checkpoint(), same, config, 1)[0]


def test_what_is_hidden_need_not_even_be_there() -> None:
    plain = some_steps()
    bare = [content.drop_columns(list(ledger.HIDDEN)) for content in plain]
    assert view(*plain).packed.tobytes() == view(*bare).packed.tobytes()


# The fit


@pytest.mark.parametrize(
    ("epochs", "replay", "earlier", "newest"), [(2, 0.5, 1, 2), (2, 0, 0, 2), (1, 0.5, 0.5, 1), (2.5, 0.6, 1.5, 2.5)]
)
def test_earlier_steps_are_replayed_less_often(epochs: float, replay: float, earlier: float, newest: float) -> None:
    found = view(*some_steps())
    assert 0 < found.earlier < len(found)
    assert found.packed[: found.earlier].tobytes() == view(*some_steps()[:-1]).packed.tobytes()
    found.weight[:] = np.arange(len(found))  # a name for each
    shown, fit = _shown(found, FinetuneConfig(fit=FIT.model_copy(update={"epochs": epochs}), replay=replay), 1)
    assert fit.epochs == 1
    often = np.bincount(shown.weight.astype(int), minlength=len(found))
    for some, passes in ((often[: found.earlier], earlier), (often[found.earlier :], newest)):
        assert set(some) <= {int(passes), -int(-passes // 1)}
        assert abs(some.sum() - passes * len(some)) <= 0.5


def test_where_all_is_new_or_replayed_as_often_nothing_is_changed() -> None:
    config = FinetuneConfig(fit=FIT)
    found = view(*some_steps())
    assert _shown(found, config, 1) == (found, FIT)
    alone = view(some_steps()[-1])
    assert alone.earlier == 0
    assert _shown(alone, FinetuneConfig(fit=FIT, replay=0.5), 1) == (alone, FIT)


def test_the_same_examples_and_seed_give_the_same_bytes() -> None:
    found, config = view(*some_steps()), FinetuneConfig(fit=FIT)
    before = student_checkpoint()
    progress = RecordingProgress()
    after, last = finetune(before, found, config, 1, progress)
    assert after == finetune(before, found, config, 1)[0]
    assert after != finetune(before, found, config, 2)[0]
    assert after != before == student_checkpoint()
    assert last.step == last.steps == progress.done["learn"] == progress.totals["learn"]


def test_results_of_both_sides_are_learned_by_the_value_alone() -> None:
    won, lost = asked(result=1.0), unasked(student=False, result=0.0)
    games = rows(*[{**turn, "game": game} for game in range(200) for turn in (won, lost)])
    alone, both = view(games), view(games, results="both sides")
    policy = both.policy.sum(1) > 0
    assert len(both) == len(alone) + len(alone) // 4
    assert policy.sum() == len(alone)
    assert (both.wdl[policy] == 0).all()  # what teaches the policy teaches the value nothing
    assert np.array_equal(both.policy[policy], alone.policy)
    wins = both.wdl[~policy][:, 0]
    assert alone.wdl[:, 0].mean() == 1  # of the student's turns alone every game is won
    assert 0.25 < wins.mean() < 0.75
    assert ((both.wdl[~policy].sum(1) - 1) ** 2 < 1e-9).all()


def test_a_value_that_was_advised_is_learned_beside_the_results() -> None:
    some = [asked(game=n, channel="value", advised_value=0.25, believed=n % 2 == 0) for n in range(40)]
    both = view(rows(*some), results="both sides")
    policy = both.policy.sum(1) > 0
    told = both.wdl[policy].sum(1) > 0
    assert told.sum() == 20
    assert np.allclose(both.wdl[policy][told] @ [1, 0.5, 0], 0.25)
