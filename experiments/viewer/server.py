"""Serves the pages of one run or sweep on loopback: to this machine only, for reading only, live.

Nothing outside the folder is read. A request that names another host is refused, so that no web page elsewhere can
read it through the reader's browser; one without the token in the address too, so that no other user of it can either.
"""

import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import FrameType

import uvicorn
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from engines.settings import SpecError
from experiments.viewer import assets, fallback, folders, games
from experiments.viewer.page import page, run_address, run_figures
from experiments.viewer.sweep import sweep_figures
from experiments.viewer.token import TokenGate
from sandwich.runtime.kept import DamagedError

HOST = "127.0.0.1"


def application(root: Path) -> Starlette:
    """The web application; every address answers GET only.

    Raises SpecError where the folder holds neither a run nor a sweep.
    """
    folders.is_sweep(root)
    site = _Site(root)
    routes = [
        Route("/", site.page, methods=["GET"]),
        Route("/assets/{name:path}.js", module, methods=["GET"]),
        Route("/api/state", site.state, methods=["GET"]),
        Route("/api/runs", site.runs, methods=["GET"]),
        Route("/api/figures", site.figures, methods=["GET"]),
        Route("/api/games", site.games, methods=["GET"]),
        Route("/api/game", site.game, methods=["GET"]),
        Route("/board.svg", board, methods=["GET"]),
    ]
    return local(routes, DamagedError)


def local(
    routes: Sequence[Route], *mistakes: type[Exception], lifespan: Lifespan[Starlette] | None = None
) -> Starlette:
    """An application that answers this machine only; errors of the kinds `mistakes` are answered in one line."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)],
        exception_handlers={HTTPException: _refusal} | dict.fromkeys(mistakes, _unreadable),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # an address that is not there is told so
    return app


def serve(root: Path, port: int, on_open: Callable[[str], None], address: str = HOST) -> None:
    """Serve the pages of a folder until interrupted; see `listen`."""
    listen(application(root), port, on_open, address)


def listen(app: Starlette, port: int, on_open: Callable[[str], None], address: str = HOST) -> None:
    """Serve on loopback until interrupted. Port 0 is any free one.

    on_open: gets the address once it is open, with the token without which nothing is answered.
    address: another IPv4 address of this machine to listen on, such as a container's, whose port the machine around it
        passes on to from its own loopback: a request that names another host is refused here too.
    Raises SpecError.
    """
    token = secrets.token_urlsafe(16)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except socket.gaierror:
            raise SpecError(f"--listen: expected an IPv4 address of this machine, got {address!r}") from None
        except OSError as error:
            where = "" if address == HOST else f" on {address}"
            way = "" if where else "; --port 0 takes any free one"
            raise SpecError(f"port {port} cannot be opened{where} ({error.strerror}){way}") from None
        listener.listen()
        on_open(f"http://{HOST}:{listener.getsockname()[1]}/?token={token}")
        server = uvicorn.Server(
            uvicorn.Config(TokenGate(app, token), log_level="warning", access_log=False, server_header=False)
        )
        with _ended_by_hangup(server):
            server.run(sockets=[listener])


@contextmanager
def _ended_by_hangup(server: uvicorn.Server) -> Iterator[None]:
    """A terminal that is gone ends the server as SIGTERM does, which uvicorn looks after itself."""
    gone: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        gone.append(number)
        server.should_exit = True

    before = signal.getsignal(signal.SIGHUP)
    if before != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
    for number in gone:
        signal.raise_signal(number)


class _Site:
    """What each address answers. Its methods are plain functions, so each request runs in a thread of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._drawing = Lock()  # matplotlib's settings are one for all threads
        self._drawn = lru_cache(maxsize=32)(self._draw)

    def page(self, request: Request) -> Response:
        with self._drawing:
            text = page(self._root)
        return HTMLResponse(text, headers=HEADERS | {"Content-Security-Policy": assets.policy(served=True)})

    def state(self, request: Request) -> Response:
        """A word that changes when the run, or without one the sweep, does."""
        return _json({"version": folders.version(self._folder(request))})

    def runs(self, request: Request) -> Response:
        return _json({"runs": folders.runs(self._root)})

    def figures(self, request: Request) -> Response:
        key = request.query_params.get("run", "")
        return HTMLResponse(self._drawn(key, folders.version(self._folder(request))), headers=HEADERS)

    def _draw(self, key: str, _version: str) -> Markup:
        with self._drawing:
            if key == "" and folders.is_sweep(self._root):
                return sweep_figures(self._root, run_address)
            return run_figures(self._root, key)

    def games(self, request: Request) -> Response:
        columns = games.listed(self._folder(request))
        return _json({"columns": columns, "total": len(columns["game"])})

    def game(self, request: Request) -> Response:
        try:
            step, number = (int(request.query_params[name]) for name in ("step", "game"))
        except (KeyError, ValueError):
            raise HTTPException(404, "expected the numbers of a step and a game") from None
        record = games.game(self._folder(request), step, number)
        if record is None:
            raise HTTPException(404, f"no game {number} in step {step}")
        return _json(record)

    def _folder(self, request: Request) -> Path:
        folder = folders.run_at(self._root, request.query_params.get("run", ""))
        if folder is None:
            raise HTTPException(404, "no such run")
        return folder


HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def module(request: Request, page: str = "main") -> Response:
    """A module of a kind of page."""
    path = assets.modules(page, served=True).get(request.path_params["name"])
    if path is None:
        raise HTTPException(404, "no such module")
    return Response(assets.text(path), media_type="text/javascript", headers=HEADERS)


def board(request: Request) -> Response:
    """A position drawn by python-chess, for pages without chessground."""
    params = request.query_params
    try:
        arrows = [(kind, uci) for kind, _, uci in (part.partition(":") for part in params.getlist("arrow"))]
        svg = fallback.board_svg(params["fen"], params.get("last"), arrows, flipped="flip" in params)
    except (KeyError, ValueError):
        raise HTTPException(404, "no such board") from None
    return Response(svg, media_type="image/svg+xml", headers=HEADERS)


def _json(content: object) -> Response:
    return JSONResponse(content, headers=HEADERS)


def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=HEADERS)


def _unreadable(request: Request, error: Exception) -> Response:
    """Something that can't be read or asked: said in the page, in one line."""
    return PlainTextResponse(f"{error}\n", 422, headers=HEADERS)
