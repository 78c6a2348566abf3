# SPDX-License-Identifier: MIT
"""The application that the TLS tests serve in processes of their own."""

from __future__ import annotations

import json
import os
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """/scope: what it is told. /echo: the body, piece by piece. /stream: a thousand lines."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await chat(scope, receive, send)
    elif scope["path"] == "/echo":
        await send({"type": "http.response.start", "status": 200})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send(
                {"type": "http.response.body", "body": message.get("body", b""), "more_body": more}
            )
    elif scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200})
        for n in range(1000):
            await send({"type": "http.response.body", "body": b"line %d\n" % n, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        body = json.dumps(describe(scope)).encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """Says what it is told, then sends back what it gets."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(describe(scope))})
    while (message := await receive())["type"] == "websocket.receive":
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


def describe(scope: Any) -> dict[str, Any]:
    extensions = scope.get("extensions", {})
    return {
        "pid": os.getpid(),
        "scheme": scope["scheme"],
        "extensions": sorted(extensions),
        "tls": extensions.get("tls"),
    }
