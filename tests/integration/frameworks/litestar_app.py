# SPDX-License-Identifier: MIT
"""Litestar: typed handlers, streaming, WebSocket."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.datastructures import State
from litestar.response import Stream


async def start(app: Litestar) -> None:
    app.state.started = True


@get("/hello")
async def hello(name: str, state: State) -> dict[str, Any]:
    return {"hello": name, "started": state.started}


@post("/echo", status_code=200, request_max_body_size=None)
async def echo(request: Request) -> dict[str, int]:
    return {"size": len(await request.body())}


@get("/stream")
async def stream() -> Stream:
    async def parts():
        for part in ("one ", "two ", "three"):
            yield part

    return Stream(parts(), media_type="text/plain")


@websocket("/ws")
async def socket(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_data():
        await socket.send_text(text.upper())


app = Litestar([hello, echo, stream, socket], on_startup=[start])
