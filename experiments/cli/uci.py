"""The command that makes a player an engine for chess programs; it loads little before it answers."""

import sys
from io import TextIOWrapper

import click

from agents.players.base import parse_player
from agents.tools import Tools
from agents.uci_server import UciServer
from experiments.cli.options import SEED


@click.command()
@click.argument("player")
@SEED
def uci(player: str, seed: int) -> None:
    """PLAYER as an engine that any chess program can use (UCI on standard input and output).

    Its numeric settings are options, such as the dose of a misalignment, and so is its temperature.

    \b
    Examples:
      sandwich uci expert
      sandwich uci assistant:misalignment.type=random_move,misalignment.p=0.25
      sandwich uci mcts:simulations=200
    """
    chosen = parse_player(player)
    for stream in (sys.stdin, sys.stdout):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="replace")  # whatever a chess program sends is survived
    with Tools() as tools:
        UciServer(chosen, player.partition(":")[0], tools, sys.stdout, seed).serve(sys.stdin)
