# SPDX-License-Identifier: MIT
"""An application with every reason to be replaced; it runs in the server's processes."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import time
from urllib.parse import parse_qs

kept = []


def block_the_loop(seconds):
    time.sleep(seconds)


def sit_in_a_thread(event):
    event.wait()


def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def hold_the_gil(seconds):
    # PyDLL calls with the GIL held.
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        event = threading.Event()
        threading.Thread(target=sit_in_a_thread, args=(event,), daemon=True).start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        event.set()
        await send({"type": "lifespan.shutdown.complete"})
        return
    query = parse_qs(scope["query_string"].decode())
    seconds = float(query.get("seconds", ["0"])[0])
    match scope["path"]:
        case "/block":
            block_the_loop(seconds)
        case "/busy":
            await asyncio.gather(*(asyncio.to_thread(compute, seconds) for _ in range(3)))
        case "/hold-gil":
            await asyncio.to_thread(hold_the_gil, seconds)
        case "/grow":
            kept.append(b"x" * (250 << 20))
    body = str(os.getpid()).encode()
    head = {"type": "http.response.start", "status": 200, "headers": []}
    await send({**head, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
