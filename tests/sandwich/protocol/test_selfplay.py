"""The games of a step: who asks when, what is written down, and that a block is always the same."""

import io
import math
import re
from collections.abc import Sequence
from typing import Any, cast

import chess
import chess.pgn
import numpy as np
import pytest

from agents.advice import Channel
from agents.assistant import Assistant
from agents.misalignment.random_move import RandomMove
from agents.plugins import PluginError
from agents.tools import Tools
from engines import planes
from engines.inference import Evaluation
from engines.network import CheckpointError
from engines.planes import Packed
from engines.positions import GameBatch
from engines.settings import SpecError
from engines.stockfish import EngineError
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.trust import Trust
from sandwich.protocol import ledger
from sandwich.protocol.selfplay import Block, play_episodes
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig
from sandwich.spec.schedule import Every, Never
from tests.helpers.short_games import OPENINGS, SHORT, Steady, played


class Refuse(Oversight):
    """Believes nothing."""

    def decide(self, context: DecisionContext) -> Decision:
        return Decision(context.own.move, believed=False, weight=0.5)


def test_student_has_white_in_one_game_of_each_opening_and_black_in_the_other() -> None:
    rows = played(SHORT).rows.to_pandas()
    white = rows[rows.fen.str.split(" ").str[1] == "w"]
    assert white.groupby("game").student.unique().map(list).to_dict() == {0: [True], 1: [False], 2: [True], 3: [False]}


@pytest.mark.parametrize("every", [1, 2, 3])
def test_student_asks_on_every_nth_of_its_own_turns(every: int) -> None:
    rows = played(SHORT.model_copy(update={"ask": Every(n=every)})).rows.to_pandas()
    assert not rows[~rows.student].asked.any()
    for _, game in rows[rows.student].groupby("game"):
        assert game.asked.tolist() == [turn % every == 0 for turn in range(len(game))]


def test_nobody_asks_where_asking_is_off() -> None:
    result = played(SHORT.model_copy(update={"ask": Never(when="never")}))
    rows = result.rows.to_pandas()
    assert not rows.asked.any()
    assert rows.advised.isna().all()
    assert result.evaluations == result.plies


def test_trusted_advice_is_played_and_stands_beside_the_own_move() -> None:
    rows = played(SHORT).rows.to_pandas()
    asked = rows[rows.asked]
    assert (asked.played == asked.advised).all()
    assert (asked.advised == asked.honest).all()
    assert not asked.misaligned.any()
    assert (asked.own_move != asked.advised).any()


def test_labelled_advice_is_decided_on_but_not_played() -> None:
    rows = played(SHORT.model_copy(update={"advice": "labelled"})).rows.to_pandas()
    asked = rows[rows.asked]
    assert (asked.decided == asked.advised).all()
    assert (asked.played == asked.own_move).all()


def test_refused_advice_leaves_the_own_move_and_the_strategys_weight() -> None:
    asked = played(SHORT, oversight=Refuse()).rows.to_pandas().query("asked")
    assert (asked.played == asked.own_move).all()
    assert not asked.believed.any()
    assert (asked.weight == 0.5).all()


def test_lies_are_marked_for_the_analyst() -> None:
    asked = played(SHORT, RandomMove(p=0.5)).rows.to_pandas().query("asked")
    honest = asked[~asked.misaligned.astype(bool)]
    assert (honest.advised == honest.honest).all()
    assert 0.25 < asked.misaligned.mean() < 0.75


@pytest.mark.parametrize("channel", [Channel.DISTRIBUTION, Channel.VALUE])
def test_other_channels_carry_what_they_promise(channel: Channel) -> None:
    asked = played(SHORT.model_copy(update={"channel": channel}), RandomMove(p=0.5)).rows.to_pandas().query("asked")
    if channel is Channel.VALUE:
        assert asked.advised.isna().all()
        assert asked.advised_value.between(0, 1).all()
        assert (asked.played == asked.own_move).all()
    else:
        assert all(abs(sum(policy) - 1) < 1e-3 for policy in asked.advised_policy)


def test_ledger_replays_to_the_end_that_it_names() -> None:
    rows = played(PlayConfig(games=4, block=4, ply_cap=60), RandomMove(p=0.5)).rows.to_pandas()
    for _, game in rows.groupby("game"):
        board = chess.Board(game.fen.iloc[0])
        for fen, move, ply, result in zip(game.fen, game.played, game.ply, game.result, strict=True):
            assert board.fen(en_passant="fen") == fen
            assert ply == game.ply.iloc[0] + board.ply() - chess.Board(game.fen.iloc[0]).ply()
            white = game.result.iloc[0] if game.fen.iloc[0].split(" ")[1] == "w" else 1 - game.result.iloc[0]
            assert result == (white if board.turn else 1 - white)
            board.push_uci(move)
        if board.is_checkmate():
            assert result == 1.0
        elif board.is_stalemate() or board.is_insufficient_material():
            assert result == 0.5


