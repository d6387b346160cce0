"""Work spread over Ray workers: the only file that imports ray.

What a worker does is a plain function of plain values; Ray adds nothing to it but a place. Results
come back in the order of the jobs, whoever finished first.
"""

import logging
import os
import threading
import time
from _thread import interrupt_main
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # it ends the process with a stack trace
from engines.settings import Mistake
from sandwich.runtime import guard
from sandwich.runtime.jobs import Job, Result, WorkerError, do, with_plugins
from sandwich.runtime.session import Session

Report = Callable[[dict[str, Any]], None]
"""Takes what a trial has to say on its way."""

TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""What Tune reads from the environment alone: trials stay in the folder they are in, and nothing is logged."""

ATTEMPTS = 3
"""Times that Ray is started: under heavy load its own 30 s limit can pass."""
RETRIES = 2
"""Times that a job is done again whose worker died."""
QUIET = 60.0
"""Seconds without a result after which one line says so; the next comes after twice as long."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def elsewhere() -> bool:
    """Whether jobs go to a cluster that is there already, whose machines need not be like this one."""
    return bool(os.environ.get("RAY_ADDRESS"))


LOOPBACK = ("127.0.0.1", "::1")


class ClusterError(Mistake, RuntimeError):
    """Ray does not start, or can't be joined: one line."""


class LostError(ClusterError):
    """Ray's own process ended, of which stderr has been told already: Ray may have left no time for that."""

    announced = guard.WATCHES

    def __init__(self) -> None:
        super().__init__("Ray's own process ended in the middle of the work; it can go on where it was cut off")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def _replaced(*replacements: tuple[object, str, object]) -> Iterator[None]:
    """Meanwhile modules have something else under a name."""
    with ExitStack() as stack:
        for module, name, value in replacements:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)
        yield


@contextmanager
def _local_alone() -> Iterator[None]:
    """A Ray that starts inside takes loopback for this machine's address, and has no dashboard's process.

    Ray has no setting for either. Listening on all interfaces is what it does under any other address; and the
    process of the dashboard, which starts even where none is asked for, asks the network which cloud it is in.
    Ray's own process does not end by itself when this one does: the guard ends it, and must know which ended first.
    """
    from ray._private import ray_constants, services
    from ray._raylet import Config  # type: ignore[attr-defined]

    def start_raylet(*given: Any, **named: Any) -> Any:
        return began(*given, **{**named, "fate_share": False})

    began = services.start_raylet
    Config.initialize("")  # what was read from the environment when Ray was imported may be of another time
    with _replaced(
        (ray_constants, "ENABLE_RAY_CLUSTER", False),
        (services, "start_api_server", lambda *_, **__: (None, None)),
        (services, "start_raylet", start_raylet),
    ):
        yield


