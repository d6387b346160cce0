"""Work spread over Ray workers.

What a worker does is a plain function of plain values; Ray adds nothing to it but a place. Results
come back in the order of the jobs, whoever finished first.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from pydantic import Field

from engines.settings import Frozen
from sandwich.runtime.connection import ClusterError, Connection, LostError, cluster_address
from sandwich.runtime.jobs import Job, Result, WorkerError, do, with_plugins
from sandwich.runtime.machines import Machines, Place, here, largest

RETRIES = 2
"""Times that a job is done again whose worker died."""
LOOK = 2.0
"""Seconds between two looks at which machines are there, while nothing comes."""
QUIET = 60.0
"""Seconds without a result after which one line says so; the next comes after twice as long."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def elsewhere() -> bool:
    """Whether jobs go to a cluster that is there already, whose machines need not be like this one."""
    return cluster_address() is not None


class Resources(Frozen):
    """What a worker asks for of the machine that it is on."""

    cpus: float = Field(1.0, gt=0, le=1024)
    """Cores."""
    gpus: float | None = Field(None, ge=0, le=64)
    """Of a GPU, or how many; None: an equal part of those that there are, nothing where there are none."""


def most(shares: Iterable[Resources]) -> Resources:
    """What is enough for each of several; GPUs are split evenly unless one says how much it wants."""
    every = list(shares)
    gpus = [one.gpus for one in every if one.gpus is not None]
    return Resources(cpus=max(one.cpus for one in every), gpus=max(gpus) if gpus else None)


