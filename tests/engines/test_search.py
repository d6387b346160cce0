"""Looking ahead: the tree search against its rule done by hand, mates that it finds, and values one move on."""

from collections.abc import Sequence

import chess
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import moves, planes
from engines.inference import Evaluation, Evaluator
from engines.lookahead import move_values, position_values
from engines.positions import successors
from engines.search import FIRST_PLAY, TreeSearch
from tests.helpers.fakes import Even, Hashed, after, alone, legal_numbers, pack_board, worth
from tests.helpers.project import random_games


class Counted:
    """An evaluator that remembers how large its batches were."""

    def __init__(self, inner: Evaluator) -> None:
        self.inner = inner
        self.sizes: list[int] = []

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        self.sizes.append(len(legal))
        return self.inner(packed, legal)


def fixed(white: float, black: float) -> Evaluator:
    """An evaluator whose value depends on the side to move alone; all moves are equally likely."""

    def evaluate(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        value = np.where(packed[:, 9] & np.uint64(1), white, black)
        return Evaluation(
            legal, Even()(packed, legal).policy, np.stack([value, 0 * value, 1 - value], 1).astype(np.float32)
        )

    return evaluate


def boards(count: int, seed: int, plies: int = 100) -> list[chess.Board]:
    """Positions of random games that are not over."""
    games = random_games(1 + count // 8, seed=seed, plies=plies)
    return [board for game in games for board in game[1::11] if any(board.legal_moves)][:count]


def searched(search: TreeSearch, some: Sequence[chess.Board]) -> Evaluation:
    """What a search thinks of some positions."""
    return search(np.array([pack_board(board) for board in some]), [legal_numbers(board) for board in some])


def best_move(evaluator: Evaluator, board: chess.Board) -> str:
    """Its move in algebraic notation."""
    seen = evaluator(pack_board(board)[None], [legal_numbers(board)])
    return board.san(moves.decode(seen.best(0), board))


def visits(seen: Evaluation, row: int, simulations: int, prior: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Visits of each move at the root, by the policy."""
    return seen.policy[row] * (simulations + 1e-3) - 1e-3 * prior


# Mates

MATES = [
    ("6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1", 1, "Rd8#"),
    ("3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1", 1, "Rd1#"),
    ("rnbqkbnr/pppp1ppp/8/4p3/6P1/5P2/PPPPP2P/RNBQKBNR b KQkq - 0 2", 1, "Qh4#"),
    ("6rk/6pp/8/6N1/8/8/8/6K1 w - - 0 1", 1, "Nf7#"),
    ("kbK5/pp6/1P6/8/8/8/8/R7 w - - 0 1", 2, "Ra6"),  # Morphy's: a rook is offered
    ("r7/8/8/8/8/1p6/PP6/KBk5 b - - 0 1", 2, "Ra3"),
    ("7k/8/5K2/8/8/8/8/6R1 w - - 0 1", 2, "Kf7"),  # zugzwang
    ("6r1/8/8/8/8/5k2/8/7K b - - 0 1", 2, "Kf2"),
]


def mates(board: chess.Board, own_moves: int) -> list[str]:
    """Moves that mate in so many moves of one's own at most, whatever is answered."""
    found = []
    for move in list(board.legal_moves):
        then = board.copy(stack=False)
        then.push(move)
        if then.is_checkmate():
            found.append(board.san(move))
        elif own_moves > 1 and any(then.legal_moves):
            replies = []
            for reply in list(then.legal_moves):
                later = then.copy(stack=False)
                later.push(reply)
                replies.append(bool(mates(later, own_moves - 1)))
            if all(replies):
                found.append(board.san(move))
    return found


@pytest.mark.parametrize(("fen", "own_moves", "san"), MATES)
def test_a_search_finds_mates_that_the_bare_policy_does_not(fen: str, own_moves: int, san: str) -> None:
    board = chess.Board(fen)
    assert mates(board, own_moves) == [san]  # the only way, and there is no faster one
    assert own_moves == 1 or not mates(board, own_moves - 1)
    assert best_move(Even(), board) != san
    search = TreeSearch(Even(), 100 if own_moves == 1 else 600)
    assert best_move(search, board) == san
    assert searched(search, [board]).value[0] > (0.6 if own_moves == 1 else 0.53)


def test_a_search_sees_that_it_is_mated() -> None:
    """Black has two moves; one lets White mate."""
    board = chess.Board("6k1/5ppp/8/8/8/8/r4PPP/1R4K1 b - - 0 1")
    searching = TreeSearch(Even(), 400)
    assert mates(after(best_move(searching, board), board.fen()), 1) == []


# The rule


def by_hand(evaluator: Evaluator, root: chess.Board, simulations: int, exploration: float) -> tuple[list[int], float]:
    """Visits and mean of PUCT, written down with python-chess and dictionaries."""
    tree: dict[str, dict[str, list[float]]] = {}  # position → "value" and, for each move, prior, visits, total

    def key(board: chess.Board) -> str:
        return f"{board.fen()} {len(board.move_stack)} {[move.uci() for move in board.move_stack]}"

    def enter(board: chess.Board) -> float:
        policy, value = alone(evaluator, board)
        tree[key(board)] = {"value": [value]} | {
            str(number): [float(chance), 0, 0] for number, chance in zip(legal_numbers(board), policy, strict=True)
        }
        return value

    def simulate(board: chess.Board) -> float:
        """Expected score for the side to move."""
        if not any(board.legal_moves):
            return 0.0 if board.is_check() else 0.5
        if board.is_insufficient_material() or board.halfmove_clock >= 100:
            return 0.5
        if key(board) not in tree:
            return enter(board)
        return descend(board)

    def descend(board: chess.Board) -> float:
        node = tree[key(board)]
        stats = {name: numbers for name, numbers in node.items() if name != "value"}
        visited = sum(count for _, count, _ in stats.values())
        mean = (node["value"][0] + sum(total for *_, total in stats.values())) / (1 + visited)

        def priority(name: str) -> float:
            chance, count, total = stats[name]
            seen = total / count if count else mean - FIRST_PLAY
            return float(seen + exploration * chance * np.sqrt(visited + 1) / (1 + count))

        chosen = max(stats, key=priority)
        board.push(moves.decode(int(chosen), board))
        score = 1 - simulate(board)
        board.pop()
        stats[chosen][1] += 1
        stats[chosen][2] += score
        return score

    board = root.copy(stack=False)
    value = enter(board)
    scores = [descend(board) for _ in range(simulations)]
    counts = [int(numbers[1]) for name, numbers in tree[key(board)].items() if name != "value"]
    return counts, (value + sum(scores)) / (1 + simulations)


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.3, 1.5, 4.0]))
def test_a_search_follows_the_rule(seed: int, simulations: int, exploration: float) -> None:
    (game,) = random_games(1, seed=seed, plies=seed % 90)
    board = next(board for board in reversed(game) if any(board.legal_moves))
    counts, mean = by_hand(Hashed("expert"), board, simulations, exploration)
    seen = searched(TreeSearch(Hashed("expert"), simulations, exploration), [board])
    prior, _ = alone(Hashed("expert"), board)
    assert np.allclose(visits(seen, 0, simulations, prior), counts, atol=1e-3)
    assert seen.value[0] == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("simulations", [1, 7, 50])
