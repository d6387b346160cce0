"""How Ray is come by: a cluster that is there is joined, or one of this machine alone is started."""

import logging
import os
import socket
import threading
import time
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # it ends the process with a stack trace
from engines.settings import Mistake
from sandwich.runtime import guard
from sandwich.runtime.session import Session
from sandwich.runtime.token import has_token

ATTEMPTS = 3
"""Times that Ray is started: under heavy load its own 30 s limit can pass."""
LOOPBACK = ("127.0.0.1", "::1")
SECURED = "sandwich cluster token makes one, and prints how to start each machine with it"
"""What to do about a cluster that anybody can give orders."""
REACHED = 20.0
"""Seconds within which somebody answers at the address of a cluster."""
JOINED = 120.0
"""Seconds within which a cluster that was joined does a first piece of work."""


def cluster_address() -> str | None:
    """Address of the cluster to be joined, `$RAY_ADDRESS`; None: a Ray of this machine alone (`local` for Ray)."""
    address = os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address


class ClusterError(Mistake, RuntimeError):
    """Ray does not start, or can't be joined: one line."""


class LostError(ClusterError):
    """Ray's own process ended, of which stderr has been told already: Ray may have left no time for that."""

    announced = guard.WATCHES

    def __init__(self) -> None:
        super().__init__("Ray's own process ended in the middle of the work; it can go on where it was cut off")


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


class Connection:
    """This process's way to Ray; `start` makes it, `stop` ends it. Raises ClusterError and SessionError."""

    def __init__(self) -> None:
        self.session: Session | None = None
        """What a Ray of this machine alone stands on."""
        self.lost = False
        """Whether Ray's own process ended by itself."""

    def start(self, cpus: int) -> None:
        """Join the cluster of `$RAY_ADDRESS`, or start one with so many logical CPUs."""
        import ray

        # Ray's own handler of SIGTERM would kill what Ray is about to join, and Ray ends the process for that.
        with _replaced((ray._private.utils, "set_sigterm_handler", lambda handler: None)):
            if address := cluster_address():
                _join(address)
            else:
                self._begin(cpus)
        ray._private.worker._worker_logs_enabled = False  # else it prints what becomes of workers on stdout

    def _begin(self, cpus: int) -> None:
        import ray

        for attempt in range(1, ATTEMPTS + 1):
            self.session = Session()
            try:
                with self.session.environment(), _local_alone():
                    ray.init(
                        num_cpus=cpus,
                        include_dashboard=False,
                        logging_level=logging.CRITICAL,
                        log_to_driver=False,
                        _temp_dir=self.session.rays,
                    )
                where = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
                if where not in LOOPBACK:
                    raise RuntimeError("it would listen to the network")
                self._watch()
                return
            except Exception as error:  # Ray raises the bare class for a start that takes too long
                self.stop()
                if attempt == ATTEMPTS:
                    raise ClusterError(f"Ray can't be started: {_line(error)}") from error
                time.sleep(2 * attempt)
            except BaseException:  # Ctrl-C
                self.stop()
                raise

    def stop(self) -> None:
        import ray

        session, self.session = self.session, None
        if session:
            session.unwatch()
        ray.shutdown()
        if session:
            session.close()

    def _watch(self) -> None:
        """Interrupt the main thread when Ray's own process ends, of which the guard tells.

        Ray itself ends this process then, often at once.
        """
        from ray._private import ray_constants, worker

        session = self.session
        assert session
        node: Any = worker._global_node
        raylet = node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process
        session.watch(raylet.pid, f"Error: {LostError()}")

        def watch() -> None:
            raylet.wait()
            if session is self.session:  # else it was stopped
                self.lost = True
                interrupt_main()

        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=watch, name="watch of Ray", daemon=True).start()


def _join(address: str) -> None:
    """Join a cluster that asks for a token. Raises ClusterError."""
    import ray

    mode = os.environ.setdefault("RAY_AUTH_MODE", "token")
    if mode != "token":
        raise ClusterError(f"RAY_AUTH_MODE={mode}: a cluster of several machines asks for a token; {SECURED}")
    if not has_token():
        raise ClusterError(
            f"there is no token here for the cluster at {address}: copy that of its first machine; {SECURED}"
        )
    _reach(address)
    try:
        ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
    except Exception as error:
        ray.shutdown()
        raise ClusterError(
            f"Ray can't be joined at {address} ($RAY_ADDRESS): {_line(error)} (is the token here the cluster's?)"
        ) from error
    try:
        asks = ray.get(ray.remote(_asks_for_token).options(num_cpus=0).remote(), timeout=JOINED)
    except ray.exceptions.GetTimeoutError:
        asks = None
    if not asks:
        ray.shutdown()
        raise ClusterError(
            f"the cluster at {address} does nothing within {JOINED:.0f} s" if asks is None else
            f"the cluster at {address} asks for no token, so that whoever reaches it can run code there; {SECURED}"
        )  # fmt: skip


def _reach(address: str) -> None:
    """Raises ClusterError where nobody answers at an address, for which Ray would wait for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port) > 65535:
        raise ClusterError(f"RAY_ADDRESS={address}: expected HOST:PORT of the cluster's first machine, auto, or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED).close()
    except OSError as error:
        raise ClusterError(f"nobody answers at {address} ($RAY_ADDRESS): {error.strerror or error}") from error


def _asks_for_token() -> bool:
    """Whether the machine that this is done on was started so that it asks for one."""
    return os.environ.get("RAY_AUTH_MODE") == "token"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
