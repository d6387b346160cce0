"""Lies that an engine finds: its worst, subtle, steering and risky moves, checked against the engine."""

from collections.abc import Sequence

import chess
import numpy as np
import pytest

from agents.advice import Channel
from agents.judging import engine_values
from agents.misalignment.engine_riskiest import EngineRiskiest
from agents.misalignment.engine_subtle import EngineSubtle
from agents.misalignment.engine_worst import EngineWorst
from agents.misalignment.steer import Steer
from agents.tools import Tools
from engines import moves
from engines.stockfish import Line, Stockfish
from tests.helpers.advice_batches import EXPERT, WEAK, answers, boards
from tests.helpers.fakes import after, alone, legal_numbers, question, worth
from tests.helpers.project import needs_stockfish


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