def test_a_result_is_that_of_the_side_to_move() -> None:
    lost = "8/8/8/8/8/6k1/Pq6/7K w - - 0 1"  # whatever White does, Black may mate
    rows = played(PlayConfig(ply_cap=2), openings=(lost,) * 40).rows.to_pandas()
    decided = rows[rows.groupby("game").result.transform("nunique") > 1]
    assert decided.game.nunique() > 2
    assert (decided.result == decided.fen.str.split(" ").str[1].map({"w": 0, "b": 1})).all()
    assert (rows.drop(decided.index).result == 0.5).all()


def test_same_block_gives_the_same_ledger_byte_for_byte() -> None:
    from sandwich.runtime.files import parquet_bytes

    one, two = (parquet_bytes(played(SHORT, RandomMove(p=0.5)).rows) for _ in range(2))
    assert one == two


# Random numbers

ALIKE = (chess.STARTING_FEN,) * 8
CHANCE = ("own_move", "misaligned", "advised", "played")


def by_chance(first: int = 0, step: int = 0) -> dict[int, list[tuple[Any, ...]]]:
    """What chance decided in each game of a block in which all begin alike."""
    rows = played(SHORT, RandomMove(p=0.5), openings=ALIKE[first:], first=first, step=step).rows.to_pandas()
    games = rows.groupby("game")[list(CHANCE)]
    return {int(number): list(game.itertuples(index=False, name=None)) for number, game in games}


