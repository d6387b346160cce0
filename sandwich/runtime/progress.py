"""How long work says how it gets on: one interface for everything that takes more than a moment."""

from typing import Any, Protocol

Row = dict[str, Any]
"""The metrics of one step, as JSON values."""


class ProgressReporter(Protocol):
    """Hears how a piece of work gets on."""

    def begin(self, phase: str, total: int, done: int = 0) -> None:
        """A phase of so many units begins, so many of which are done already; it ends the one before."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """So many more units of the phase are done."""

    def message(self, text: str) -> None:
        """One line that is worth keeping."""


class RunProgress(ProgressReporter, Protocol):
    """Hears of the steps of a run too."""

    def step(self, step: int) -> None:
        """What begins from now on belongs to this step."""

    def row(self, row: Row) -> None:
        """A step is finished; its row of metrics."""


class NullProgress:
    """Reports nothing."""

    def begin(self, phase: str, total: int, done: int = 0) -> None: ...
    def advance(self, amount: int = 1, note: str = "") -> None: ...
    def message(self, text: str) -> None: ...
    def step(self, step: int) -> None: ...
    def row(self, row: Row) -> None: ...


NO_PROGRESS = NullProgress()
"""For who is not listened to."""


class Prefixed:
    """A reporter whose phases have a word before their names."""

    def __init__(self, progress: ProgressReporter, prefix: str) -> None:
        self._progress = progress
        self._prefix = prefix

    def begin(self, phase: str, total: int, done: int = 0) -> None:
        self._progress.begin(f"{self._prefix}{phase}", total, done)

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._progress.advance(amount, note)

    def message(self, text: str) -> None:
        self._progress.message(text)
