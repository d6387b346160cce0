"""Whoever wants to hear how a run gets on."""

from typing import Any, Protocol

Row = dict[str, Any]
"""The metrics of one step, as JSON values."""


class Watcher(Protocol):
    """Hears how a run gets on."""

    def phase(self, step: int, name: str, total: int) -> None:
        """A phase of a step begins; it will advance by `total` in all."""

    def advance(self, amount: int, note: str = "") -> None:
        """The phase has advanced."""

    def row(self, row: Row) -> None:
        """A step is finished; its row of metrics."""


class Silent:
    """A watcher that says nothing."""

    def phase(self, step: int, name: str, total: int) -> None: ...
    def advance(self, amount: int, note: str = "") -> None: ...
    def row(self, row: Row) -> None: ...


class Telling:
    """Turns (what, how many are done, of how many) into phases of one step."""

    def __init__(self, watch: Watcher, step: int) -> None:
        self._watch = watch
        self._step = step
        self._now: tuple[str, int] | None = None
        self._done = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._now != (what, total):
            self._watch.phase(self._step, what, total)
            self._now, self._done = (what, total), 0
        self._watch.advance(done - self._done)
        self._done = done
