"""A network with Monte-Carlo tree search."""

from pydantic import Field

from agents.checkpoint_files import Checkpoint
from agents.players.base import Player
from agents.tools import Tools
from engines.inference import Evaluator
from engines.search import TreeSearch


class Mcts(Player):
    """A network with Monte-Carlo tree search (PUCT), as AlphaZero plays.

    Its policy is the share of visits, its value the mean over its search.
    """

    network: Checkpoint = "expert"
    """The network that judges positions: a shipped name or the path of a checkpoint."""
    simulations: int = Field(64, ge=1)
    """Positions looked at for each move."""
    exploration: float = Field(1.5, gt=0)
    """Constant c of PUCT: more looks at more moves, less looks deeper."""

    def open(self, tools: Tools) -> Evaluator:
        return TreeSearch(tools.network(self.network), self.simulations, self.exploration, tools.limit)
