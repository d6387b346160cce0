"""A reporter of progress that keeps what it hears."""

from sandwich.runtime.progress import NullProgress


class RecordingProgress(NullProgress):
    """Phases by name, how many units each was to have, and how many it had at its end."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.messages: list[str] = []
        self._phase = ""

    def begin(self, phase: str, total: int, done: int = 0) -> None:
        self._phase = phase
        self.totals[phase] = total
        self.done[phase] = done

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done[self._phase] += amount

    def message(self, text: str) -> None:
        self.messages.append(text)
