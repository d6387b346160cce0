"""Tasks that may fail or hang, done in order on a thread of their own, so that nobody has to wait for them."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

Task = Callable[[], None]


class BackgroundWorker:
    """Does tasks one after the other in the background; after one that raises, none.

    failed: hears once, on the worker's thread, what was raised. The thread does not keep a process alive.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._work, name="background worker", daemon=True)
        self._thread.start()

    def do(self, task: Task) -> None:
        """Have a task done after those before it."""
        self._tasks.put(task)

    def close(self, seconds: float) -> bool:
        """Take no more tasks, and begin none after this time; whether those there are done, or given up, by then."""
        self._tasks.put(None)
        self._thread.join(seconds)
        self._over = True
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (task := self._tasks.get()) and not self._over:
                task()
        except Exception as error:
            self._failed(error)
