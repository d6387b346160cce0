"""The token in a page's address: on a machine with several users, loopback alone keeps none of the others out.

Who opens the address that the command printed gets a cookie, with which the page asks for everything else.
"""

import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WRONG = "open the address that the command printed: it ends in ?token=…\n"


class TokenGate:
    """An application behind a token: what does not bring it, as `?token=` or as the cookie, is answered 403."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        cookie = f"sandwich-{scope['server'][1]}"  # a browser's cookies are those of all ports of a host
        in_address = self._is_right(asked.query_params.get("token", ""))
        if not in_address and not self._is_right(asked.cookies.get(cookie, "")):
            await PlainTextResponse(WRONG, 403)(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if in_address and message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(
                    "Set-Cookie", f"{cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                )
            await send(message)

        await self._app(scope, receive, with_cookie)

    def _is_right(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())
