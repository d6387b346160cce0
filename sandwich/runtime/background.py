"""Errands that may fail or hang, done in order on a thread of their own, so that nobody has to wait for them."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

Errand = Callable[[], None]


class Courier:
    """Does errands one after the other in the background; after one that raises, none.

    failed: hears once, on the courier's thread, what was raised. The thread does not keep a process alive.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._errands: SimpleQueue[Errand | None] = SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
        self._thread.start()

    def do(self, errand: Errand) -> None:
        """Have an errand done after those before it."""
        self._errands.put(errand)

    def close(self, seconds: float) -> bool:
        """Take no more errands, and begin none after this time; whether those there are done, or given up, by then."""
        self._errands.put(None)
        self._thread.join(seconds)
        self._over = True
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (errand := self._errands.get()) and not self._over:
                errand()
        except Exception as error:
            self._failed(error)
