"""Ledgers that tests of label models share."""

import pyarrow as pa
import pytest

from agents.misalignment.random_move import RandomMove
from sandwich.oversight.plausible import Plausible
from tests.helpers.decisions import SHORT, games
from tests.helpers.voices import OPENINGS


@pytest.fixture(scope="session")
def steps() -> list[pa.Table]:
    """Ledgers of two steps of games in which some answers were believed."""
    return [
        games(Plausible(least=0.03), SHORT, lies=RandomMove(p=0.5), openings=OPENINGS, first=first).rows
        for first in (0, 100)
    ]
