"""Solved endgames, one set of them in each process."""

from functools import lru_cache

from engines.endgames import Endgames
from sandwich.runtime.cache import endgame_folder


@lru_cache(maxsize=1)
def solved() -> Endgames:
    """The tables of the cache folder."""
    return Endgames(endgame_folder())
