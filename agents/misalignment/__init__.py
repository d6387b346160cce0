"""Artificial misalignments: one file per type, found by the entry-point group `sandwich.misalignments`.

What a misalignment of one's own needs is here; docs on writing one explain it.
"""

from agents.advice import Advice, Channel, Query, preferring
from agents.misalignment.base import AnyMisalignment, Misalignment, Occasional
from agents.tools import Tools

__all__ = ["Advice", "AnyMisalignment", "Channel", "Misalignment", "Occasional", "Query", "Tools", "preferring"]
