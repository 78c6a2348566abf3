# SPDX-License-Identifier: MIT
"""Starlette: routes, state from the lifespan, a file, streaming, WebSocket."""

from __future__ import annotations

import contextlib

from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"started": True}


async def hello(request):
    return JSONResponse({"hello": request.query_params["name"], "started": request.state.started})


async def echo(request):
    size = 0
    async for part in request.stream():
        size += len(part)
    return JSONResponse({"size": size})


async def stream(request):
    async def parts():
        for part in ("one ", "two ", "three"):
            yield part

    return StreamingResponse(parts(), media_type="text/plain")


async def file(request):
    return FileResponse(__file__)


async def socket(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/hello", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/stream", stream),
        Route("/file", file),
        WebSocketRoute("/ws", socket),
    ],
)
