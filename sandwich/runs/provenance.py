"""What a result was made with: versions, machine, engine, plugins, checkpoints."""

import hashlib
import json
import platform
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

from engines.settings import Frozen, SpecError
from sandwich.runtime.cluster import cores
from sandwich.spec.run_spec import RunSpec

PACKAGES = ("chess", "torch", "numpy", "onnxruntime", "ray", "wandb", "pyarrow", "scipy", "pydantic", "safetensors")
GROUPS = ("sandwich.misalignments", "sandwich.oversight", "sandwich.players")


def read_files(spec: RunSpec) -> dict[str, bytes]:
    """Contents of the files beside checkpoints and plugins that a run's figures depend on, by path.

    Raises SpecError in one line.
    """
    path = spec.evaluate.puzzles
    try:
        return {} if path is None else {path: Path(path).read_bytes()}
    except OSError as error:
        raise SpecError(f"evaluate.puzzles: {path} cannot be read ({error.strerror})") from None


def provenance(checkpoints: dict[str, bytes], files: dict[str, bytes], engine: str | None) -> dict[str, Any]:
    """Everything about the making of a run that its spec does not say."""
    return {
        **code_version(),
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in PACKAGES},
        "engine": engine,
        "machine": {"system": platform.system(), "processor": _processor(), "cores": cores()},
        "plugins": {
            group: {e.name: f"{e.value} ({e.dist.name} {e.dist.version})" for e in entry_points(group=group) if e.dist}
            for group in GROUPS
        },
        "checkpoints": {name: hashlib.sha256(content).hexdigest() for name, content in checkpoints.items()},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }


def gone_on(kept: dict[str, Any], now: dict[str, Any], step: int) -> dict[str, Any]:
    """The provenance of a run that goes on after `step`, with what is otherwise than before in `continued`."""
    before = list(kept.get("continued", []))
    last = kept | {key: value for part in before for key, value in part.items()}
    other = {key: now[key] for key in now if key not in ("checkpoints", "files") and last.get(key) != now[key]}
    return kept | {"continued": [*before, {"after": step, **other}]} if other else kept


def keyed_folder(out: Path, name: str, settings: Frozen, checkpoints: dict[str, bytes]) -> Path:
    """Folder in `out` for what follows from these settings and checkpoints; others get another."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in checkpoints.items()}
    key = json.dumps([settings.model_dump(mode="json"), digests], sort_keys=True)
    return out / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def code_version() -> dict[str, str | None]:
    """Which code this is: `sandwich`, its version, and `commit`, None where it lies in no checkout of its own."""
    return {"sandwich": version("sandwich"), "commit": _commit()}


def _commit() -> str | None:
    """Commit of the checkout that this code is part of; None where a checkout of something else is around it."""
    here = Path(__file__)
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    return _git(here.parent, "rev-parse", "HEAD")


def _git(folder: Path, *args: str) -> str | None:
    """What git says in a folder; None where it fails or is not there."""
    command = ["git", "-C", str(folder), *args]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """Name of the processor, with what decides about its arithmetic."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
