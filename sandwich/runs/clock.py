"""How long the parts of a step take."""

import time


class Clock:
    """Seconds of the parts of a step; those that did not come are 0."""

    def __init__(self) -> None:
        self.seconds = {"play": 0.0, "label": 0.0, "finetune": 0.0, "evaluate": 0.0}
        self._last = time.monotonic()

    def lap(self, part: str) -> None:
        """A part ends."""
        now = time.monotonic()
        self.seconds[part] += now - self._last
        self._last = now
