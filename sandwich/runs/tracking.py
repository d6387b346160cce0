"""A run's figures as they come: `metrics.jsonl` always, Weights & Biases where the spec says so.

The only file that imports wandb, and it does so only where W&B is wanted. `metrics.jsonl` is the
record; W&B is a copy of it that may fail or hang at any moment without harm to the run: all that has
to do with it happens on a thread that the run waits for only at its start and end, and not for long.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sandwich.protocol import ledger
from sandwich.protocol.annotated_games import annotated_pgn, proposals, result_of
from sandwich.runs.metrics import read_metrics, scalars, step_of, write_metrics
from sandwich.runs.provenance import code_version
from sandwich.runs.showcase import Case, cases
from sandwich.runtime.background import BackgroundWorker
from sandwich.runtime.cache import notes_folder
from sandwich.runtime.environment import environment
from sandwich.spec.run_spec import RunSpec

if TYPE_CHECKING:
    from wandb import Run

START_WAIT = 10.0
"""Seconds that a run waits for W&B's own process to start; nothing is sent yet."""
END_WAIT = 30.0
"""Seconds that a run waits at its end for W&B to take the rest; more than either timeout below."""
INIT_TIMEOUT = 10.0
"""Seconds that an online start may take before W&B goes on offline; the run does not wait for it."""
FINISH_TIMEOUT = 20.0
"""Seconds that the last uploads of an online run may take; `wandb sync` can make up for the rest."""
TEARDOWN_WAIT = 5.0
"""Seconds that W&B may take to notice that its process has been ended."""

ENVIRONMENT = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
"""What W&B reads from the environment alone, at any time: no words of its own, and nothing about its use sent."""

DATA = "WANDB_DATA_DIR"
"""Variable that says where W&B keeps what an artifact is made of until it is uploaded; else in the user's home."""
CACHE = "WANDB_CACHE_DIR"
"""Variable that says where W&B keeps its cache and the notes of its own process; else in the user's home."""

GAME_COLUMNS = ("step", "kind", "game", "result", "plies", "win_lost", "proposals", "PGN", "board")
"""Columns of the table of games; the last only where there is a page to show."""

Board = Callable[[Mapping[str, list[Any]]], str]
"""Makes a page that needs nothing else, in HTML, of one game: its ledger columns as lists."""

