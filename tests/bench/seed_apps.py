# SPDX-License-Identifier: MIT
"""The applications of seed.py: one endpoint, POST /api {"data": ...} -> {"result": process(data)}.

Two shapes, `fastapi` and `raw` (ASGI without a framework), both factories. $SEED_ENGINE says who
computes:

    none      nobody: the answer is a constant
    engineN   never_jscore's JSEngine(workers=N), one for the process
    local     a never_jscore Context in a threading.local, made when its thread needs it
    state     request.state.js, in `async def`
    def       request.state.js, in `def`: a thread of the pool

A worker adds its process id to the file $SEED_READY when it has started. GET /isolates tells
the worker's process id and how many V8 isolates live in it.
"""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ENGINE = os.environ.get("SEED_ENGINE", "none")
LIB = Path(__file__).parents[2] / "examples" / "fastapi_js" / "lib.js"
CONSTANT = json.loads(os.environ.get("SEED_CONSTANT", "null"))

# call(js, data) computes the answer; js is request.state.js, or None under a server without it.
Call = Callable[[Any, str], Any]
Count = Callable[[], int]


def engine() -> tuple[Call, Count]:
    """The function that computes in this process, and the one that counts isolates."""
    if ENGINE == "none":
        return lambda js, data: CONSTANT, lambda: 0
    if ENGINE in ("state", "def"):
        return lambda js, data: js.call("process", [data]), live_isolates
    import never_jscore

    code = LIB.read_text()
    if ENGINE.startswith("engine"):
        shared = never_jscore.JSEngine(code, workers=int(ENGINE.removeprefix("engine")))
        return lambda js, data: shared.call("process", [data]), lambda: shared.workers
    local, made = threading.local(), []

    def call(js: Any, data: str) -> Any:
        try:
            context = local.context
        except AttributeError:
            context = local.context = never_jscore.Context()
            context.compile(code)
            made.append(threading.get_ident())
        return context.call("process", [data])

    return call, lambda: len(made)


def live_isolates() -> int:
    """How many isolates jsrt holds in this process."""
    from jsrt import _jsrt

    return int(_jsrt._debug_counts()["isolates"])


def started() -> None:
    """Tells seed.py that this worker is ready."""
    with open(os.environ["SEED_READY"], "a") as file:
        file.write(f"{os.getpid()}\n")


def fastapi() -> Any:
    """The FastAPI application."""
    from fastapi import FastAPI, Request
    from pydantic import BaseModel

    call, count = engine()

    class Input(BaseModel):
        data: str

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started()
        yield

    app = FastAPI(lifespan=lifespan)

    if ENGINE == "none":

        @app.post("/api")
        async def constant(body: Input) -> Any:
            return {"result": CONSTANT}

    elif ENGINE == "def":

        @app.post("/api")
        def in_thread(body: Input, request: Request) -> Any:
            return {"result": request.state.js.call("process", [body.data])}

    elif ENGINE == "state":

        @app.post("/api")
        async def on_loop(body: Input, request: Request) -> Any:
            return {"result": request.state.js.call("process", [body.data])}

    else:

        @app.post("/api")
        async def other_engine(body: Input) -> Any:
            return {"result": call(None, body.data)}

    @app.get("/isolates")
    async def isolates() -> Any:
        return {"pid": os.getpid(), "isolates": count()}

    return app


def raw() -> Any:
    """The same without a framework."""
    call, count = engine()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                started()
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/isolates":
            answer = {"pid": os.getpid(), "isolates": count()}
        else:
            body, more = b"", True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            data = json.loads(body)["data"]
            js = scope.get("state", {}).get("js")
            if ENGINE == "def":
                answer = {"result": await asyncio.to_thread(call, js, data)}
            else:
                answer = {"result": call(js, data)}
        content = json.dumps(answer).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app