class Cluster:
    """Ray with a number of workers, for the time of a `with` block; it starts with the first job.

    Joins the cluster of `$RAY_ADDRESS` where that is set (the number of workers then only bounds the
    jobs under way), else starts one on this machine and stops it at the end: it listens on loopback alone,
    takes orders from this process and its own alone, and ends with this process. Inside the block of
    another it uses what that one started. Raises ClusterError and SessionError.

    tell: hears, in one line, when nothing has come of the workers for a while, and when a machine is lost.
    each: what each worker asks for.
    """

    def __init__(
        self, workers: int, tell: Callable[[str], None] = lambda line: None, each: Resources | None = None
    ) -> None:
        self.workers = workers
        self.tell = tell
        self._each = each or Resources()
        self._connection: Connection | None = None
        self._machines = Machines(tell)
        self._told: set[str] = set()
        self.processors: list[str] = []
        """Kinds of processors that jobs were done on."""

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Start Ray now, unless it has been."""
        import ray  # takes half a second

        if not ray.is_initialized():
            self._connection = Connection()
            self._connection.start(math.ceil(self.workers * self._each.cpus))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.stop()
            if connection.lost:
                raise LostError

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
        on_result: Callable[[Result], None] = lambda result: None,
    ) -> list[Result]:
        """`function(shared, job)` for each job; `on_result` hears of each as it comes."""
        results: dict[int, Result] = {}
        for index, result in self._run(function, shared, jobs):
            results[index] = result
            on_result(result)
        return [results[index] for index in range(len(jobs))]

    @contextmanager
    def at_home(self, make: Callable[..., Any], *arguments: Any) -> Iterator["Remote"]:
        """Meanwhile there is `make(*arguments)` in a process of its own on this machine.

        Jobs and trials on any machine can be handed what this gives, and call its methods.
        """
        self.start()
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(make).options(num_cpus=0, scheduling_strategy=here, max_concurrency=1).remote(*arguments)
        try:
            yield Remote(actor)
        finally:
            ray.kill(actor)

    def _run(
        self, function: Callable[[Any, Job], Result], shared: Any, jobs: Sequence[Job]
    ) -> Generator[tuple[int, Result], None, None]:
        """Number and result of each job as it comes.

        A job whose worker dies is done again, twice at most; an exception in `function` is raised here. Raises
        ClusterError and WorkerError.
        """
        if not jobs:
            return
        self.start()
        import ray

        def work(shared: Any, job: Job) -> tuple[Place, Result]:
            return here(), do(function, shared, job)

        work.__name__ = work.__qualname__ = function.__name__  # Ray's title of a process
        options = {"num_cpus": self._each.cpus, "num_gpus": self._gpus(), "max_retries": 0}
        remote = ray.remote(work).options(**options)
        self._machines.look()
        self._tell_what_lacks()
        place = ray.put(shared)
        under_way: dict[Any, int] = {}
        doubtful: dict[Any, int] = {}  # under way when a machine was lost, perhaps on that one
        deaths: Counter[int] = Counter()
        waiting = list(range(len(jobs)))[::-1]
        try:
            while waiting or under_way or doubtful:
                while waiting and len(under_way) < self.workers:
                    index = waiting.pop()
                    under_way[remote.remote(place, jobs[index])] = index
                oldest = jobs[min({**under_way, **doubtful}.values())]
                ready = self._wait([*under_way, *doubtful], function.__name__ + with_plugins(shared, oldest))
                if ready is None:  # Ray may wait for the answer of a machine that is gone for many minutes
                    waiting += sorted(under_way.values(), reverse=True)
                    doubtful |= under_way
                    under_way.clear()
                    # Jobs of the same remote function would wait with its requests to the machine that is gone.
                    remote = ray.remote(work).options(**options)
                    continue
                index = under_way.pop(ready) if ready in under_way else doubtful.pop(ready)
                try:
                    done_at, result = ray.get(ready)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error  # what happened there, as if it had happened here
                except ray.exceptions.RayError as error:
                    if index in (*waiting, *under_way.values(), *doubtful.values()):
                        continue  # it is being done again
                    deaths[index] += 1
                    if deaths[index] > RETRIES:
                        raise WorkerError(
                            f"a process that did {function.__name__} died, {deaths[index]} times over the same job"
                            f"{with_plugins(shared, jobs[index])}: code that ends its process, a crash, or too"
                            f" little memory ({type(error).__name__})"
                        ) from error
                    waiting.append(index)
                    continue
                self._check(done_at)
                waiting = [other for other in waiting if other != index]
                for group in (under_way, doubtful):
                    for again in [other for other, of in group.items() if of == index]:
                        del group[again]
                        ray.cancel(again)
                yield index, result
        finally:
            for left in (*under_way, *doubtful):
                ray.cancel(left)

    def _tell_what_lacks(self) -> None:
        """Tell once what is asked for that no machine has so far."""
        for resource, what, wanted in (("CPU", "cores", self._each.cpus), ("GPU", "GPUs", self._gpus())):
            there = largest(resource)
            if wanted > there and resource not in self._told:
                self._told.add(resource)
                self.tell(f"waits for a machine with {wanted:g} {what} (resources): the largest there has {there:g}")

    def _check(self, place: Place) -> None:
        """Take note of where a job was done. Raises ClusterError where that was by other code than is here."""
        own = here()
        if place.source != own.source and place.host == own.host:
            raise ClusterError("the code of sandwich was changed while it was at work: give the same command again")
        if place.source != own.source:
            raise ClusterError(
                f"the machine {place.host} has other code of sandwich than {own.host}: install the same on both"
            )
        if place.processor not in self.processors:
            self.processors.append(place.processor)
            if place.processor != own.processor:
                self.tell(
                    f"{place.host} has another kind of processor ({place.processor}) than {own.host}: the same bytes"
                    " are promised for one kind alone"
                )

    def _gpus(self) -> float:
        """What a job asks for of a GPU: all there are, split evenly, or what the trial has that this runs in."""
        import ray

        if self._each.gpus is not None:
            return self._each.gpus
        if trial := ray.util.get_current_placement_group():
            return float(trial.bundle_specs[-1].get("GPU", 0))
        return split(resource("GPU"), self.workers)

    def _wait(self, under_way: list[Any], what: str) -> Any:
        """The first that is ready, None where a machine was lost; from time to time a line says that it takes long."""
        import ray

        patience, began, waited = QUIET, time.monotonic(), 0.0
        while True:
            ready, _ = ray.wait(under_way, num_returns=1, timeout=min(LOOK, patience - waited))
            if ready:
                return ready[0]
            if self._machines.look():
                return None
            waited = time.monotonic() - began
            if waited >= patience:
                self.tell(f"no block finished for {waited:.0f} s: {len(under_way)} under way ({what}); Ctrl-C stops")
                patience += 2 * patience


class Remote:
    """What lives in another process of the cluster: a method is called by its name."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __call__(self, method: str, *arguments: Any) -> Any:
        """What the method returns, or raises. Raises ClusterError where its process or machine is gone."""
        import ray

        try:
            return ray.get(getattr(self._actor, method).remote(*arguments))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            raise ClusterError(f"the driver can't be reached ({type(error).__name__})") from error


def resource(name: str) -> float:
    """How much of a resource the cluster has."""
    import ray

    return float(ray.cluster_resources().get(name, 0))  # type: ignore[no-untyped-call]


def split(gpus: float, parts: int) -> float:
    """What each of so many gets of some GPUs, at most one whole; Ray knows ten thousandths."""
    return min(1.0, int(10_000 * gpus / parts) / 10_000)
