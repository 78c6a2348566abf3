# SPDX-License-Identifier: MIT
"""The smallest application: raw ASGI, no framework.

casgi examples.hello.app:app --workers 2
"""

from __future__ import annotations

import os
from typing import Any

BODY = b"Hello, world!\n"
HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"14")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers "/" with a greeting, "/worker" with the worker's process id, all else with 404."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] != "http":
        raise RuntimeError(f"this application has no {scope['type']} side")
    if scope["path"] == "/":
        status, headers, body = 200, HEADERS, BODY
    else:
        status, body = (200, b"%d\n" % os.getpid()) if scope["path"] == "/worker" else (404, b"\n")
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
