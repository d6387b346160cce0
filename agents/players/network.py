"""A network without search: the shipped expert and weak player, or any checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, get_args

from agents.checkpoint_files import SHIPPED, Checkpoint, Named, UnknownNameError, checkpoint_path
from agents.players.base import REGISTRY, Player, known_players
from agents.tools import Tools
from engines.inference import Evaluator
from engines.suggestions import did_you_mean


@contextmanager
def _any_player(name: str) -> Iterator[None]:
    """Inside, of a name that is not known all players are listed, and not the networks alone."""
    try:
        yield
    except UnknownNameError:
        hint = did_you_mean(name, (*SHIPPED, *REGISTRY.entries))
        raise UnknownNameError(f"unknown player {name!r}; {hint}known: {known_players()}") from None


def _file(name: str) -> Path:
    with _any_player(name):
        return checkpoint_path(name)


class Network(Player):
    """A network without search.

    Its move is the most probable of its policy, its value that of its value head.
    """

    checkpoint: Annotated[str, Named(_file, get_args(Checkpoint)[1].check)] = "expert"
    """A shipped name (`expert`, `weak`) or the path of a checkpoint."""

    def open(self, tools: Tools) -> Evaluator:
        with _any_player(self.checkpoint):
            return tools.network(self.checkpoint)
