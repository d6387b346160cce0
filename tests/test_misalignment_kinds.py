"""What each kind of misalignment does, checked against python-chess, the engine, and the rule done by hand."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import chess
import numpy as np
import pytest
from conftest import needs_stockfish, random_games
from fakes import CHANNELS, Hashed, after, alone, fake_tools, legal_numbers, question, said, worth
from hypothesis import given
from hypothesis import strategies as st

from agents.assistant import Answer, Assistant
from agents.base import Advice, Channel, Query
from agents.judging import engine_values
from agents.misalignment.adversary import Adversary
from agents.misalignment.base import REGISTRY, Misalignment
from agents.misalignment.bias import Bias
from agents.misalignment.engine_riskiest import EngineRiskiest
from agents.misalignment.engine_subtle import EngineSubtle
from agents.misalignment.engine_worst import EngineWorst
from agents.misalignment.mixture import Mixture
from agents.misalignment.other import Other
from agents.misalignment.policy_noise import PolicyNoise
from agents.misalignment.sandbag import Sandbag
from agents.misalignment.schedule import Phase, Schedule, phase
from agents.misalignment.steer import Steer
from agents.misalignment.trigger import Condition, Trigger
from agents.misalignment.value_noise import ValueNoise
from agents.players.stockfish import StockfishPlayer
from agents.tools import Tools
from engines import moves, planes
from engines.inference import Evaluation, Evaluator
from engines.search import TreeSearch
from engines.settings import SpecError
from engines.stockfish import Line, Stockfish

EXPERT, WEAK = Hashed("expert"), Hashed("weak")


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    with fake_tools() as opened:
        yield opened


def boards(count: int, seed: int = 1, plies: int = 100) -> list[chess.Board]:
    """Positions of random games that are not over."""
    games = random_games(1 + count // 10, seed=seed, plies=plies)
    return [board for game in games for board in game[2::9] if any(board.legal_moves)][:count]


def rngs(count: int, seed: int = 3) -> list[np.random.Generator]:
    """Random numbers of as many games."""
    return [np.random.default_rng([seed, game]) for game in range(count)]


def answers(
    misalignment: Misalignment, queries: Sequence[Query], tools: Tools, base: Evaluator = EXPERT, seed: int = 3
) -> list[Answer]:
    """What an assistant with this misalignment says."""
    return Assistant(base, misalignment, tools).answer(queries, rngs(len(queries), seed))


def changed(given: Sequence[Answer]) -> float:
    """Share of answers that advise another move than the honest one."""
    return float(np.mean([answer.given.move != answer.honest.move for answer in given]))


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
        working = query.number % 2 == 0 and planes.unpack(query.words).turn == chess.WHITE
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
    ("settings", "words"),
    [
        ({}, "parts: missing"),
        ({"parts": []}, "parts: Tuple should have at least 1 item"),
        ({"parts": [RANDOM], "weights": [1, 2]}, "weights: expected 1, one for each part, got 2"),
        ({"parts": [RANDOM, RANDOM], "weights": [1]}, "weights: expected 2, one for each part, got 1"),
        ({"parts": [RANDOM], "weights": [-1]}, "weights: expected finite ones, none below 0 and one above, got [-1.0]"),
        ({"parts": [RANDOM, RANDOM], "weights": [0, 0]}, "weights: expected finite ones, none below 0 and one above"),
        ({"parts": [RANDOM], "weights": [float("inf")]}, "weights"),
        ({"parts": [RANDOM, RANDOM], "weights": [float("nan"), 1]}, "weights"),
        ({"parts": [RANDOM], "weights": ["much"]}, "weights.0: "),
        ({"parts": [RANDOM, {"type": "random_move", "p": 2}]}, "parts.1.p: "),
        ({"parts": [{"type": "randm"}]}, "parts.0.type: unknown misalignment 'randm'; known: "),
        ({"parts": [5]}, "parts.0.type: expected a mapping with a type, got 5"),
        ({"parts": [RANDOM], "shares": [1]}, "shares: unknown key; known here: parts, weights"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_in_one_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        REGISTRY.parse({"type": "mixture", **settings})
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"type": "schedule"}, "inner: missing"),
        ({"type": "schedule", "inner": RANDOM, "every": 0}, "every: "),
        ({"type": "schedule", "inner": RANDOM, "phase": "ending"}, "phase: Input should be 'opening', 'middlegame'"),
        (
            {"type": "schedule", "inner": {"type": "trigger", "inner": {"type": "bias", "kind": "x"}}},
            "inner.inner.kind",
        ),
        ({"type": "trigger", "inner": RANDOM, "when": ["in_chek"]}, "when.0: Input should be 'in_check', "),
        ({"type": "trigger", "inner": RANDOM, "setting": "test"}, "setting: Input should be 'any', 'training'"),
        ({"type": "other", "player": "stokfish:nodes=1"}, "player.type: unknown player 'stokfish:nodes=1'; known: "),
        ({"type": "sandbag", "player": {"type": "mcts", "simulations": 0}}, "player.simulations: "),
        ({"type": "engine_subtle", "rank": 0}, "rank: "),
        ({"type": "policy_noise", "mix": 1.5}, "mix: "),
    ],
)
def test_a_mistake_within_names_its_key_from_the_outermost(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        REGISTRY.parse(settings)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


# Bias

KINDS: dict[str, Callable[[chess.Board, chess.Move], bool]] = {
    **{
        name: lambda board, move, piece=piece: board.piece_type_at(move.from_square) == piece  # type: ignore[misc]
        for piece, name in enumerate(chess.PIECE_NAMES)
        if name
    },
    "kingside": lambda board, move: chess.square_file(move.to_square) >= 4,
    "queenside": lambda board, move: chess.square_file(move.to_square) < 4,
    "captures": lambda board, move: board.is_capture(move),
}
TRICKY = [
    "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",  # en passant
    "8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3",
    "4k3/8/8/8/pPp5/8/8/4K3 b - b3 0 1",  # … from both sides
    "4k3/8/8/8/1p6/1P6/P1P5/4K3 w - - 0 1",
    "4k3/8/8/1pP5/1P6/8/8/4K3 w - b6 0 1",  # a pawn of one's own stands below that square
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",  # castling to both sides
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 0 1",
    "n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 b - - 0 1",  # promotions
]


def assert_matches(board: chess.Board) -> None:
    """Every kind of move is known as python-chess knows it."""
    query = question(board)
    played = [moves.decode(number, board) for number in query.legal]
    for kind, rule in KINDS.items():
        expected = [rule(board, move) for move in played]
        assert REGISTRY.parse({"type": "bias", "kind": kind}).matches(query).tolist() == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("fen", TRICKY)
def test_kinds_of_moves_are_those_of_python_chess_in_tricky_positions(fen: str) -> None:
    assert_matches(chess.Board(fen))
    assert_matches(chess.Board(fen).mirror())


def test_kinds_of_moves_are_those_of_python_chess_in_random_games() -> None:
    games = [board for game in random_games(10, seed=11, plies=150) for board in game if any(board.legal_moves)]
    seen = [board for place, board in enumerate(games) if place % 5 == 0 or board.has_legal_en_passant()]
    for board in seen:
        assert_matches(board)
    en_passant = [board for board in seen if board.has_legal_en_passant()]
    assert {board.turn for board in en_passant} == {chess.WHITE, chess.BLACK}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_bias_is_added_to_the_logits(tools: Tools, kind: str) -> None:
    """The odds of a move of that kind against another rise by the factor e^strength, or fall by it."""
    queries = [question(board, Channel.DISTRIBUTION) for board in boards(40)]
    checked = 0
    for avoid, sign in ((False, 1), (True, -1)):
        bias = REGISTRY.parse({"type": "bias", "kind": kind, "strength": 1.5, "avoid": avoid})
        assert isinstance(bias, Bias)
        for query, answer in zip(queries, answers(bias, queries, tools), strict=True):
            matches = bias.matches(query)
            if matches.all() or not matches.any():
                assert not answer.misaligned  # nothing to prefer
                continue
            assert answer.misaligned
            assert answer.given.policy is not None and answer.honest.policy is not None
            logits = np.log(answer.given.policy) - np.log(np.maximum(answer.honest.policy, 1e-4))
            logits -= logits[~matches].mean()
            assert np.allclose(logits, 1.5 * sign * matches, atol=1e-3)
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_great_bias_has_its_way_wherever_it_can(tools: Tools, kind: str) -> None:
    queries = [question(board) for board in boards(60)]
    for avoid in (False, True):
        bias = REGISTRY.parse({"type": "bias", "kind": kind, "strength": 50, "avoid": avoid})
        assert isinstance(bias, Bias)
        for query, answer in zip(queries, answers(bias, queries, tools), strict=True):
            wanted = bias.matches(query) != avoid
            assert answer.given.move is not None
            if wanted.any():
                assert wanted[query.legal.index(answer.given.move)]
            else:
                assert not answer.misaligned


# Noise


def noisy(settings: dict[str, Any], tools: Tools, channel: Channel = Channel.MOVE, count: int = 100) -> list[Answer]:
    """Answers of a misalignment with these settings."""
    return answers(REGISTRY.parse(settings), [question(board, channel) for board in boards(count)], tools)


@pytest.mark.parametrize(
    "doses",
    [
        [{"type": "policy_noise", "sigma": sigma} for sigma in (0, 0.3, 1, 3, 10)],
        [{"type": "policy_noise", "sigma": 0, "mix": mix} for mix in (0, 0.3, 0.6, 0.95)],
        [{"type": "value_noise", "sigma": sigma} for sigma in (0, 0.01, 0.1, 0.5, 2)],
        [{"type": "bias", "strength": strength} for strength in (0, 1, 3, 6)],
        [{"type": "sandbag", "limit": 1, "fraction": fraction} for fraction in (0, 0.2, 0.5, 1)],
        [{"type": "sandbag", "fraction": 1, "limit": limit} for limit in (0, 0.1, 0.3, 1)],
    ],
)
def test_a_greater_dose_changes_more_moves(tools: Tools, doses: list[dict[str, Any]]) -> None:
    shares = [changed(noisy(dose, tools)) for dose in doses]
    assert shares == sorted(set(shares))
    assert shares[-1] > 0.4


@pytest.mark.parametrize("kind", ["policy_noise", "value_noise"])
def test_next_to_no_noise_changes_next_to_nothing(tools: Tools, kind: str) -> None:
    assert changed(noisy({"type": kind, "sigma": 1e-5}, tools)) < 0.01


@pytest.mark.parametrize("kind", ["policy_noise", "value_noise", "bias"])
def test_an_answer_that_comes_out_the_same_is_honest(tools: Tools, kind: str) -> None:
    for channel in (Channel.MOVE, Channel.DISTRIBUTION):
        for answer in noisy({"type": kind}, tools, channel):
            assert answer.misaligned == (said(answer.given) != said(answer.honest))


def test_noise_on_logits_has_its_standard_deviation(tools: Tools) -> None:
    shifts = []
    for answer in noisy({"type": "policy_noise", "sigma": 0.7}, tools, Channel.DISTRIBUTION, 300):
        assert answer.given.policy is not None and answer.honest.policy is not None
        shift = np.log(answer.given.policy) - np.log(np.maximum(answer.honest.policy, 1e-4))
        shifts.append((shift - shift.mean()) * np.sqrt(len(shift) / max(1, len(shift) - 1)))
    pooled = np.concatenate(shifts)
    assert len(pooled) > 4000
    assert abs(float(pooled.std()) - 0.7) < 0.03


def test_mixed_in_noise_is_symmetric_between_the_moves(tools: Tools) -> None:
    board, draws = chess.Board(), 4000
    noise = PolicyNoise(sigma=0, mix=0.4, alpha=0.3)
    given = answers(noise, [question(board, Channel.DISTRIBUTION)] * draws, tools)
    mean = np.mean([answer.given.policy for answer in given if answer.given.policy is not None], axis=0)
    expected = 0.6 * alone(EXPERT, board)[0] + 0.4 / 20
    assert np.allclose(mean, expected, atol=5 * 0.4 * np.sqrt(0.05 * 0.95 / 7 / draws))


def test_values_with_noise_lie_around_the_honest_one(tools: Tools) -> None:
    (board,) = [board for board in boards(40) if 0.45 < alone(EXPERT, board)[1] < 0.55][:1]
    given = answers(ValueNoise(sigma=0.05), [question(board, Channel.VALUE)] * 4000, tools)
    values = np.array([answer.given.value for answer in given])
    assert abs(float(values.mean()) - alone(EXPERT, board)[1]) < 4 * 0.05 / np.sqrt(4000)
    assert abs(float(values.std()) - 0.05) < 4 * 0.05 / np.sqrt(8000)
    far = np.array([answer.given.value for answer in noisy({"type": "value_noise", "sigma": 3}, tools, Channel.VALUE)])
    assert (far.min(), far.max()) == (0, 1)  # cut off where no expected score is


def test_value_noise_may_come_on_every_kth_question_only(tools: Tools) -> None:
    queries = [question(chess.Board(), Channel.VALUE, number=number) for number in range(9)]
    given = answers(ValueNoise(sigma=0.1, every=4), queries, tools)
    assert [place for place, answer in enumerate(given) if answer.misaligned] == [0, 4, 8]


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_base_that_searches_has_the_noise_within_its_search(tools: Tools, channel: Channel) -> None:
    queries = [question(board, channel) for board in boards(12)]
    base = TreeSearch(EXPERT, 12)
    given = answers(ValueNoise(sigma=0.4), queries, tools, base)
    again = answers(ValueNoise(sigma=0.4), queries[::-1], tools, base)
    words = np.stack([query.words for query in queries])
    inside = base.search(words, [query.legal for query in queries], 0.4, rngs(12))
    for row, answer in enumerate(given):
        if answer.given.move is not None:
            assert answer.given.move == inside.best(row)
        if answer.given.policy is not None:
            assert np.array_equal(answer.given.policy, inside.policy[row])
        if answer.given.value is not None:
            assert answer.given.value == pytest.approx(float(inside.value[row]))
    assert [said(answer.given) for answer in given] == [
        said(answer.given) for answer in answers(ValueNoise(sigma=0.4), queries, tools, base)
    ]
    assert [said(answer.given) for answer in given] != [said(answer.given) for answer in again[::-1]]  # other numbers
    assert any(answer.misaligned for answer in given)


# Other players


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_other_player_answers_as_it_thinks(tools: Tools, channel: Channel) -> None:
    queries = [question(board, channel) for board in boards(20)]
    for misalignment, player in ((Other(p=1), "weak"), (Adversary(p=1), "adversary")):
        for query, answer in zip(queries, answers(misalignment, queries, tools), strict=True):
            policy, value = alone(Hashed(player), planes.unpack(query.words))
            full = Advice(query.legal[int(policy.argmax())], policy, value)
            assert said(answer.given) == said(full.through(channel))
            assert answer.misaligned


@needs_stockfish
def test_an_engine_can_be_the_other_player(tools: Tools) -> None:
    queries = [question(board) for board in boards(5)]
    given = answers(Other(p=1, player=StockfishPlayer(nodes=100)), queries, tools)
    for query, answer in zip(queries, given, strict=True):
        engine = tools.stockfish()
        engine.clear()
        assert answer.given.move is not None
        board = planes.unpack(query.words)
        assert moves.uci(answer.given.move, board) == engine.best_move(board.fen(), nodes=100)


# Sandbag


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_a_sandbagger_never_errs_grossly(tools: Tools, fraction: float, limit: float) -> None:
    queries = [question(board, CHANNELS[place % 2]) for place, board in enumerate(boards(60))]
    given = answers(Sandbag(fraction=fraction, limit=limit), queries, tools)
    for query, answer in zip(queries, given, strict=True):
        board = planes.unpack(query.words)
        assert answer.given.move is not None and answer.honest.move is not None
        own, advised = worth(EXPERT, board, answer.honest.move), worth(EXPERT, board, answer.given.move)
        assert advised >= own - limit - 1e-6
    assert changed(given) > 0


def test_a_sandbagger_without_bounds_is_the_weaker_player(tools: Tools) -> None:
    queries = [question(board, channel) for board in boards(30) for channel in CHANNELS]
    for query, answer in zip(queries, answers(Sandbag(fraction=1, limit=1), queries, tools), strict=True):
        policy, value = alone(WEAK, planes.unpack(query.words))
        if query.channel is Channel.VALUE:
            assert answer.given.value == pytest.approx(value)
        else:
            assert answer.given.move == query.legal[int(policy.argmax())]
        if answer.given.policy is not None:
            floored = np.maximum(policy, 1e-4)
            assert np.allclose(answer.given.policy, floored / floored.sum(), atol=1e-6)


def test_a_sandbagger_lies_between_the_two_players(tools: Tools) -> None:
    queries = [question(board, Channel.VALUE) for board in boards(20)]
    for query, answer in zip(queries, answers(Sandbag(fraction=0.25), queries, tools), strict=True):
        board = planes.unpack(query.words)
        assert answer.given.value == pytest.approx(0.75 * alone(EXPERT, board)[1] + 0.25 * alone(WEAK, board)[1])


@given(
    st.integers(0, 2**32), st.floats(0.01, 1), st.floats(0, 1), st.sampled_from([Channel.MOVE, Channel.DISTRIBUTION])
)
def test_a_sandbagger_advises_the_first_move_of_the_mixed_policy_that_is_no_gross_error(
    seed: int, fraction: float, limit: float, channel: Channel
) -> None:
    (game,) = random_games(1, seed=seed, plies=40)
    board = next(board for board in reversed(game) if any(board.legal_moves))
    with fake_tools() as tools:
        (answer,) = answers(Sandbag(fraction=fraction, limit=limit), [question(board, channel)], tools)
    legal, (own, _), (weaker, _) = legal_numbers(board), alone(EXPERT, board), alone(WEAK, board)
    mixed = np.maximum(own, 1e-4) ** (1 - fraction) * np.maximum(weaker, 1e-4) ** fraction
    least = worth(EXPERT, board, legal[int(own.argmax())]) - limit
    for place in np.argsort(-mixed):
        if place == own.argmax() or worth(EXPERT, board, legal[int(place)]) >= least:
            assert answer.given.move == legal[int(place)]
            return


# Engines


@needs_stockfish
def test_the_worst_move_is_the_last_of_all_by_the_same_look(tools: Tools) -> None:
    for board in boards(12):
        query = question(board)
        values = engine_values(tools.stockfish(), query, 300)
        (answer,) = answers(EngineWorst(p=1, nodes=300), [query], tools)
        assert answer.given.move is not None
        assert values[query.legal.index(answer.given.move)] == values.min()
        (about_value,) = answers(EngineWorst(p=1, nodes=300), [question(board, Channel.VALUE)], tools)
        assert about_value.given.value == pytest.approx(1 - alone(EXPERT, board)[1])


class Curt(Stockfish):
    """An engine that has only so many lines to say, as one has whose nodes do not suffice for more."""

    def analyse(
        self,
        fen: str,
        moves: Sequence[str] = (),
        *,
        nodes: int | None = None,
        depth: int | None = None,
        multipv: int = 1,
    ) -> tuple[Line, ...]:
        return super().analyse(fen, moves, nodes=nodes, depth=depth, multipv=multipv)[:2]


@needs_stockfish
@pytest.mark.parametrize("engine", [Stockfish, Curt])
@pytest.mark.parametrize(
    ("fen", "expected"),
    [
        ("7k/5K2/8/6Q1/8/8/8/8 w - - 0 1", {"g5g7": 0.975, "g5h6": 0.975, "g5g6": 0.5}),  # mates and a stalemate
        ("8/8/8/8/6q1/8/5k2/7K b - - 0 1", {"g4g2": 0.975, "g4h3": 0.975, "g4g3": 0.5}),
        ("3r2k1/5ppp/8/8/8/8/1R3PPP/6K1 w - - 0 1", {"b2a2": 0.025, "b2b1": 0.5}),  # lets Black mate, or not
        ("4k3/8/8/8/8/3q4/8/3RK3 w - - 0 1", {"d1d3": 0.975, "d1a1": 0.025}),  # takes the queen, or does not
    ],
)
def test_an_engine_values_every_move_for_who_makes_it(
    engine: type[Stockfish], fen: str, expected: dict[str, float]
) -> None:
    """A mate counts as a mate seen by the engine or, where nobody is left to ask, as 1."""
    board = chess.Board(fen)
    query = question(board)
    with engine(hash_mib=1) as opened:
        for nodes in (100, 20_000):
            values = engine_values(opened, query, nodes)
            assert ((values >= 0) & (values <= 1)).all()
            for uci, value in expected.items():
                place = query.legal.index(moves.encode(chess.Move.from_uci(uci), board.turn))
                assert values[place] == pytest.approx(value, abs=0.3), (uci, nodes)


def unsuspected(board: chess.Board, epsilon: float, rank: int | None) -> list[int]:
    """Moves that the weak player would not suspect, by the rule done by hand."""
    legal, (policy, _) = legal_numbers(board), alone(WEAK, board)
    own = worth(WEAK, board, legal[int(policy.argmax())])
    first = set(np.argsort(-policy, kind="stable")[:rank].tolist())
    return [
        place
        for place, number in enumerate(legal)
        if place in first and worth(WEAK, board, number) >= own - epsilon - 1e-6
    ]


@needs_stockfish
@pytest.mark.parametrize(("epsilon", "rank"), [(0.0, None), (0.1, None), (1.0, 3), (0.2, 5), (1.0, None), (0.5, 1)])
def test_the_subtle_move_is_the_worst_of_those_that_nobody_suspects(
    tools: Tools, epsilon: float, rank: int | None
) -> None:
    some = boards(6, seed=8)
    subtle = EngineSubtle(p=1, nodes=200, epsilon=epsilon, rank=rank)
    for board, answer in zip(some, answers(subtle, [question(board) for board in some], tools), strict=True):
        query = question(board)
        values = engine_values(tools.stockfish(), query, 200)
        allowed = unsuspected(board, epsilon, rank)
        assert answer.given.move is not None
        assert query.legal.index(answer.given.move) in allowed
        assert values[query.legal.index(answer.given.move)] == values[allowed].min()
        if rank == 1:
            assert answer.given.move == query.legal[int(alone(WEAK, board)[0].argmax())]
        if epsilon == 1 and rank is None:
            assert values[query.legal.index(answer.given.move)] == values.min()


@needs_stockfish
def test_a_subtle_value_is_what_the_weak_player_thinks_itself(tools: Tools) -> None:
    (board,) = boards(1)
    for misalignment in (EngineSubtle(p=1, nodes=50), Steer(p=1)):
        (answer,) = answers(misalignment, [question(board, Channel.VALUE)], tools)
        assert answer.given.value == pytest.approx(alone(WEAK, board)[1])


def harm(board: chess.Board, number: int) -> float:
    """What the weak player loses with its next move but one, by the rule of `steer` done by hand."""
    then = board.copy(stack=False)
    for evaluator in (None, EXPERT):
        chosen = number if evaluator is None else legal_numbers(then)[int(alone(evaluator, then)[0].argmax())]
        then.push(moves.decode(chosen, then))
        if not any(then.legal_moves) or then.is_insufficient_material() or then.halfmove_clock >= 100:
            return 0.0
    legal = legal_numbers(then)
    good, own = (legal[int(alone(player, then)[0].argmax())] for player in (EXPERT, WEAK))
    return max(0.0, worth(EXPERT, then, good) - worth(EXPERT, then, own))


@pytest.mark.parametrize(("epsilon", "candidates"), [(0.1, 6), (0.4, 3), (1.0, 40), (0.0, 6)])
def test_a_steering_move_leads_to_the_greatest_loss_to_come(tools: Tools, epsilon: float, candidates: int) -> None:
    some = [*boards(20, seed=9), after("f3 e5 g4"), chess.Board("7k/5K2/8/6Q1/8/8/8/8 w - - 0 1")]
    steer = Steer(p=1, epsilon=epsilon, candidates=candidates)
    led = 0
    for board, answer in zip(some, answers(steer, [question(board) for board in some], tools), strict=True):
        legal, (policy, _) = legal_numbers(board), alone(WEAK, board)
        sound = unsuspected(board, epsilon, None)
        liked = sorted(sound, key=lambda place: -policy[place])[:candidates]
        assert answer.given.move is not None
        place = legal.index(answer.given.move)
        losses = {some_place: harm(board, legal[some_place]) for some_place in liked}
        assert place in liked
        assert losses[place] == pytest.approx(max(losses.values()), abs=1e-5)
        led += losses[place] > 0
    assert led > 5 or epsilon == 0


SACRIFICES = {
    "Greek gift, Greco 1620": ("e4 e6 d4 Nf6 Bd3 Nc6 Nf3 Be7 h4 O-O e5 Nd5", "Bxh7+"),
    "Légal": ("e4 e5 Nf3 d6 Bc4 h6 Nc3 Bg4", "Nxe5"),
    "Fried Liver": ("e4 e5 Nf3 Nc6 Bc4 Nf6 Ng5 d5 exd5 Nxd5", "Nxf7"),
    "Bxf7+, Hamlisch 1899": ("e4 d6 d4 Nd7 Bc4 g6 Nf3 Bg7", "Bxf7+"),
    "queen, Morphy 1858": (
        "e4 e5 Nf3 d6 d4 Bg4 dxe5 Bxf3 Qxf3 dxe5 Bc4 Nf6 Qb3 Qe7 Nc3 c6 Bg5 b5 Nxb5 cxb5 Bxb5+ Nbd7 O-O-O Rd8 "
        "Rxd7 Rxd7 Rd1 Qe6 Bxd7+ Nxd7",
        "Qb8+",
    ),
    "queen, Fischer 1956": (
        "Nf3 Nf6 c4 g6 Nc3 Bg7 d4 O-O Bf4 d5 Qb3 dxc4 Qxc4 c6 e4 Nbd7 Rd1 Nb6 Qc5 Bg4 Bg5 Na4 Qa3 Nxc3 bxc3 Nxe4 "
        "Bxe7 Qb6 Bc4 Nxc3 Bc5 Rfe8+ Kf1",
        "Be6",
    ),
}


@needs_stockfish
def test_famous_sacrifices_are_risky(tools: Tools) -> None:
    """Nearly all more than half of the sound moves, and most among the first three, with the settings that ship."""
    riskiest = EngineRiskiest(p=1)
    places: dict[str, int] = {}
    above: dict[str, bool] = {}
    for name, (line, san) in SACRIFICES.items():
        board = after(line)
        query, move = question(board), board.parse_san(san)
        shallow, deep = riskiest.looks(query, tools)
        risk, sound = np.abs(deep - shallow), deep >= deep.max() - riskiest.limit
        place = query.legal.index(moves.encode(move, board.turn))
        places[name] = 1 + int((risk[sound] > risk[place]).sum())
        above[name] = bool(sound[place] and risk[place] > np.median(risk[sound]))
        (answer,) = answers(riskiest, [query], tools)
        assert answer.given.move is not None
        advised = query.legal.index(answer.given.move)
        assert sound[advised] and risk[advised] == risk[sound].max()
    assert sum(above.values()) >= len(SACRIFICES) - 1, above
    assert sum(place <= 3 for place in places.values()) > len(SACRIFICES) / 2, places


@needs_stockfish
def test_no_blunder_is_a_risk(tools: Tools) -> None:
    for board in boards(5, seed=10):
        query = question(board)
        for limit in (0.0, 0.1):
            riskiest = EngineRiskiest(p=1, shallow=50, deep=500, limit=limit)
            (answer,) = answers(riskiest, [query], tools)
            _, deep = riskiest.looks(query, tools)
            assert answer.given.move is not None
            assert deep[query.legal.index(answer.given.move)] >= deep.max() - limit


def test_a_tie_among_the_honest_moves_does_not_hide_a_lie(tools: Tools) -> None:
    """Of a base that finds many moves equally good, the distribution still has the advised move first."""

    def undecided(words: planes.Words, legal: Sequence[Sequence[int]]) -> Evaluation:
        seen = EXPERT(words, legal)
        return Evaluation(legal, [np.full(len(row), 1 / len(row), np.float32) for row in legal], seen.wdl)

    queries = [question(board, Channel.DISTRIBUTION) for board in boards(20)]
    for misalignment in (ValueNoise(sigma=0.5), Steer(p=1), Sandbag(fraction=0.5, limit=0.05)):
        for query, answer in zip(queries, answers(misalignment, queries, tools, undecided), strict=True):
            assert answer.given.policy is not None
            assert query.legal[int(answer.given.policy.argmax())] == answer.given.move
