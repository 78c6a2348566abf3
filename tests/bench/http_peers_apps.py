# SPDX-License-Identifier: MIT
"""The applications of http_peers.py and http_scaling.py.

Plain coroutines, and three framework applications: FastAPI with an `async def` and a `def` endpoint
whose answers Pydantic makes, and a Starlette FileResponse. The latter are made when they are asked
for, so that the others start without a framework.
"""

import os
from typing import Any

KILOBYTE = b"x" * 1024
MEGABYTE = b"x" * (1 << 20)
JSON = b'{"data": "' + b"x" * 1012 + b'"}'
FILE_VARIABLE = "HTTP_PEERS_FILE"
"""Names the file that `static` answers with."""


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def fixed(body: bytes, content_type: bytes) -> Any:
    """An application that answers every request with one body message."""
    length = b"%d" % len(body)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await lifespan(receive, send)
        headers = [(b"content-type", content_type), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


hello = fixed(b"Hello, World!", b"text/plain")
json = fixed(JSON, b"application/json")
big = fixed(MEGABYTE, b"application/octet-stream")


async def whole_body(receive: Any) -> bytes:
    """The request's body, all of it."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Collects the whole request body, then answers with it."""
    if scope["type"] != "http":
        return await lifespan(receive, send)
    body = await whole_body(receive)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """100 body messages of 1 KB, without content-length."""
    if scope["type"] != "http":
        return await lifespan(receive, send)
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(100):
        await send({"type": "http.response.body", "body": KILOBYTE, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def ws(scope: Any, receive: Any, send: Any) -> None:
    """WebSocket echo; plain HTTP requests get the hello answer, by which the start is seen."""
    if scope["type"] != "websocket":
        return await hello(scope, receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        if message.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


BODIES: dict[bytes, bytes] = {}


async def sizes(scope: Any, receive: Any, send: Any) -> None:
    """GET /N answers with N bytes; a POST is read as it comes and answered with its length."""
    if scope["type"] != "http":
        return await lifespan(receive, send)
    if scope["method"] == "POST":
        taken, more = 0, True
        while more:
            message = await receive()
            taken += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"%d" % taken
    else:
        path = scope["raw_path"]
        body = BODIES.get(path) or BODIES.setdefault(path, b"x" * int(path[1:]))
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def make_fastapi() -> Any:
    """One endpoint on the loop, one in the thread pool."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Item(BaseModel):
        id: int
        name: str
        price: float
        tags: list[str]

    app = FastAPI()

    @app.get("/items/{item_id}", response_model=Item)
    async def read_item(item_id: int, q: str = "none") -> Any:
        return Item(id=item_id, name=f"item {q}", price=9.5, tags=["a", "b"])

    @app.get("/sync/{item_id}", response_model=Item)
    def read_item_sync(item_id: int, q: str = "none") -> Any:
        return Item(id=item_id, name=f"item {q}", price=9.5, tags=["a", "b"])

    return app


def make_static() -> Any:
    """A file by Starlette's FileResponse."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse
    from starlette.routing import Route

    path = os.environ[FILE_VARIABLE]

    async def file(request: Any) -> Any:
        return FileResponse(path)

    return Starlette(routes=[Route("/file", file)])


def __getattr__(name: str) -> Any:
    """`fastapi` and `static`: servers without a --factory take them, too."""
    made = {"fastapi": make_fastapi, "static": make_static}.get(name)
    if made is None:
        raise AttributeError(name)
    return globals().setdefault(name, made())
