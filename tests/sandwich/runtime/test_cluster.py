"""Ray of this machine alone: who can reach it, who ends it, and what becomes of a job whose worker dies."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandwich.runtime import guard, session
from sandwich.runtime.connection import ClusterError, Connection, cluster_address
from sandwich.runtime.jobs import WorkerError, do
from sandwich.runtime.session import Session, SessionError
from tests.helpers.project import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc")

WORK = """
import os, signal, sys, time
from sandwich.runtime import cluster
from sandwich.runtime.cluster import Cluster

def twice(shared, job):
    if job == "exit":
        os._exit(3)
    if job == "wait":
        time.sleep(shared)
    return 2 * job

def tell(line):
    print("told:", line, flush=True)

with Cluster(2, tell) as running:
    print(running.map(twice, None, [1, 2, 3]), flush=True)
    print(os.getpid(), running._connection.session.folder, flush=True)
    cluster.QUIET = 3.0
    {then}
print("over", flush=True)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a program with a Ray of its own, which is killed at the end if need be."""
    running: list[subprocess.Popen[str]] = []

    def begin(then: str, **environment: str) -> subprocess.Popen[str]:
        values = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        command = [sys.executable, "-c", WORK.format(then=then)]
        process = subprocess.Popen(
            command, env=values, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def first_lines(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a program's first jobs gave, and the folder of its session."""
    assert process.stdout
    given = process.stdout.readline().strip()
    return given, process.stdout.readline().split()[-1]


def listening(processes: list[int]) -> dict[str, int]:
    """Addresses, as in /proc/net, at which processes listen."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A":
                inodes[f"socket:[{columns[9]}]"] = columns[1]
    return {
        inodes[target]: process
        for process in processes
        for file in Path(f"/proc/{process}/fd").iterdir()
        if (target := os.readlink(file)) in inodes  # noqa: PTH115
    }


LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")

INTRUDER = """
import sys
import ray
try:
    ray.init(address=sys.argv[1], logging_level="CRITICAL", log_to_driver=False)
except BaseException as error:
    sys.exit(f"refused: {type(error).__name__}")
