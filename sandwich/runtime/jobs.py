"""What a worker does with a job, and whose code is at work in it."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from agents.plugins import Plugin, source_of
from engines.settings import Mistake

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerError(Mistake, RuntimeError):
    """What workers do came to nothing: one line that names what was done, and whose code was at work."""


def do(function: Callable[[Any, Job], Result], shared: Any, job: Job) -> Result:
    """`function(shared, job)`. What would end a process (SystemExit, KeyboardInterrupt) is a WorkerError here.

    A process that was interrupted while it imported a library ends: it could not import that again.
    """
    try:
        return function(shared, job)
    except Exception:
        raise
    except BaseException as error:
        if _half_imported():
            os._exit(1)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {frame.filename}, line {frame.lineno} ({frame.name})"
        raise WorkerError(f"{function.__name__} was ended by {what}{with_plugins(shared, job)}") from error


def _half_imported() -> bool:
    """Whether there are modules without the package that they are part of, as where its import came to no end."""
    return any(name.partition(".")[0] not in sys.modules for name in list(sys.modules))


def with_plugins(*records: Any) -> str:
    """The plugins in some records, those in files beside a spec first, as the end of a sentence, or nothing."""
    found = {name for record in records for name in plugins_in(record)}
    names = sorted(found, key=lambda name: (":" not in name, name))
    return f", with the plugins {', '.join(names)}" if names else ""


def plugins_in(record: Any) -> Iterator[str]:
    """Names of the plugins in a record: `file:Class` for a class beside a spec, else the class."""
    if isinstance(record, Plugin):
        source = source_of(type(record))
        yield source.reference if source else type(record).__name__
    if isinstance(record, BaseModel):
        parts: list[Any] = [getattr(record, name) for name in type(record).model_fields]
    elif is_dataclass(record):
        parts = [getattr(record, field.name) for field in fields(record)]
    elif isinstance(record, Mapping):
        parts = list(record.values())
    else:
        parts = list(record) if isinstance(record, list | tuple) else []
    for part in parts:
        yield from plugins_in(part)
