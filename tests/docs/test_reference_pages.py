"""The reference says what the code says."""

import re
import runpy
from typing import Any

import pytest

from agents.misalignment.base import REGISTRY as MISALIGNMENTS
from agents.players.base import REGISTRY as PLAYERS
from sandwich.highstakes.attacks.base import REGISTRY as ATTACKS
from sandwich.label_models.base import REGISTRY as LABEL_MODELS
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.spec.run_spec import load_spec
from tests.helpers.doc_pages import page
from tests.helpers.project import ROOT

PLUGINS = page("reference/plugins.md")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "reference.py"))


def test_page_of_spec_keys_is_what_the_code_says() -> None:
    assert page("reference/spec.md") == SCRIPT["spec_page"](), "run python scripts/reference.py"


def test_tables_of_settings_are_what_the_code_says() -> None:
    assert SCRIPT["plugins_page"](PLUGINS) == PLUGINS, "run python scripts/reference.py"


def test_a_changed_table_of_settings_is_written_anew() -> None:
    changed = PLUGINS.replace("| `random_move` | `p` | `0.25` |", "| `random_move` | `p` | `0.5` |")
    assert changed != PLUGINS == SCRIPT["plugins_page"](changed)


def table(section: str) -> dict[str, list[str]]:
    """Cells of the first table in a section of the page of plugins, by the type in the first one."""
    text = re.split(r"\n##+ ", PLUGINS.split(f"\n## {section}\n")[1])[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def shipped(registry: Any) -> set[str]:
    """Names of the plugins of a kind that this package ships."""
    return {name for name, entry in registry.entries.items() if entry.dist and entry.dist.name == "sandwich"}


def test_every_plugin_that_is_shipped_is_listed_with_its_dose_or_settings() -> None:
    misalignments = table("Misalignments")
    assert set(misalignments) == shipped(MISALIGNMENTS)
    for name, (_, dose, _) in misalignments.items():
        assert set(re.findall(r"`(\w+)`", dose)) <= set(MISALIGNMENTS.load(name).model_fields), name
    strategies = table("Oversight strategies")
    assert set(strategies) == shipped(OVERSIGHT)
    for name, (*_, settings) in strategies.items():
        assert re.findall(r"`(\w+)`", settings) == list(OVERSIGHT.load(name).model_fields), name
    models = table("Label models")
    assert set(models) == shipped(LABEL_MODELS)
    for name, (*_, settings) in models.items():
        assert re.findall(r"`(\w+)`", settings) == list(LABEL_MODELS.load(name).model_fields), name
    assert set(table("Players")) == shipped(PLAYERS)
    assert all(f"`{name}`" in PLUGINS.split("\n## Attacks\n")[1] for name in shipped(ATTACKS))


@pytest.mark.parametrize(
    "form", re.findall(r"`(\w+:[^`]+)`", " ".join(cells[1] for cells in table("Players").values()))
)
def test_short_forms_are_players(form: str) -> None:
    spec: dict[str, Any] = load_spec("quick", f"expert={form}").model_dump()
    assert spec["expert"]["type"] == form.partition(":")[0]
