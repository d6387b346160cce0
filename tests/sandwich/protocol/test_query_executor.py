"""Where questions are answered: what is counted, what is refused, and that a game is the same in any company."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any, cast

import chess
import numpy as np
import pyarrow as pa
import pytest

from agents.advice import Advice, Channel
from agents.misalignment.random_move import RandomMove
from agents.plugins import PluginError
from engines import moves
from engines.positions import successors
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consistency import Consistency
from sandwich.oversight.consult import Ask, AskExpert, Evaluate
from sandwich.oversight.ground_truth import GroundTruthQueries
from sandwich.oversight.lookahead import Lookahead
from sandwich.oversight.panel import Panel
from sandwich.oversight.reputation import Reputation
from sandwich.oversight.trust import Trust
from sandwich.oversight.two_advisors import TwoAdvisors
from sandwich.oversight.vote import Vote
from sandwich.protocol import ledger
from sandwich.protocol.episode import Episodes, seating
from sandwich.protocol.pending import Outcomes
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.spec.run_spec import Seats
from tests.helpers.decisions import HONEST, SHORT, START, Case, Lines, Script, games, number
from tests.helpers.fakes import Even, Hashed, after, legal_numbers, pack_board
from tests.helpers.small_players import MATES

WORDS, LEGAL = pack_board(START)[None], [legal_numbers(START)]
OPENINGS = [board.fen() for board in (START, after("e4 e5"), after("d4 d5 c4"), after("c4 e5")) for _ in range(4)]
MATED = pack_board(after("f3 e5 g4 Qh4#"))[None]


class Asks(Oversight):
    """Yields what it is made with, keeps the replies and decides on its own move, or on what it is told to."""

    wants: Any = ()
    """Requests, one after the other."""
    says: Any = None
    """Makes the decision of the question and the replies."""
    most: int = 3
    """Questions for one decision."""
    true_answers: int = 0
    """True answers in one game."""
    heard: Any = None
    """List that the question and the replies are put into."""

    @property
    def questions(self) -> int:
        return self.most

    @property
    def ground_truth_budget(self) -> int:
        return self.true_answers

    def decide(self, context: DecisionContext) -> Any:
        replies = [context]
        for want in self.wants:
            if isinstance(want, Exception):
                raise want
            replies.append((yield want))
        if self.heard is not None:
            self.heard.append(replies)
        return Decision(context.own.move, believed=False) if self.says is None else self.says(*replies)


# What is answered and counted


def test_each_request_is_answered_and_counted_by_its_kind() -> None:
    wants = [Ask(WORDS, LEGAL), Evaluate(WORDS.repeat(3, 0), LEGAL * 3), AskExpert(), Ask(WORDS, LEGAL, Channel.VALUE)]
    truth = Lines(START, best={"": "g1f3"})
    says = Lines(START, {"": 0.75}, best={"": "e2e4"})
    heard: list[Any] = []
    case = Case(
        says=[says], weak=Lines(START, {"": 0.25}), expert=truth, lies=Script(said={1: "d2d4"}), ground_truth_left=1
    )
    resolved = case.resolved(Asks(wants=wants, true_answers=1, heard=heard))
    question, again, seen, true, value = heard[0]
    assert question.advised == number(START, "e2e4")
    assert (question.left, question.ground_truth_left) == (2, 1)
    assert [advice.move for advice in again] == [number(START, "d2d4")]
    assert seen.value.tolist() == [0.25] * 3
    assert true.move == number(START, "g1f3")
    assert [(advice.move, advice.value) for advice in value] == [(None, 0.75)]
    assert (resolved.questions, resolved.evaluations, len(resolved.ground_truth)) == (3, 3, 1)


def test_many_queries_are_resolved_as_each_would_be_alone() -> None:
    """Other requests at the same time, other lengths of the consultations: the replies are one's own."""
    openings = [board.fen() for board in (START, after("e4 e5"), chess.Board(MATES[0]), after("d4 d5 c4"))]
    openings = [fen for fen in openings for _ in range(2)]
    alone = Vote(), Consistency(), Lookahead(replies=3), GroundTruthQueries(), Reputation()
    for strategy in (*alone, TwoAdvisors(), Panel(choose="value")):
        second = [RandomMove(p=0.5)] * (strategy.advisors - 1)
        chosen: dict[str, Any] = {"lies": RandomMove(p=0.4), "second": second}
        whole = games(strategy, openings=openings, **chosen).rows
        parts = [games(strategy, openings=openings[at : at + 2], first=at, **chosen).rows for at in range(0, 8, 2)]
        assert pa.concat_tables(parts).equals(whole), strategy


