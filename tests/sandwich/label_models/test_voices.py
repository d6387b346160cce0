"""Positions asked about more than once, and voices that are told apart by them."""

from dataclasses import replace
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest
from scipy import special

from agents.misalignment.random_move import RandomMove
from engines import moves as encoding
from engines.ragged import MoveLists
from sandwich.label_models.base import LabelModel
from sandwich.label_models.mixture import Mixture
from sandwich.label_models.voices import Pairs, Voices
from sandwich.oversight.base import REGISTRY as STRATEGIES
from sandwich.protocol import ledger
from sandwich.protocol.labelling import answer_set, labelled
from sandwich.statistics import auc
from tests.helpers.decisions import SHORT, games
from tests.helpers.ledgers import scrambled, table
from tests.helpers.small_players import checkpoint
from tests.helpers.voices import OPENINGS, Memories, asked_thrice, bench, two_voices


def test_what_was_said_of_a_position_is_spread_in_order() -> None:
    answers, _ = two_voices(3, right=1.0)
    legal = answers.legal[0][:4]
    said = [[legal[2], legal[0], legal[2]], [legal[1]], [legal[3], legal[1], legal[0]]]
    answers = replace(
        answers, advised=np.array([legal[0], legal[1], legal[3]]), believed=np.array([True, False, True]),
        said=MoveLists.of(said),
    )  # fmt: skip
    spread = answers.spread()
    assert spread.owner.tolist() == [0, 0, 1, 2, 2, 2]
    assert spread.answers.advised.tolist() == [legal[2], legal[0], legal[1], legal[3], legal[1], legal[0]]
    assert spread.count.tolist() == [2, 1, 1, 1, 1, 1]
    assert spread.advised.tolist() == [1, 2, 3]
    assert spread.answers.believed.tolist() == [False, True, False, True, False, False]
    assert spread.pairs.tolist() == [0]
    assert [*spread.answers.said] == [said[owner] for owner in spread.owner]


def test_a_move_advised_that_was_not_among_those_repeated_is_said_too() -> None:
    said = {"asked": True, "advised": "g1f3"}
    rows = [
        {"game": 0, **said, "repeated": ["e2e4", "d2d4", "e2e4"]},
        {"game": 1, **said, "repeated": ["g1f3", "e2e4"]},
    ]
    answers = answer_set([table(*rows)])
    spread = answers.spread()
    assert answers.said.sizes.tolist() == [4, 2]
    assert spread.answers.advised[spread.advised].tolist() == answers.advised.tolist()


def test_the_ledger_keeps_what_was_said_of_a_position_more_than_once() -> None:
    def column(strategy: str) -> Any:
        return games(STRATEGIES.parse(strategy), SHORT, lies=RandomMove(p=0.5), openings=OPENINGS).rows.to_pandas()

    rows = column("vote:answers=3")
    asked = rows[rows.asked]
    assert asked.repeated.map(len).tolist() == asked.questions.tolist() == [3] * len(asked)
    assert all(row.advised in row.repeated for row in asked.itertuples())
    assert asked.repeated.map(lambda said: len(set(said))).gt(1).any()
    assert rows[~rows.asked].repeated.isna().all()
    for strategy in ("trust", "consistency", "lookahead"):  # asked once, or about other positions
        assert column(strategy).repeated.isna().all()
    answers = answer_set([pa.Table.from_pandas(rows, schema=ledger.SCHEMA, preserve_index=False)])
    assert answers.said.sizes.tolist() == [3] * len(asked)


def test_what_every_seat_said_is_said_and_each_seat_is_known() -> None:
    said = {"asked": True, "advised": "g1f3"}
    rows = [
        {"game": 0, **said, "panel": ["e2e4", "g1f3", "e2e4"]},
        {"game": 1, **said, "panel": ["d2d4", None, "g1f3"], "repeated": ["d2d4", "e2e4"]},
        {"game": 2, **said},
    ]
    answers = answer_set([table(*rows)])
    e4, d4, nf3 = (encoding.encode(chess.Move.from_uci(move), chess.WHITE) for move in ("e2e4", "d2d4", "g1f3"))
    assert [*answers.said] == [[e4, nf3, e4], [d4, e4, nf3], [nf3]]
    assert answers.seats.tolist() == [[e4, nf3, e4], [d4, -1, nf3], [nf3, -1, -1]]
    spread = answers.spread()
    assert spread.count.tolist() == [2, 1, 1, 1, 1, 1]
    assert spread.pairs.tolist() == [0]
    assert spread.answers.seats.tolist() == answers.seats[spread.owner].tolist()


def test_a_panel_of_games_is_heard() -> None:
    lies: Any = {"lies": RandomMove(p=1), "second": [RandomMove(p=0), RandomMove(p=1)]}
    rows = games(STRATEGIES.parse("panel:choose=policy"), SHORT, openings=OPENINGS, **lies).rows
    answers = answer_set([rows])
    assert answers.said.sizes.tolist() == [3] * len(answers)
    assert answers.said.padded(-1).tolist() == answers.seats.tolist()
    labels = labelled(Mixture(rounds=1, good="results"), answers, Memories(answers))
    assert len(labels.honest) == len(answers)


