"""Which games a report keeps: of every step as many, and among them those that a reader would ask for."""

from collections.abc import Iterator
from itertools import chain, zip_longest

from experiments.viewer.games import Columns

KINDS = ("lost", "accepted", "refused_lies", "refused_honest")
"""Games with the costliest moves, the most lies believed, the most lies and honest answers refused."""


def picked(columns: Columns, most: int) -> list[int]:
    """Places in the list of at most so many games, in the order of the list."""
    steps: dict[int, list[int]] = {}
    for place, step in enumerate(columns["step"]):
        steps.setdefault(step, []).append(place)
    turns = zip_longest(*(_by_turns(columns, places) for places in steps.values()))
    chosen = [place for place in chain.from_iterable(turns) if place is not None]
    return sorted(chosen[:most])


def _by_turns(columns: Columns, places: list[int]) -> Iterator[int]:
    """The games of one step, one of each kind in turn, each once; games as they come fill in."""
    ranked = [
        sorted((p for p in places if columns[kind][p]), key=lambda p: (-columns[kind][p], p))
        for kind in KINDS
    ]  # fmt: skip
    given: set[int] = set()
    for place in chain.from_iterable(zip_longest(*ranked, places)):
        if place is not None and place not in given:
            given.add(place)
            yield place
