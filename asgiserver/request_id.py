# SPDX-License-Identifier: MIT
"""``--request-id-header``: every request has an id, in its own header and in its response's.

A proxy in front may have given it one already, which is kept where it is short and plain; anything
else is replaced, as it ends up in log lines and in whatever reads them. Applications and access
logs find the id in the request's headers as if the client had sent it, code far from the request
in ``asgiserver.request_id.current``. traceparent and its like are the application's alone.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

current: ContextVar[str] = ContextVar("casgi_request_id", default="")
"""The id of the request whose task this is, "" outside of any."""

LONGEST = 128
_USABLE = re.compile(rb"[A-Za-z0-9._~:@/+=-]{1,%d}" % LONGEST)
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class RequestId:
    """Wraps an ASGI application.

    Args:
        app: the application.
        header: the name of the header.
    """

    def __init__(self, app: Any, header: str) -> None:
        self.app = app
        self.name = header.lower().encode("ascii")
        from uuid import uuid4

        self._new = uuid4

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        name = self.name
        given = [value for key, value in scope["headers"] if key == name]
        if len(given) == 1 and _USABLE.fullmatch(given[0]):
            request_id = given[0]
        else:
            request_id = self._new().hex.encode()
            others = [pair for pair in scope["headers"] if pair[0] != name]
            scope["headers"] = [*others, (name, request_id)]
        current.set(request_id.decode())

        # Not a coroutine of its own around send(): what that returns is awaited by the app.
        def send_with_id(message: Any) -> Any:
            if message.get("type") in _STARTS:
                headers = list(message.get("headers") or ())
                if not any(bytes(pair[0]).lower() == name for pair in headers):
                    message = {**message, "headers": [*headers, (name, request_id)]}
            return send(message)

        await self.app(scope, receive, send_with_id)
