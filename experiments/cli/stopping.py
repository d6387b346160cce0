"""How a command ends that is told to stop: by Ctrl-C, by SIGTERM, or because its terminal is gone (SIGHUP)."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click


class Told(KeyboardInterrupt):
    """Raised in the main thread by a signal; what ends by Ctrl-C ends by it likewise."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Stopped(click.ClickException):
    """A command that was told to stop has done so, cleanly: one line, and the exit code that shells give a signal."""

    exit_code = 128 + signal.SIGINT

    def __init__(self, message: str) -> None:
        super().__init__(message)
        told = received()  # what it raised may have come here as another exception
        self.code = 128 + (told.number if told else signal.SIGINT)

    def show(self, file: object = None) -> None:
        try:
            click.echo(self.message, err=True)
        except OSError:  # the terminal is gone
            pass


_received: list[Told] = []


def received() -> Told | None:
    """The first signal that came; what it raised may have become another exception on its way.

    In the middle of an import of compiled code that is an ImportError, in some of Ray's a bare KeyboardInterrupt.
    """
    return _received[0] if _received else None


def handle_signals() -> None:
    """From now on signals end the main thread's work by an exception, SIGTERM and SIGHUP by the first of them; what
    was ignored stays ignored (`nohup`)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _tell)


def _tell(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, lambda number, frame: None)  # what is being put away is not to be interrupted
    _raise(number, frame)


def _raise(number: int, frame: FrameType | None) -> None:
    _received.append(Told(number))
    raise _received[-1]


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Work that goes on where it was cut off: whoever stops it is told so."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"Stopped; the same command goes on from {folder}.") from None
