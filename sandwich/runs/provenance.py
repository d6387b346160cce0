"""What a result was made with: versions, machine, engine, plugins, checkpoints; and whether more may be added to it."""

import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points, version
from itertools import pairwise
from pathlib import Path
from typing import Any

from agents.players.uci import UciPlayer
from agents.plugin_code import code_of, code_text
from agents.plugins import Plugin, plugins_in
from engines.paths import read_bytes
from engines.settings import Frozen, SpecError
from engines.stockfish import EngineError, find_engine, program_digest
from sandwich.runtime.cluster import cores
from sandwich.runtime.kept import read_json, write_kept
from sandwich.runtime.machines import CODE, processor, source_digest
from sandwich.runtime.origin import WAY_OUT, Engine, named_engine, stockfish_here
from sandwich.spec.run_spec import RunSpec

PROVENANCE = "provenance.json"
"""What a run keeps of its making."""
PACKAGES = ("chess", "torch", "numpy", "onnxruntime", "ray", "wandb", "pyarrow", "scipy", "pydantic", "safetensors")
GROUPS = (
    "sandwich.misalignments", "sandwich.oversight", "sandwich.label_models", "sandwich.players", "sandwich.attacks"
)  # fmt: skip


def read_files(spec: RunSpec) -> dict[str, bytes]:
    """Contents of the files beside checkpoints and plugins that a run's figures depend on, by path.

    Raises SpecError in one line.
    """
    path = spec.evaluate.puzzles
    try:
        return {} if path is None else {path: read_bytes(path)}
    except OSError as error:
        raise SpecError(f"evaluate.puzzles: {path} cannot be read ({error.strerror})") from None


def provenance(
    record: object, checkpoints: Mapping[str, bytes], files: Mapping[str, bytes], engine: Engine | None
) -> dict[str, Any]:
    """Everything about the making of what a record (a spec) asks for that the record does not say."""
    return {
        **code_version(),
        **made_here(),
        **(engine.json() if engine else {"engine": None}),
        "plugins": {
            group: {e.name: f"{e.value} ({e.dist.name} {e.dist.version})" for e in entry_points(group=group) if e.dist}
            for group in GROUPS
        },
        "code": code_of(record),
        "checkpoints": digests(checkpoints),
        "files": digests(files),
        "programs": programs(record),
    }


def made_here() -> dict[str, Any]:
    """What figures that this process makes depend on, whatever they are of: code, versions, machine."""
    return {
        "source": source_digest(),
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in PACKAGES},
        "machine": {"system": platform.system(), "processor": processor(), "cores": cores()},
    }


def programs(record: object) -> dict[str, str]:
    """SHA-256 of the engines of players `uci`, by the program; without those that are on other machines only."""
    out = {}
    for program in {shlex.split(player.command)[0] for player in plugins_in(record) if isinstance(player, UciPlayer)}:
        try:
            out[program] = program_digest(find_engine(program))
        except EngineError:
            continue
    return out


def digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of contents, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def engine_of(spec: RunSpec, oracle: str | None) -> Engine | None:
    """The Stockfish that a run's figures come from; None where it asks none.

    oracle: name of the one that judges; None: none does. A plugin may ask one too: then its code speaks of it.
    """
    if oracle is not None:
        return named_engine(oracle)
    return stockfish_here() if any(map(_asks_stockfish, plugins_in(spec))) else None


def _asks_stockfish(plugin: Plugin) -> bool:
    return "stockfish" in code_text(type(plugin)).lower()


def gone_on(kept: dict[str, Any], now: dict[str, Any], step: int) -> dict[str, Any]:
    """The provenance of a run that goes on after `step`, with what is otherwise than before in `continued`."""
    before = list(kept.get("continued", []))
    other = {
        key: now[key]
        for key in now
        if key not in ("checkpoints", "files", "programs") and latest(kept).get(key) != now[key]
    }
    return kept | {"continued": [*before, {"after": step, **other}]} if other else kept


