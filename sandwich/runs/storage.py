"""A run's folder and its copy in a storage."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandwich.runs.controls import FOLDER as CONTROLS
from sandwich.runtime.mirror import Mirror, Mirrored, Storage
from sandwich.runtime.progress import RunProgress
from sandwich.spec.run_spec import RunSpec


@contextmanager
def stored(spec: RunSpec, path: Path, progress: RunProgress) -> Iterator[RunProgress]:
    """What copies a run's folder to its storage whenever something is done; first what it lacks is brought.

    Its controls have copies of their own. Raises SpecError, StorageError.
    """
    if spec.storage is None:
        yield progress
        return
    mirror = Mirror(path, Storage(spec.storage, path.resolve().name), apart=(CONTROLS,))
    mirror.pull()
    try:
        yield Mirrored(progress, mirror)
    finally:
        mirror.push()
