"""Measuring players: matches whose scores can be told beforehand, and the real oracle on moves good and bad."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import chess
import numpy as np
import pytest
import torch
from conftest import needs_stockfish, random_games

from engines import moves, planes
from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from engines.positions import GameBatch
from sandwich.cluster import Cluster
from sandwich.config import InferenceConfig
from sandwich.evaluate import (
    PAIRS_PER_BLOCK,
    Contestants,
    Match,
    MatchBlock,
    Oracle,
    best_moves,
    play_match,
    play_match_block,
)
from sandwich.selfplay import evaluator

CPU = InferenceConfig(device="cpu")

MATES = [  # one move mates, every other does not end the game
    "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1",
    "3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1",
    "7k/8/6K1/8/8/8/8/R7 w - - 0 1",
    "r7/8/8/8/8/6k1/8/7K b - - 0 1",
    "8/8/8/8/8/1k6/7q/K7 b - - 0 1",
    "k7/7Q/1K6/8/8/8/8/8 w - - 0 1",
    "4k3/R7/8/8/8/8/8/1R2K3 w - - 0 1",
    "4k3/1r6/r7/8/8/8/8/4K3 b - - 0 1",
]


@cache
def player(seed: int) -> bytes:
    """Checkpoint of a small network whose random weights make it decided about its moves."""
    torch.manual_seed(seed)
    net = PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)).eval()
    with torch.no_grad():
        net.start.weight.mul_(20)
    return to_bytes(net)


@cache
def openings(count: int) -> tuple[str, ...]:
    """Different positions: those of `MATES`, and those of random games with few pieces."""
    games = random_games(40, seed=6, plies=12, fen="r3k3/p6p/8/8/8/8/P6P/R3K3 w - - 0 1")
    boards = [board for game in games for board in game[6:] if not board.is_game_over()]
    fens = {board.epd(): board.fen() for board in [*map(chess.Board, MATES), *boards]}
    return tuple(fens.values())[:count]


class Inline:
    """Stands for a cluster: does the jobs here, the last one first."""

    workers = 1

    def map(
        self,
        function: Callable[[Any, Any], Any],
        shared: Any,
        jobs: Sequence[Any],
        done: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        return [function(shared, job) for job in reversed(jobs)][::-1]


def block(fens: Sequence[str], ply_cap: int = 60, seed: int = 1, number: int = 0) -> MatchBlock:
    """Part of a match from these openings."""
    return MatchBlock(tuple(fens), number, seed, ply_cap, CPU)


def match(
    first: int,
    second: int,
    fens: Sequence[str],
    *,
    ply_cap: int = 60,
    seed: int = 1,
    temperatures: tuple[float, float] = (0, 0),
) -> Match:
    """A match between two of the players."""
    players = Contestants(player(first), player(second), temperatures)
    cluster = cast(Cluster, Inline())
    return play_match(cluster, players, fens, seed=seed, ply_cap=ply_cap, inference=CPU)


def finds_mate(seed: int, fen: str) -> bool:
    """Whether a player mates in one in this position."""
    board = chess.Board(fen)
    (best,) = best_moves(player(seed), [fen], CPU)
    board.push(moves.decode(best, board))
    return board.is_checkmate()


@cache
def sharp_and_blunt() -> tuple[int, int]:
    """Of some players the one that finds the most of the mates, and the one that finds the fewest."""
    found = {seed: sum(finds_mate(seed, fen) for fen in MATES) for seed in range(1, 20)}
    sharp, blunt = max(found, key=lambda seed: found[seed]), min(found, key=lambda seed: found[seed])
    assert found[sharp] > found[blunt]
    return sharp, blunt


# Matches


def test_a_pair_is_scored_by_who_mates_and_who_does_not() -> None:
    sharp, blunt = sharp_and_blunt()
    found = {seed: [finds_mate(seed, fen) for fen in MATES] for seed in (sharp, blunt)}
    for first, second in ((sharp, blunt), (blunt, sharp)):
        # Capped after one ply: who has the move in one game wins it or draws, and then the other does.
        expected = [0.5 + (found[first][row] - found[second][row]) / 4 for row in range(len(MATES))]
        capped = [2 - found[first][row] - found[second][row] for row in range(len(MATES))]
        played = play_match_block(Contestants(player(first), player(second)), block(MATES, ply_cap=1))
        assert [pair[0] for pair in played] == expected
        assert [pair[1] for pair in played] == capped
        assert [pair[2] for pair in played] == [2] * len(MATES)
        assert set(expected) != {0.5}


def test_a_player_against_itself_scores_half_in_every_pair() -> None:
    seen = match(1, 1, openings(40))
    assert seen.pairs.tolist() == [0.5] * len(seen.pairs)
    assert len(seen.pairs) > 20


def test_games_end_in_more_than_one_way() -> None:
    sharp, blunt = sharp_and_blunt()
    pairs = play_match_block(Contestants(player(sharp), player(blunt)), block(openings(40)))
    assert len({score for score, _, _, _ in pairs}) >= 2
    assert len({capped for _, capped, _, _ in pairs}) >= 2
    assert len({plies for _, _, plies, _ in pairs}) >= 5


def test_exchanged_players_have_the_opposite_scores() -> None:
    sharp, blunt = sharp_and_blunt()
    one, other = match(sharp, blunt, openings(40)), match(blunt, sharp, openings(40))
    assert np.array_equal(one.pairs, 1 - other.pairs)
    assert np.array_equal(one.openings, other.openings)
    assert (one.capped, one.plies) == (other.capped, other.plies)
    assert one.pairs.std() > 0


def test_pairs_with_the_same_moves_count_once() -> None:
    fens = openings(10)
    sharp, blunt = sharp_and_blunt()
    once = match(sharp, blunt, fens)
    thrice = match(sharp, blunt, [*fens, *fens[::-1], *fens])
    assert np.array_equal(once.pairs, thrice.pairs)
    assert np.array_equal(once.openings, thrice.openings)  # the first of each
    assert (once.capped, once.plies) == (thrice.capped, thrice.plies)
    drawn = match(1, 2, [fens[9]] * 10, temperatures=(1, 1))
    assert len(drawn.pairs) > 5  # drawn moves are not the same


def test_a_pair_does_not_depend_on_those_beside_it() -> None:
    sharp, blunt = sharp_and_blunt()
    players = Contestants(player(sharp), player(blunt))
    together = play_match_block(players, block(openings(12)))
    alone = [pair for fen in openings(12) for pair in play_match_block(players, block([fen]))]
    assert together == alone
    assert play_match_block(players, block(openings(12)[::-1])) == together[::-1]


def test_a_match_longer_than_a_block_is_joined_in_order() -> None:
    fens = openings(PAIRS_PER_BLOCK + 6)
    assert len(fens) == PAIRS_PER_BLOCK + 6
    whole = match(1, 2, fens, ply_cap=20)
    parts = [match(1, 2, fens[:PAIRS_PER_BLOCK], ply_cap=20), match(1, 2, fens[PAIRS_PER_BLOCK:], ply_cap=20)]
    scores = {int(place): score for place, score in zip(whole.openings, whole.pairs, strict=True)}
    later = dict(zip((parts[1].openings + PAIRS_PER_BLOCK).tolist(), parts[1].pairs.tolist(), strict=True))
    expected = dict(zip(parts[0].openings.tolist(), parts[0].pairs.tolist(), strict=True)) | later
    assert scores.items() <= expected.items()
    assert whole.openings.tolist() == sorted(scores)


def test_drawn_moves_follow_the_seed() -> None:
    fens = openings(6)
    one, same, other = (match(1, 1, fens, seed=seed, temperatures=(1, 0)) for seed in (1, 1, 2))
    assert np.array_equal(one.pairs, same.pairs)
    assert one.plies == same.plies
    assert (one.plies, one.pairs.tolist()) != (other.plies, other.pairs.tolist())


def test_best_moves_are_the_most_probable_ones() -> None:
    fens = [*openings(10), *MATES]
    batch = GameBatch(fens, ply_cap=1)
    words = np.array([planes.pack(chess.Board(fen)) for fen in fens], np.uint64)
    seen = evaluator(player(1), CPU)(words, batch.legal(range(len(fens))))
    expected = [row[int(policy.argmax())] for row, policy in zip(seen.legal, seen.policy, strict=True)]
    assert best_moves(player(1), fens, CPU) == expected
    for fen, best in zip(fens, expected, strict=True):
        board = chess.Board(fen)
        assert board.is_legal(moves.decode(best, board))


# The oracle


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """A real one, at few nodes."""
    return Oracle(2_000)


def loss(oracle: Oracle, fen: str, move: str) -> float:
    """Expected score that a move in UCI notation gives away."""
    found = oracle.losses([fen], [moves.encode(chess.Move.from_uci(move), chess.Board(fen).turn)])
    assert found is not None
    assert found.shape == (1,)
    return float(found[0])


@needs_stockfish
@pytest.mark.parametrize(
    ("fen", "move", "low", "high"),
    [
        ("r1bqkbnr/pppp1ppp/2n5/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R w KQkq - 2 3", "f1b5", 0, 0.05),  # a known good move
        ("rnbqkbnr/pppp1ppp/8/4p2Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 2 3", "h5e5", 0, 0.05),  # takes a pawn
        ("rnbqkbnr/pppp1ppp/8/4p2Q/4P3/8/PPPP1PPP/RNB1KBNR w KQkq - 2 3", "h5f7", 0.3, 1),  # gives the queen away
        ("rnbqkbnr/pppp1ppp/8/4p3/6P1/5P2/PPPPP2P/RNBQKBNR b KQkq - 0 2", "d8h4", 0, 0),  # for Black, too
        ("rnb1kbnr/pppp1ppp/8/4p3/4P2q/2N5/PPPP1PPP/R1BQKBNR b KQkq - 3 3", "h4h2", 0.3, 1),
        ("6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1", "d1d8", 0, 0),  # mate: nothing can be better
        ("3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1", "d8d1", 0, 0),
        ("3r2k1/5ppp/8/8/8/8/1R3PPP/6K1 w - - 0 1", "b2a2", 0.3, 1),  # and lets Black mate
        ("7k/5Q2/8/6K1/8/8/8/8 w - - 0 1", "g5g6", 0.47, 0.48),  # stalemate, where White was winning
        ("8/8/8/8/8/1k6/7q/K7 b - - 0 1", "h2c2", 0.47, 0.48),
        ("k7/P7/2K5/8/8/8/8/8 w - - 0 1", "c6b6", 0, 0.02),  # stalemate, where no more was to be had
    ],
)
def test_a_loss_is_what_the_move_gives_away(oracle: Oracle, fen: str, move: str, low: float, high: float) -> None:
    assert low <= loss(oracle, fen, move) <= high


@needs_stockfish
def test_losses_are_the_same_in_any_order_and_when_asked_again(oracle: Oracle) -> None:
    fens = list(openings(6))
    chosen = best_moves(player(1), fens, CPU)
    one = oracle.losses(fens, chosen)
    other = Oracle(2_000).losses(fens[::-1], chosen[::-1])
    assert one is not None and other is not None
    assert np.array_equal(one, other[::-1])
    again = oracle.losses(fens, chosen)
    assert again is not None
    assert np.array_equal(one, again)
    assert ((one >= 0) & (one <= 1)).all()


@needs_stockfish
def test_an_oracle_says_who_it_is(oracle: Oracle) -> None:
    assert oracle.missing == ""
    assert oracle.identity and "Stockfish" in oracle.identity
    assert oracle.nodes == 2_000


def test_without_an_engine_nothing_is_measured_and_the_reason_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STOCKFISH_PATH", str(tmp_path / "nothing"))
    oracle = Oracle(2_000)
    assert oracle.losses([MATES[0]], best_moves(player(1), MATES[:1], CPU)) is None
    assert str(tmp_path / "nothing") in oracle.missing
    assert "\n" not in oracle.missing
    assert oracle.identity is None


def test_an_oracle_that_is_not_wanted_says_so() -> None:
    oracle = Oracle(None)
    assert oracle.losses([MATES[0]], [0]) is None
    assert oracle.missing == "evaluate.nodes is none"
