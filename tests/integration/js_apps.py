# SPDX-License-Identifier: MIT
"""Applications that use ``request.state.js``; they run in the server's processes."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse

import jsrt


@asynccontextmanager
async def lifespan(app: FastAPI):
    yield {"own": "kept"}


api = FastAPI(lifespan=lifespan)


@api.exception_handler(jsrt.Error)
async def on_js_error(request: Request, error: jsrt.Error) -> JSONResponse:
    body = {"kind": type(error).__name__, "name": getattr(error, "name", "")}
    return JSONResponse(body, status_code=422)


@api.get("/state")
async def state(request: Request) -> dict:
    return {
        "keys": sorted(request.scope["state"]),
        "threads": len(os.listdir("/proc/self/task")),
        "pid": os.getpid(),
    }


@api.get("/async/{name}")
async def on_the_loop(name: str, request: Request):
    return request.state.js.call(name, [{"a": 2, "b": 3}])


@api.get("/def/{name}")
def in_the_pool(name: str, request: Request):
    return request.state.js.call(name, [{"a": 2, "b": 3}])


@api.get("/eval")
async def evaluate(code: str, request: Request):
    return request.state.js.evaluate(code)


@api.get("/await")
async def promise(request: Request):
    return await request.state.js.call_async("later", [20])


@api.websocket("/js")
async def evaluate_messages(websocket: WebSocket):
    await websocket.accept()
    async for code in websocket.iter_text():
        await websocket.send_text(str(websocket.state.js.evaluate(code)))


async def in_lifespan(scope, receive, send):
    """Raw ASGI: compiles in its start-up what a request then calls."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["js"].compile("function f() { return 'from lifespan' }")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        scope["state"]["js"].call("f", [])
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = scope["state"]["js"].call("f", []).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
