# SPDX-License-Identifier: MIT
"""Applications that the process tests serve; they run in the server's processes."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path


async def answer(send, value, status=200):
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send, before_start=None):
    await receive()
    if before_start is not None:
        before_start()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def say(text):
    os.write(1, f"{text}\n".encode())  # In one piece: other processes write there as well.


async def app(scope, receive, send):
    """/: what it sees. /hold: waits for the file that $RELEASE names. /stuck: blocks the loop.

    /busy: blocks it for 0.1 s. /timers: sets 50 timers.
    """
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        say("lifespan ended")
        return
    path = scope["path"].rsplit("/", 1)[-1]
    if path == "hold":
        say("holding")
        try:
            while not Path(os.environ["RELEASE"]).exists():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            say("cancelled")
            raise
    elif path == "nap":
        await asyncio.sleep(0.05)
    elif path == "busy":
        time.sleep(0.1)
    elif path == "timers":
        for _ in range(50):
            asyncio.get_running_loop().call_later(600, say, "never")
    elif path == "stuck":
        say("stuck")
        time.sleep(60)
    elif path == "unstoppable":
        say("unstoppable")
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
    elif path == "exit":
        os._exit(7)
    await answer(
        send,
        {
            "pid": os.getpid(),
            "path": scope["path"],
            "root_path": scope["root_path"],
            "state": sorted(scope["state"]),
            "threads": len(os.listdir("/proc/self/task")),
            "client": scope["client"],
        },
    )


def make_app():
    return app


def make_app_with_a_late_signal():
    """A SIGTERM reaches the worker when it has drained, before its exit handlers."""

    def exit_handler():
        os.kill(os.getpid(), signal.SIGTERM)
        say("exit handler ran")

    atexit.register(exit_handler)
    return app


def make_app_that_fails():
    raise RuntimeError("no database")


async def fails_to_start(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is down"})


async def raises_in_lifespan(scope, receive, send):
    if scope["type"] == "lifespan":
        raise KeyError("unheard of")
    await answer(send, "fine")


async def starts_unless_told(scope, receive, send):
    """Start-up fails while the file that $BROKEN names exists."""
    if scope["type"] != "lifespan":
        await answer(send, os.getpid())
    elif Path(os.environ["BROKEN"]).exists():
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "broken for now"})
    else:
        await lifespan(receive, send)


async def dies_when_told(scope, receive, send):
    """A worker ends in its start while the file that $BROKEN names exists."""
    if scope["type"] == "lifespan" and Path(os.environ["BROKEN"]).exists():
        os._exit(9)
    await starts_unless_told(scope, receive, send)


async def never_starts(scope, receive, send):
    say("starting for ever")
    await asyncio.Event().wait()


async def keeps_state(scope, receive, send):
    if scope["type"] == "lifespan":
        scope["state"]["counter"] = []
        await lifespan(receive, send)
        return
    scope["state"]["counter"].append(1)
    seen = "mine" in scope["state"]
    scope["state"]["mine"] = True
    await answer(send, {"count": len(scope["state"]["counter"]), "seen": seen})


async def shutdown_fails(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "could not say goodbye"})


if os.environ.get("PROCESS_APPS_SAY_IMPORT"):
    say(f"imported in {os.getpid()}")
if os.environ.get("PROCESS_APPS_EXIT"):
    sys.exit("the application wants out")


async def websocket(scope, receive, send):
    """Echoes WebSocket messages."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