def test_the_same_block_gives_the_same_rows() -> None:
    one, two = (games(Vote(), lies=RandomMove(p=0.5)).rows for _ in range(2))
    assert one.equals(two)


def test_counts_of_a_decision_stand_in_the_ledger() -> None:
    played = games(Consistency(), lies=RandomMove(p=0.5))
    rows = played.rows.to_pandas()
    asked = rows[rows.asked]
    assert asked.questions.isin([2, 5]).all()  # two where the move ends the game
    assert rows[~rows.asked][["questions", "evaluations", "confidence", "ground_truth"]].isna().all(axis=None)
    counted = len(rows) + asked.questions.sum() + asked.evaluations.sum()
    assert played.evaluations == counted


def test_what_the_strategy_sees_of_its_game_cannot_be_changed_by_it() -> None:
    class Vandal(Trust):
        def decide(self, context: DecisionContext) -> Decision:
            for column in context.game.values():
                assert isinstance(column, tuple)
            return super().decide(context)

        def weigh(self, game: Any) -> Sequence[float | None]:
            assert all(isinstance(column, tuple) for column in game.values())
            return super().weigh(game)

    assert games(Vandal()).rows.equals(games(Trust()).rows)


# Channel `candidates`


def test_of_its_candidates_the_student_takes_the_best_by_the_values_that_it_is_told() -> None:
    weak = Lines(START, best={"": "e2e4"})  # and then the moves of the lowest numbers
    order = [number(START, "e2e4"), *[move for move in legal_numbers(START) if move != number(START, "e2e4")]][:3]
    first, second, third = (moves.uci(move, START) for move in order)
    says = Lines(START, {first: 0.5, second: 0.25, third: 0.375})
    case = Case(weak=weak, says=[says], channel=Channel.CANDIDATES, candidates=3)
    resolved = case.resolved(Trust())
    assert resolved.answer.given.move == resolved.answer.honest.move == resolved.decision.move == number(START, second)
    assert resolved.answer.given.value == 0.75
    assert (resolved.questions, resolved.answer.misaligned) == (3, False)

    case.lies = Script(said={2: 0.125})  # of the third: worth 0.875 then
    lied = case.resolved(Trust())
    assert (lied.answer.given.move, lied.answer.given.value) == (number(START, third), 0.875)
    assert (lied.answer.honest.move, lied.answer.honest.value) == (number(START, second), 0.75)
    assert (lied.questions, lied.answer.misaligned) == (3, True)

    case.lies = Script(said={0: 0.5})  # a lie that changes nothing is one
    assert case.resolved(Trust()).answer.misaligned


@pytest.mark.parametrize("fen", MATES[:-1])  # in the last of them no move mates
def test_a_candidate_that_ends_the_game_need_not_be_asked_about(fen: str) -> None:
    board = chess.Board(fen)
    mate = next(move.uci() for move in board.legal_moves if board.san(move).endswith("#"))
    weak = Lines(board, best={"": mate})
    resolved = Case(board, weak=weak, channel=Channel.CANDIDATES, candidates=2).resolved(Trust())
    assert resolved.questions <= 1  # the other candidate's, unless it mates too
    assert (moves.uci(resolved.decision.move, board), resolved.answer.given.value) == (mate, 1)


def test_asking_again_on_candidates_asks_for_the_move() -> None:
    says = Lines(START, best={"": "e2e4"})
    case = Case(says=[says], weak=Lines(START, best={"": "d2d4"}), channel=Channel.CANDIDATES)
    resolved = case.resolved(Vote())
    assert resolved.questions == 4 + 2
    assert resolved.decision.move == number(START, "e2e4")  # twice of three


# Several assistants


