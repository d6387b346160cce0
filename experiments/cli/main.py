"""The console command `sandwich`: what a user types, turned into calls of the packages below."""

import os
import sys
import traceback
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn

import click

from engines.settings import Mistake
from experiments.cli.lazy import LazyGroup
from experiments.cli.stopping import Stopped, handle_signals, received

COMMANDS = {
    "run": ("experiments.cli.run:run", "Play, learn and measure as SPEC says."),
    "sweep": ("experiments.cli.sweep:sweep", "Many runs over a dose, seeds, or any other keys."),
    "cluster": ("experiments.cli.cluster:cluster", "What a cluster of several machines needs beside Ray."),
    "view": ("experiments.cli.run:view", "Show a run or sweep in a browser, even while it is running."),
    "verify": ("experiments.cli.verify:verify", "Compare the files of a folder with their checksums."),
    "report": ("experiments.cli.run:report", "Regenerate the report of a run or sweep."),
    "match": ("experiments.cli.match:match", "Players against each other, with ratings."),
    "ladder": ("experiments.cli.match:ladder", "A player against Stockfish at fixed nodes."),
    "evaluate": ("experiments.cli.evaluate:evaluate", "Measure players on positions, a run's moves, misalignments."),
    "highstakes": ("experiments.cli.highstakes:highstakes", "A blunder filter, attacked and hardened."),
    "ask": ("experiments.cli.ask:ask", "What a player would do in a position."),
    "uci": ("experiments.cli.uci:uci", "A player as an engine for chess programs."),
    "train": ("experiments.cli.data:train", "Train a player from a corpus, or an oversight policy."),
    "corpus": ("experiments.cli.data:corpus", "Make labelled positions to train on."),
    "plugins": ("experiments.cli.ask:plugins", "List what is installed, with its settings."),
}
"""Where each command is, and what it does."""

TRACEBACK = "SANDWICH_TRACEBACK"
"""Variable of the environment that, set to anything, asks for the traceback of a mistake: for who writes a plugin."""


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sandwich")
def cli() -> None:
    """A weak player, a strong but misaligned assistant, and how much of the gap to the expert is recovered.

    \b
    Example: sandwich run default assistant.misalignment.p=0.5
    """


def end(stopped: Stopped) -> NoReturn:
    """Say that the command has stopped, and end with the code that shells give its signal.

    All that was open is closed by now. The interpreter is not wound up: threads of Ray's and of ONNX Runtime that were
    cut off in their work crash in that at times, and the code would be that of the crash.
    """
    stopped.show()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(stopped.code)


def main() -> None:
    """Entry point: a user's mistake, what the system refuses, and a command that is told to stop end in one line."""
    handle_signals()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that the terminal lacks
    try:
        cli.main(standalone_mode=False)
    except Stopped as stopped:
        end(stopped)
    except (Exception, KeyboardInterrupt) as error:
        stopped_by = None if isinstance(error, Mistake) and error.announced else received()
        if stopped_by or isinstance(error, click.Abort | KeyboardInterrupt):
            end(Stopped("Stopped."))
        _explain(error)


def _explain(error: BaseException) -> NoReturn:
    """End with one line that says what was wrong; raises what is an error of this program."""
    if isinstance(error, click.ClickException):
        error.show()
        sys.exit(error.exit_code)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if isinstance(error, Mistake):
        if os.environ.get(TRACEBACK):
            traceback.print_exception(error)
        if not error.announced:
            click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    if isinstance(error, OSError):
        said = " ".join(str(error.strerror or error).split())
        click.echo(f"Error: {error.filename}: {said}" if error.filename else f"Error: {said}", err=True)
        sys.exit(1)
    raise error


if __name__ == "__main__":
    main()