def test_every_simulation_is_a_visit(simulations: int) -> None:
    some = boards(12, seed=1)
    seen = searched(TreeSearch(Hashed("expert"), simulations), some)
    for row, board in enumerate(some):
        prior, _ = alone(Hashed("expert"), board)
        counts = visits(seen, row, simulations, prior)
        assert np.allclose(counts, counts.round(), atol=1e-3)
        assert counts.round().sum() == simulations
        assert abs(float(seen.policy[row].sum()) - 1) < 1e-5
        assert seen.policy[row].dtype == np.float32
    assert np.allclose(seen.wdl.sum(1), 1, atol=1e-5)
    assert (seen.wdl >= -1e-6).all()
    assert list(seen.legal) == [legal_numbers(board) for board in some]


def test_more_exploration_looks_at_more_moves() -> None:
    some = boards(10, seed=2)
    looked_at = [
        sum(int((policy > 0.9 / 80).sum()) for policy in searched(TreeSearch(Hashed("expert"), 80, c), some).policy)
        for c in (0.1, 1.5, 10)
    ]
    assert looked_at == sorted(set(looked_at))


def test_a_value_belongs_to_the_side_to_move() -> None:
    """Whoever evaluates finds White winning: so does a search, for whichever side it searches."""
    whites, blacks = chess.Board(), after("e4")
    seen = searched(TreeSearch(fixed(white=0.9, black=0.1), 60), [whites, blacks])
    assert seen.value == pytest.approx([0.9, 0.1], abs=1e-5)
    # Whoever finds the side to move winning contradicts itself from move to move, and the search averages.
    assert abs(searched(TreeSearch(fixed(white=0.9, black=0.9), 60), [whites]).value[0] - 0.5) < 0.35


# The end of a game