def test_which_of_two_assistants_is_the_first_is_drawn_for_every_game() -> None:
    rows = games(
        Trust(), lies=RandomMove(p=1), second=[HONEST], openings=[chess.STARTING_FEN] * 32,
        play=SHORT.model_copy(update={"ply_cap": 6}),
    ).rows.to_pandas()  # fmt: skip
    lied = rows[rows.asked].groupby("game").misaligned
    assert (lied.nunique() == 1).all()  # the same one all through a game
    assert 8 <= lied.first().sum() <= 24


@pytest.mark.parametrize("seats", [(0, 1), (1, 0)])
def test_the_advisors_of_a_game_change_places(seats: tuple[int, ...]) -> None:
    says = [Lines(START, best={"": move}) for move in ("e2e4", "d2d4")]
    heard: list[Any] = []
    wants = [Ask(WORDS, LEGAL, advisor=1), Ask(WORDS, LEGAL, advisor=0)]
    Case(says=says, seats=seats).resolved(Asks(wants=wants, heard=heard))
    question, other, same = heard[0]
    named = [moves.uci(move, START) for move in (question.advised, other[0].move, same[0].move)]
    assert named == (["d2d4", "e2e4", "d2d4"] if seats == (1, 0) else ["e2e4", "d2d4", "e2e4"])


def test_of_three_assistants_each_seat_is_anybodys() -> None:
    drawn = Counter(seating(3, 1, 0, game) for game in range(600))
    assert drawn.keys() == set(permutations(range(3)))
    assert all(70 <= count <= 130 for count in drawn.values())


def test_of_two_assistants_the_order_is_that_of_one_coin() -> None:
    for game in range(50):
        swapped = bool(make_rng(RngStream.ORDER, 7, 2, game).integers(2))
        assert seating(2, 7, 2, game) == ((1, 0) if swapped else (0, 1))


@pytest.mark.parametrize(("seats", "orders"), [("run", 1), ("game", 6)])
def test_who_sits_where_is_drawn_for_the_run_or_for_every_game(seats: Seats, orders: int) -> None:
    keys: dict[str, Any] = {"seed": 5, "first": 0, "assistants": 3, "seats": seats}
    drawn = [Episodes(SHORT, Trust(), 40, step=step, **keys).seats for step in (0, 1)]
    assert len({*drawn[0], *drawn[1]}) == orders
    assert (drawn[0] == drawn[1]) == (seats == "run")
    assert len({Episodes(SHORT, Trust(), 1, step=0, **keys | {"seed": seed}).seats[0] for seed in range(40)}) == 6


def test_the_ledger_keeps_what_each_seat_said_and_apart_from_it_which_were_lies() -> None:
    rows = games(Panel(), lies=RandomMove(p=1), second=[HONEST, RandomMove(p=1)], openings=OPENINGS).rows.to_pandas()
    asked = rows[rows.asked]
    assert rows[~rows.asked].panel.isna().all() and rows[~rows.asked].panel_misaligned.isna().all()
    assert (asked.questions == 3).all()
    for row in asked.itertuples():
        assert sorted(row.panel_misaligned) == [False, True, True]
        assert (row.advised, row.misaligned) in [*zip(row.panel, row.panel_misaligned, strict=True)]
        assert row.honest == row.advised or row.misaligned
    honest = asked.panel_misaligned.map(lambda lies: [*lies].index(False)).groupby(asked.game)
    assert (honest.nunique() == 1).all()  # the same seat all through a game
    assert honest.first().nunique() == 3


def test_a_seat_that_was_not_asked_says_nothing() -> None:
    wants = [Ask(WORDS, LEGAL, advisor=2), Ask(WORDS, LEGAL, advisor=2)]
    says = [Lines(START, best={"": move}) for move in ("e2e4", "d2d4", "g1f3")]
    case = Case(says=says, seats=(1, 2, 0), lies=Script(said={2: "a2a3"}))
    found = Outcomes.of([case.resolved(Asks(wants=wants))])
    assert found.panel.tolist() == [[number(START, "d2d4"), -1, number(START, "e2e4")]]  # the first that each said
    assert found.panel_misaligned.tolist() == [[0, -1, 0]]
    assert Outcomes.of([case.resolved(Asks(wants=[Ask(WORDS, LEGAL)]))]).panel.tolist() == [[-1, -1, -1]]
    elsewhere = successors(WORDS, [number(START, "e2e4")])
    asks = [Ask(elsewhere.packed, elsewhere.legal, advisor=1)]
    assert Outcomes.of([case.resolved(Asks(wants=asks))]).panel.tolist() == [[-1, -1, -1]]