PRIVATE: dict[str, Any] = {
    "disable_code": True,
    "disable_git": True,
    "host": "",
    "save_code": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Settings that keep out of W&B what is not the run's."""
PROMPT = {"x_transaction_log_flush_interval": 1.0}
"""Settings that have W&B's own file on the disk soon."""


class Tracker:
    """Writes down what is measured, for the time of a `with` block.

    On entry it reads what the folder already has. A run that goes on gets a W&B run of its own, which
    begins with the figures of the steps before it, so that the latest W&B run always has every step.
    W&B lags behind; what it raises ends its part, or that of the files, and so does a wait that is over;
    one line says so.

    board: page of a game, for the table of games; None: the table has no boards.
    """

    def __init__(self, folder: Path, spec: RunSpec, board: Board | None = None) -> None:
        self._folder = folder
        self._spec = spec
        self._board = board
        self._rows: dict[int, dict[str, Any]] = {}
        self._worker: BackgroundWorker | None = None
        self._run: Run | None = None  # of the worker's tasks alone
        self._files = True
        self._failed = False
        self._environment = ExitStack()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row so far, by step."""
        return [self._rows[step] for step in sorted(self._rows)]

    def __enter__(self) -> Self:
        self._rows = {row["step"]: row for row in read_metrics(self._folder)}
        if self._spec.tracking.wandb != "off":
            self._environment.enter_context(environment(_variables(self._folder / "wandb")))
            self._worker = BackgroundWorker(self._fail)
            started = Event()
            self._worker.do(lambda: _prepare(started))
            started.wait(START_WAIT)
            self._worker.do(self._begin)
        for row in self.rows:
            self._send(row)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        with self._environment:
            worker.do(lambda: self._wandb.finish(exit_code=0 if kind is None else 1))
            if not worker.close(END_WAIT):
                self._fail(TimeoutError(f"still busy {END_WAIT:.0f} s after the run"))
            if self._failed:
                _end_service()

    def log(self, row: dict[str, Any]) -> None:
        """Write down the row of one step, in place of one of the same step."""
        self._rows[step_of(row)] = row
        write_metrics(self._folder, self.rows)
        self._send(row)

    def games(self, step: int, content: Path) -> None:
        """Show some games of a step's ledger, a file, as a table in W&B."""
        self._later_file(lambda: self._log_games(step, content))

    def artifacts(self, step: int, checkpoint: Path, content: Path) -> None:
        """Keep a step's new checkpoint and its ledger in W&B, where the spec says so."""
        if self._spec.tracking.artifacts:
            self._later_file(lambda: self._log_artifact("checkpoint", "model", step + 1, checkpoint))
            self._later_file(lambda: self._log_artifact("ledger", "dataset", step, content))

    def finish(self, result: dict[str, Any]) -> None:
        """Put the final result into W&B's summary."""
        figures = {f"result/{name}": value for name, value in scalars(result).items()}
        self._later(lambda: self._wandb.summary.update(figures))

    def _send(self, row: dict[str, Any]) -> None:
        figures = scalars(row)
        self._later(lambda: self._wandb.log(figures))

    def _later(self, task: Callable[[], None]) -> None:
        if self._worker is not None:
            self._worker.do(task)

    def _later_file(self, task: Callable[[], None]) -> None:
        """A task for which W&B waits for its server; after one that failed none are done, figures go on."""

        def guarded() -> None:
            try:
                if self._files:
                    task()
            except Exception as error:
                if self._failed:
                    raise
                self._files = False
                _tell(f"{_first_line(error)}; going on without games and artifacts")

        self._later(guarded)

    def _begin(self) -> None:
        self._run = _start(self._folder, self._spec, lambda: self._failed)

    @property
    def _wandb(self) -> "Run":
        assert self._run is not None, "a task before the first"
        return self._run

    def _log_games(self, step: int, content: Path) -> None:
        import wandb

        shown = cases(ledger.read(content), self._spec.seed, step)
        rows = [_game_row(step, case) for case in shown]
        if self._board is not None:
            pages = [self._board(case.rows) for case in shown]
            rows = [
                [*row, wandb.Html(page, inject=False, data_is_not_path=True)]  # to inject refers to an address outside
                for row, page in zip(rows, pages, strict=True)
            ]
        columns = GAME_COLUMNS if self._board is not None else GAME_COLUMNS[:-1]
        self._wandb.log({"step": step, "games": wandb.Table(columns=[*columns], data=[*rows])})

    def _log_artifact(self, name: str, kind: str, step: int, path: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"{name}-{self._wandb.id}", type=kind, metadata={"step": step})
        artifact.add_file(str(path), name=path.name, policy="immutable", skip_cache=True)
        self._wandb.log_artifact(artifact, aliases=["latest", f"step-{step}"])

    def _fail(self, error: Exception) -> None:
        """W&B's part in this run is over; one line says so, once."""
        if not self._failed:
            self._failed = True
            _tell(f"{_first_line(error)}; going on without it, metrics.jsonl has everything")


def _game_row(step: int, case: Case) -> list[Any]:
    """A row of the table of games but for its board."""
    rows, lost = case.rows, None if case.lost is None else 100 * case.lost
    lines = "\n".join(proposals(rows))
    return [step, case.kind, case.game, result_of(rows), len(rows["ply"]), lost, lines, annotated_pgn(rows, step)]


def _tell(message: str) -> None:
    sys.stderr.write(f"W&B: {message}\n")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _prepare(started: Event) -> None:
    """Start W&B's own process, or fail to, and say so."""
    try:
        import wandb

        wandb.setup()
    finally:
        started.set()


def _end_service() -> None:
    """End W&B's own process, which has failed or hangs: W&B would wait for it when this process ends.

    What it has written down by then is in its files; a later run of this process starts it anew.
    """
    helper = BackgroundWorker(lambda error: None)  # W&B may complain that its process is gone
    helper.do(_kill_service)
    helper.close(TEARDOWN_WAIT)


def _kill_service() -> None:
    import wandb

    process: Any = wandb.setup()
    for name in ("_connection", "_proc", "_process"):  # no public way
        process = getattr(process, name, None)
    if process is not None:
        process.kill()
        process.wait()
    try:
        wandb.teardown()
    except SystemExit:  # with the exit code of its process
        pass


def _start(folder: Path, spec: RunSpec, over: Callable[[], bool]) -> "Run":
    """A W&B run in the spec's mode, or offline where online cannot be; raises what W&B raises.

    over: whether nobody waits for it any more.
    """
    import wandb

    if spec.tracking.wandb == "online":
        try:
            if wandb.login(prompt=False, verify=False):
                return _init(folder, spec, "online")
            problem = "not logged in (`wandb login`)"
        except Exception as error:
            if over():
                raise
            problem = f"cannot go online ({_first_line(error)})"
        _tell(f"{problem}; going on offline, `wandb sync` can upload the run later")
    return _init(folder, spec, "offline")


def _init(folder: Path, spec: RunSpec, mode: Any) -> "Run":
    import wandb

    known = wandb.Settings.model_fields  # versions of W&B differ
    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=INIT_TIMEOUT,
        finish_timeout=FINISH_TIMEOUT,
        finish_timeout_raises=True,
        use_dot_wandb=False,
        symlink=False,
        **{name: value for name, value in {**PRIVATE, **PROMPT}.items() if name in known},
    )
    run = wandb.init(
        project=spec.tracking.project,
        name=spec.name,
        group=spec.tracking.group,
        dir=folder,
        config=spec.model_dump(mode="json") | code_version(),
        mode=mode,
        reinit="create_new",
        settings=settings,
    )
    run.define_metric("*", step_metric="step")
    return run


def _variables(data: Path) -> dict[str, str]:
    """W&B's own variables; `data`: where it keeps its data, unless the user has named another place."""
    places = {DATA: data.resolve(), CACHE: notes_folder(data.resolve())}
    return {**ENVIRONMENT, **{name: os.environ.get(name, str(place)) for name, place in places.items()}}
