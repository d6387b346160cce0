"""A record that names checkpoints at several depths."""

from agents.checkpoint_files import Checkpoint
from agents.misalignment.base import AnyMisalignment
from agents.players.base import AnyPlayer
from agents.players.network import Network
from engines.settings import Frozen


class Spec(Frozen):
    """Records within records."""

    start: Checkpoint = "start"
    title: str = "no checkpoint"
    player: AnyPlayer = Network(checkpoint="a")
    players: tuple[AnyPlayer, ...] = ()
    misalignment: AnyMisalignment | None = None