# What a strategy may not do


def twice(context: DecisionContext, *_: Any) -> Decision:
    """A decision on an answer that nobody gave."""
    return Decision(context.own.move, believed=True, answer=Advice(move=context.own.move))


@pytest.mark.parametrize(
    ("wants", "message"),
    [
        ([Ask(WORDS.repeat(3, 0), LEGAL * 3)], "asked 3 more questions, 2 were left"),
        ([Ask(WORDS, LEGAL), Ask(WORDS.repeat(2, 0), LEGAL * 2)], "asked 2 more questions, 1 were left"),
        ([Ask(WORDS, LEGAL, advisor=1)], "asked advisor 1, there are 1"),
        ([AskExpert()], "asked for a true answer, none were left"),
        (["e2e4"], "expected to be asked Ask, Evaluate, Risks or AskExpert, got str"),
        ([None], "expected to be asked Ask, Evaluate, Risks or AskExpert, got NoneType"),
        ([Ask(WORDS, LEGAL), LookupError("no\nidea")], "LookupError: no idea"),
        ([Evaluate(WORDS, LEGAL), StopIteration()], "RuntimeError: generator raised StopIteration"),
    ],
)
def test_a_strategy_that_asks_what_it_may_not_is_told_in_one_line(wants: list[Any], message: str) -> None:
    assert message in unfit(Asks(wants=wants))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Ask(WORDS, LEGAL * 2),
            "expected packed of type uint64 and shape (2, 10), as many as legal, got uint64",
        ),
        (lambda: Ask(WORDS[0], LEGAL), "expected packed of type uint64 and shape (1, 10)"),
        (lambda: Ask(WORDS.astype(np.int64), LEGAL), "expected packed of type uint64 and shape (1, 10)"),
        (lambda: Evaluate(cast(Any, WORDS.tolist()), LEGAL), "as many as legal, got list"),
        (lambda: Evaluate(MATED, [[]]), "expected positions in which there is a legal move, got one without"),
        (lambda: Evaluate(WORDS, [[-1]]), "expected the numbers of legal moves, got [-1]"),
        (lambda: Ask(WORDS, [[moves.SIZE]]), "expected the numbers of legal moves, got [1858]"),
        (lambda: Ask(WORDS, LEGAL, cast(Channel, "value")), "expected a Channel, got 'value'"),
        (lambda: Ask(WORDS, LEGAL, advisor=-1), "expected advisor 0 or more, got -1"),
        (lambda: Ask(WORDS, LEGAL, advisor=cast(int, "1")), "expected advisor 0 or more, got '1'"),
    ],
)
def test_a_request_that_cannot_be_is_told_where_it_is_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message.replace("1858", str(moves.SIZE)))):
        make()
    assert message.replace("1858", str(moves.SIZE)) in unfit(Asks(says=lambda question: make()))


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (lambda question: None, "expected a Decision, got NoneType"),
        (lambda question: Decision(-5, believed=True), "the move -5 is not legal"),
        (
            lambda question: Decision(question.own.move, True, confidence=math.nan),
            "expected a confidence that is a finite number",
        ),
        (lambda question: Decision(question.own.move, True, confidence=cast(float, "much")), "or None, got 'much'"),
        (twice, "decided on an answer that was not given"),
    ],
)
def test_a_decision_that_cannot_be_is_told_in_one_line(says: Any, message: str) -> None:
    assert message in unfit(Asks(says=says))


def test_with_less_left_than_it_may_ask_a_strategy_is_told_how_much() -> None:
    heard: list[Any] = []
    Case(left=2).resolved(Asks(wants=[Ask(WORDS, LEGAL)], heard=heard))
    assert heard[0][0].left == 1
    with pytest.raises(PluginError, match="asked 2 more questions, 1 were left"):
        Case(left=2).resolved(Asks(wants=[Ask(WORDS.repeat(2, 0), LEGAL * 2)]))


