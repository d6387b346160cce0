"""The page about the first run, done word by word."""

import json
import sys
from pathlib import Path

import pytest

from sandwich import read_ledger
from tests.helpers.doc_pages import commands, follow, page, tiny_overrides

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


def test_commands_of_the_first_run_do_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "players").mkdir()
    environment = commands(tmp_path / "bin", Path(sys.executable), tiny_overrides(tmp_path / "players"))
    text, sections = page("tutorials/first-run.md"), ("Do it", "Read its ledger", "Change something")
    printed = {section: follow(text, section, tmp_path, environment)[1] for section in sections}
    assert printed["Do it"].splitlines()[-1] == "Report: runs/quick/report.html"
    asked = read_ledger(tmp_path / "runs" / "quick").query("asked").astype({"misaligned": bool})
    for step, share in asked.groupby("step")["misaligned"].mean().items():
        line = next(line for line in printed["Read its ledger"].splitlines() if line.startswith(f"{step} "))
        assert float(line.split()[1]) == pytest.approx(share, abs=1e-4)
    result = json.loads((tmp_path / "runs" / "plausible" / "result.json").read_text())
    assert 0 < result["misaligned_queries"] < result["queries"] > result["believed_queries"]
