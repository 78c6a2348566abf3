# SPDX-License-Identifier: MIT
"""Server-sent events and a WebSocket on one page, in raw ASGI.

casgi examples.live.app:app --workers 2 --stats 9000

The page shows a clock that the worker sends, and lets its visitors talk: what one of them says to a
worker goes to all whose WebSocket that worker holds.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("page.html").read_bytes()

visitors: set[Any] = set()
"""The send() of each open WebSocket of this worker."""


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers "/", "/ticks" and the WebSocket "/talk"."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await talk(receive, send)
    elif scope["path"] == "/ticks":
        await ticks(receive, send)
    else:
        found = scope["path"] == "/"
        await answer(send, 200 if found else 404, PAGE if found else b"not found\n")


async def answer(send: Any, status: int, body: bytes) -> None:
    """A whole response."""
    headers = [
        (b"content-type", b"text/html; charset=utf-8" if status == 200 else b"text/plain"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def ticks(receive: Any, send: Any) -> None:
    """A stream of events, four a second, until the client or the server goes."""
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.ensure_future(leaves(receive))
    number = 0
    while not gone.done():
        number += 1
        data = f"{number} {os.getpid()} {time.time():.3f}"
        event = f"id: {number}\ndata: {data}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.wait({gone}, timeout=0.25)
    await send({"type": "http.response.body", "body": b""})


async def leaves(receive: Any) -> None:
    """Returns when the client has gone, or the server is about to."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def talk(receive: Any, send: Any) -> None:
    """Passes each message on to everybody."""
    await receive()
    await send({"type": "websocket.accept"})
    visitors.add(send)
    try:
        await tell(f"{len(visitors)} here")
        while (message := await receive())["type"] == "websocket.receive":
            await tell(message.get("text") or "")
    finally:
        visitors.discard(send)
        await tell(f"{len(visitors)} here")


async def tell(text: str) -> None:
    """Sends a text to every visitor of this worker."""
    message = {"type": "websocket.send", "text": text}
    await asyncio.gather(*(send(message) for send in set(visitors)), return_exceptions=True)
