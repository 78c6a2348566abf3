# SPDX-License-Identifier: MIT
"""The application that slow clients get; it runs in the server's process."""

from __future__ import annotations

from typing import Any

from process_apps import lifespan

BIG = b"x" * (4 << 20)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body. /big: 4 MiB, which no socket buffer holds."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    body = BIG if scope["path"] == "/big" else b"ok"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
