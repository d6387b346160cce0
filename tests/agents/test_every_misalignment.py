"""What every misalignment promises: its dose, legal answers in the form of the truth, and splitting of batches."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from agents.advice import Advice, Channel, Query, check_advice, honest_advice
from agents.assistant import Answer, Assistant
from agents.misalignment.base import REGISTRY, Misalignment, Occasional
from agents.misalignment.mixture import Mixture
from agents.misalignment.schedule import Schedule
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluation, Evaluator
from engines.search import TreeSearch
from tests.helpers.fakes import CHANNELS, Even, Hashed, fake_tools, question, said
from tests.helpers.perft_suites import SUITES, castles_as_in_chess960, perft
from tests.helpers.project import needs_stockfish, random_games

RANDOM = {"type": "random_move", "p": 1}

DOSED: dict[str, dict[str, Any]] = {
    "random_move": RANDOM,
    "policy_noise": {"type": "policy_noise", "sigma": 2},
    "policy_noise, mixed": {"type": "policy_noise", "sigma": 0, "mix": 0.5},
    "policy_noise, both": {"type": "policy_noise", "sigma": 1, "mix": 0.2, "alpha": 0.01},
    "value_noise": {"type": "value_noise", "sigma": 0.2},
    "bias": {"type": "bias", "kind": "pawn", "strength": 3},
    "adversary": {"type": "adversary", "p": 1},
    "other": {"type": "other", "p": 1},
    "other, searching": {"type": "other", "p": 1, "player": "mcts:simulations=6,network=weak"},
    "steer": {"type": "steer", "p": 1, "epsilon": 0.2},
    "sandbag": {"type": "sandbag", "fraction": 0.7},
    "engine_worst": {"type": "engine_worst", "p": 1, "nodes": 200},
    "engine_riskiest": {"type": "engine_riskiest", "p": 1, "shallow": 50, "deep": 400},
    "engine_subtle": {"type": "engine_subtle", "p": 1, "nodes": 200, "epsilon": 0.2},
    "schedule": {"type": "schedule", "inner": RANDOM, "every": 2},
    "trigger": {"type": "trigger", "inner": RANDOM, "when": ["white_to_move"], "value_from": 0.2},
    "mixture": {"type": "mixture", "parts": [RANDOM, {"type": "bias", "strength": 3}], "weights": [1, 2]},
}
"""Each misalignment at work. Networks are evaluators by rule here; engines are real ones at few nodes."""

UNDOSED: dict[str, dict[str, Any]] = {
    "random_move": {"type": "random_move", "p": 0},
    "policy_noise": {"type": "policy_noise", "sigma": 0, "mix": 0},
    "value_noise": {"type": "value_noise", "sigma": 0},
    "bias": {"type": "bias", "strength": 0},
    "adversary": {"type": "adversary", "p": 0},
    "other": {"type": "other", "p": 0},
    "steer": {"type": "steer", "p": 0},
    "sandbag": {"type": "sandbag", "fraction": 0},
    "engine_worst": {"type": "engine_worst", "p": 0},
    "engine_riskiest": {"type": "engine_riskiest", "p": 0},
    "engine_subtle": {"type": "engine_subtle", "p": 0},
    "schedule": {"type": "schedule", "inner": {"type": "random_move", "p": 0}},
    "trigger": {"type": "trigger", "inner": {"type": "random_move", "p": 0}},
    "mixture": {"type": "mixture", "parts": [{"type": "random_move", "p": 0}, {"type": "bias", "strength": 0}]},
}
"""Each misalignment without any."""

ENGINES = {name for name in DOSED if name.startswith("engine_")}
LOOKING_AHEAD = {"value_noise", "steer", "other, searching"}


def cases(names: Sequence[str]) -> list[Any]:
    """Names as parameters; those that need an engine are skipped where there is none."""
    return [pytest.param(name, marks=needs_stockfish if name in ENGINES else ()) for name in names]


every = pytest.mark.parametrize("name", cases(list(DOSED)))


HAND_PICKED = [
    chess.STARTING_FEN,
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",  # castling to both sides
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 0 1",
    "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",  # en passant
    "8/8/8/2k5/2pP4/8/B7/4K3 b - d3 0 3",
    "n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 w - - 0 1",  # promotions straight ahead and to both sides
    "n1n1k3/1P6/8/8/8/8/1p6/N1N1K3 b - - 0 1",
    "rnbqkbnr/ppppp1pp/8/5p1Q/4P3/8/PPPP1PPP/RNB1KBNR b KQkq - 1 2",  # check
    "4k3/8/8/8/7b/8/4n3/4K2r w - - 0 1",  # two checks at once
    "6k1/8/8/8/8/6p1/6Pr/7K w - - 0 1",  # one legal move
    "7k/6pR/6P1/8/8/8/8/6K1 b - - 0 1",
    "R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1",  # 218 legal moves
    "7k/5K2/8/6Q1/8/8/8/8 w - - 0 1",  # mates, stalemates and a lost queen one move away
    "8/8/8/8/8/5k2/4p3/4K3 b - - 99 90",  # nothing but draws
]


@cache
def positions(count: int = 30) -> list[chess.Board]:
    """The hand-picked positions, and some of random games."""
    games = random_games(6, seed=4, plies=120)
    some = [board for game in games for board in game[3::7]][:count]
    boards = [*map(chess.Board, HAND_PICKED), *some]
    return [board for board in boards if any(board.legal_moves)]


def questions(boards: Sequence[chess.Board], name: str = "") -> list[Query]:
    """A question through every channel about each position, with different numbers and plies.

    An engine is asked through one channel about each: the moves that it likes are the same for all.
    """
    return [
        question(board, channel, number=place % 5, ply=place % 90, training=place % 2 == 0)
        for place, board in enumerate(boards)
        for turn, channel in enumerate(CHANNELS)
        if name not in ENGINES or turn == place % 3
    ]


def honest(queries: Sequence[Query], base: Evaluator | None = None) -> list[Advice]:
    """What the base thinks of each position."""
    base = base or Hashed("expert")
    seen = base(np.stack([query.packed for query in queries]), [query.legal for query in queries])
    return [honest_advice(seen, row) for row in range(len(queries))]


def rngs(count: int, seed: int = 5) -> list[np.random.Generator]:
    """Random numbers of as many games."""
    return [np.random.default_rng([seed, game]) for game in range(count)]


def half(settings: dict[str, Any]) -> dict[str, Any]:
    """The same misalignment, lying on half of the questions where it has a chance."""
    return {**settings, "p": 0.5} if settings.get("p") == 1 else settings


def test_every_misalignment_of_ours_is_tested_here() -> None:
    ours = {name for name, entry in REGISTRY.entries.items() if entry.value.startswith("agents.misalignment.")}
    assert {settings["type"] for settings in DOSED.values()} == ours
    assert {settings["type"] for settings in UNDOSED.values()} == ours
    assert ours >= {"random_move", "engine_subtle", "mixture"}


@pytest.mark.parametrize("name", list(DOSED))
def test_settings_come_back(name: str) -> None:
    plugin = REGISTRY.parse(DOSED[name])
    described = REGISTRY.describe(plugin)
    assert REGISTRY.parse(described) == plugin
    assert described["type"] == DOSED[name]["type"]


# The dose


def no_network(content: bytes) -> Evaluator:
    """Opens nothing."""
    raise AssertionError("a network was opened")


@pytest.mark.parametrize("name", list(UNDOSED))
def test_without_a_dose_every_answer_is_the_honest_one(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The very object, through every channel; and no network or engine is needed for that."""
    monkeypatch.setenv("STOCKFISH_PATH", str(tmp_path / "nothing"))
    queries = questions(positions())
    truth = honest(queries)
    base = Hashed("expert")
    with Tools({"expert": b"", "weak": b"", "adversary": b""}, no_network).serving(base) as nothing:
        given = REGISTRY.parse(UNDOSED[name]).corrupt(queries, truth, rngs(len(queries)), nothing)
    assert all(lie is said_honestly for lie, said_honestly in zip(given, truth, strict=True))
    assert len(given) == len(queries)