def test_the_end_of_a_game_is_known_and_not_evaluated() -> None:
    board = chess.Board("8/8/8/8/8/5k2/4p3/4K3 b - - 99 90")  # every king move is a draw by the fifty-move rule
    counted = Counted(fixed(white=0.9, black=0.9))
    seen = searched(TreeSearch(counted, 25), [board])
    assert counted.sizes == [1]
    assert seen.value[0] == pytest.approx((0.9 + 25 * 0.5) / 26)


def test_stalemate_and_mate_are_told_apart() -> None:
    board = chess.Board("7k/5K2/8/6Q1/8/8/8/8 w - - 0 1")
    seen = searched(TreeSearch(Even(), 400), [board])
    chances = {moves.uci(n, board): float(p) for n, p in zip(seen.legal[0], seen.policy[0], strict=True)}
    assert max(chances, key=lambda uci: chances[uci]) in ("g5g7", "g5h6", "g5h5", "g5h4", "g5d8")
    assert chances["g5g6"] < 0.05  # stalemate
    assert seen.value[0] > 0.8


def test_a_position_with_one_move_is_searched_like_any_other() -> None:
    board = chess.Board("6k1/8/8/8/8/6p1/6Pr/7K w - - 0 1")
    seen = searched(TreeSearch(Hashed("expert"), 20), [board])
    assert seen.policy[0].tolist() == [1]
    assert 0 <= seen.value[0] <= 1


# Batches and noise


def same(one: Evaluation, row: int, other: Evaluation, place: int) -> bool:
    """Whether two evaluations of a position are equal in every bit."""
    return bool(np.array_equal(one.policy[row], other.policy[place]) and np.array_equal(one.wdl[row], other.wdl[place]))


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_a_tree_does_not_depend_on_those_beside_it(sigma: float) -> None:
    some = [*boards(14, seed=3), chess.Board(MATES[0][0]), chess.Board("8/8/8/8/8/5k2/4p3/4K3 b - - 99 90")]
    search = TreeSearch(Hashed("expert"), 25)

    def look(rows: Sequence[int]) -> Evaluation:
        packed = np.array([pack_board(some[row]) for row in rows])
        rngs = [np.random.default_rng([7, row]) for row in rows]
        return search.search(packed, [legal_numbers(some[row]) for row in rows], sigma, rngs)

    rows = list(range(len(some)))
    together, backwards = look(rows), look(rows[::-1])
    for row in rows:
        assert same(together, row, backwards, rows[::-1].index(row))
        assert same(together, row, look([row]), 0)


def test_leaves_of_all_trees_are_evaluated_in_one_batch() -> None:
    counted = Counted(Hashed("expert"))
    searched(TreeSearch(counted, 10), boards(9, seed=4))
    assert len(counted.sizes) == 11
    assert counted.sizes[0] == 9
    assert max(counted.sizes) == 9


def test_noise_comes_from_the_generator_of_its_own_tree_alone() -> None:
    some = boards(6, seed=5)
    packed, legal = np.array([pack_board(board) for board in some]), [legal_numbers(board) for board in some]
    search = TreeSearch(Hashed("expert"), 20)

    def look(seeds: Sequence[int], sigma: float = 0.3) -> Evaluation:
        return search.search(packed, legal, sigma, [np.random.default_rng(seed) for seed in seeds])

    one, other = look([1, 2, 3, 4, 5, 6]), look([1, 2, 3, 14, 5, 6])
    assert [same(one, row, other, row) for row in range(6)] == [True, True, True, False, True, True]
    quiet = searched(search, some)
    assert not any(same(one, row, quiet, row) for row in range(6))
    assert all(same(look([1] * 6, sigma=0.0), row, quiet, row) for row in range(6))


def test_without_noise_no_random_number_is_drawn() -> None:
    (board,) = boards(1, seed=6)
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    search = TreeSearch(Hashed("expert"), 10)
    search.search(pack_board(board)[None], [legal_numbers(board)], 0.0, [rng])
    assert rng.bit_generator.state == before
    search.search(pack_board(board)[None], [legal_numbers(board)], 0.1, [rng])
    assert rng.bit_generator.state != before


# One move on


@given(st.integers(0, 2**32), st.integers(0, 200))
def test_a_move_is_worth_what_it_leaves_the_opponent(seed: int, plies: int) -> None:
    (game,) = random_games(1, seed=seed, plies=plies)
    some = [board for board in game[-3:] if any(board.legal_moves)]
    packed, legal = np.array([pack_board(board) for board in some]), [legal_numbers(board) for board in some]
    values = move_values(Hashed("expert"), packed, legal)
    for board, numbers, row in zip(some, legal, values, strict=True):
        assert row.dtype == np.float32
        assert row == pytest.approx([worth(Hashed("expert"), board, number) for number in numbers], abs=1e-6)


