# SPDX-License-Identifier: MIT
"""Quart: Flask's ways on ASGI, streaming, WebSocket."""

from __future__ import annotations

from quart import Quart, request, websocket

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
started = False


@app.before_serving
async def start():
    global started
    started = True


@app.get("/hello")
async def hello():
    return {"hello": request.args["name"], "started": started}


@app.post("/echo")
async def echo():
    return {"size": len(await request.get_data())}


@app.get("/stream")
async def stream():
    async def parts():
        for part in ("one ", "two ", "three"):
            yield part.encode()

    return parts(), 200, {"content-type": "text/plain"}


@app.websocket("/ws")
async def socket():
    while True:
        await websocket.send((await websocket.receive()).upper())