print("let in")
"""


@pytest.mark.slow
def test_it_listens_on_loopback_alone_and_lets_nobody_in_without_the_token(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("import ray; print(ray.get_runtime_context().gcs_address, flush=True); sys.stdin.read()")
    given, folder = first_lines(process)
    assert given == "[2, 4, 6]"
    assert process.stdout
    address = process.stdout.readline().strip()
    addresses = listening([process.pid, *guard.belonging(folder)])
    assert len(addresses) >= 4, "Ray's own process, its directory and two workers listen"
    assert {where.partition(":")[0] for where in addresses} <= set(LOOPBACK)
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert not list(Path(folder).rglob("*token*"))
    values = {**os.environ, "HOME": str(tmp_path), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    intruder = subprocess.Popen(
        [sys.executable, "-c", INTRUDER, address], env=values, stdout=subprocess.PIPE, text=True
    )
    try:
        said = intruder.communicate(timeout=40)[0]
    except subprocess.TimeoutExpired:  # Ray goes on asking to be let in
        intruder.kill()
        said = intruder.communicate()[0]
    assert "let in" not in said
    assert process.communicate(timeout=60)[0] == "over\n"
    assert not Path(folder).exists()


def gone(folder: str, seconds: float = 10) -> bool:
    """Whether all that belongs to a session is gone within some seconds, its folder last."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not Path(folder).exists():
            return not guard.belonging(folder)
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_of_it_outlives_a_driver_that_a_signal_ends(
    start: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = start('running.map(twice, 600, ["wait", "wait"])')
    _, folder = first_lines(process)
    time.sleep(1)
    assert len(guard.belonging(folder)) >= 5
    process.send_signal(number)
    assert gone(folder)
    said = process.communicate(timeout=20)
    assert process.returncode == -number  # no handler of Ray's
    assert "SIGTERM received" not in said[1]
    assert "Ray's own process" not in said[1]


@pytest.mark.slow
def test_a_job_that_ends_its_process_is_tried_three_times_then_named(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start('running.map(twice, None, [1, "exit"])')
    first_lines(process)
    out, error = process.communicate(timeout=120)
    assert error.splitlines()[-1].startswith(
        "sandwich.runtime.jobs.WorkerError: a process that did twice died, 3 times"
    )
    assert "raylet" not in out + error.replace("ray/_private", "")


@pytest.mark.slow
def test_where_nothing_comes_one_line_says_so(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start('running.map(twice, 6, ["wait"])')
    first_lines(process)
    out, _ = process.communicate(timeout=60)
    first, *_, last = out.splitlines()
    assert first == "told: no block finished for 3 s: 1 under way (twice); Ctrl-C stops"
    assert last == "over"


@pytest.mark.slow
def test_the_end_of_rays_own_process_ends_the_work_in_one_line(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start('running.map(twice, 600, ["wait"])')
    _, folder = first_lines(process)
    raylet = subprocess.run(["pgrep", "-P", str(process.pid), "raylet"], capture_output=True, text=True)
    os.kill(int(raylet.stdout), signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert error.startswith(
        "Error: Ray's own process ended in the middle of the work; it can go on where it was cut off\n"
    )
    assert process.returncode == 1
    assert gone(folder)


def guarding(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", guard.__file__, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(not guard.WATCHES, reason="no pidfd_open")
@pytest.mark.parametrize(("first", "said"), [("watched", "it ended\n"), ("taken back", ""), ("starter", "")])
def test_the_guard_tells_of_what_ended_before_it_was_meant_to(tmp_path: Path, first: str, said: str) -> None:
    watched = subprocess.Popen(["sleep", "600"])
    process = guarding(tmp_path / "session")
    assert process.stdin
    assert process.stderr
    process.stdin.write(f"{watched.pid} it ended\n" + "\n" * (first == "taken back"))
    process.stdin.flush()
    time.sleep(0.5)
    if first == "starter":
        process.stdin.close()
        assert process.wait(20) == 0
    watched.kill()
    watched.wait()
    time.sleep(0.2)
    process.stdin.close()
    assert process.stderr.read() == said
    assert process.wait(20) == 0


@pytest.mark.skipif(not guard.WATCHES, reason="no pidfd_open")
def test_the_guard_goes_on_where_nobody_hears_it(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    watched = subprocess.Popen(["sleep", "600"])
    process = guarding(folder)
    assert process.stdin
    assert process.stderr
    process.stdin.write(f"{watched.pid} it ended\n")
    process.stdin.flush()
    process.stderr.close()
    watched.kill()
    watched.wait()
    time.sleep(0.2)
    process.stdin.close()
    assert process.wait(20) == 0
    assert not folder.exists()


def stubborn(what: type[BaseException], job: object) -> None:
    raise what


@pytest.mark.parametrize("what", [KeyboardInterrupt, SystemExit])
def test_code_that_would_end_its_worker_is_named_with_its_line(what: type[BaseException]) -> None:
    line = stubborn.__code__.co_firstlineno + 1
    with pytest.raises(
        WorkerError, match=rf"stubborn was ended by {what.__name__} in .*{Path(__file__).name}, line {line}"
    ):
        do(stubborn, what, None)


def test_a_session_lies_where_the_path_is_short_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / "a_rather_long_temporary_folder_of_a_batch_system" / "job.1355700"
    long.mkdir(parents=True)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    opened = Session()
    try:
        assert Path(opened.folder).parent == Path("/tmp")
        assert len(opened.rays + session.SOCKETS.removeprefix(f"/{session.RAYS}")) <= session.LONGEST
        assert not list(long.iterdir())
    finally:
        opened.close()
    assert not Path(opened.folder).exists()


@pytest.mark.parametrize("where", ["a_rather_long_temporary_folder_of_a_batch_system/job.1355700", "not_there"])
def test_a_named_folder_that_does_not_do_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (tmp_path / "a_rather_long_temporary_folder_of_a_batch_system" / "job.1355700").mkdir(parents=True)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / where))
    with pytest.raises(SessionError, match=r"set RAY_TMPDIR to a folder that can be written to and whose path has at"):
        Session()


def test_what_belongs_to_a_session_ends_with_it() -> None:
    opened = Session()
    with opened.environment():
        child = subprocess.Popen(["sleep", "600"])
    other = subprocess.Popen(["sleep", "600"])
    try:
        assert guard.belonging(opened.folder) == [child.pid]
        opened.close()
        assert child.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


GPUS = """
import os, time, ray
from pathlib import Path
from tempfile import mkdtemp
from sandwich.runtime.cluster import Cluster, Resources
from sandwich.runtime.trials import run_trials

def seen(shared, job):
    time.sleep(shared)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), ray.get_runtime_context().get_assigned_resources().get("GPU", 0)

def trial(shared, name, report):
    with Cluster(2) as inside:
        report({{"own": seen(0, 0), "workers": inside.map(seen, shared, [1, 2])}})

ray.init(num_cpus=4, num_gpus={gpus}, include_dashboard=False, log_to_driver=False)  # of which Ray only keeps count
with Cluster(4) as running:
    print("run:", sorted(running.map(seen, 2.0, range(4)), key=str), flush=True)
    heard = {{}}
    failed = run_trials(
        running, trial, 2.0, ["a", "b"], workers=2, each=Resources(), retries=0, scratch=Path(mkdtemp()),
        on_result=heard.__setitem__,
    )
    print("failed:", failed, flush=True)
    for name in sorted(heard):
        print(name, heard[name]["own"], sorted(heard[name]["workers"], key=str), flush=True)
ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.long
def test_jobs_and_trials_have_shares_of_the_gpus_that_are_there() -> None:
    def said(gpus: int) -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        command = [sys.executable, "-c", GPUS.format(gpus=gpus)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=True)
        return done.stdout.splitlines()

    two = said(2)
    assert two[0] == "run: [('0', 0.5), ('0', 0.5), ('1', 0.5), ('1', 0.5)]"
    assert two[1] == "failed: {}"
    third = "0.3333"
    assert all(line.count(third) == 3 for line in two[2:]) and len(two) == 4
    assert {device for line in two[2:] for device in ("'0'", "'1'") if device in line} == {"'0'", "'1'"}
    assert said(0) == ["run: [(None, 0), (None, 0), (None, 0), (None, 0)]", "failed: {}",
                       "a (None, 0) [(None, 0), (None, 0)]", "b (None, 0) [(None, 0), (None, 0)]"]  # fmt: skip


HALF = """
import pathlib, sys, time
from sandwich.runtime.cluster import Cluster

def imported(shared, job):
    sys.path.insert(0, shared)
    if job == 0:
        return 0  # the first result, after which nothing more is wanted
    import half
    return half.types.ANSWER

here = pathlib.Path(sys.argv[1])
with Cluster(2) as running:
    stream = running.stream(imported, str(here), [0, 1])
    print(next(stream))
    while not (here / "begun").exists():
        time.sleep(0.05)
    stream.close()  # in the middle of the import
    time.sleep(3)
    (here / "quick").touch()
    print(running.map(imported, str(here), [1, 2, 3, 4]), flush=True)
"""
PACKAGE = """
import half.types
import pathlib, time
here = pathlib.Path(__file__).parent.parent
(here / "begun").touch()
deadline = time.monotonic() + 60
while not (here / "quick").exists() and time.monotonic() < deadline:
    time.sleep(0.05)
half.types.ANSWER
"""


@pytest.mark.slow
def test_what_is_cancelled_while_it_imports_leaves_no_process_behind_that_half_knows_a_library(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "half" / "types.py").write_text("ANSWER = 42")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HALF, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["0", "[42, 42, 42, 42]"]), done.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nobody answers at 127.0.0.1:1 "),
        ("no.such.host.invalid:6379", "nobody answers at no.such.host.invalid:6379 "),
        ("[::1]:1", "nobody answers at [::1]:1 "),
        ("nonsense", "RAY_ADDRESS=nonsense: expected HOST:PORT"),
        ("10.0.0.1:99999", "RAY_ADDRESS=10.0.0.1:99999: expected HOST:PORT"),
        ("ray://10.0.0.1:10001", "RAY_ADDRESS=ray://10.0.0.1:10001: expected HOST:PORT"),
        (":6379", "RAY_ADDRESS=:6379: expected HOST:PORT"),
    ],
)
def test_where_nobody_answers_that_is_said_at_once(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setenv("RAY_ADDRESS", address)
    began = time.monotonic()
    with pytest.raises(ClusterError, match=f"^{re.escape(said)}"):
        Connection().start(1)
    assert time.monotonic() - began < 30


def test_without_a_token_no_cluster_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    with pytest.raises(ClusterError, match=r"^there is no token here .*sandwich cluster token makes one"):
        Connection().start(1)


def test_local_is_a_ray_of_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("local", ""):
        monkeypatch.setenv("RAY_ADDRESS", value)
        assert cluster_address() is None