ENDS = [
    ("6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1", "d1d8", 1.0),
    ("3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1", "d8d1", 1.0),
    ("7k/5K2/8/6Q1/8/8/8/8 w - - 0 1", "g5g6", 0.5),  # stalemate
    ("4k3/8/8/8/8/8/4p3/4KN2 w - - 0 1", "e1e2", 0.5),  # nothing left to mate with
    ("4k3/8/8/8/8/8/8/4K2R w - - 99 80", "h1h2", 0.5),  # fifty moves
    ("7k/8/6K1/8/8/8/8/R7 w - - 99 80", "a1a8", 1.0),  # mate on the hundredth ply is mate
]


@pytest.mark.parametrize(("fen", "uci", "expected"), ENDS)
def test_a_move_that_ends_the_game_is_worth_its_result(fen: str, uci: str, expected: float) -> None:
    board = chess.Board(fen)
    counted = Counted(Even())
    (value,) = move_values(counted, pack_board(board)[None], [[moves.encode(chess.Move.from_uci(uci), board.turn)]])
    assert value.tolist() == [expected]
    assert counted.sizes == []


def test_values_of_some_moves_are_those_of_all() -> None:
    some = boards(10, seed=7)
    packed, legal = np.array([pack_board(board) for board in some]), [legal_numbers(board) for board in some]
    every = move_values(Hashed("expert"), packed, legal)
    part = move_values(Hashed("expert"), packed, [row[: place % 4][::-1] for place, row in enumerate(legal)])
    for place, (all_of_them, few) in enumerate(zip(every, part, strict=True)):
        assert few.tolist() == all_of_them[: place % 4][::-1].tolist()
    assert move_values(Even(), packed[:0], []) == []


def test_positions_are_evaluated_in_batches_and_finished_games_not_at_all() -> None:
    some = boards(23, seed=8)
    packed, legal = np.array([pack_board(board) for board in some]), [legal_numbers(board) for board in some]
    score = np.full(23, np.nan, np.float32)
    score[[2, 9]] = 0, 0.5
    counted = Counted(Hashed("expert"))
    values = position_values(counted, packed, legal, score, batch=5)
    assert counted.sizes == [5, 5, 5, 5, 1]
    expected = [alone(Hashed("expert"), board)[1] for board in some]
    expected[2], expected[9] = 0, 0.5
    assert values == pytest.approx(expected)
    assert np.isnan(score).sum() == 21  # what was handed in is left as it was
    assert position_values(Hashed("expert"), packed, legal)[3:9] == pytest.approx(expected[3:9])


def test_values_stay_within_0_and_1() -> None:
    """A network's probabilities may sum to a little more than one."""

    def generous(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        return Evaluation(
            legal, Even()(packed, legal).policy, np.tile(np.array([1.0000001, 0, 0], np.float32), (len(packed), 1))
        )

    assert position_values(generous, pack_board(chess.Board())[None], [legal_numbers(chess.Board())]).tolist() == [1]
    (values,) = move_values(generous, pack_board(chess.Board())[None], [legal_numbers(chess.Board())])
    assert values.tolist() == [0] * 20


@given(st.integers(0, 2**32), st.integers(0, 250))
def test_positions_one_move_on_are_those_of_python_chess(seed: int, plies: int) -> None:
    (game,) = random_games(1, seed=seed, plies=plies, fen=[chess.STARTING_FEN, *(fen for fen, *_ in ENDS)][seed % 7])
    before = [board for board in game[-4:] if any(board.legal_moves)]
    pairs = [(board, number) for board in before for number in legal_numbers(board)]
    found = successors(np.array([pack_board(board) for board, _ in pairs]), [number for _, number in pairs])
    for row, (board, number) in enumerate(pairs):
        then = board.copy(stack=False)
        then.push(moves.decode(number, board))
        assert found.packed[row].tolist() == pack_board(then).tolist()
        assert found.legal[row] == legal_numbers(then)
        over = then.is_checkmate() or then.is_stalemate() or then.is_insufficient_material() or then.is_fifty_moves()
        expected = (0.0 if then.is_checkmate() else 0.5) if over else np.nan
        assert np.array_equal(found.score[row], expected, equal_nan=True)


def test_no_positions_have_no_successors() -> None:
    found = successors(np.empty((0, planes.WORDS), np.uint64), [])
    assert (found.packed.shape, len(found.legal), found.score.tolist()) == ((0, planes.WORDS), 0, [])
