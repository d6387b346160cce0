"""What a deliberation knows and may do, the policy that acts in it, and how that is trained."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import chess
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from agents.advice import Advice, Channel, Query
from agents.assistant import Answer, Assistant
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines import moves
from engines.inference import Evaluator
from engines.network import CheckpointError
from experiments.cli.main import cli
from sandwich.oversight.base import DecisionContext, OwnView
from sandwich.oversight.deliberation import FEATURES, Action, Deliberation, Situation
from sandwich.oversight.learned import SHIPPED, Learned, Policy, load_policy, policy_from
from sandwich.protocol.pending import PendingQuery
from sandwich.protocol.query_executor import QueryExecutor
from sandwich.rl.ppo import Trace, advantages
from tests.helpers.fakes import Even, Hashed, after, alone, pack_board, question, worth
from tests.helpers.small_players import checkpoint

BOARD = after("e4 e5 Nf3 Nc6 Bc4")


class Scripted(Deliberation):
    """Takes given actions; what it saw is kept in `SEEN`."""

    actions: tuple[Action, ...]

    def action(self, situation: Situation) -> int | None:
        SEEN.append(situation)
        return self.actions[len(situation.named) + len(situation.replies) - 1]


SEEN: list[Situation] = []


class Says(Assistant):
    """Answers questions about `BOARD` by the moves named, others by the first legal move."""

    def __init__(self, said: Sequence[str]) -> None:
        super().__init__(Even(), RandomMove(p=0), Tools())
        self._said = [moves.encode(BOARD.parse_san(move), BOARD.turn) for move in said]

    def answer(self, queries: Sequence[Query], rngs: Sequence[np.random.Generator]) -> list[Answer]:
        out = []
        for query in queries:
            here = np.array_equal(query.packed, pack_board(BOARD))
            advice = Advice(move=self._said.pop(0) if here else query.legal[0])
            out.append(Answer(advice, advice, False))
        return out


def resolved(strategy: Deliberation, said: Sequence[str], weak: Evaluator, own: str = "d6") -> PendingQuery:
    """What the strategy decides on `BOARD`, with a student whose own best move is `own`."""
    SEEN.clear()
    query = question(BOARD)
    _, value = alone(weak, BOARD)
    best = moves.encode(BOARD.parse_san(own), BOARD.turn)
    policy = np.full(len(query.legal), 0.3 / (len(query.legal) - 1), np.float32)
    policy[query.legal.index(best)] = 0.7
    rng = np.random.default_rng(0)
    pending = PendingQuery(DecisionContext(query, OwnView(best, policy, value), Advice(), rng, left=10), rng)
    QueryExecutor(weak, [Says(said)], strategy).resolve([pending])
    return pending


def number(move: str) -> int:
    return moves.encode(BOARD.parse_san(move), BOARD.turn)


def test_the_features_are_what_they_are_called() -> None:
    weak = Hashed("weak")
    one = resolved(Scripted(actions=(Action.OWN,)), ["Nf6"], weak)
    (seen,) = SEEN
    found = dict(zip(FEATURES, seen.features.tolist(), strict=True))
    assert found["same"] == 0 and found["pieces"] == pytest.approx(1)
    assert found["sure"] == pytest.approx(np.log(0.7) / 5)
    gain = worth(weak, BOARD, number("Nf6")) - worth(weak, BOARD, number("d6"))
    assert found["gain"] == pytest.approx(np.clip(5 * gain, -3, 3), abs=1e-4)
    assert found["value"] == pytest.approx(2 * (alone(weak, BOARD)[1] - 0.5), abs=1e-4)
    assert (one.questions, one.evaluations) == (1, 2 + 2 * (1 + 4))


def test_its_own_move_costs_no_evaluation() -> None:
    one = resolved(Scripted(actions=(Action.ADVICE,)), ["d6"], Even())
    assert (one.evaluations, one.decision.move, one.decision.believed) == (0, number("d6"), True)
    assert dict(zip(FEATURES, SEEN[0].features.tolist(), strict=True))["same"] == 1


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        (["Nf6", "a6", "a6"], "a6"),  # the majority
        (["Nf6", "a6", "h6"], "Nf6"),  # as many votes each: the first
        (["Nf6", "Nf6", "a6"], "Nf6"),
    ],
)
def test_what_is_believed_is_what_most_answers_name(said: list[str], believed: str) -> None:
    one = resolved(Scripted(actions=(Action.AGAIN, Action.AGAIN, Action.ADVICE)), said, Even())
    assert (one.decision.move, one.decision.believed, one.questions) == (number(believed), True, 3)
    assert one.answer.given.move == number(believed)
    last = dict(zip(FEATURES, SEEN[-1].features.tolist(), strict=True))
    assert last["again"] == (said.count(believed) - 1) / 2
    assert last["left"] == 0


def test_elsewhere_looks_behind_the_assistants_reply() -> None:
    weak = Hashed("weak")
    resolved(Scripted(actions=(Action.ELSEWHERE, Action.OWN)), ["Nf6"], weak)
    before, behind = SEEN
    assert before.mask.tolist() == [True, True, True, True]
    assert behind.mask.tolist() == [True, True, True, False]
    board = BOARD.copy()
    board.push_san("Nf6")
    board.push(moves.decode(behind.replies[0], board))
    gained = alone(weak, board)[1] - alone(weak, BOARD)[1]
    found = dict(zip(FEATURES, behind.features.tolist(), strict=True))
    assert found["replied"] == 1
    assert found["behind"] == pytest.approx(np.clip(5 * gained, -3, 3), abs=1e-4)


@pytest.mark.parametrize(("asks", "mask"), [(0, [True, True, False, False]), (1, [True] * 4)])
def test_it_may_ask_as_often_as_its_setting_says(asks: int, mask: list[bool]) -> None:
    strategy = Scripted(actions=(Action.OWN,), asks=asks)
    resolved(strategy, ["Nf6"], Even())
    assert SEEN[0].mask.tolist() == mask
    assert strategy.questions == 1 + asks


def test_an_action_that_can_not_be_taken_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"action: expected one of 0 \(OWN\), 1 \(ADVICE\), got <Action.AGAIN: 2>"):
        resolved(Scripted(actions=(Action.AGAIN,), asks=0), ["Nf6"], Even())


def linear(**weights: float) -> Policy:
    """A policy that believes where the weighted sum of features is above 0, and asks nothing."""
    hidden = np.zeros((1, len(FEATURES) + 1), np.float32)
    for name, weight in weights.items():
        hidden[0, list(FEATURES).index(name)] = weight
    out = np.array([[0, 0], [1, 0], [0, -9], [0, -9]], np.float32)
    return Policy(hidden, out)


def test_it_does_what_its_policy_says(tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").write_bytes(linear(gain=1).to_bytes())
    strategy, weak = Learned(policy=str(tmp_path / "policy.safetensors")), Hashed("weak")
    for move in ("Nf6", "a6", "h6", "Be7", "Bc5", "Qe7"):
        one = resolved(strategy, [move], weak)
        gain = worth(weak, BOARD, number(move)) - worth(weak, BOARD, number("d6"))
        assert one.decision.believed == (gain > 0)
        assert one.decision.confidence is not None and np.sign(one.decision.confidence) == np.sign(gain)


def test_a_policy_is_read_as_it_was_written() -> None:
    policy = linear(gain=2, likely=1)
    again = policy_from(policy.to_bytes({"seed": 0}))
    assert np.array_equal(policy.hidden, again.hidden) and np.array_equal(policy.out, again.out)
    assert policy.to_bytes() == again.to_bytes()


def test_a_wrong_policy_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="unknown oversight policy 'none'; known: oversight, or the path"):
        load_policy("none")
    with pytest.raises(CheckpointError, match="is not a whole safetensors file"):
        policy_from(b"no")
    with pytest.raises(CheckpointError, match="weak: expected format 'sandwich-oversight-1', got None"):
        policy_from(checkpoint(1), "weak")
    with pytest.raises(ValueError, match="expected weights of shapes"):
        Policy(np.zeros((2, 3), np.float32), np.zeros((4, 3), np.float32))


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (1.0, [0.7, 0.4, -0.5]),  # the return less what was expected; the second game knows nothing of the first
        (0.0, [0.3, 0.4, -0.5]),  # what the next expectation has gained
    ],
)
def test_an_advantage_ends_with_its_game(decay: float, expected: list[float]) -> None:
    zero = torch.zeros(3)
    trace = Trace(
        torch.zeros(3, len(FEATURES)), torch.ones(3, 4, dtype=torch.bool), zero, torch.tensor([0.0, 1.0, 0.0]),
        torch.tensor([False, True, True]), zero.long(), zero,
    )  # fmt: skip
    found = advantages(trace, torch.tensor([0.3, 0.6, 0.5]), decay)
    assert found.tolist() == pytest.approx(expected)


@pytest.fixture
def train(tmp_path: Path) -> Callable[[str], dict[str, object]]:
    """A training of one iteration with small networks, by the command."""
    for name, seed in (("weak", 1), ("expert", 2)):
        (tmp_path / f"{name}.safetensors").write_bytes(checkpoint(seed))

    def call(out: str) -> dict[str, object]:
        settings = ["iterations=1", "games=2", "play.ply_cap=8", "misalignments=[{type: random_move, p: 0.5}]"]
        players = [f"student={tmp_path}/weak.safetensors", f"base={tmp_path}/expert.safetensors"]
        command = ["train", "oversight", "--json", "--out", str(tmp_path / out), *settings, *players]
        result = CliRunner().invoke(cli, command, catch_exceptions=False)
        found: dict[str, object] = json.loads(result.stdout)
        return found

    return call


def test_a_training_leaves_a_policy_and_repeats(train: Callable[[str], dict[str, object]]) -> None:
    first, second = train("first"), train("second")
    assert first["curve"] == second["curve"]
    policies = [Path(str(one["policy"])).read_bytes() for one in (first, second)]
    assert policies[0] == policies[1]
    assert policy_from(policies[0]).hidden.shape[1] == len(FEATURES) + 1


def test_the_shipped_policy_is_there() -> None:
    assert np.isfinite(load_policy(SHIPPED).hidden).all()


def test_on_a_channel_without_moves_a_value_is_believed() -> None:
    query = question(chess.Board(), Channel.VALUE)
    own = OwnView(query.legal[0], np.full(20, 0.05, np.float32), 0.5)
    rng = np.random.default_rng(0)
    assistant = Assistant(Even(), RandomMove(p=0), Tools())
    pending = PendingQuery(DecisionContext(query, own, Advice(), rng, left=1), rng)
    QueryExecutor(Even(), [assistant], Scripted(actions=(Action.OWN,))).resolve([pending])
    assert pending.decision.believed and pending.evaluations == 0
