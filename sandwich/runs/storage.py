"""A run's folder and its copy in a storage."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandwich.runs.controls import FOLDER as CONTROLS
from sandwich.runs.provenance import PROVENANCE
from sandwich.runs.same_run import refuse_other_origin, refuse_other_settings
from sandwich.runtime.kept import read_json
from sandwich.runtime.mirror import Mirror, Mirrored, Storage
from sandwich.runtime.progress import RunProgress
from sandwich.spec.run_spec import RunSpec

ABOUT = "spec.yaml"


@contextmanager
def stored(spec: RunSpec, path: Path, progress: RunProgress) -> Iterator[RunProgress]:
    """What copies a run's folder to its storage whenever something is done; first what it lacks is brought.

    Its controls have copies of their own. Raises StorageError, and SpecError before anything is written where the
    folder or the storage holds another run.
    """
    if spec.storage is None:
        yield progress
        return
    copy = Storage(spec.storage, path.resolve().name)
    copy.refuse_overlap(path)
    _refuse_other_run(spec, path, copy)
    mirror = Mirror(path, copy, apart=(CONTROLS,))
    mirror.pull()
    with mirror.following():
        yield Mirrored(progress, mirror)


def _refuse_other_run(spec: RunSpec, path: Path, copy: Storage) -> None:
    if (path / ABOUT).exists():
        refuse_other_settings(path / ABOUT, spec, str(path))
    names = copy.names()
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        for name in {ABOUT, PROVENANCE}.intersection(names):
            (there / name).write_bytes(copy.read(name))
        if ABOUT in names:
            refuse_other_settings(there / ABOUT, spec, str(copy))
        if PROVENANCE in names and (path / PROVENANCE).exists():
            refuse_other_origin(json.loads((there / PROVENANCE).read_bytes()), read_json(path / PROVENANCE), str(copy))
