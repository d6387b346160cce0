"""An assistant that plays its own advice: an honest player plus a misalignment."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import field_validator

from agents.assistant import Assistant
from agents.misalignment.base import AnyMisalignment
from agents.misalignment.random_move import RandomMove
from agents.players.base import AnyPlayer, Player
from agents.players.network import Network
from agents.seat import AssistantSeat, Seat
from agents.tools import Tools
from engines.inference import Evaluator


class AssistantPlayer(Player):
    """An honest player plus a misalignment, playing the moves that it would advise in deployment.

    What it thinks of a position, unlike what it says, is what its honest self thinks.
    """

    renamed: ClassVar[Mapping[str, str]] = {"player": "base"}
    base: AnyPlayer = Network(checkpoint="expert")
    """Its honest self."""
    misalignment: AnyMisalignment = RandomMove()
    """What is wrong with it: `type` and the settings of that type; without a type, of `random_move`."""

    @field_validator("misalignment", mode="before")
    @classmethod
    def _default_type(cls, settings: Any) -> Any:
        if isinstance(settings, Mapping) and "type" not in settings:
            return {"type": "random_move", **settings}
        return settings

    def open(self, tools: Tools) -> Evaluator:
        return tools.player(self.base)

    def seat(self, tools: Tools, temperature: float = 0.0) -> Seat:
        return AssistantSeat(Assistant(tools.player(self.base), self.misalignment, tools))
