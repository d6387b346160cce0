"""A network without search: the shipped expert and weak player, or any checkpoint."""

from agents.checkpoint_files import Checkpoint
from agents.players.base import Player
from agents.tools import Tools
from engines.inference import Evaluator


class Network(Player):
    """A network without search.

    Its move is the most probable of its policy, its value that of its value head.
    """

    checkpoint: Checkpoint = "expert"
    """A shipped name (`expert`, `weak`) or the path of a checkpoint."""

    def open(self, tools: Tools) -> Evaluator:
        return tools.network(self.checkpoint)