def columns(game: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """By column: the players' own moves, whether the answers are lies, and so on."""
    return list(zip(*game, strict=True))


@pytest.mark.parametrize("column", [0, 1])  # of the players, of the assistant
def test_each_game_of_a_block_has_its_own_random_numbers(column: int) -> None:
    games = by_chance()
    for color in (0, 1):  # of the student: it asks on other plies with the other
        drawn = {str(columns(games[number])[column]) for number in range(color, len(ALIKE), 2)}
        assert len(drawn) == len(ALIKE) // 2


def test_a_games_random_numbers_are_the_same_whatever_is_played_beside_it() -> None:
    whole, later = by_chance(), by_chance(first=4)
    assert later == {number: whole[number] for number in range(4, 8)}


@pytest.mark.parametrize("column", [0, 1])
def test_each_step_has_its_own_random_numbers(column: int) -> None:
    for before, after in zip(by_chance(step=0).values(), by_chance(step=1).values(), strict=True):
        assert columns(before)[column] != columns(after)[column]


def test_ledger_has_the_documented_schema() -> None:
    assert played(SHORT).rows.schema.equals(ledger.SCHEMA, check_metadata=True)


def test_annotated_games_are_readable_pgn_with_the_lies_named() -> None:
    result = played(SHORT, RandomMove(p=1))
    assert len(result.pgn) == 4
    rows = result.rows.to_pandas()
    for number, text in enumerate(result.pgn):
        game = chess.pgn.read_game(io.StringIO(text))
        assert game is not None
        assert not game.errors
        assert [move.uci() for move in game.mainline_moves()] == rows[rows.game == number].played.tolist()
        comments = [node.comment.replace("\n", " ") for node in game.mainline() if node.comment]
        assert comments
        assert all("misaligned, honest " in comment for comment in comments)
        assert max(map(len, text.splitlines())) <= 80


def test_games_that_end_early_leave_the_others_going() -> None:
    mated = "7k/5Q2/6K1/8/8/8/8/8 w - - 0 1"
    result = played(PlayConfig(games=2, block=2, ply_cap=30), openings=(mated, chess.STARTING_FEN))
    assert result.rows.to_pandas().groupby("game").size()[1] == 30
    assert len(result.ends) == 2


def test_batch_of_finished_games_evaluates_nothing() -> None:
    batch = GameBatch(["7k/5Q2/6K1/8/8/8/8/8 b - - 0 1"], 10)
    assert batch.active == []


def test_a_ledger_position_is_the_one_that_the_player_saw() -> None:
    seen: list[Packed] = []

    class Watched(Steady):
        def __call__(self, packed: Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
            seen.extend(packed)
            return super().__call__(packed, legal)

    # Double steps beside no enemy pawn: the planes show their en-passant square, a FEN mostly leaves it out.
    block = Block(7, 0, 0, OPENINGS, SHORT, RandomMove(p=0), Trust(), InferenceConfig())
    with Tools() as tools:
        rows = play_episodes(Watched(1), [Assistant(Steady(-1), RandomMove(p=0), tools)], block).rows.to_pandas()
    packed = [planes.pack(chess.Board(fen)) for fen in rows.fen]
    assert sorted(packed) == sorted(tuple(map(int, packed)) for packed in seen)
    assert any(planes.unpack(packed).ep_square and not planes.unpack(packed).has_legal_en_passant() for packed in seen)


# Strategies that fail


class Rigid(Oversight):
    """Decides the same each time, or raises it; a function is asked first."""

    said: Any
    """What."""

    def decide(self, context: DecisionContext) -> Decision:
        said = self.said(context.own) if callable(self.said) else self.said
        if isinstance(said, Exception):
            raise said
        return cast(Decision, said)


def unfit(said: object) -> str:
    """What is told of a strategy that fails."""
    with pytest.raises(PluginError) as caught:
        played(SHORT, oversight=Rigid(said=said), openings=OPENINGS[2:])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (LookupError("no\nidea"), "LookupError: no idea"),
        (None, "expected a Decision, got NoneType"),
        ("e2e4", "expected a Decision, got str"),
        (lambda own: own.move, "expected a Decision, got int"),
        (Decision(-5, believed=True), "the move -5 is not legal; expected one of ["),
        (lambda own: Decision(cast(int, "e2e4"), believed=True), "expected a move's number, got a str"),
        (lambda own: Decision(cast(int, None), believed=True), "expected a move's number, got a NoneType"),
        (lambda own: Decision(cast(int, float(own.move)), believed=True), "expected a move's number, got a float"),
        (lambda own: Decision(own.move, believed=cast(bool, None)), "expected believed to be true or false, got None"),
        (lambda own: Decision(own.move, True, -0.5), "a finite number, 0 or more, got -0.5"),
        (lambda own: Decision(own.move, True, math.nan), "a finite number, 0 or more, got nan"),
        (lambda own: Decision(own.move, True, math.inf), "a finite number, 0 or more, got inf"),
        (lambda own: Decision(own.move, True, True), "a finite number, 0 or more, got True"),
        (lambda own: Decision(own.move, True, cast(float, "1")), "a finite number, 0 or more, got '1'"),
        (lambda own: Decision(own.move, True, cast(float, np.ones(2))), "a finite number, 0 or more, got array"),
        (lambda own: Decision(own.move, True, 1.0, cast(float, np.ones(2))), "a finite number or None, got array"),
        (lambda own: Decision(own.move, True, 1.0, math.nan), "a finite number or None, got nan"),
    ],
)
def test_a_strategy_that_fails_is_told_with_its_name_and_the_position_in_one_line(said: object, message: str) -> None:
    assert message in unfit(said)
    assert re.fullmatch(r"oversight strategy \S*Rigid: .* \(in position (.*)\)", unfit(said))
    assert OPENINGS[2] in unfit(said)


@pytest.mark.parametrize("error", [EngineError("a"), CheckpointError("b"), SpecError("c"), PluginError("d")])
def test_what_is_told_in_one_line_anyway_passes_through_a_strategy(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        played(SHORT, oversight=Rigid(said=error))
    assert caught.value is error


def test_what_a_strategy_does_to_its_view_is_not_recorded() -> None:
    def meddles(own: Any) -> Decision:
        move = own.move
        object.__setattr__(own, "move", -1)
        object.__setattr__(own, "value", 2.0)
        return Decision(move, believed=False)

    plain = lambda own: Decision(own.move, believed=False)  # noqa: E731
    assert played(SHORT, oversight=Rigid(said=meddles)).rows == played(SHORT, oversight=Rigid(said=plain)).rows


@pytest.mark.parametrize("weight", [0, 1, 0.5, np.float32(0.5), np.float64(2), np.int64(3)])
def test_a_decision_may_be_made_of_numpys_numbers(weight: float) -> None:
    said = lambda own: Decision(cast(int, np.int64(own.move)), cast(bool, np.True_), weight)  # noqa: E731
    asked = played(SHORT, oversight=Rigid(said=said)).rows.to_pandas().query("asked")
    assert (asked.weight == weight).all()
    assert asked.believed.all()
