"""Which package may import which, and which file alone may touch what lies outside."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("engines", "agents", "sandwich", "experiments")
"""Each may import itself and those before it."""

RAY = tuple(f"sandwich/runtime/{name}.py" for name in ("cluster", "connection", "machines", "trials"))
SUB_PACKAGES = (
    "runtime", "statistics", "data", "training", "oversight", "label_models", "spec", "protocol", "adversary",
    "evaluation", "runs", "sweeps", "rl", "highstakes",
)  # fmt: skip
"""Of `sandwich`, in the order in which they stand on each other; the last two are leaves."""
LEAVES = ("rl", "highstakes")

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


def test_no_test_module_is_imported_by_another(root: Path) -> None:
    tests = [path for path in sorted((root / "tests").rglob("*.py")) if "helpers" not in path.parts]
    assert len(tests) > 60
    crossing = {
        str(path.relative_to(root)): names
        for path in tests
        if (names := [name for name in imported(ast.parse(path.read_text()), ()) if _is_test_module(name)])
    }
    assert crossing == {}, "what several share belongs in tests/helpers"


def _is_test_module(name: str) -> bool:
    parts = name.split(".")
    return any(part.startswith("test_") for part in parts) or (parts[0] == "tests" and parts[1:2] != ["helpers"])


def within(root: Path, package: str) -> set[str]:
    """Sub-packages of `sandwich` that one of them imports."""
    modules = {
        name
        for path in (root / "sandwich" / package).rglob("*.py")
        for name in imported(ast.parse(path.read_text()), path.relative_to(root).parent.parts)
    }
    return {name.split(".")[1] for name in modules if name.startswith("sandwich.")} - {package}


def test_every_sub_package_has_its_place(root: Path) -> None:
    assert {path.parent.name for path in (root / "sandwich").glob("*/__init__.py")} == set(SUB_PACKAGES)


@pytest.mark.parametrize(
    ("lower", "upper"), [(a, b) for place, a in enumerate(SUB_PACKAGES) for b in SUB_PACKAGES[place + 1 :]]
)
def test_a_sub_package_imports_none_that_stands_on_it(root: Path, lower: str, upper: str) -> None:
    assert upper not in within(root, lower)
    assert lower not in LEAVES or lower not in within(root, upper), f"{lower} is a leaf"


@pytest.mark.parametrize("package", [*PACKAGES, *(f"sandwich/{name}" for name in SUB_PACKAGES)])
def test_a_package_says_what_it_owns(root: Path, package: str) -> None:
    assert ast.get_docstring(ast.parse((root / package / "__init__.py").read_text()))


@pytest.mark.parametrize(("module", "owners"), [("ray", RAY), ("wandb", ("sandwich/runs/tracking.py",))])
def test_only_its_owners_import(root: Path, file: Path, module: str, owners: tuple[str, ...]) -> None:
    if file.as_posix() not in owners:
        assert module not in roots((root / file).read_text(), file.parent.parts), f"only {owners} import {module}"


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
        ("def f():\n    from sandwich.spec.run_spec import Frozen", ("agents",), {"sandwich"}),
        ("from . import base", ("agents", "misalignment"), {"agents"}),
        ("from .. import base", ("agents", "misalignment"), {"agents"}),
        ("import importlib\nimportlib.import_module('experiments.cli')", (), {"importlib", "experiments"}),
    ],
)
def test_an_import_is_seen_in_every_form(source: str, package: tuple[str, ...], expected: set[str]) -> None:
    assert roots(source, package) == expected