def test_a_true_answer_beyond_the_games_budget_is_refused() -> None:
    asks = Asks(wants=[AskExpert(), AskExpert()], true_answers=1)
    with pytest.raises(PluginError, match="asked for a true answer, none were left"):
        Case(ground_truth_left=1, expert=Even()).resolved(asks)


def test_true_answers_of_a_game_are_bounded_over_all_its_decisions() -> None:
    rows = games(GroundTruthQueries(per_game=2, doubt=0.5), lies=RandomMove(p=0.5)).rows.to_pandas()
    assert (rows.groupby("game").ground_truth.count() == 2).all()
    truth = Hashed("expert")
    for row in rows[rows.ground_truth.notna()].itertuples():
        board = chess.Board(row.fen)
        legal = legal_numbers(board)
        best = legal[int(truth(pack_board(board)[None], [legal]).policy[0].argmax())]
        assert row.ground_truth == row.decided == moves.uci(best, board)
        assert row.believed == (row.ground_truth == row.advised)


def unfit(oversight: Oversight) -> str:
    """What is told of a strategy that fails: one line with its name and the position."""
    board = after("e4 e5")
    with pytest.raises(PluginError) as caught:
        Case(board, weak=Hashed("weak")).resolved(oversight)
    said = str(caught.value)
    found = re.fullmatch(r"oversight strategy \S*Asks: (.*) \(in position (.*)\)", said)
    assert found, said
    assert chess.Board(found[2]).board_fen() == board.board_fen()
    return found[1]


# Weights and memory


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, "TypeError"),
        ([1.0], "expected 24 weights of a game, got 1"),
        ([None] * 23 + [-1.0], "expected a weight that is a finite number, 0 or more, got -1.0"),
        ([None] * 23 + [math.nan], "expected a weight that is a finite number, 0 or more, got nan"),
        ([None] * 23 + ["1"], "expected a weight that is a finite number, 0 or more, got '1'"),
        (LookupError("no\nidea"), "LookupError: no idea"),
    ],
)
def test_weights_that_cannot_be_are_told_in_one_line(weights: Any, message: str) -> None:
    class Weighs(Trust):
        def weigh(self, game: Any) -> Any:
            if isinstance(weights, Exception):
                raise weights
            return weights

    with pytest.raises(PluginError) as caught:
        games(Weighs(), openings=[chess.STARTING_FEN] * 2)
    assert re.fullmatch(
        rf"oversight strategy \S*Weighs: .*{re.escape(message)}.* \(in position .*\)", str(caught.value)
    )


def test_weights_are_those_that_the_strategy_makes_of_the_whole_game() -> None:
    class Late(Trust):
        def weigh(self, game: Any) -> Sequence[float | None]:
            assert set(game) == set(ledger.VISIBLE)
            assert set(game["result"]) <= {0, 0.5, 1}
            return [ply / 100 for ply in game["ply"]]

    rows = games(Late()).rows.to_pandas()
    assert np.allclose(rows.weight, rows.ply / 100)


def test_what_was_studied_comes_with_every_question() -> None:
    class Learned(Trust):
        def decide(self, context: DecisionContext) -> Decision:
            assert context.study == "what I know"
            return super().decide(context)

    games(Learned(), study="what I know")
    with pytest.raises(PluginError, match="AssertionError"):
        games(Learned(), study=None)


def test_a_position_behind_a_move_can_be_asked_about_and_looked_at() -> None:
    """As `successors` gives it, the words and legal moves can be sent as they are."""
    behind = successors(WORDS.repeat(20, 0), LEGAL[0])
    heard: list[Any] = []
    wants = [Ask(behind.packed, behind.legal, Channel.VALUE), Evaluate(behind.packed, behind.legal)]
    Case(weak=Hashed("weak"), says=[Hashed("weak")]).resolved(Asks(wants=wants, most=21, heard=heard))
    _, told, seen = heard[0]
    assert [advice.value for advice in told] == pytest.approx(seen.value.tolist())