def latest(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was made with in the end."""
    return {**kept, **{key: value for part in kept.get("continued", []) for key, value in part.items()}}


def engines_of(kept: Mapping[str, Any]) -> list[Engine]:
    """The engines that figures of a run come from, in order."""
    made: dict[str, Any] = {}
    out: list[Engine] = []
    for part in [kept, *kept.get("continued", [])]:
        made |= part
        if ("engine" in part or "engine_sha256" in part) and (engine := Engine.of(made)):
            out.append(engine)
    return out


def refuse_other_engine(path: Path, kept: Mapping[str, Any], engine: Engine | None) -> None:
    """SpecError where what is to be measured would be another engine's than what is there, or that is two engines'."""
    there = engines_of(kept)
    both = [*there, *([engine] if engine else [])]
    for before, after in pairwise(both):
        if before.is_other(after):
            here = "here is" if after is engine else "and then"
            raise SpecError(
                f"{path} was measured with {before.beside(after)}, {here} {after.beside(before)}: "
                + (f"{WAY_OUT}, or choose another --out" if after is engine else "choose another --out")
            )


def other_code(kept: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Plugins whose code is not what it was at last, as far as is known."""
    before = latest(kept).get("code", {})
    return [name for name, digest in now.items() if before.get(name, digest) != digest]


def note_processors(path: Path, seen: Iterable[str]) -> None:
    """Name in the provenance at `path` the kinds of processors on which a run was done, other than the driver's."""
    kept = read_json(path)
    others = set(kept.get("other_processors", ())) | {kind for kind in seen if kind != processor()}
    if others and kept.get("other_processors") != sorted(others):
        made = kept | {"other_processors": sorted(others)}
        write_kept(path, (json.dumps(made, indent=2) + "\n").encode())


VERSIONS = ("python", "torch", "onnxruntime", "numpy")
"""Of what else figures depend on."""


def differences(kept: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what the making of a run differs from how it would be made now, in words; what was not kept does not count.

    A run that was made by more than one engine or version differs from any.
    """
    out = []
    for part in [kept, *kept.get("continued", [])]:
        for name, before, here in _versions(part, now):
            if before != here:
                out.append(f"{name} {before}, here {here}")
        if (
            part.get("source", now["source"]) != now["source"]
            and part.get("sandwich", now["sandwich"]) == now["sandwich"]
        ):
            out.append("other code of sandwich")
        for key in ("checkpoints", "files", "programs"):
            there = part.get(key, {})
            out += [f"another {name}" for name, digest in now[key].items() if there.get(name, digest) != digest]
        code = part.get("code", {})
        out += [f"other code of {name}" for name, digest in now["code"].items() if code.get(name, digest) != digest]
    if engine := Engine.of(now):
        others = (other for other in engines_of(kept) if other.is_other(engine))
        out += [f"{other.beside(engine)}, here {engine.beside(other)}" for other in others]
    return list(dict.fromkeys(out))


def _versions(part: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in ("sandwich", *VERSIONS):
        before, here = ((part_ if name in part_ else part_.get("packages", {})).get(name) for part_ in (part, now))
        if before is not None and here is not None:
            yield name, before, here


def keyed_folder(out: Path, name: str, settings: Frozen, checkpoints: dict[str, bytes]) -> Path:
    """Folder in `out` for what follows from these settings and checkpoints; others get another."""
    key = json.dumps([settings.model_dump(mode="json"), digests(checkpoints)], sort_keys=True)
    return out / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def code_version() -> dict[str, str | bool | None]:
    """Which code this is: `sandwich`, its version; `commit`, None where it lies in no checkout of its own; `edited`,
    whether that checkout has other code of these packages than the commit."""
    commit = _commit()
    return {"sandwich": version("sandwich"), "commit": commit, "edited": None if commit is None else _edited()}


def _edited() -> bool:
    root = Path(__file__).parents[2]
    changed = _git(root, "status", "--porcelain", "--", *CODE)
    return changed is None or bool(changed)


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
