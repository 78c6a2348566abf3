# SPDX-License-Identifier: MIT
"""A server in a process of its own, whose application also tells what the process holds.

Started as ``python leak_server.py FD`` with a bound socket. Prints what the extension still counts,
as JSON, when the server has ended and its loop is closed. LEAK=python or LEAK=native has every
request leave something behind, to show that the tests see it. TLS=FOLDER has it speak TLS, with
server.pem and server.key of that folder and optional client certificates of ca.pem. PROXIES: the
addresses whose connections begin with a PROXY protocol header.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from leaktools import Memory

from asgiserver import _core
from asgiserver.config import Config
from asgiserver.server import Server

PIECE = b"x" * 500
LARGE = b"y" * 300_000
LEAK = os.environ.get("LEAK", "")

kept: list[object] = []
server: Server | None = None
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p


async def start(send: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def reply(send: Any, body: bytes) -> None:
    await start(send, 200, (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.body", "body": body})


async def read(receive: Any) -> int:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return size
        size += len(message["body"])
        if not message["more_body"]:
            return size


async def measure() -> bytes:
    """Memory and counters, once this request is the only one and its connection, too."""
    for _ in range(2000):
        gc.collect()
        counts = _core._debug_counts()
        if counts["connections"] <= 1 and counts["cycles"] <= 1:
            break
        await asyncio.sleep(0.002)
    memory = Memory.now()
    return json.dumps({"memory": dataclasses.asdict(memory), "counts": counts}).encode()


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/deny":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
        if message.get("text") == "raise":
            raise ValueError("on purpose")


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
        return
    path = scope["path"]
    if path == "/measure":
        await reply(send, await measure())
        return
    if LEAK == "python":
        kept.append([path])
    elif LEAK == "native":
        malloc(64)
    if path == "/hello":
        await reply(send, b"hello")
    elif path == "/post":
        await reply(send, str(await read(receive)).encode())
    elif path == "/stream":
        await start(send, 200, (b"content-type", b"text/plain"))
        for _ in range(20):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/large":
        await start(send)
        for _ in range(10):
            await send({"type": "http.response.body", "body": LARGE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/wait":
        await start(send)
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        waiting = asyncio.ensure_future(read(receive))
        await waiting
    elif path == "/cancel":
        # The request's own task is cancelled while a receive() of it waits.
        await read(receive)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        await receive()
    elif path == "/reload":
        assert server is not None
        server._reload_certificates()
        await reply(send, b"reloaded")
    elif path == "/raise":
        raise ValueError("on purpose")
    elif path == "/raise-late":
        await start(send)
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        raise ValueError("on purpose")


def main() -> None:
    sock = socket.socket(fileno=int(sys.argv[1]))
    # A function of its own: nothing of the server is left on the stack afterwards.
    global server
    settings: dict[str, Any] = {}
    if folder := os.environ.get("TLS"):
        settings = {
            "ssl_certfile": f"{folder}/server.pem",
            "ssl_keyfile": f"{folder}/server.key",
            "ssl_ca_certs": f"{folder}/ca.pem",
            "ssl_cert_reqs": int(os.environ["TLS_CERT_REQS"]),
        }
    if proxies := os.environ.get("PROXIES"):
        settings |= {"proxy_protocol": True, "forwarded_allow_ips": proxies}
    settings["http2"] = "HTTP2" in os.environ
    server = Server(Config(app, no_js=True, timeout_graceful_shutdown=10, **settings))
    server.run(sockets=[sock])
    server = None


if __name__ == "__main__":
    # The log goes nowhere, but is written; a SIGTERM that stopped the server ends no more than it.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGTERM, lambda *_: None)
    main()
    for _ in range(3):
        gc.collect()
    print(json.dumps(_core._debug_counts()), file=results, flush=True)