class Cluster:
    """Ray with a number of workers, for the time of a `with` block; it starts with the first job.

    Joins the cluster of `$RAY_ADDRESS` where that is set (the number of workers then only bounds the
    jobs under way), else starts one on this machine and stops it at the end: it listens on loopback alone,
    takes orders from this process and its own alone, and ends with this process. Inside the block of
    another it uses what that one started. Raises ClusterError and SessionError.

    tell: hears, in one line, when nothing has come of the workers for a while.
    """

    def __init__(self, workers: int, tell: Callable[[str], None] = lambda line: None) -> None:
        self.workers = workers
        self._tell = tell
        self._mine = False
        self._session: Session | None = None
        self._lost = False

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Start Ray now, unless it has been."""
        import ray  # takes half a second

        if ray.is_initialized():
            return
        # Ray's own handler of SIGTERM would kill what Ray is about to join, and Ray ends the process for that.
        with _replaced((ray._private.utils, "set_sigterm_handler", lambda handler: None)):
            if address := os.environ.get("RAY_ADDRESS"):
                self._join(address)
            else:
                self._begin()
        ray._private.worker._worker_logs_enabled = False  # else it prints what becomes of workers on stdout
        self._mine = True

    def _join(self, address: str) -> None:
        import ray

        try:
            ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
        except Exception as error:  # Ray itself has tried for minutes
            ray.shutdown()
            raise ClusterError(f"Ray can't be joined at {address} ($RAY_ADDRESS): {_line(error)}") from error

    def _begin(self) -> None:
        import ray

        for attempt in range(1, ATTEMPTS + 1):
            self._session = Session()
            try:
                with self._session.environment(), _local_alone():
                    ray.init(
                        num_cpus=self.workers,
                        include_dashboard=False,
                        logging_level=logging.CRITICAL,
                        log_to_driver=False,
                        _temp_dir=self._session.rays,
                    )
                where = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
                if where not in LOOPBACK:
                    raise RuntimeError("it would listen to the network")
                self._watch()
                return
            except Exception as error:  # Ray raises the bare class for a start that takes too long
                self._stop()
                if attempt == ATTEMPTS:
                    raise ClusterError(f"Ray can't be started: {_line(error)}") from error
                time.sleep(2 * attempt)
            except BaseException:  # Ctrl-C
                self._stop()
                raise

    def _stop(self) -> None:
        import ray

        session, self._session = self._session, None
        if session:
            session.unwatch()
        ray.shutdown()
        if session:
            session.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine:
            self._stop()
        self._mine = False
        if self._lost:
            raise LostError

    def _watch(self) -> None:
        """Interrupt the main thread when Ray's own process ends, of which the guard tells.

        Ray itself ends this process then, often at once.
        """
        from ray._private import ray_constants, worker

        session = self._session
        assert session
        node: Any = worker._global_node
        raylet = node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process
        session.watch(raylet.pid, f"Error: {LostError()}")

        def watch() -> None:
            raylet.wait()
            if session is self._session:  # else it was stopped
                self._lost = True
                interrupt_main()

        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=watch, name="watch of Ray", daemon=True).start()

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

    def trials(
        self,
        function: Callable[[Any, str, Report], None],
        shared: Any,
        names: Sequence[str],
        *,
        workers: int,
        retries: int,
        scratch: Path,
        on_result: Callable[[str, dict[str, Any]], None],
    ) -> dict[str, str]:
        """`function(shared, name, report)` for each name, as Ray Tune trials; why each failed that did in the end.

        A trial has room for `workers` of its own `Cluster` jobs, in one placement group on one machine where
        that is possible; as many run at once as the cluster has room for. `on_result` hears what they report. One
        that fails, or whose process dies, is tried again `retries` times; the others go on.
        scratch: a folder that all machines see, of which nothing is needed afterwards.
        """
        self.start()
        os.environ.update(TUNE)
        import ray
        from ray import tune

        class Hearing(tune.Callback):
            def __reduce__(self) -> tuple[Any, ...]:
                return tune.Callback, ()  # Tune writes its callbacks down, and what listens here may hold a terminal

            def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
                on_result(trial.config["name"], result)

        place = ray.put(shared)

        def trial(config: dict[str, Any]) -> None:
            function(ray.get(place), config["name"], tune.report)

        at_once = max(1, min(len(names), int(_resource("CPU") // workers)))
        gpu = _split(_resource("GPU"), at_once * (workers + 1))  # a trial learns on a share of its own
        own: dict[str, float] = {"GPU": gpu} if gpu else {}
        bundles = [own, *({"CPU": 1.0, **own} for _ in range(workers))]
        results = tune.Tuner(
            tune.with_resources(trial, tune.PlacementGroupFactory(bundles)),
            param_space={"name": tune.grid_search(list(names))},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.config["name"],
                trial_dirname_creator=lambda trial: trial.config["name"],
            ),
            run_config=tune.RunConfig(
                name="trials", storage_path=str(scratch.resolve()), verbose=0, callbacks=[Hearing()],
                failure_config=tune.FailureConfig(max_failures=retries),
            ),
        ).fit()  # fmt: skip
        return {
            result.config["name"]: " ".join(str(result.error).split())[-300:]
            for result in map(results.__getitem__, range(len(results)))
            if result.error and result.config
        }

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

        def work(shared: Any, job: Job) -> Result:
            return do(function, shared, job)

        work.__name__ = work.__qualname__ = function.__name__  # Ray's title of a process
        remote = ray.remote(work).options(num_cpus=1, num_gpus=self._gpu_share(), max_retries=0)
        place = ray.put(shared)
        number: dict[Any, int] = {}
        deaths: Counter[int] = Counter()
        waiting = list(range(len(jobs)))[::-1]
        try:
            while waiting or number:
                while waiting and len(number) < self.workers:
                    index = waiting.pop()
                    number[remote.remote(place, jobs[index])] = index
                oldest = jobs[min(number.values())]
                ready = self._wait(list(number), function.__name__ + with_plugins(shared, oldest))
                index = number.pop(ready)
                try:
                    result = ray.get(ready)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error  # what happened there, as if it had happened here
                except ray.exceptions.RayError as error:
                    deaths[index] += 1
                    if deaths[index] > RETRIES:
                        raise WorkerError(
                            f"a process that did {function.__name__} died, {deaths[index]} times over the same job"
                            f"{with_plugins(shared, jobs[index])}: code that ends its process, a crash, or too"
                            f" little memory ({type(error).__name__})"
                        ) from error
                    waiting.append(index)
                    continue
                yield index, result
        finally:
            for job_left in number:
                ray.cancel(job_left)

    def _gpu_share(self) -> float:
        """What a job asks for of a GPU: all there are, split evenly, or what the trial has that this runs in."""
        import ray

        if trial := ray.util.get_current_placement_group():
            return float(trial.bundle_specs[-1].get("GPU", 0))
        return _split(_resource("GPU"), self.workers)

    def _wait(self, under_way: list[Any], what: str) -> Any:
        """The first that is ready; one line says so from time to time where that takes long."""
        import ray

        patience, began = QUIET, time.monotonic()
        while True:
            ready, _ = ray.wait(under_way, num_returns=1, timeout=patience)
            if ready:
                return ready[0]
            self._tell(
                f"no block finished for {time.monotonic() - began:.0f} s: {len(under_way)} under way"
                f" ({what}); Ctrl-C stops"
            )
            patience *= 2


def _resource(name: str) -> float:
    """How much of a resource the cluster has."""
    import ray

    return float(ray.cluster_resources().get(name, 0))  # type: ignore[no-untyped-call]


def _split(gpus: float, parts: int) -> float:
    """What each of so many gets of some GPUs, at most one whole; Ray knows ten thousandths."""
    return min(1.0, int(10_000 * gpus / parts) / 10_000)
