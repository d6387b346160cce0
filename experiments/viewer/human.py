"""The page on which a person attacks a blunder filter, and its server, on loopback only.

Whatever costs something or writes is a POST, taken only from the page itself: its Origin must be this
server's own address, and its body JSON, which no other page may send unasked.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from engines.settings import Mistake
from experiments.figures.templates import render
from experiments.viewer import assets
from experiments.viewer.server import HEADERS, board, local, module
from sandwich.highstakes.environment import JudgeConfig
from sandwich.highstakes.human import HumanAttack, InvalidRequest

MOST = 4096
"""Bytes of a request's body at most."""


def human_application(attack: HumanAttack, judge: JudgeConfig, name: str) -> Starlette:
    """The web application of a person's attack; when it stops, the person's run ends.

    name: what the filter is called on the page.
    """
    site = _Site(attack, judge, name)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(attack.close)

    routes = [
        Route("/", site.page, methods=["GET"]),
        Route("/assets/{name:path}.js", partial(module, page="human"), methods=["GET"]),
        Route("/board.svg", board, methods=["GET"]),
        Route("/api/state", site.state, methods=["GET"]),
        Route("/api/{what}", site.ask, methods=["POST"]),
    ]
    return local(routes, Mistake, lifespan=lifespan)


class _Site:
    """What each address answers."""

    def __init__(self, attack: HumanAttack, judge: JudgeConfig, name: str) -> None:
        self._attack, self._judge, self._name = attack, judge, name
        self._asks: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
            "look": (attack.look, ("fen",)),
            "saliency": (attack.saliency, ("fen", "uci")),
            "substitutions": (attack.substitutions, ("fen", "uci", "square")),
            "verdict": (attack.verdict, ("fen", "uci")),
            "start": (attack.start, ()),
            "pause": (attack.pause, ()),
            "end": (attack.end, ()),
        }

    def page(self, request: Request) -> Response:
        text = render(
            "viewer/human.html",
            name=self._name,
            style=assets.style("human"),
            import_map=assets.import_map("human", served=True),
            module=assets.start("human"),
            start={
                "board": assets.has_chessground(),
                "hint": assets.board_hint(),
                "starts": bool(self._attack.starts),
                "threshold": self._attack.threshold,
                "nodes": self._judge.nodes,
                "again": self._judge.again,
                "catastrophe": self._judge.threshold,
            },
        )
        return HTMLResponse(text, headers=HEADERS | {"Content-Security-Policy": assets.policy("human", served=True)})

    def state(self, request: Request) -> Response:
        return JSONResponse(asdict(self._attack.state()), headers=HEADERS)

    async def ask(self, request: Request) -> Response:
        """The answer, or in one line what is wrong with the request, and the state of the run."""
        if request.headers.get("origin") != f"http://{request.headers['host']}":
            raise HTTPException(403, "asked by another page than this server's own")
        if request.headers.get("content-type") != "application/json":
            raise HTTPException(415, "expected JSON")
        if request.path_params["what"] not in self._asks:
            raise HTTPException(404, f"expected one of {', '.join(self._asks)}")
        method, names = self._asks[request.path_params["what"]]
        arguments = _arguments(await _body(request), names)
        reply: dict[str, Any] = {"wrong": ""}
        try:
            reply["answer"] = _plain(await run_in_threadpool(method, **arguments))
        except Mistake as error:
            reply["wrong"] = str(error)
        reply["state"] = asdict(await run_in_threadpool(self._attack.state))
        return JSONResponse(reply, headers=HEADERS)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST:
            raise HTTPException(413, f"expected at most {MOST} bytes")
    return body


def _arguments(body: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """The arguments of a request by name; InvalidRequest where it is anything but these names with a text each."""
    try:
        arguments = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the request is not JSON") from None
    if (
        not isinstance(arguments, dict)
        or set(arguments) != set(names)
        or not all(isinstance(value, str) for value in arguments.values())
    ):
        raise InvalidRequest(f"expected {' and '.join(names) or 'nothing'} in the request")
    return arguments


def _plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_plain(part) for part in answer]
    return asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer
