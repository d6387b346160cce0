"""Work spread over Ray workers: the only file that imports ray.

What a worker does is a plain function of plain values; Ray adds nothing to it but a place. Results
come back in the order of the jobs, whoever finished first.
"""

import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

Job = TypeVar("Job")
Result = TypeVar("Result")

ATTEMPTS = 3
"""Times that Ray is started: under heavy load its own 30 s limit can pass."""


class ClusterError(RuntimeError):
    """Ray does not start, or can't be joined: one line."""


class Cluster:
    """Ray with a number of workers, for the time of a `with` block; it starts with the first job.

    Joins the cluster of `$RAY_ADDRESS` where that is set (the number of workers then only bounds the
    jobs under way), else starts one on this machine and stops it at the end. Inside the block of
    another it uses what that one started. Raises ClusterError.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._mine = False

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Start Ray now, unless it has been."""
        if ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                ray.init(
                    address=address,
                    num_cpus=None if address else self.workers,
                    include_dashboard=None if address else False,
                    logging_level=logging.CRITICAL,
                    log_to_driver=False,
                )
                self._mine = True
                return
            except Exception as error:  # Ray raises the bare class for a start that takes too long
                ray.shutdown()
                if address or attempt == ATTEMPTS:  # to join, Ray itself tries for minutes
                    what = "started" if address is None else f"joined at {address} ($RAY_ADDRESS)"
                    raise ClusterError(f"Ray can't be {what}: {' '.join(str(error).split())}") from error
                time.sleep(2 * attempt)
        raise AssertionError("unreachable")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine:
            ray.shutdown()
        self._mine = False

    def stream(
        self, function: Callable[[Any, Job], Result], shared: Any, jobs: Sequence[Job]
    ) -> Generator[Result, None, None]:
        """`function(shared, job)` for each job, in the order of the jobs; what is not taken any more is cancelled."""
        ready: dict[int, Result] = {}
        running = self._run(function, shared, jobs)
        try:
            for wanted in range(len(jobs)):
                while wanted not in ready:
                    index, result = next(running)
                    ready[index] = result
                yield ready.pop(wanted)
        finally:
            running.close()

    def map(
        self,
        function: Callable[[Any, Job], Result],
        shared: Any,
        jobs: Sequence[Job],
        done: Callable[[Result], None] = lambda result: None,
    ) -> list[Result]:
        """`function(shared, job)` for each job; `done` hears of each result as it comes."""
        results: dict[int, Result] = {}
        for index, result in self._run(function, shared, jobs):
            results[index] = result
            done(result)
        return [results[index] for index in range(len(jobs))]

    def _run(
        self, function: Callable[[Any, Job], Result], shared: Any, jobs: Sequence[Job]
    ) -> Generator[tuple[int, Result], None, None]:
        """Number and result of each job as it comes.

        A job whose worker dies is run again; an exception in `function` is raised here.
        """
        if not jobs:
            return
        self.start()
        remote = ray.remote(function).options(num_cpus=1, max_retries=2)
        place = ray.put(shared)
        number: dict[Any, int] = {}
        waiting = list(enumerate(jobs))[::-1]
        try:
            while waiting or number:
                while waiting and len(number) < self.workers:
                    index, job = waiting.pop()
                    number[remote.remote(place, job)] = index
                ready, _ = ray.wait(list(number), num_returns=1)
                index = number.pop(ready[0])
                try:
                    result = ray.get(ready[0])
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error  # what happened there, as if it had happened here
                yield index, result
        finally:
            for job_left in number:
                ray.cancel(job_left)
