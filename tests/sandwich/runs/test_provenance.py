"""What a run was made with: no figure of two engines, none of two versions of a plugin without a word."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agents.plugin_code import code_of
from engines.settings import SpecError
from sandwich.runs.loop import Folder, prepare
from sandwich.runs.metrics import write_metrics
from sandwich.runs.provenance import code_version, engine_of, engines_of, programs, provenance
from sandwich.runtime.kept import write_kept
from sandwich.runtime.machines import source_digest
from sandwich.runtime.origin import Engine, stockfish_here
from sandwich.spec.loading import validate
from sandwich.spec.run_spec import RunSpec
from tests.helpers.project import ROOT, STOCKFISH, needs_stockfish

RANDOM_MOVE = "agents.misalignment.random_move:RandomMove"
MINE = """
from agents.misalignment.base import Misalignment
class Mine(Misalignment):
    def corrupt(self, queries, honest, rngs, tools):
        return list(honest)  # VERSION
"""


def spec_of(steps: int = 2, misalignment: str = "random_move", folder: Path | None = None, **more: Any) -> RunSpec:
    settings = {"assistant": {"misalignment": {"type": misalignment}}, "oversight": {"type": "trust"}, **more}
    return validate(RunSpec, {"steps": steps, **settings}, folder)


def begun(folder: Path, spec: RunSpec, rows: int, ledgers: int, **changes: Any) -> Folder:
    """A run folder that has got so far, made otherwise in some keys of its provenance."""
    there = Folder(folder)
    prepare(there, spec, {}, None)
    made = json.loads((folder / "provenance.json").read_text())
    write_kept(folder / "provenance.json", json.dumps(made | changes).encode())
    write_metrics(folder, [{"step": step} for step in range(rows)])
    for step in range(ledgers):
        there.ledger(step).write_bytes(b"")
    return there


def kept(folder: Folder) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder.path / "provenance.json").read_text())
    return made


@needs_stockfish
def test_a_run_is_not_gone_on_with_by_an_engine_of_another_name(tmp_path: Path) -> None:
    here = stockfish_here()
    assert here is not None
    there = begun(tmp_path, spec_of(2), 1, 0, engine="Stockfish 3", engine_sha256="0" * 64)
    with pytest.raises(SpecError) as error:
        prepare(there, spec_of(2), {}, here.name)
    assert str(error.value) == (
        f"{tmp_path} was measured with Stockfish 3, here is {here.name}: set STOCKFISH_PATH to that engine, or choose"
        " another --out"
    )


@needs_stockfish
def test_a_run_is_not_gone_on_with_by_another_program_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = stockfish_here()
    assert here is not None and here.sha256 is not None
    there = begun(tmp_path / "run", spec_of(2), 1, 0, **here.json())
    prepare(there, spec_of(2), {}, here.name)
    program = tmp_path / "stockfish"
    program.write_text(f'#!/bin/sh\nexec {STOCKFISH} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("STOCKFISH_PATH", str(program))
    other = stockfish_here()
    assert other is not None and other.name == here.name and other.is_other(here)
    with pytest.raises(SpecError) as error:
        prepare(there, spec_of(2), {}, other.name)
    said = str(error.value)
    assert f"{here.name} (SHA-256 {here.sha256[:12]})" in said and str(other.sha256)[:12] in said and "\n" not in said


@needs_stockfish
def test_a_run_that_mixes_engines_is_not_gone_on_with(tmp_path: Path) -> None:
    here = stockfish_here()
    assert here is not None
    mixed = [{"after": 1, "engine": here.name, "engine_sha256": here.sha256}]
    there = begun(tmp_path, spec_of(3), 3, 0, engine="Stockfish 3", continued=mixed)
    with pytest.raises(SpecError, match=f"was measured with Stockfish 3, and then {here.name}: choose another --out$"):
        prepare(there, spec_of(3), {}, here.name)


@needs_stockfish
def test_a_measured_run_is_read_whatever_engine_is_here(tmp_path: Path) -> None:
    there = begun(tmp_path, spec_of(1), 2, 1, engine="Stockfish 3")
    before = kept(there)
    prepare(there, spec_of(1), {}, "Stockfish 4")
    assert kept(there) == before


@needs_stockfish
def test_what_was_not_measured_for_want_of_an_engine_is_not_measured_by_another_than_the_rest(tmp_path: Path) -> None:
    here = stockfish_here()
    assert here is not None
    rows = [{"step": step, "losses": None} for step in range(2)]
    none = begun(tmp_path / "none", spec_of(1), 2, 1)
    write_metrics(none.path, rows)
    prepare(none, spec_of(1), {}, here.name)
    assert kept(none)["continued"] == [{"after": 1, **here.json()}]
    some = begun(tmp_path / "some", spec_of(1), 2, 1, engine="Stockfish 3")
    write_metrics(some.path, rows)
    with pytest.raises(SpecError, match="was measured with Stockfish 3, here is "):
        prepare(some, spec_of(1), {}, here.name)


def test_an_engine_that_was_gone_for_a_while_is_the_same_one() -> None:
    gone = [{"after": 0, "engine": None}, {"after": 1, "engine": "Stockfish 16"}]
    assert engines_of({"engine": "Stockfish 16", "engine_sha256": "a", "continued": gone}) == [
        Engine("Stockfish 16", "a"), Engine("Stockfish 16", "a"),
    ]  # fmt: skip


def test_an_engine_of_an_unknown_program_is_told_by_its_name() -> None:
    assert not Engine("Stockfish 16", None).is_other(Engine("Stockfish 16", "a"))
    assert Engine("Stockfish 16", "b").is_other(Engine("Stockfish 16", "a"))
    assert Engine("Stockfish 17", None).is_other(Engine("Stockfish 16", None))


@needs_stockfish
def test_the_engine_of_a_misalignment_is_known_where_none_judges() -> None:
    def asked(kind: str) -> Engine | None:
        return engine_of(spec_of(misalignment=kind), None)

    assert asked("random_move") is None
    assert asked("engine_worst") == stockfish_here()


@needs_stockfish
def test_the_program_of_an_engine_that_plays_is_known() -> None:
    player = {"type": "uci", "command": f"{STOCKFISH} x", "nodes": 1}
    assert list(programs(spec_of(expert=player))) == [STOCKFISH]


# Code


def test_an_installed_plugin_whose_code_changed_is_refused_once_games_are_played(tmp_path: Path) -> None:
    spec = spec_of(2)
    code = code_of(spec)
    assert RANDOM_MOVE in code
    fresh = begun(tmp_path / "fresh", spec, 0, 0, code={**code, RANDOM_MOVE: "0"})
    prepare(fresh, spec, {}, None)  # nothing was played with it
    there = begun(tmp_path / "begun", spec, 2, 1, code={**code, RANDOM_MOVE: "0"})
    with pytest.raises(
        SpecError, match=f"was played with another {RANDOM_MOVE} so far: choose another --out, or --mend"
    ):
        prepare(there, spec, {}, None)
    prepare(there, spec, {}, None, mended=True)
    assert kept(there)["continued"] == [{"after": 1, "code": code}]
    prepare(there, spec, {}, None)
    played = begun(tmp_path / "played", spec, 2, 2, code={**code, RANDOM_MOVE: "0"})
    with pytest.raises(SpecError, match=f"was played with another {RANDOM_MOVE}: choose another --out"):
        prepare(played, spec, {}, None, mended=True)


def test_a_plugin_beside_the_spec_that_changed_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    def spec(version: str) -> RunSpec:
        (tmp_path / "mine.py").write_text(MINE.replace("VERSION", version))
        return spec_of(2, "mine:Mine", tmp_path)

    there = begun(tmp_path / "run", spec("1"), 2, 1)
    with pytest.raises(SpecError, match=r"was played with another mine\.py so far: choose another --out, or --mended"):
        prepare(there, spec("2"), {}, None)
    assert (tmp_path / "run" / "mine.py").read_text() == MINE.replace("VERSION", "1")
    prepare(there, spec("2"), {}, None, mended=True)
    assert len(kept(there)["beside_the_spec"]["mine.py"]) == 2


def test_a_plugins_code_is_that_of_what_it_extends_too(tmp_path: Path) -> None:
    text = "from agents.misalignment.random_move import RandomMove\nclass Mine(RandomMove):\n    pass\n"
    digests = []
    for folder, more in (("a", ""), ("b", "    # other\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text + more)
        spec = spec_of(2, "mine:Mine", tmp_path / folder)
        digests.append(code_of(spec)["mine:Mine"])
    assert len({*digests, code_of(spec_of())[RANDOM_MOVE]}) == 3


def test_an_edited_checkout_is_marked(tmp_path: Path) -> None:
    status = ["git", "-C", str(ROOT), "status", "--porcelain", "--", "agents", "engines", "sandwich"]
    done = subprocess.run(status, capture_output=True, text=True, check=False)
    version = code_version()
    assert version["edited"] == (None if version["commit"] is None else bool(done.stdout.strip()))
    made = provenance(spec_of(), {}, {}, None)
    assert made["source"] == source_digest() and len(made["source"]) == 64
