"""Which package may import which, and which file alone may touch what lies outside."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("engines", "agents", "sandwich", "experiments")
"""Each may import itself and those before it."""

FILES = sorted(
    path.relative_to(Path(__file__).parent.parent)
    for package in PACKAGES
    for path in (Path(__file__).parent.parent / package).rglob("*.py")
)


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Dotted names of every module that a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("__import__", "import_module"):
            yield from (str(name.value) for name in node.args[:1] if isinstance(name, ast.Constant))


def roots(source: str, package: tuple[str, ...] = ()) -> set[str]:
    """Top-level names of what a source text imports."""
    return {name.split(".")[0] for name in imported(ast.parse(source), package)}


@pytest.fixture(params=FILES, ids=str)
def file(request: pytest.FixtureRequest) -> Path:
    """Each Python file of the project, relative to its folder."""
    path = request.param
    assert isinstance(path, Path)
    return path


def test_imports_point_only_to_the_left(root: Path, file: Path) -> None:
    allowed = PACKAGES[: PACKAGES.index(file.parts[0]) + 1]
    found = roots((root / file).read_text(), file.parent.parts)
    assert not found & (set(PACKAGES) - set(allowed)), f"{file} may import only {', '.join(allowed)}"


@pytest.mark.parametrize(("module", "owner"), [("ray", "sandwich/cluster.py"), ("wandb", "sandwich/tracking.py")])
def test_only_its_owner_imports(root: Path, file: Path, module: str, owner: str) -> None:
    if file.as_posix() != owner:
        assert module not in roots((root / file).read_text(), file.parent.parts), f"only {owner} imports {module}"


def test_only_engines_stockfish_and_engines_uci_start_an_engine(root: Path, file: Path) -> None:
    if file.as_posix() in ("engines/stockfish.py", "engines/uci.py"):
        return
    tree = ast.parse((root / file).read_text())
    names = set(imported(tree, file.parent.parts))
    assert "stockfish" not in {name.split(".")[0] for name in names}, "the PyPI client serves in the tests only"
    assert not [name for name in names if name.startswith("chess.engine")], "chess.engine starts engines"
    commands = [
        node.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and any(word in ast.unparse(call.func) for word in ("subprocess", "Popen", "exec", "system", "popen"))
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in commands if "stockfish" in text.lower()], f"{file} starts Stockfish"


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import ray", (), {"ray"}),
        ("import os, wandb.sdk as w", (), {"os", "wandb"}),
        ("def f():\n    from sandwich.config import Frozen", ("agents",), {"sandwich"}),
        ("from . import base", ("agents", "misalignment"), {"agents"}),
        ("from .. import base", ("agents", "misalignment"), {"agents"}),
        ("import importlib\nimportlib.import_module('experiments.cli')", (), {"importlib", "experiments"}),
    ],
)
def test_an_import_is_seen_in_every_form(source: str, package: tuple[str, ...], expected: set[str]) -> None:
    assert roots(source, package) == expected