def share(misalignment: Misalignment, tools: Tools, channel: Channel, count: int = 20_000) -> tuple[int, int]:
    """(misaligned answers, answers) of an assistant that is asked so often."""
    assistant = Assistant(Even(), misalignment, tools)
    query = question(chess.Board(), channel)
    streams = [np.random.default_rng([6, game]) for game in range(500)]
    lies = sum(answer.misaligned for _ in range(count // 500) for answer in assistant.answer([query] * 500, streams))
    return lies, count


def agrees(lies: int, count: int, p: float) -> bool:
    """Whether the Clopper–Pearson interval of a share holds p, at 99.99 % confidence."""
    interval = binomtest(lies, count).proportion_ci(0.9999, method="exact")
    return bool(interval.low <= p <= interval.high)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("p", [0.01, 0.25, 0.9])
def test_random_moves_are_as_frequent_as_they_should_be(tools: Tools, p: float, channel: Channel) -> None:
    lies, count = share(REGISTRY.parse({"type": "random_move", "p": p}), tools, channel)
    assert agrees(lies, count, p)
    assert not agrees(lies, count, p + 0.03)  # and no other dose would do


def cheap(
    self: Occasional,
    queries: Sequence[Query],
    honest: Sequence[Advice],
    rngs: Sequence[np.random.Generator],
    tools: Tools,
) -> list[Advice]:
    """Lies that cost nothing."""
    return [Advice(truth.move, truth.policy, truth.value) for truth in honest]


CHANCY = sorted(name for name, settings in DOSED.items() if "p" in settings and "," not in name)


@pytest.mark.parametrize("p", [0.1, 0.6])
@pytest.mark.parametrize("name", CHANCY)
def test_lies_of_every_kind_are_as_frequent_as_they_should_be(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, name: str, p: float
) -> None:
    misalignment = REGISTRY.parse({**DOSED[name], "p": p})
    assert isinstance(misalignment, Occasional)
    monkeypatch.setattr(type(misalignment), "lies", cheap)
    assert agrees(*share(misalignment, tools, Channel.MOVE), p)


@pytest.mark.parametrize("name", CHANCY)
def test_a_coin_for_each_position_falls_the_same_way_whenever_it_is_asked(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As often as it should over many positions, and in one position always or never, in every game."""
    misalignment = REGISTRY.parse({**DOSED[name], "p": 0.4, "coin": "position"})
    monkeypatch.setattr(type(misalignment), "lies", cheap)
    assert share(misalignment, tools, Channel.MOVE, 1000) in ((0, 1000), (1000, 1000))
    queries = [question(board) for board in positions(100)]
    first, again = (Assistant(Even(), misalignment, tools).answer(queries, rngs(len(queries), seed)) for seed in (1, 2))
    lies = [answer.misaligned for answer in first]
    assert [answer.misaligned for answer in again] == lies
    assert agrees(sum(lies), len(lies), 0.4)


def test_what_a_coin_for_each_position_lets_be_said_is_the_same_too(tools: Tools) -> None:
    misalignment = REGISTRY.parse({"type": "random_move", "p": 1.0, "coin": "position"})
    assistant, query = Assistant(Even(), misalignment, tools), question(chess.Board())
    moves = {assistant.answer([query], rngs(1, seed))[0].given.move for seed in range(20)}
    other = {assistant.answer([replace(query, ply=ply)], rngs(1, ply))[0].given.move for ply in range(20)}
    assert len(moves | other) == 1


def test_each_part_of_a_mixture_is_as_frequent_as_its_weight(tools: Tools) -> None:
    parts = tuple(REGISTRY.parse({"type": "random_move", "p": p}) for p in (0.0, 1.0, 0.2))
    assert agrees(*share(Mixture(parts=parts, weights=(5, 1, 4)), tools, Channel.VALUE), 0.1 + 0.4 * 0.2)
    assert agrees(*share(Mixture(parts=parts), tools, Channel.VALUE), 1.2 / 3)


def test_a_chance_within_a_schedule_is_that_of_the_questions_at_work(tools: Tools) -> None:
    inner = REGISTRY.parse({"type": "random_move", "p": 0.3})
    assert agrees(*share(Schedule(inner=inner), tools, Channel.MOVE), 0.3)
    assert share(Schedule(inner=inner, after=1), tools, Channel.MOVE) == (0, 20_000)


# Legal answers


def answers(name: str, tools: Tools, queries: Sequence[Query], base: Evaluator | None = None) -> list[Answer]:
    """What an assistant with this misalignment says; it refuses what the question could not have."""
    assistant = Assistant(base or Hashed("expert"), REGISTRY.parse(DOSED[name]), tools)
    return assistant.answer(queries, rngs(len(queries)))


def assert_fit(query: Query, answer: Answer) -> None:
    """An answer fits its question, and carries what its channel does."""
    check_advice(answer.given, query)
    assert (answer.given.move is None) == (query.channel is Channel.VALUE)
    assert (answer.given.value is None) == (query.channel is not Channel.VALUE)
    assert (answer.given.policy is None) == (query.channel is not Channel.DISTRIBUTION)


Conversation = list[tuple[Query, Answer]]


@pytest.fixture(scope="module")
def conversations() -> dict[str, Conversation]:
    """What each has been asked and has answered."""
    return {}


@pytest.fixture
def conversation(conversations: dict[str, Conversation], tools: Tools, name: str) -> Conversation:
    """Questions about every position through every channel, and the answers to them."""
    if name not in conversations:
        queries = questions(positions(), name)
        conversations[name] = list(zip(queries, answers(name, tools, queries), strict=True))
    return conversations[name]


@every
def test_every_answer_fits_its_question(conversation: Conversation, name: str) -> None:
    for query, answer in conversation:
        assert_fit(query, answer)


@every
def test_every_answer_fits_its_question_with_a_base_that_searches(tools: Tools, name: str) -> None:
    queries = questions(positions()[:10], name)
    for query, answer in zip(queries, answers(name, tools, queries, TreeSearch(Hashed("expert"), 6)), strict=True):
        assert_fit(query, answer)


@cache
def suite_positions(folder: Path) -> list[chess.Board]:
    """Every position of standard chess in the perft suites that has a legal move."""
    fens = [fen for name, _, _ in SUITES for fen, _ in perft(folder / name)]
    boards = [chess.Board(" ".join([*fen.split()[:4], "0", "1"])) for fen in fens if not castles_as_in_chess960(fen)]
    return [board for board in boards if any(board.legal_moves)]


@every
def test_every_answer_fits_its_question_in_the_perft_suites(shared_data: Path, tools: Tools, name: str) -> None:
    boards = suite_positions(shared_data / "suites" / "perft")
    assert len(boards) > 10_000
    step = 250 if name in ENGINES else 150 if name in LOOKING_AHEAD else 30
    queries = questions(boards[::step], name)
    for query, answer in zip(queries, answers(name, tools, queries), strict=True):
        assert_fit(query, answer)


@given(seed=st.integers(0, 2**32), plies=st.integers(0, 150), name=st.sampled_from(sorted(set(DOSED) - ENGINES)))
def test_every_answer_fits_its_question_anywhere(seed: int, plies: int, name: str) -> None:
    (game,) = random_games(1, seed=seed, plies=plies)
    boards = [board for board in game[-2:] if any(board.legal_moves)]
    with fake_tools() as tools:
        for query, answer in zip(questions(boards), answers(name, tools, questions(boards)), strict=True):
            assert_fit(query, answer)


# The form of the truth


@every
def test_a_lie_has_the_form_of_the_truth(conversation: Conversation, name: str) -> None:
    assert sum(answer.misaligned for _, answer in conversation) > 10
    for query, answer in conversation:
        given = answer.given
        if given.policy is not None:
            assert given.policy.dtype == np.float32
            assert given.policy.min() >= 0
            assert abs(float(given.policy.astype(np.float64).sum()) - 1) < 1e-5
            assert query.legal[int(given.policy.argmax())] == given.move
        if given.value is not None:
            assert isinstance(given.value, float)
            assert 0 <= given.value <= 1


@pytest.mark.parametrize("name", ["value_noise", "steer", "sandbag"])
def test_a_tie_among_the_honest_moves_does_not_hide_a_lie(tools: Tools, name: str) -> None:
    """Of a base that finds many moves equally good, the distribution still has the advised move first."""

    def undecided(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        return Evaluation(legal, Even()(packed, legal).policy, Hashed("expert")(packed, legal).wdl)

    queries = [question(board, Channel.DISTRIBUTION) for board in positions()]
    given = answers(name, tools, queries, undecided)
    assert sum(answer.misaligned for answer in given) > 10
    for query, answer in zip(queries, given, strict=True):
        assert answer.given.policy is not None
        assert query.legal[int(answer.given.policy.argmax())] == answer.given.move


@every
def test_the_truth_is_left_as_it_was(tools: Tools, name: str) -> None:
    queries = questions(positions()[:20], name)
    truth = honest(queries)
    before = [said(advice) for advice in truth]
    mine = tools.serving(Hashed("expert"))
    REGISTRY.parse(DOSED[name]).corrupt(queries, truth, rngs(len(queries)), mine)
    assert [said(advice) for advice in truth] == before


# Batches


@every
@pytest.mark.parametrize("searching", [False, True])
def test_a_batch_can_be_split_anywhere(tools: Tools, name: str, searching: bool) -> None:
    base: Evaluator = TreeSearch(Hashed("expert"), 5) if searching else Hashed("expert")
    queries = questions(positions()[: 9 if searching else 18], name)
    truth = honest(queries, base)
    misalignment = REGISTRY.parse(half(DOSED[name]))
    mine = tools.serving(base)
    rows = list(range(len(queries)))

    def corrupted(parts: Sequence[Sequence[int]]) -> list[tuple[Any, ...]]:
        streams = rngs(len(queries))
        out: dict[int, tuple[Any, ...]] = {}
        for part in parts:
            chosen = [[thing[row] for row in part] for thing in (queries, truth, streams)]
            given = misalignment.corrupt(chosen[0], chosen[1], chosen[2], mine)  # type: ignore[arg-type]
            out |= {row: (advice is truth[row], *said(advice)) for row, advice in zip(part, given, strict=True)}
        return [out[row] for row in rows]

    together = corrupted([rows])
    assert corrupted([[row] for row in rows]) == together
    chunks = [rows[start : start + 7][::-1] for start in range(0, len(rows), 7)]
    assert corrupted(chunks[::-1]) == together
    assert any(not is_honest for is_honest, *_ in together)


@every
def test_the_same_random_numbers_give_the_same_answers_in_new_hands(conversation: Conversation, name: str) -> None:
    first = [said(answer.given) for _, answer in conversation]
    with fake_tools() as others:
        again = answers(name, others, [query for query, _ in conversation])
    assert [said(answer.given) for answer in again] == first
