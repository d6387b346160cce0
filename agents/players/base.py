"""The form of a player: settings from which an evaluator is opened.

Any player can be an expert, an assistant's honest self, or the other one that answers in its place.
In a spec it is a mapping with a `type`, or in short `expert`, `weak`, the path of a checkpoint, that of
a YAML file with such a mapping, or `type:key=value,key=value` (keys may be dotted). Own types are
registered in the entry-point group `sandwich.players`.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError, ValidationInfo

from agents.checkpoint_files import SHIPPED
from agents.plugins import Plugin
from agents.registry import Registry
from agents.seat import BareSeat, CheckedSeat, Seat
from agents.tools import Tools
from engines.inference import Evaluator
from engines.paths import is_file
from engines.settings import SpecError, explain, read_yaml
from engines.suggestions import did_you_mean


class Player(Plugin, ABC):
    """Someone who can say of positions what to play and what they are worth."""

    @abstractmethod
    def open(self, tools: Tools) -> Evaluator:
        """The evaluator that thinks for it; what it opens it opens with `tools`, which close it."""

    def attribute_errors(self) -> AbstractContextManager[None]:
        """Inside, what goes wrong is reported as this player's."""
        return REGISTRY.attribute_errors(self)

    def seat(self, tools: Tools, temperature: float = 0.0) -> Seat:
        """It at a board, playing by its policy at a temperature."""
        return BareSeat(tools.player(self), temperature)

    def seated(self, tools: Tools, temperature: float = 0.0) -> Seat:
        """Its seat for whoever plays games with it: a move that can't be is refused in one line naming the player."""
        with self.attribute_errors():
            return CheckedSeat(self.seat(tools, temperature), self.attribute_errors)


REGISTRY: Registry[Player] = Registry("player", "sandwich.players", Player)  # type: ignore[type-abstract]


def parse_player(settings: Any, info: ValidationInfo | None = None) -> Player:
    """A player from a spec's mapping or short form. Raises SpecError."""
    if not isinstance(settings, str):
        return REGISTRY.parse(settings, info)
    kind, separator, _ = settings.partition(":")
    if settings.endswith((".yaml", ".yml")) and kind not in REGISTRY.entries:
        return _read(Path(settings), info)
    if separator and is_file(settings):
        return REGISTRY.parse({"type": "network", "checkpoint": settings})
    if not separator and kind not in REGISTRY.entries:
        return REGISTRY.parse({"type": "network", "checkpoint": settings})
    if kind not in REGISTRY.entries:
        hint = did_you_mean(kind, REGISTRY.entries)
        raise SpecError(f"type: unknown player {settings!r}; {hint}known: {known_players()}")
    return REGISTRY.parse(settings, info)


def known_players() -> str:
    """Every form of a player's name, for whoever typed another one."""
    types = ", ".join(REGISTRY.entries)
    return f"{', '.join(SHIPPED)}, the path of a checkpoint, or TYPE:key=value,… with a TYPE of {types}"


def _read(path: Path, info: ValidationInfo | None) -> Player:
    context = {**((info.context if info else None) or {}), "folder": path.parent}
    try:
        player: Player = TypeAdapter(AnyPlayer).validate_python(read_yaml(path), context=context)
    except ValidationError as error:
        raise SpecError(f"{path}: {explain(Player, error)}") from None
    return player


def describe_player(player: Player) -> str | dict[str, Any]:
    """What `parse_player` makes the same player of: a network's name (if it is not read otherwise), or a mapping."""
    settings = REGISTRY.describe(player)
    if settings["type"] != "network":
        return settings
    name = str(settings["checkpoint"])
    return settings if ":" in name or name in REGISTRY.entries or name.endswith((".yaml", ".yml")) else name


def _validate(settings: Any, info: ValidationInfo) -> Player:
    return parse_player(settings, info)  # see Registry.validate


AnyPlayer = Annotated[Player, BeforeValidator(_validate), PlainSerializer(describe_player)]
"""A field of a spec that holds a player."""
