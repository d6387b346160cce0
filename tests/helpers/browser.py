"""A real browser for tests: Debian's Chromium without a screen, driven by Playwright.

A test module that takes `chromium` and `opened` from here gets them as its fixtures, and with `MARKS` is
skipped where there is no Chromium.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.viewer import assets

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MARKS = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (Debian: apt install chromium)"),
    pytest.mark.timeout(400),
]
needs_board = pytest.mark.skipif(not assets.has_chessground(), reason="chessground is not there (make setup)")

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run")  # fmt: skip

Page = Any
"""A `playwright.sync_api.Page`."""
Open = Callable[[str], Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any, serving: object) -> Iterator[Open]:
    """Opens an address; at the end, no page may have complained, or have asked any other host for anything.

    It closes the pages before `serving` closes what they look at.
    """
    faults: list[str] = []
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)

    def open_page(address: str) -> Page:
        def complained(said: Any) -> None:
            if said.type != "log":
                faults.append(f"console: {said.text}")

        def asked(dialog: Any) -> None:
            faults.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page = context.new_page()
        page.on("console", complained)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", asked)

        def requested(request: Any) -> None:
            if not request.url.startswith((re.split("[?#]", address)[0], "data:", "blob:")):
                faults.append(f"request: {request.url}")

        page.on("request", requested)
        page.goto(address)
        return page

    yield open_page
    context.close()
    assert faults == []


def text(page: Page, selector: str) -> str:
    """What a reader reads there, in one line."""
    return " ".join(page.locator(selector).first.inner_text().split())


def shoot(page: Page, name: str, tmp_path: Path) -> None:
    """Keep a picture of the page."""
    path = tmp_path / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size > 10_000
