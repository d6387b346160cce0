"""A ladder that repeats: Stockfish at fixed nodes, its hash cleared before every move.

The lowest rungs play a seeded random move in a share of their turns. `Skill Level` and
`UCI_LimitStrength` are not used: they draw from a clock.
"""

from dataclasses import dataclass

from agents.misalignment.random_move import RandomMove
from agents.players.assistant import AssistantPlayer
from agents.players.base import Player
from agents.players.stockfish import StockfishPlayer


@dataclass(frozen=True)
class Rung:
    """Stockfish at so many nodes a move, with a random move in a share of its turns."""

    nodes: int
    random_share: float = 0.0

    def __str__(self) -> str:
        random = f", {self.random_share:.0%} random moves" if self.random_share else ""
        return f"Stockfish at {self.nodes} node{'s' * (self.nodes > 1)}{random}"

    @property
    def player(self) -> Player:
        """Who stands on it."""
        return AssistantPlayer(base=StockfishPlayer(nodes=self.nodes), misalignment=RandomMove(p=self.random_share))


RUNGS = (Rung(1, 0.5), Rung(1, 0.25), Rung(1), Rung(10), Rung(100), Rung(1000))
