"""The page about the Python interface: every block carried out in order, as one program; runs are tiny."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sandwich
from sandwich.spec.loading import spec_settings
from tests.helpers.doc_pages import page, tiny_overrides
from tests.helpers.project import needs_stockfish

PAGE = page("python.md")
FUNCTIONS = [name for name in sandwich.__all__ if name not in ("ENVIRONMENTS", "register_environments")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_described_with_its_parameters(name: str) -> None:
    written = re.search(rf"^.*`{name}\((.*?)\) -> (.+?)`", PAGE, re.MULTILINE)
    assert written, f"docs/python.md has no signature of {name}"
    expected: list[str] = []
    for parameter in inspect.signature(getattr(sandwich, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not any(text.startswith("*") for text in expected):
            expected.append("*")
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        value = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        expected.append(f"{stars}{parameter.name}{value}")
    assert written[1].replace('"', "'") == ", ".join(expected)


@needs_stockfish
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_block_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "players").mkdir()
    # The page's `quick` and `dose_smoke` are files of these names in the current folder, which win over the shipped.
    tiny = spec_settings("quick", tiny_overrides(tmp_path / "players"))
    (tmp_path / "quick").write_text(yaml.safe_dump(tiny))
    (tmp_path / "dose_smoke").write_text(yaml.safe_dump({**spec_settings("dose_smoke"), "run": "quick"}))
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    program = tmp_path / "page.py"
    # One Ray for all blocks.
    program.write_text("\n".join(["from sandwich.runtime.cluster import Cluster\nCluster(2).start()\n", *blocks]))
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=800
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for printed in ("questions, ", "True 64 0.1", "Veto(delta=0.0)", "believed_lies", "report.html", "65 games kept"):
        assert printed in done.stdout, printed
    assert done.stdout.rstrip().endswith("players/mine/network.safetensors")
