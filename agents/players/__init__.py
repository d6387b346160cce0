"""Who can play: one file per type, found by the entry-point group `sandwich.players`."""

from agents.players.base import AnyPlayer, Player, parse_player

__all__ = ["AnyPlayer", "Player", "parse_player"]
