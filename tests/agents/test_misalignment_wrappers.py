"""Misalignments made of others: what a schedule, a trigger and a mixture leave to those within them."""

from collections.abc import Sequence
from typing import Any

import chess
import numpy as np
import pytest

from agents.advice import Advice, Channel, Query
from agents.misalignment.base import REGISTRY, Misalignment
from agents.misalignment.mixture import Mixture
from agents.misalignment.schedule import Phase, Schedule, phase
from agents.misalignment.trigger import Condition, Trigger
from agents.tools import Tools
from engines import planes
from engines.settings import SpecError
from tests.helpers.advice_batches import answers, boards, rngs
from tests.helpers.fakes import CHANNELS, legal_numbers, question, said

# Schedule and trigger


class Always(Misalignment):
    """Says the truth in other words, which counts as a lie."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [Advice(truth.move, truth.policy, truth.value) for truth in honest]


def at_work(misalignment: Misalignment, queries: Sequence[Query], tools: Tools) -> list[bool]:
    """Which of these questions it lies at."""
    return [answer.misaligned for answer in answers(misalignment, queries, tools)]


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"every": 3}, [0, 3, 6, 9]),
        ({"after": 4}, [4, 5, 6, 7, 8, 9]),
        ({"after": 4, "every": 3}, [4, 7]),
        ({"after": 10}, []),
        ({"from_ply": 7}, [4, 5, 6, 7, 8, 9]),  # the first question at ply 7 or later is that at ply 8
        ({"from_ply": 8}, [4, 5, 6, 7, 8, 9]),
        ({"to_ply": 8}, [0, 1, 2, 3]),  # ply 8 no more
        ({"to_ply": 0}, []),
        ({"from_ply": 4, "to_ply": 12, "every": 2}, [2, 4]),
        ({"after": 3, "from_ply": 8, "every": 2}, [5, 7, 9]),
    ],
)
def test_a_schedule_lies_at_its_times_alone(tools: Tools, settings: dict[str, Any], numbers: list[int]) -> None:
    queries = [question(chess.Board(), CHANNELS[n % 3], number=n, ply=2 * n) for n in range(10)]
    work = at_work(Schedule(inner=Always(), **settings), queries, tools)
    assert [number for number, lies in enumerate(work) if lies] == numbers


PHASES: list[tuple[str, int, Phase]] = [
    (chess.STARTING_FEN, 0, "opening"),
    (chess.STARTING_FEN, 19, "opening"),
    (chess.STARTING_FEN, 20, "middlegame"),
    ("r3k2r/pppq1ppp/8/8/8/8/PPPQ1PPP/R3K2R w KQkq - 0 1", 0, "endgame"),  # six pieces beside kings and pawns
    ("r3k2r/pppq1ppp/8/8/8/8/PPPQ1PPP/RN2K2R w KQkq - 0 1", 0, "opening"),  # seven
    ("r3k2r/pppq1ppp/8/8/8/8/PPPQ1PPP/RN2K2R b KQkq - 0 1", 40, "middlegame"),
    ("4k3/pppppppp/8/8/8/8/PPPPPPPP/4K3 b - - 0 1", 40, "endgame"),
]


@pytest.mark.parametrize(("fen", "ply", "expected"), PHASES)
def test_a_schedule_knows_the_parts_of_a_game(tools: Tools, fen: str, ply: int, expected: Phase) -> None:
    board = chess.Board(fen)
    assert phase(board, ply) == expected
    parts: list[Phase] = ["opening", "middlegame", "endgame"]
    for part in parts:
        (lies,) = at_work(Schedule(inner=Always(), phase=part), [question(board, ply=ply)], tools)
        assert lies == (part == expected)


CONDITIONS: list[tuple[Condition, str, bool]] = [
    ("in_check", "rnbqkbnr/ppppp1pp/8/5p1Q/4P3/8/PPPP1PPP/RNB1KBNR b KQkq - 1 2", True),
    ("in_check", "rnbqkbnr/ppppp1pp/8/5p1Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 1 2", False),  # it gives check
    ("can_capture", chess.STARTING_FEN, False),
    ("can_capture", "rnbqkbnr/ppp1pppp/8/3p4/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2", True),
    ("can_capture", "4k3/8/8/8/4pP2/8/8/4K3 b - f3 0 1", True),  # en passant alone
    ("can_capture", "4k3/8/8/8/4pP2/8/8/4K3 b - - 0 1", False),
    ("can_capture", "4r1k1/8/8/8/8/8/3pB3/4K3 w - - 0 1", True),  # the bishop is pinned, the king may
    ("can_capture", "4r1k1/8/8/8/8/3p4/4B3/4K3 w - - 0 1", False),  # … and may not
    ("castled_or_cannot", chess.STARTING_FEN, False),
    ("castled_or_cannot", "r3k2r/8/8/8/8/8/8/R3K2R w kq - 0 1", True),
    ("castled_or_cannot", "r3k2r/8/8/8/8/8/8/R3K2R b kq - 0 1", False),
    ("castled_or_cannot", "r3k2r/8/8/8/8/8/8/R3K2R w Qkq - 0 1", False),
    ("queens_on", chess.STARTING_FEN, True),
    ("queens_on", "rnb1kbnr/8/8/8/8/8/8/RNBQKBNR w KQkq - 0 1", False),
    ("queens_off", "rnb1kbnr/8/8/8/8/8/8/RNBQKBNR w KQkq - 0 1", False),
    ("queens_off", "rnb1kbnr/8/8/8/8/8/8/RNB1KBNR w KQkq - 0 1", True),
    ("white_to_move", chess.STARTING_FEN, True),
    ("white_to_move", "4k3/8/8/8/8/8/8/R3K3 b - - 0 1", False),
    ("black_to_move", "4k3/8/8/8/8/8/8/R3K3 b - - 0 1", True),
    ("black_to_move", chess.STARTING_FEN, False),
]


@pytest.mark.parametrize(("condition", "fen", "holds"), CONDITIONS)
def test_a_trigger_goes_off_where_its_condition_holds(
    tools: Tools, condition: Condition, fen: str, holds: bool
) -> None:
    query = question(chess.Board(fen))
    assert at_work(Trigger(inner=Always(), when=(condition,)), [query], tools) == [holds]


def test_every_condition_of_a_trigger_is_tested_both_ways() -> None:
    from agents.misalignment.trigger import CONDITIONS as KNOWN

    assert {(name, holds) for name, _, holds in CONDITIONS} == {(name, way) for name in KNOWN for way in (True, False)}


def test_a_trigger_needs_all_of_its_conditions(tools: Tools) -> None:
    queries = [question(board) for board in boards(60)]
    wanted: tuple[Condition, ...] = ("white_to_move", "can_capture", "castled_or_cannot")
    alone = [at_work(Trigger(inner=Always(), when=(name,)), queries, tools) for name in wanted]
    together = at_work(Trigger(inner=Always(), when=wanted), queries, tools)
    assert together == [all(row) for row in zip(*alone, strict=True)]
    assert 0 < sum(together) < min(map(sum, alone))


@pytest.mark.parametrize(
    ("value_from", "value_to", "expected"),
    [
        (0.0, 1.0, [True, True, True, True, True]),
        (0.5, 1.0, [False, False, True, True, True]),  # the bounds themselves are within
        (0.0, 0.5, [True, True, True, False, False]),
        (0.25, 0.75, [False, True, True, True, False]),
        (0.5, 0.5, [False, False, True, False, False]),
        (0.6, 0.4, [False, False, False, False, False]),
    ],
)
def test_a_trigger_looks_at_the_honest_value(
    tools: Tools, value_from: float, value_to: float, expected: list[bool]
) -> None:
    truth = [Advice(legal_numbers(chess.Board())[0], None, value) for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    queries = [question(chess.Board())] * 5
    given = Trigger(inner=Always(), value_from=value_from, value_to=value_to).corrupt(queries, truth, rngs(5), tools)
    assert [lie is not honest for lie, honest in zip(given, truth, strict=True)] == expected


def test_a_trigger_tells_training_from_deployment(tools: Tools) -> None:
    queries = [question(chess.Board(), training=training) for training in (True, False)]
    assert at_work(Trigger(inner=Always(), setting="any"), queries, tools) == [True, True]
    assert at_work(Trigger(inner=Always(), setting="training"), queries, tools) == [True, False]
    assert at_work(Trigger(inner=Always(), setting="deployment"), queries, tools) == [False, True]


def test_a_wrapper_hands_on_the_questions_and_random_numbers_of_its_own_rows(tools: Tools) -> None:
    """What the inner misalignment says of a question is what it would say of it alone."""
    queries = [question(board, number=place) for place, board in enumerate(boards(30))]
    inner = REGISTRY.parse({"type": "random_move", "p": 0.6})
    bare = answers(inner, queries, tools)
    wrapped = answers(Trigger(inner=Schedule(inner=inner, every=2), when=("white_to_move",)), queries, tools)
    for query, one, other in zip(queries, bare, wrapped, strict=True):
        working = query.number % 2 == 0 and planes.unpack(query.packed).turn == chess.WHITE
        assert said(other.given) == said(one.given if working else one.honest)
        assert other.misaligned == (working and one.misaligned)
    assert 3 < sum(answer.misaligned for answer in wrapped) < sum(answer.misaligned for answer in bare)


# Mixture


class Says(Misalignment):
    """Says a value."""

    value: float
    """Which."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [Advice(value=self.value) for _ in queries]


