# SPDX-License-Identifier: MIT
"""A FastAPI application whose page is made by react-dom/server, in the worker's own V8.

    tools/build-react
    casgi examples.react_ssr.app:app --workers 4 \\
        --js examples/react_ssr/build/server.js --js examples/fastapi_js/lib.js
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

import jsrt

HERE = Path(__file__).parent
LOCK = json.loads((HERE / "package-lock.json").read_text())
PAGE = (HERE / "page.html").read_text()
SAMPLE = "The quick brown fox jumps over the dogs!"
MAX_TEXT = 400
# The time of a rendering is known when it is over: the page is made with this in its place.
MICROS = "@micros@"
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src-attr "
    "'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
STEPS = [
    {"side": "c", "name": "libuv", "does": "reads the socket on the worker's one thread"},
    {"side": "c", "name": "llhttp", "does": "parses, and C builds the ASGI scope"},
    {"side": "python", "name": "FastAPI", "does": "routes, checks and calls the handler"},
    {"side": "javascript", "name": "V8", "does": "runs render(props), called as a C function"},
    {"side": "javascript", "name": "React", "does": "turns the components into HTML"},
    {"side": "c", "name": "writev", "does": "sends head and body in one system call"},
]
CARDS = [
    {
        "title": "A call, not a message",
        "text": "The handler's thread enters V8 itself. What nobody sends, nobody waits for.",
        "code": 'request.state.js.call("render", [props])',
    },
    {
        "title": "Starts when you need it",
        "text": "An application that never touches JavaScript never starts V8. "
        "Yours starts with the worker, before the first request.",
        "code": "casgi app:app --js build/server.js",
    },
    {
        "title": "Bounded by default",
        "text": "A loop that does not end and a heap that only grows become exceptions of Python; "
        "the worker goes on.",
        "code": "except (jsrt.Timeout, jsrt.HeapLimit): ...",
    },
]

app = FastAPI(title="React inside FastAPI")
app.mount("/build", StaticFiles(directory=HERE / "build", check_dir=False), name="build")


class Input(BaseModel):
    """The body of POST /api."""

    data: str = Field(max_length=MAX_TEXT)


@app.exception_handler(jsrt.JSError)
async def on_js_error(request: Request, error: jsrt.JSError) -> JSONResponse:
    """What JavaScript threw, as JSON."""
    return JSONResponse({"error": {"message": error.message}}, 422)


@app.get("/", response_class=HTMLResponse)
async def page(
    request: Request, data: Annotated[str, Query(max_length=MAX_TEXT)] = SAMPLE
) -> HTMLResponse:
    """Renders the page; `data` is what the form sends where the browser runs no JavaScript."""
    js = request.state.js
    props: dict[str, Any] = {
        "answer": {
            "micros": MICROS,
            "worker": os.getpid(),
            **js.call("whoami", []),
            "python": platform.python_version(),
            "v8": jsrt.v8_version,
            "node": jsrt.node_version,
            "react": LOCK["packages"]["node_modules/react"]["version"],
        },
        "steps": STEPS,
        "cards": CARDS,
        "text": data,
        "result": js.call("process", [data]),
    }
    start = time.perf_counter_ns()
    root = js.call("render", [props])
    micros = (time.perf_counter_ns() - start) // 1000
    # "<" is escaped in the data: it stands inside a script element.
    island = json.dumps(props).replace("<", "\\u003c")
    html = PAGE.replace("<!--root-->", root).replace("<!--props-->", island)
    return HTMLResponse(
        html.replace(MICROS, f"{micros:,}"),
        headers=HEADERS | {"server-timing": f"render;dur={micros / 1000:.3f}"},
    )


@app.post("/api")
async def api(body: Input, request: Request) -> dict[str, Any]:
    """Calls `process(data)` of lib.js; says who answered and how long JavaScript took."""
    start = time.perf_counter_ns()
    result = request.state.js.call("process", [body.data])
    micros = (time.perf_counter_ns() - start) / 1000
    return {"result": result, "worker": os.getpid(), "micros": round(micros, 1)}


app.mount("/", StaticFiles(directory=HERE / "static"), name="static")
