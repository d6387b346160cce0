"""Links and pictures in the documentation lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
MODEL_CARDS = [*(ROOT / "agents" / "checkpoints").glob("*.md"), *(ROOT / "sandwich" / "oversight").rglob("*.md")]


def without_code(text: str) -> str:
    """A page without its fenced blocks and its code in lines, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Names by which the headings of a page can be addressed, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    names: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        base = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        repeated = [f"{base}-{count}" for count in range(1, 100) if f"{base}-{count}" not in names]
        names.add(repeated[0] if base in names else base)
    return names


def broken_links(page: Path) -> list[str]:
    """Relative links and pictures of a page that lead nowhere."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in [*PAGES, *MODEL_CARDS]])
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    assert broken_links(ROOT / page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Other\n\n## What `it` is\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[good](other.md#what-it-is) [second](other.md#twice-1) ![gone](gone.svg) [no heading](other.md#three)"
        " [out](https://example.org) `[code](x.md)`\n\n```\n[code](y.md)\n```\n"
    )
    assert broken_links(page) == ["gone.svg", "other.md#three"]


def test_every_page_is_on_the_map() -> None:
    listed = set(re.findall(r"\]\(([^)#\s]+)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if ROOT / "docs" in page.parents}
    assert pages - listed == {"README.md"}


def test_pages_that_code_names_are_there() -> None:
    folders = ("engines", "agents", "sandwich", "experiments", "tests", "scripts", "benchmarks", "examples")
    endings = ("py", "md", "yaml")
    files = [file for folder in folders for ending in endings for file in (ROOT / folder).rglob(f"*.{ending}")]
    named = {
        name
        for file in files
        if "node_modules" not in file.parts
        for name in re.findall(r"\bdocs/[\w/-]+\.\w+", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
