"""A run's figures as they come: `metrics.jsonl` always, Weights & Biases where the spec says so.

The only file that imports wandb, and it does so only where W&B is wanted. `metrics.jsonl` is the
record; W&B is a copy of it that may fail at any moment without harm to the run.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import chess.pgn

from sandwich.config import RunSpec
from sandwich.metrics import read_metrics, scalars, step_of, write_metrics

if TYPE_CHECKING:
    from wandb import Run

INIT_TIMEOUT = 20.0
"""Seconds that an online start may take before the run goes on offline."""
FINISH_TIMEOUT = 60.0
"""Seconds that the last uploads of an online run may take; `wandb sync` can make up for the rest."""

ENVIRONMENT = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
"""What W&B reads from the environment alone, and only when it starts."""

GAME_COLUMNS = ("step", "round", "white", "black", "result", "plies", "PGN")
"""Columns of the table of games."""

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
"""Settings that keep out of W&B what is not the run's; those that a version of W&B lacks are left out."""


class Tracker:
    """Writes down what is measured, for the time of a `with` block.

    On entry it reads what the folder already has. A run that goes on gets a W&B run of its own, which
    begins with the figures of the steps before it, so that the latest W&B run always has every step.
    """

    def __init__(self, folder: Path, spec: RunSpec) -> None:
        self._folder = folder
        self._spec = spec
        self._rows: dict[int, dict[str, Any]] = {}
        self._run: Run | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row so far, by step."""
        return [self._rows[step] for step in sorted(self._rows)]

    def __enter__(self) -> Self:
        self._rows = {row["step"]: row for row in read_metrics(self._folder)}
        if self._spec.tracking.wandb != "off":
            with self._surviving():
                self._run = _start(self._folder, self._spec)
        for row in self.rows:
            self._send(row)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._surviving():
            if self._run is not None:
                self._run.finish(exit_code=0 if kind is None else 1)
        self._run = None

    def log(self, row: dict[str, Any]) -> None:
        """Write down the row of one step, in place of one of the same step."""
        self._rows[step_of(row)] = row
        write_metrics(self._folder, self.rows)
        self._send(row)

    def games(self, step: int, pgns: Sequence[str]) -> None:
        """Show the games of a step as a table in W&B."""
        data = [_game_row(step, pgn) for pgn in pgns if pgn.strip()]
        if self._run is None or not data:
            return
        with self._surviving():
            import wandb

            self._run.log({"step": step, "games": wandb.Table(columns=list(GAME_COLUMNS), data=list(data))})

    def finish(self, result: dict[str, Any]) -> None:
        """Put the final result into W&B's summary."""
        with self._surviving():
            if self._run is not None:
                self._run.summary.update({f"result/{name}": value for name, value in scalars(result).items()})

    def _send(self, row: dict[str, Any]) -> None:
        with self._surviving():
            if self._run is not None:
                self._run.log(scalars(row))

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Whatever W&B raises inside ends W&B's part in this run, said once, and not the run."""
        try:
            yield
        except Exception as error:
            self._run = None
            _tell(f"{_first_line(error)}; going on without it, metrics.jsonl has everything")


def _game_row(step: int, pgn: str) -> list[Any]:
    game = chess.pgn.read_game(StringIO(pgn))
    if game is None:
        raise ValueError(f"step {step}: expected the PGN of a game, got {pgn[:60]!r}")
    head = game.headers
    return [step, head["Round"], head["White"], head["Black"], head["Result"], game.end().ply() - game.ply(), pgn]


def _tell(message: str) -> None:
    sys.stderr.write(f"W&B: {message}\n")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _start(folder: Path, spec: RunSpec) -> "Run":
    """A W&B run in the spec's mode, or offline where online cannot be; raises what W&B raises."""
    with _environment():
        import wandb

        if spec.tracking.wandb == "online":
            try:
                if wandb.login(prompt=False, verify=False):
                    return _init(folder, spec, "online")
                problem = "not logged in (`wandb login`)"
            except Exception as error:
                problem = f"cannot go online ({_first_line(error)})"
            _tell(f"{problem}; going on offline, `wandb sync` can upload the run later")
        return _init(folder, spec, "offline")


def _init(folder: Path, spec: RunSpec, mode: Any) -> "Run":
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=INIT_TIMEOUT,
        finish_timeout=FINISH_TIMEOUT,
        use_dot_wandb=False,
        symlink=False,
        **{name: value for name, value in PRIVATE.items() if name in wandb.Settings.model_fields},
    )
    run = wandb.init(
        project=spec.tracking.project,
        name=spec.name,
        group=spec.tracking.group,
        dir=folder,
        config=spec.model_dump(mode="json"),
        mode=mode,
        reinit="create_new",
        settings=settings,
    )
    run.define_metric("*", step_metric="step")
    return run


@contextmanager
def _environment() -> Iterator[None]:
    """W&B's own variables set for a while, and put back as they were."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
