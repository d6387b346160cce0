"""Matches whose scores can be told beforehand."""

import io
from collections.abc import Callable, Sequence
from functools import cache

import chess
import chess.pgn
import numpy as np
import numpy.typing as npt

from agents.misalignment.random_move import RandomMove
from agents.players.assistant import AssistantPlayer
from engines import moves
from sandwich.evaluation.agreement import view_of
from sandwich.evaluation.match import (
    PAIRS_PER_BLOCK,
    Contestants,
    Match,
    MatchBlock,
    Pair,
    play_match,
    play_match_block,
)
from sandwich.runtime.networks import InferenceConfig
from tests.helpers.small_players import CHECKPOINTS, INLINE, MATES, named, openings

CPU = InferenceConfig(device="cpu")
Floats = npt.NDArray[np.float64]


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
    enough: Callable[[Floats], bool] = lambda pairs: False,
) -> Match:
    """A match between two of the players."""
    players = Contestants(named(first), named(second), CHECKPOINTS, temperatures)
    return play_match(INLINE, players, fens, seed=seed, ply_cap=ply_cap, inference=CPU, enough=enough)


def score(pair: Pair) -> float:
    """Score of the first player in both games, 0 to 1."""
    return sum(game.first_score for game in pair) / 2


def finds_mate(seed: int, fen: str) -> bool:
    """Whether a player mates in one in this position."""
    board = chess.Board(fen)
    (best,) = view_of(INLINE, named(seed), CHECKPOINTS, [fen], CPU).best
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
        played = play_match_block(Contestants(named(first), named(second), CHECKPOINTS), block(MATES, ply_cap=1))
        assert [score(pair) for pair in played] == expected
        assert [sum(game.end == "ply cap" for game in pair) for pair in played] == capped
        assert [[len(game.moves) for game in pair] for pair in played] == [[1, 1]] * len(MATES)
        assert set(expected) != {0.5}


def test_a_player_against_itself_scores_half_in_every_pair() -> None:
    seen = match(1, 1, openings(40))
    assert seen.pairs.tolist() == [0.5] * len(seen.pairs)
    assert len(seen.pairs) > 20


def test_games_end_in_more_than_one_way() -> None:
    sharp, blunt = sharp_and_blunt()
    pairs = play_match_block(Contestants(named(sharp), named(blunt), CHECKPOINTS), block(openings(40)))
    assert len({score(pair) for pair in pairs}) >= 2
    assert len({game.end for pair in pairs for game in pair}) >= 2
    assert len({len(game.moves) for pair in pairs for game in pair}) >= 5


def test_exchanged_players_have_the_opposite_scores() -> None:
    sharp, blunt = sharp_and_blunt()
    one, other = match(sharp, blunt, openings(40)), match(blunt, sharp, openings(40))
    assert np.array_equal(one.pairs, 1 - other.pairs)
    assert np.array_equal(one.openings, other.openings)
    assert one.capped == other.capped
    assert one.pairs.std() > 0


def test_pairs_with_the_same_moves_count_once() -> None:
    fens = openings(10)
    sharp, blunt = sharp_and_blunt()
    once = match(sharp, blunt, fens)
    thrice = match(sharp, blunt, [*fens, *fens[::-1], *fens])
    assert np.array_equal(once.pairs, thrice.pairs)
    assert np.array_equal(once.openings, thrice.openings)  # the first of each
    assert once.games == thrice.games
    drawn = match(1, 2, [fens[9]] * 10, temperatures=(1, 1))
    assert len(drawn.pairs) > 5  # drawn moves are not the same


def test_a_pair_does_not_depend_on_those_beside_it() -> None:
    sharp, blunt = sharp_and_blunt()
    players = Contestants(named(sharp), named(blunt), CHECKPOINTS)
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
    assert one.pgn(("a", "b")) == same.pgn(("a", "b"))
    assert one.games != other.games


def test_a_match_ends_after_the_block_in_which_it_was_decided() -> None:
    fens = openings(PAIRS_PER_BLOCK + 6)
    asked: list[int] = []

    def enough(pairs: Floats) -> bool:
        asked.append(len(pairs))
        return True

    whole = match(1, 2, fens, ply_cap=20)
    cut = match(1, 2, fens, ply_cap=20, enough=enough)
    assert asked == [len(cut.pairs)]
    assert cut.games == whole.games[: len(cut.games)]
    assert max(cut.openings) < PAIRS_PER_BLOCK <= max(whole.openings)


def test_a_match_is_written_as_pgn_that_reads_back() -> None:
    sharp, blunt = sharp_and_blunt()
    played = match(sharp, blunt, openings(8))
    text = played.pgn(("sharp", "blunt"))
    assert max(map(len, text.splitlines())) <= 80
    stream = io.StringIO(text)
    for pair in played.games:
        for game in pair:
            read = chess.pgn.read_game(stream)
            assert read is not None and not read.errors
            assert [move.uci() for move in read.mainline_moves()] == list(game.moves)
            assert read.headers["White"] == ("sharp" if game.first_is_white else "blunt")
            assert read.headers["Result"] == {1.0: "1-0", 0.0: "0-1", 0.5: "1/2-1/2"}[game.white_score]
            assert read.headers["Termination"] == game.end
    assert chess.pgn.read_game(stream) is None


def test_an_assistant_at_p_1_plays_at_random_and_at_p_0_as_its_honest_self() -> None:
    fens = openings(12)
    honest, lying = (AssistantPlayer(base=named(1), misalignment=RandomMove(p=p)) for p in (0.0, 1.0))
    plain = play_match_block(Contestants(named(1), named(2), CHECKPOINTS), block(fens))
    assert play_match_block(Contestants(honest, named(2), CHECKPOINTS), block(fens)) == plain
    assert play_match_block(Contestants(lying, named(2), CHECKPOINTS), block(fens)) != plain
