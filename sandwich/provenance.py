"""What a result was made with: versions, machine, engine, plugins, checkpoints."""

import hashlib
import json
import platform
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

from engines.settings import Frozen
from sandwich.cluster import cores

PACKAGES = ("chess", "torch", "numpy", "onnxruntime", "ray", "wandb", "pyarrow", "scipy", "pydantic", "safetensors")
GROUPS = ("sandwich.misalignments", "sandwich.oversight", "sandwich.players")


def provenance(checkpoints: dict[str, bytes], engine: str | None) -> dict[str, Any]:
    """Everything about the making of a run that its spec does not say."""
    return {
        "sandwich": version("sandwich"),
        "commit": _commit(),
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in PACKAGES},
        "engine": engine,
        "machine": {"system": platform.system(), "processor": _processor(), "cores": cores()},
        "plugins": {
            group: {e.name: f"{e.value} ({e.dist.name} {e.dist.version})" for e in entry_points(group=group) if e.dist}
            for group in GROUPS
        },
        "checkpoints": {name: hashlib.sha256(content).hexdigest() for name, content in checkpoints.items()},
    }


def keyed_folder(out: Path, name: str, settings: Frozen, checkpoints: dict[str, bytes]) -> Path:
    """Folder in `out` for what follows from these settings and checkpoints; others get another."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in checkpoints.items()}
    key = json.dumps([settings.model_dump(mode="json"), digests], sort_keys=True)
    return out / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _commit() -> str | None:
    """Commit of the checkout that this code lies in, if it lies in one."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """Name of the processor, with what decides about its arithmetic."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