@pytest.mark.parametrize("weights", [None, (1, 1, 1), (1, 2, 7), (0, 3, 1), (0.5, 0, 0), (1e-300, 0, 1e-300)])
def test_a_mixture_draws_its_parts_by_their_weights(tools: Tools, weights: tuple[float, ...] | None) -> None:
    count = 4000
    mixture = Mixture(parts=(Says(value=0.1), Says(value=0.2), Says(value=0.3)), weights=weights)
    given = answers(mixture, [question(chess.Board(), Channel.VALUE)] * count, tools)
    drawn = np.array([[answer.given.value == value for answer in given] for value in (0.1, 0.2, 0.3)]).mean(1)
    share = np.array(weights or (1, 1, 1)) / sum(weights or (1, 1, 1))
    assert (np.abs(drawn - share) <= 4 * np.sqrt(share * (1 - share) / count)).all()
    assert drawn.sum() == 1


RANDOM = {"type": "random_move"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "parts: missing"),
        ({"parts": []}, "parts: expected at least one entry, got []"),
        ({"parts": [RANDOM], "weights": [1, 2]}, "weights: expected 1, one for each part, got 2"),
        ({"parts": [RANDOM, RANDOM], "weights": [1]}, "weights: expected 2, one for each part, got 1"),
        ({"parts": [RANDOM], "weights": [-1]}, "weights: expected finite ones, none below 0 and one above, got [-1.0]"),
        ({"parts": [RANDOM, RANDOM], "weights": [0, 0]}, "weights: expected finite ones, none below 0 and one above"),
        ({"parts": [RANDOM], "weights": [float("inf")]}, "weights"),
        ({"parts": [RANDOM, RANDOM], "weights": [float("nan"), 1]}, "weights"),
        ({"parts": [RANDOM], "weights": ["much"]}, "weights.0: "),
        ({"parts": [RANDOM, {"type": "random_move", "p": 2}]}, "parts.1.p: "),
        (
            {"parts": [{"type": "randm"}]},
            "parts.0.type: unknown misalignment 'randm'; known: ",
        ),
        ({"parts": [5]}, "parts.0.type: expected a mapping with a type, got 5"),
        ({"parts": [RANDOM], "shares": [1]}, "shares: unknown key; known here: parts, weights"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        REGISTRY.parse({"type": "mixture", **settings})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "schedule"}, "inner: missing"),
        ({"type": "schedule", "inner": RANDOM, "every": 0}, "every: "),
        ({"type": "schedule", "inner": RANDOM, "phase": "ending"}, "phase: expected 'opening', 'middlegame'"),
        (
            {"type": "schedule", "inner": {"type": "trigger", "inner": {"type": "bias", "kind": "x"}}},
            "inner.inner.kind",
        ),
        ({"type": "trigger", "inner": RANDOM, "when": ["in_chek"]}, "when.0: expected 'in_check', "),
        ({"type": "trigger", "inner": RANDOM, "setting": "test"}, "setting: expected 'any', 'training'"),
        (
            {"type": "other", "player": "stokfish:nodes=1"},
            "player.type: unknown player 'stokfish:nodes=1'; did you mean stockfish? known: ",
        ),
        ({"type": "sandbag", "player": {"type": "mcts", "simulations": 0}}, "player.simulations: "),
        ({"type": "engine_subtle", "rank": 0}, "rank: "),
        ({"type": "policy_noise", "mix": 1.5}, "mix: "),
    ],
)
def test_a_mistake_within_names_its_key_from_the_outermost(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        REGISTRY.parse(settings)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
