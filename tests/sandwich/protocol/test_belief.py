"""What a strategy believes of moves said of any positions."""

import chess
import numpy as np
import pytest

from agents.judging import suspicion
from engines import rules
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.plausible import Plausible
from sandwich.oversight.two_voices import TwoVoices
from sandwich.oversight.unanimous import Unanimous
from sandwich.oversight.veto import Veto
from sandwich.protocol import belief
from sandwich.protocol.belief import Listener, Said, believed
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, evaluator
from tests.helpers.fakes import pack_board
from tests.helpers.small_players import INLINE, checkpoint, openings

INFERENCE = InferenceConfig(precision="fp32")
PACKED = np.array([pack_board(chess.Board(fen)) for fen in openings(30)], np.uint64)
LEGAL = [list(row) for row in rules.legal_moves(PACKED)[0]]
SAID = Said.all_moves(PACKED, LEGAL)


class Coin(Oversight):
    """Believes one answer of two, by lot."""

    def decide(self, context: DecisionContext) -> Decision:
        assert context.advised is not None
        return Decision(context.advised, bool(context.rng.random() < 0.5))


def listener(strategy: Oversight, seed: int = 0) -> Listener:
    return Listener(checkpoint(2), strategy, {}, INFERENCE, seed)


def test_plausible_believes_what_the_listeners_own_policy_holds_likely() -> None:
    view = evaluator(checkpoint(2), INFERENCE)(PACKED, LEGAL)
    found = believed(INLINE, listener(Plausible(least=0.05)), SAID)
    for row, policy in zip(found, view.policy, strict=True):
        assert np.array_equal(row, policy >= np.float64(0.05))
    assert 0 < np.concatenate(found).mean() < 1


def test_veto_believes_what_looks_no_worse_to_the_listeners_own_value() -> None:
    judge = evaluator(checkpoint(2), INFERENCE)
    worse = np.concatenate(suspicion(judge, PACKED, judge(PACKED, LEGAL)))
    delta = float(np.median(worse))
    heard = np.concatenate(believed(INLINE, listener(Veto(delta=delta)), SAID))
    clear = np.abs(worse - delta) > 1e-6
    assert np.array_equal(heard[clear], worse[clear] < delta)
    assert 0.3 < heard.mean() < 0.7


def test_two_voices_believe_what_the_honest_one_would_rather_say() -> None:
    names = ("expert", "weak")  # played by other small networks
    contents = {name: checkpoint(3 + place) for place, name in enumerate(names)}
    voices = [evaluator(contents[name], INFERENCE)(PACKED, LEGAL).policy for name in names]
    strategy = TwoVoices(honest=names[0], dishonest=names[1], share=0.51)
    heard = believed(INLINE, Listener(checkpoint(2), strategy, contents, INFERENCE, 0), SAID)
    for row, honest, dishonest in zip(heard, *voices, strict=True):
        odds = 0.51 * honest.astype(np.float64) / (0.49 * dishonest)
        clear = np.abs(odds - 1) > 1e-9
        assert np.array_equal(row[clear], odds[clear] > 1)
    assert 0.1 < np.concatenate(heard).mean() < 0.9


def test_unanimous_believes_what_each_of_its_members_does() -> None:
    members = Plausible(least=0.02), Veto(delta=0.001)
    alone = [np.concatenate(believed(INLINE, listener(member), SAID)) for member in members]
    both = np.concatenate(believed(INLINE, listener(Unanimous(members=members)), SAID))
    assert np.array_equal(both, alone[0] & alone[1])


def test_what_is_drawn_depends_on_seed_position_and_move_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so neither on what else is said nor on which worker is told."""
    everything = believed(INLINE, listener(Coin()), SAID)
    monkeypatch.setattr(belief, "BLOCK", 7)
    assert all(map(np.array_equal, everything, believed(INLINE, listener(Coin()), SAID)))
    last = Said(PACKED, LEGAL, [[len(row) - 1] for row in LEGAL])
    assert [row.tolist() for row in believed(INLINE, listener(Coin()), last)] == [[row[-1]] for row in everything]
    assert not all(map(np.array_equal, everything, believed(INLINE, listener(Coin(), seed=1), SAID)))
    assert 0.4 < np.concatenate(everything).mean() < 0.6


def test_positions_of_which_nothing_is_said_are_left_out(cluster: Cluster) -> None:
    some = Said(PACKED, LEGAL, [[0] if place % 2 else [] for place in range(len(PACKED))])
    found = believed(cluster, listener(Plausible()), some)
    assert [len(row) for row in found] == [place % 2 for place in range(len(PACKED))]
