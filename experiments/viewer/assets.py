"""What a page is made of beside its data: our own modules and styles, and chessground where npm has brought it.

The pages import modules by name; an import map leads each name to an address of the server, or to
the module's own text in a page that is one file.
"""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from experiments.figures.arrows import arrows_css

WEB = files(__package__).joinpath("web")
CHESSGROUND = "node_modules/@lichess-org/chessground"
PIECES = ("chessground.base.css", "chessground.brown.css", "chessground.cburnett.css")
OURS = {
    "main": ("main", "dom", "address", "arrows", "run_list", "filters", "list", "game", "decision", "graph", "live"),
    "human": ("human", "dom", "human_panels", "position"),
}
"""Modules of each kind of page, by its first one."""
BOARDS = {"main": "board", "human": "editor"}
"""The module of each kind of page that depends on whether chessground is there."""
STYLES = {"main": ("style.css", "games.css"), "human": ("style.css", "human.css")}
"""Styles of each kind of page."""


def has_chessground() -> bool:
    """Whether chessground is there: brought by `make setup` in a checkout, packed into a wheel."""
    return WEB.joinpath(CHESSGROUND, "dist", "chessground.min.js").is_file()


def board_hint() -> str:
    """What a page with drawn boards says about them; empty where chessground is there."""
    if has_chessground():
        return ""
    drawn = "Boards here are pictures drawn by python-chess"
    if _in_checkout():
        return f"{drawn}: chessground, the board that can be turned, is brought by `make setup`."
    return f"{drawn}: this installation was built without chessground, the board that can be turned."


def _in_checkout() -> bool:
    """Whether this code lies in a checkout, where there is a Makefile to run."""
    checkout = Path(str(WEB)).parents[2]
    return (checkout / "Makefile").is_file() and (checkout / "pyproject.toml").is_file()


@cache
def text(name: str) -> str:
    """A text file of ours, or of chessground's, by its path in `web/`."""
    return WEB.joinpath(*name.split("/")).read_text(encoding="utf-8")


def start(page: str = "main") -> Markup:
    """The one inline module of a page."""
    return Markup(f'import "viewer/{page}";')


def modules(page: str = "main", *, served: bool) -> dict[str, str]:
    """Path in `web/` of each module by the name under which a page imports it."""
    paths = {f"viewer/{name}": f"{name}.js" for name in OURS[page]}
    if page == "main":
        paths["viewer/source"] = "source_served.js" if served else "source_inlined.js"
    board = BOARDS[page]
    paths[f"viewer/{board}"] = f"{board}_chessground.js" if has_chessground() else f"{board}_svg.js"
    if has_chessground():
        paths["chessground"] = f"{CHESSGROUND}/dist/chessground.min.js"
    return paths


def style(page: str = "main") -> Markup:
    """Every style, ours after the board's. The files are ours and chessground's, so they stand as they are."""
    boards = [f"{CHESSGROUND}/assets/{name}" for name in PIECES] if has_chessground() else []
    return Markup("\n".join([*map(text, (*boards, *STYLES[page])), *([arrows_css()] if page == "main" else [])]))


def import_map(page: str = "main", *, served: bool) -> Markup:
    """The import map: addresses of the server, or the modules themselves."""
    imports = {
        name: f"/assets/{name}.js" if served else _data(text(path))
        for name, path in modules(page, served=served).items()
    }
    return Markup(json.dumps({"imports": imports}))


def _data(module: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(module.encode()).decode()}"


def policy(page: str = "main", *, served: bool) -> str:
    """The page's Content-Security-Policy: no other host, and no script but those named here."""
    inline = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in (str(import_map(page, served=served)), str(start(page)))
    )
    origin, modules_from = ("'self'", "'self'") if served else ("'none'", "data:")
    images = "'self' data:" if served else "data:"
    framed = "; frame-ancestors 'none'" if served else ""  # browsers heed it in a header alone
    return (
        f"default-src 'none'; script-src {inline} {modules_from}; style-src 'unsafe-inline'; img-src {images};"
        f" connect-src {origin}; base-uri 'none'; form-action 'none'{framed}"
    )