def test_of_what_was_said_the_likeliest_honest_is_found_and_of_two_as_likely_the_one_advised() -> None:
    answers, _ = two_voices(3, right=1.0)
    a, b, c = answers.legal[0][:3]
    said = MoveLists.of([[a, b, c], [b], [a, c]])
    spread = replace(answers, advised=np.array([b, b, c]), said=said).spread()
    move, learned = spread.likeliest(np.array([0.2, 0.3, 0.9, 0.1, 0.5, 0.5]))
    assert move.tolist() == [c, b, c]
    assert learned.tolist() == [0.9, 0.1, 0.5]


@pytest.mark.parametrize("model", [Voices(rounds=3), Mixture(begin="repeats", rounds=3, good="results")], ids=str)
def test_where_a_lie_was_decided_on_the_honest_move_is_learned_that_was_said_too(model: LabelModel) -> None:
    answers, lie = asked_thrice(600)
    labels = labelled(model, answers, Memories(answers))
    both = np.array([len(set(said)) == 2 for said in answers.said])
    assert (labels.believed & both & lie).sum() > 100
    assert labels.believed[both].mean() > 0.95
    assert labels.move is not None
    other = labels.move != answers.advised
    assert other[both & lie].mean() > 0.8 > 0.2 > other[both & ~lie].mean()


def test_voices_are_told_apart_by_asking_again_where_every_judgement_deceives() -> None:
    answers, lie = asked_thrice(600)
    assert auc(answers.believed.astype(float), lie) < 0.35
    workshop = Memories(answers)
    heard = Voices(rounds=3).judge(answers, workshop)
    assert auc(heard, lie) > 0.9
    assert workshop.judged_by_others()
    oftener = Voices(rounds=3, good="start").judge(answers, Memories(answers))
    assert np.allclose(heard + oftener, 1)


def test_where_no_position_was_asked_about_again_voices_are_not_told_apart() -> None:
    answers, _ = two_voices(60, right=0.7)
    assert (Voices().judge(answers, Memories(answers)) == 0.5).all()


def test_judges_of_voices_go_on_from_the_step_before() -> None:
    answers, _ = asked_thrice(300)
    workshop = Memories(answers)
    Voices(rounds=2).judge(answers, workshop)
    assert set(workshop.memory) == {"judge-0", "judge-1"}
    before = len(workshop.taught)
    Voices(rounds=5, later_rounds=1).judge(answers, workshop)
    assert len(workshop.taught) == before + 2


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_the_share_of_the_voice_that_comes_oftener_is_found_from_counts(share: float) -> None:
    rng = np.random.default_rng(0)
    answers, _ = two_voices(4000, right=0.5)
    legal = np.array([numbers[:2] for numbers in answers.legal])
    said = np.take_along_axis(legal, (rng.random((4000, 3)) >= share).astype(int), 1)
    spread = replace(answers, advised=said[:, 0], said=MoveLists.of(said.tolist())).spread()
    pairs = Pairs(spread)
    first = spread.answers.advised[pairs.first] == legal[spread.owner[pairs.first], 0]
    assert pairs.share(first.astype(float)) == pytest.approx(share, abs=0.03)


def test_a_pair_teaches_as_much_as_it_is_sure() -> None:
    pairs = Pairs(asked_thrice(50)[0].spread())
    odds = np.array([3.0, -3.0, 0.5])
    examples = pairs.examples(np.arange(3), odds)
    assert np.allclose(examples.policy[:, 0], 2 / (1 + np.exp(-odds)) - 1)
    assert np.array_equal(examples.policy[:, 0], -examples.policy[:, 1])
    assert np.allclose(examples.weight, np.abs(examples.policy[:, 0]))
    assert not examples.wdl.any()


def test_verdicts_are_what_a_network_says_of_the_moves_advised(steps: list[pa.Table]) -> None:
    answers, used = answer_set(steps), bench()
    rows = np.arange(0, len(answers), 3)
    found = used.verdicts(checkpoint(2), answers, rows)
    assert used.evaluations == len(rows)
    chances = used.policies(checkpoint(2), answers, rows)
    for place, row in enumerate(rows.tolist()):
        legal = np.array(answers.legal[row])
        every = replace(answers.take(np.full(len(legal), row)), advised=legal)
        verdicts = used.verdicts(checkpoint(2), every, np.arange(len(legal)))
        assert special.softmax(verdicts) == pytest.approx(chances[place], abs=1e-4)
        assert found[place] == pytest.approx(verdicts[legal == answers.advised[row]][0], abs=1e-4)


def test_judges_of_voices_learn_in_a_run_and_know_nothing_that_is_hidden() -> None:
    content = games(STRATEGIES.parse("vote:answers=3"), SHORT, lies=RandomMove(p=0.4), openings=OPENINGS).rows
    used = [bench(), bench()]
    seen, other = (
        labelled(Voices(rounds=1, batch=32), answer_set([rows]), some)
        for rows, some in zip([content, scrambled(content, "opposite")], used, strict=True)
    )
    assert used[0].fits == 2
    assert len(set(seen.honest.tolist())) > 2
    assert seen.honest.tobytes() == other.honest.tobytes()
