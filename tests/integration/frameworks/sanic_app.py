# SPDX-License-Identifier: MIT
"""Sanic in its ASGI mode: streaming, WebSocket, listeners around the server's life."""

from __future__ import annotations

from sanic import Sanic, json

app = Sanic("casgi_frameworks")
app.config.REQUEST_MAX_SIZE = 1 << 30


@app.before_server_start
async def start(app):
    app.ctx.started = True


@app.get("/hello")
async def hello(request):
    return json({"hello": request.args.get("name"), "started": app.ctx.started})


@app.post("/echo")
async def echo(request):
    return json({"size": len(request.body)})


@app.get("/stream")
async def stream(request):
    response = await request.respond(content_type="text/plain")
    for part in ("one ", "two ", "three"):
        await response.send(part)
    await response.eof()


@app.websocket("/ws")
async def socket(request, websocket):
    while (text := await websocket.recv()) is not None:
        await websocket.send(text.upper())
