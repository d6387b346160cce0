"""The student before its first step, which runs that begin alike measure once.

The cells of a sweep that differ in their assistant, their strategy or how they learn have one row 0 between them,
but for the strength of the assistant. It is remembered under everything that it depends on, this program's own code
among that, in the cache folder of the user.
"""

import hashlib
import json
from collections.abc import Callable, Mapping

from agents.players.network import Network
from engines.inference import resolve, resolve_precision
from sandwich.evaluation.oracle import Oracle
from sandwich.runs.provenance import digests, made_here, read_files
from sandwich.runtime.cache import cache_folder
from sandwich.runtime.cluster import elsewhere
from sandwich.runtime.files import FileError, write_whole
from sandwich.runtime.origin import named_engine
from sandwich.runtime.progress import Row
from sandwich.spec.run_spec import RunSpec

FOLDER = "measured"
"""Folder in the cache that holds a file for each row."""
NOT_OF_THE_STUDENT = {"ledger_positions", "ledger_nodes", "assistant", "puzzles"}
"""Keys of `evaluate` that its row does not depend on, and the name of a file whose contents it does."""


def first_row(spec: RunSpec, checkpoints: Mapping[str, bytes], oracle: Oracle, measure: Callable[[], Row]) -> Row:
    """Row 0 of a run without what the assistant adds: as it was measured before, else as `measure` says now.

    Nothing is remembered where the expert is no network, or where other machines play.
    """
    if type(spec.expert) is not Network or elsewhere():
        return measure()
    path = cache_folder() / FOLDER / f"{_key(spec, checkpoints, oracle)}.json"
    try:
        kept = json.loads(path.read_bytes())
        if kept["sha256"] == _digest(kept["row"]):
            return dict(kept["row"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it is not there, or is not what was written
    row = measure()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"sha256": _digest(row), "row": row}).encode())
    except (OSError, FileError):
        pass  # it is measured again next time
    return row


def _key(spec: RunSpec, checkpoints: Mapping[str, bytes], oracle: Oracle) -> str:
    engine = named_engine(oracle.identity) if oracle.identity else None
    backend, device = resolve(spec.inference.backend, spec.inference.device)
    files = sorted(digests(read_files(spec)).values())
    assert isinstance(spec.expert, Network)
    return _digest(
        {
            "made": made_here(),
            "players": digests({"student": checkpoints[spec.student], "expert": checkpoints[spec.expert.checkpoint]}),
            "expert": spec.expert.model_dump(mode="json", exclude={"checkpoint"}),
            "evaluate": spec.evaluate.model_dump(mode="json", exclude=NOT_OF_THE_STUDENT),
            "inference": [
                spec.inference.model_dump(mode="json"),
                backend, device, resolve_precision(spec.inference.precision, spec.inference.backend, device),
            ],
            "seed": spec.seed,
            "files": files,
            "engine": engine.json() if engine else None,
        }
    )  # fmt: skip


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
