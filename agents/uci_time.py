"""How long a search may take: what `go` says of time and simulations, as a limit that searches ask."""

import threading
import time
from collections.abc import Callable, Sequence

import chess

MARGIN = 0.05
"""Seconds kept back of any time, for the simulation under way and the way of the answer."""
MOVES_LEFT = 30
"""Moves that a clock is shared among where `movestogo` does not name fewer."""
INCREMENT = 0.75
"""Part of the increment that is spent on the move that it is given for."""
MOST = 0.8
"""Part of what a clock shows that one move takes at most."""


def number_after(words: Sequence[str], name: str) -> int | None:
    """The whole number behind a word of a command; None where there is none."""
    text = words[words.index(name) + 1 :][:1] if name in words else []
    digits = text[0].removeprefix("-") if text else ""
    return int(text[0]) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def seconds_for(words: Sequence[str], turn: chess.Color) -> float | None:
    """Seconds that `go` with these words leaves a search, 0 or more; None without a limit of time."""
    if "infinite" in words or "ponder" in words:
        return None
    given = number_after(words, "movetime")
    if given is not None:
        spent = given / 1000
    else:
        clock = number_after(words, "wtime" if turn else "btime")
        if clock is None:
            return None
        left = clock / 1000
        increment = max(0, number_after(words, "winc" if turn else "binc") or 0) / 1000
        moves = min(max(1, number_after(words, "movestogo") or MOVES_LEFT), MOVES_LEFT)
        spent = min(left / moves + INCREMENT * increment, MOST * left)
    return max(0.0, spent - min(MARGIN, spent / 2))


class Budget:
    """What one `go` gives the searches that answer it.

    seconds: for all of them from now on; None: no limit of time. nodes: simulations of each; None: its own number.
    share: part of the time left that each may take, so that there is some for the next.
    stopped: set from outside, it ends them all.
    """

    def __init__(self, seconds: float | None, nodes: int | None, share: float, stopped: threading.Event) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._nodes, self._share, self._stopped = nodes, share, stopped
        self.simulations = 0
        """Simulations begun by all searches so far."""

    def begin(self) -> Callable[[], bool]:
        """For one search that begins: whether it is to end before its next simulation."""
        now = time.monotonic()
        end = None if self._end is None else now + self._share * (self._end - now)
        begun = 0

        def halted() -> bool:
            nonlocal begun
            over = end is not None and time.monotonic() >= end
            if over or self._stopped.is_set() or (self._nodes is not None and begun >= self._nodes):
                return True
            begun += 1
            self.simulations += 1
            return False

        return halted
