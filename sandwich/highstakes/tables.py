"""Solved endgames, one set of them in each process, and what a setting says of their materials."""

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

from engines.endgames import Endgames, contested
from sandwich.runtime.cache import endgame_folder


@lru_cache(maxsize=1)
def solved() -> Endgames:
    """The tables of the cache folder."""
    return Endgames(endgame_folder())


def _contested(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        contested(name)
    return names


Materials = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_contested)]
"""A field of a spec that holds materials, such as `KRvKP`, in which somebody can win."""
THREE_MEN = ("KPvK", "KRvK", "KQvK")
"""Materials that take a second to solve."""
