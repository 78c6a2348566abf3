# SPDX-License-Identifier: MIT
"""A FastAPI application that computes in JavaScript, through `request.state.js`.

    casgi examples.fastapi_js.app:app --workers 4 --js examples/fastapi_js/lib.js \\
        --js examples/fastapi_js/hostile.js --js-timeout 2000 --js-heap-limit 64
"""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import jsrt

app = FastAPI(title="JavaScript inside FastAPI")


class Input(BaseModel):
    """The body of a call: `{"data": "..."}`, of any JSON type; lib.js wants a string."""

    data: Any


@app.exception_handler(jsrt.JSError)
@app.exception_handler(jsrt.ConversionError)
async def on_js_error(request: Request, error: jsrt.JSError | jsrt.ConversionError) -> JSONResponse:
    """Says what went wrong in JavaScript, as JSON; the worker goes on in each case.

    It took too long: 504, as for any backend. It needed more memory than it may have: 507. It
    threw, or its data has no form on the other side: 422.
    """
    if isinstance(error, jsrt.Timeout | jsrt.HeapLimit | jsrt.ConversionError):
        status = {jsrt.Timeout: 504, jsrt.HeapLimit: 507}.get(type(error), 422)
        name, message = type(error).__name__, str(error)
    else:
        status, name, message = 422, error.name, error.message
    return JSONResponse({"error": {"name": name, "message": message}}, status)


@app.post("/api")
async def api(body: Input, request: Request) -> dict[str, Any]:
    """Runs on the event loop, in the isolate of the loop's thread: a plain function call."""
    return {"result": request.state.js.call("process", [body.data])}


@app.post("/api-sync")
def api_sync(body: Input, request: Request) -> dict[str, Any]:
    """Runs in the thread pool, in an isolate lent for the call: the GIL is free meanwhile."""
    return {"result": request.state.js.call("process", [body.data])}


@app.post("/hostile/loop")
async def hostile_loop(request: Request) -> None:
    """Never returns by itself: ends with 504 when `--js-timeout` is over."""
    request.state.js.call("spin", [])


@app.post("/hostile/heap")
async def hostile_heap(request: Request) -> None:
    """Fills its heap: ends with 507 at `--js-heap-limit`; the next call gets a new isolate."""
    request.state.js.call("hoard", [])


@app.post("/hostile/recursion")
async def hostile_recursion(request: Request) -> None:
    """Recurses for ever: ends with 422 and V8's RangeError."""
    request.state.js.call("dive", [0])


@app.get("/worker")
async def worker() -> dict[str, int]:
    """The process id of the worker that answers."""
    return {"pid": os.getpid()}
