# SPDX-License-Identifier: MIT
"""FastAPI: sync and async endpoints, validation, streaming, WebSocket, background task."""

from __future__ import annotations

import contextlib

from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

done: list[str] = []


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"started": True}


app = FastAPI(lifespan=lifespan)


@app.get("/hello")
def hello(request: Request, name: str, tasks: BackgroundTasks):
    tasks.add_task(done.append, name)
    return {"hello": name, "started": request.state.started}


@app.get("/done")
async def get_done():
    return done


@app.post("/echo")
async def echo(request: Request):
    return {"size": len(await request.body())}


@app.get("/number/{value}")
async def number(value: int):
    return value


@app.get("/stream")
async def stream():
    async def parts():
        for part in ("one ", "two ", "three"):
            yield part

    return StreamingResponse(parts(), media_type="text/plain")


@app.websocket("/ws")
async def socket(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())
