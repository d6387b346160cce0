"""A player's numeric settings as UCI options: how they are declared, read and set.

Whole numbers are of type `spin`, others of type `string`: the protocol knows no fractions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from agents.players.base import Player
from engines.settings import Frozen, SpecError, explain

LARGEST = 2**31 - 1
"""Bound of a whole number that has none of its own: what any chess program can hold."""


@dataclass(frozen=True)
class Option:
    """A numeric setting by its dotted name.

    bounds: least and greatest value of a whole number.
    """

    name: str
    value: float
    bounds: tuple[int, int] = (-LARGEST, LARGEST)

    @property
    def declaration(self) -> str:
        """The line that tells a chess program of it."""
        if not isinstance(self.value, int):
            return f"option name {self.name} type string default {self.value}"
        return f"option name {self.name} type spin default {self.value} min {self.bounds[0]} max {self.bounds[1]}"


def options(record: Frozen, prefix: str = "") -> Iterator[Option]:
    """A record's numeric settings, those of the records in it included."""
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if isinstance(value, Frozen):
            yield from options(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield Option(f"{prefix}{name}", value, _bounds(field))


def _bounds(field: FieldInfo) -> tuple[int, int]:
    low, high = -LARGEST, LARGEST
    for limit in field.metadata:
        low = max(low, getattr(limit, "ge", low), getattr(limit, "gt", low - 1) + 1)
        high = min(high, getattr(limit, "le", high), getattr(limit, "lt", high + 1) - 1)
    return int(low), int(high)


def changed(player: Player, name: str, value: Any) -> Player:
    """The player with another value of a dotted setting. Raises SpecError."""
    try:
        other = _changed(player, name, value)
    except ValidationError as error:
        text = explain(type(player), error)
        raise SpecError(
            text if text.startswith(f"{name}: ") else f"{name}: {text.partition(': ')[2] or text}"
        ) from None
    assert isinstance(other, Player)
    return other


def _changed(record: Frozen, name: str, value: Any) -> Frozen:
    first, _, rest = name.partition(".")
    inner = _changed(getattr(record, first), rest, value) if rest else value
    return type(record)(**{field: getattr(record, field) for field in type(record).model_fields} | {first: inner})
