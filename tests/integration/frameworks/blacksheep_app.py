# SPDX-License-Identifier: MIT
"""BlackSheep: handlers with bound parameters, streaming, WebSocket."""

import contextlib

# Handlers' annotations are looked at when they are registered: they stay objects.
from blacksheep import Application, Request, Response, WebSocket, get, json, post, ws
from blacksheep.contents import StreamedContent
from blacksheep.server.websocket import WebSocketDisconnectError

app = Application()
started = False


@app.on_start
async def start(application):
    global started
    started = True


@get("/hello")
async def hello(name: str):
    return json({"hello": name, "started": started})


@post("/echo")
async def echo(request: Request):
    return json({"size": len(await request.read() or b"")})


@get("/stream")
async def stream():
    async def parts():
        for part in (b"one ", b"two ", b"three"):
            yield part

    return Response(200, content=StreamedContent(b"text/plain", parts))


@ws("/ws")
async def socket(websocket: WebSocket):
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnectError):
        while True:
            await websocket.send_text((await websocket.receive_text()).upper())
