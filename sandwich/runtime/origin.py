"""Which engine and which networks figures come from: digests kept beside them and compared before more come.

What a run, a sweep or a training keeps besides is in `sandwich.runs.provenance` and in the trainings themselves.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from engines.settings import SpecError
from engines.stockfish import EngineError, Stockfish, find_stockfish, program_digest
from sandwich.runtime.kept import read_if_there, read_json, write_kept

WAY_OUT = "set STOCKFISH_PATH to that engine"


@dataclass(frozen=True)
class Engine:
    """An engine by its name and version, and the SHA-256 of its program; None: not known."""

    name: str
    sha256: str | None

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self | None:
        """That of the keys `engine` and `engine_sha256`; None where there was none."""
        return cls(kept["engine"], kept.get("engine_sha256")) if kept.get("engine") else None

    def json(self) -> dict[str, str | None]:
        """The reverse of `of`."""
        return {"engine": self.name, "engine_sha256": self.sha256}

    def is_other(self, engine: "Engine") -> bool:
        """Whether two are not the same, as far as is known."""
        return self.name != engine.name or (None not in (self.sha256, engine.sha256) and self.sha256 != engine.sha256)

    def beside(self, engine: "Engine") -> str:
        """Its name, with the digest where that alone tells the two apart."""
        return f"{self.name} (SHA-256 {str(self.sha256)[:12]})" if self.name == engine.name else self.name


def named_engine(name: str) -> Engine:
    """The Stockfish that is found here, which gave itself this name."""
    return Engine(name, _sha256_here())


def _sha256_here() -> str | None:
    try:
        return program_digest(find_stockfish())
    except EngineError:
        return None


def stockfish_here() -> Engine | None:
    """The Stockfish that is found here, asked for its name; None where there is none that answers."""
    try:
        with Stockfish(find_stockfish()) as engine:
            return named_engine(engine.identity)
    except EngineError:
        return None


def claim(folder: Path, name: str, begun: bool) -> None:
    """Note in a folder whose labels it holds (`engine.json`); SpecError where they are another engine's.

    name: of the Stockfish that is found here. begun: there are labels already; where nothing says whose, nothing is
    noted. Raises DamagedError.
    """
    note, engine = folder / "engine.json", named_engine(name)
    if read_if_there(note) is not None:
        before = Engine.of(read_json(note))
        if before and before.is_other(engine):
            raise SpecError(
                f"{folder} was labelled by {before.beside(engine)}, here is {engine.beside(before)}:"
                f" {WAY_OUT}, or choose another folder"
            )
    elif not begun:
        write_kept(note, (json.dumps(engine.json()) + "\n").encode())


def claim_contents(note: Path, contents: Mapping[str, bytes], begun: bool) -> None:
    """Note what a folder was begun with, as SHA-256 by name; SpecError where one of these names has another content.

    begun: something is in the folder already; where nothing says of what, nothing is noted. Raises DamagedError.
    """
    now = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if read_if_there(note) is not None:
        before = read_json(note)
        if changed := [name for name, digest in now.items() if before.get(name, digest) != digest]:
            raise SpecError(f"{note.parent} was begun with another {changed[0]}: choose another folder, or that file")
    elif not begun:
        write_kept(note, (json.dumps(now, indent=1) + "\n").encode())
