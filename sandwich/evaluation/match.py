"""Matches: colour-swapped pairs of games between two players, many games in lock-step.

What is split over workers is split in fixed blocks, and blocks are looked at in their order: neither the
games nor where a match stops depend on the number of workers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import chess
import chess.pgn
import numpy as np
import numpy.typing as npt

from agents.players.base import Player
from agents.seat import Seat, Turn
from engines import moves
from engines.positions import GameBatch
from sandwich.data.pgn_writing import pgn_text
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, tools
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import Figure, elo_figure, score_figure

PAIRS_PER_BLOCK = 50
"""Pairs of games that one worker plays in lock-step: the usual 300 keep two, three and six workers busy to the end."""


@dataclass(frozen=True, eq=False)
class Contestants:
    """The two players of a match, contents of the checkpoints that they name, and the temperature of each."""

    first: Player
    second: Player
    checkpoints: Mapping[str, bytes]
    temperatures: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class MatchBlock:
    """Part of a match: pairs `number · PAIRS_PER_BLOCK` and on, from these openings (FEN)."""

    openings: tuple[str, ...]
    number: int
    seed: int
    ply_cap: int
    inference: InferenceConfig


@dataclass(frozen=True)
class Game:
    """One game of a match.

    opening: FEN that it began from.
    moves: in UCI notation.
    first_is_white: colour of the first player.
    white_score: 1, ½ or 0.
    end: why it ended.
    """

    opening: str
    moves: tuple[str, ...]
    first_is_white: bool
    white_score: float
    end: str

    @property
    def first_score(self) -> float:
        """Score of the first player."""
        return self.white_score if self.first_is_white else 1 - self.white_score

    def pgn(self, names: tuple[str, str], number: int) -> str:
        """The game as PGN; `names` are those of the first and of the second player."""
        game = chess.pgn.Game()
        game.setup(chess.Board(self.opening))
        white, black = names if self.first_is_white else names[::-1]
        result = {1.0: "1-0", 0.0: "0-1", 0.5: "1/2-1/2"}[self.white_score]
        game.headers.update(
            Event="match", Site="?", Date="????.??.??", Round=str(number), White=white, Black=black, Result=result,
            Termination=self.end,
        )  # fmt: skip
        game.add_line(map(chess.Move.from_uci, self.moves))
        return pgn_text(game)


Pair = tuple[Game, Game]
"""The two games of an opening; in the first the first player has the side to move."""


@dataclass(frozen=True, eq=False)
class Match:
    """A match for the first player; pairs with the same opening and moves are counted once.

    pairs: `[N]` score of each colour-swapped pair, 0 to 1.
    openings: `[N]` place of each pair's opening among those asked for.
    games: the two games of each of these pairs.
    """

    pairs: npt.NDArray[np.float64]
    openings: npt.NDArray[np.int64]
    games: list[Pair]

    @property
    def elo(self) -> Figure:
        """Elo of the first player against the second."""
        return elo_figure(self.pairs)

    @property
    def score(self) -> Figure:
        """Mean score of the first player, 0 to 1."""
        return score_figure(self.pairs)

    @property
    def capped(self) -> int:
        """Games that ended at the ply cap."""
        return sum(game.end == "ply cap" for pair in self.games for game in pair)

    def pgn(self, names: tuple[str, str]) -> str:
        """All games as PGN; `names` are those of the first and of the second player."""
        games = [game for pair in self.games for game in pair]
        return "\n\n".join(game.pgn(names, number) for number, game in enumerate(games, 1)) + "\n"


def play_match_block(players: Contestants, block: MatchBlock) -> list[Pair]:
    """Play both games of each opening."""
    with tools(players.checkpoints, block.inference) as opened:
        both = zip((players.first, players.second), players.temperatures, strict=True)
        return _play_pairs([player.seated(opened, temperature) for player, temperature in both], block)


def _play_pairs(seats: Sequence[Seat], block: MatchBlock) -> list[Pair]:
    batch = GameBatch([fen for fen in block.openings for _ in range(2)], block.ply_cap)
    # Game 2k has the first player on the side to move of opening k, game 2k+1 the second.
    starter = batch.turns(range(len(batch)))
    rngs = [make_rng(RngStream.MATCH, block.seed, block.number, game) for game in range(len(batch))]
    history: list[list[str]] = [[] for _ in range(len(batch))]
    while active := batch.active:
        turns = zip(active, batch.turns(active), strict=True)
        first = {game for game, turn in turns if (turn == starter[game]) == (game % 2 == 0)}
        to_move = [[g for g in active if (g in first) == (player == 0)] for player in (0, 1)]
        for seat, games in zip(seats, to_move, strict=True):
            if not games:
                continue
            packed, legal = batch.packed(games), batch.legal(games)
            questions = [
                Turn(packed[row], legal[row], batch.plies[game], batch.plies[game] // 2)
                for row, game in enumerate(games)
            ]
            chosen = seat.choose(questions, [rngs[game] for game in games])
            for game, move, words in zip(games, chosen, packed.tolist(), strict=True):
                history[game].append(moves.spell(move, words))
            batch.apply(games, chosen)
    out = []
    for game, result in enumerate(batch.results):
        assert result is not None
        white = starter[game] if game % 2 == 0 else not starter[game]
        out.append(Game(block.openings[game // 2], tuple(history[game]), white, result.white_score, str(result.end)))
    return list(zip(out[::2], out[1::2], strict=True))


def play_match(
    cluster: Cluster,
    players: Contestants,
    openings: Sequence[str],
    *,
    seed: int,
    ply_cap: int,
    inference: InferenceConfig,
    enough: Callable[[npt.NDArray[np.float64]], bool] = lambda pairs: False,
) -> Match:
    """A match over the openings, each with both colours.

    enough: asked after each block, in their order, with the scores `[N]` of all pairs so far; the match
        ends where it says True.
    """
    blocks = [
        MatchBlock(tuple(openings[start : start + PAIRS_PER_BLOCK]), number, seed, ply_cap, inference)
        for number, start in enumerate(range(0, len(openings), PAIRS_PER_BLOCK))
    ]
    kept: dict[Pair, int] = {}
    place = 0
    for block in cluster.stream(play_match_block, players, blocks):
        for pair in block:
            kept.setdefault(pair, place)
            place += 1
        if enough(_scores(kept)):
            break
    return Match(_scores(kept), np.array(list(kept.values())), list(kept))


def _scores(pairs: Mapping[Pair, int]) -> npt.NDArray[np.float64]:
    return np.array([(first.first_score + second.first_score) / 2 for first, second in pairs])
