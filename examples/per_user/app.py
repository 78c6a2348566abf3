# SPDX-License-Identifier: MIT
"""A script for each user: uploaded over HTTP, kept on disk, run in an isolate of its own.

casgi examples.per_user.app:app --workers 2
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi import Path as FromPath
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import jsrt

STORE = Path(os.environ.get("PER_USER_STORE") or Path(__file__).parent / "scripts")
MAX_SCRIPT = 64 * 1024  # bytes of one script
MAX_CONTEXTS = int(os.environ.get("PER_USER_CONTEXTS", "8"))  # live isolates in one worker
HEAP_LIMIT = 32  # MB of JavaScript heap for one user
TIMEOUT = 1.0  # seconds for one call, and for evaluating the script

User = Annotated[str, FromPath(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Scripts:
    """The contexts of the users this worker served last; the one not used for longest goes first.

    The scripts are files, so that every worker sees an upload; a file that changed since its
    context was made makes a new one. The handlers are `async def` and never wait while they hold
    a context: nothing can evict it under them.
    """

    def __init__(self, store: Path, size: int) -> None:
        self.store = store
        self.size = size
        self.live: OrderedDict[str, tuple[tuple[int, int], jsrt.Context]] = OrderedDict()
        self.evicted = 0

    def save(self, user: str, code: str) -> None:
        """Keeps a script that can be evaluated.

        Raises:
            jsrt.JSError: it cannot, or a limit ended it; the user's old script stays.
        """
        open_context(user, code).close()
        self.store.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.store, delete=False) as file:
            file.write(code)
        os.replace(file.name, self.store / f"{user}.js")  # a reader sees the old file or the new

    def remove(self, user: str) -> None:
        """Forgets a user's script.

        Raises:
            FileNotFoundError: the user has none.
        """
        self.drop(user)
        (self.store / f"{user}.js").unlink()

    def get(self, user: str) -> jsrt.Context:
        """The user's context, made if need be.

        Raises:
            FileNotFoundError: the user has no script.
        """
        path = self.store / f"{user}.js"
        try:
            found = path.stat()
        except FileNotFoundError:
            self.drop(user)  # removed by way of another worker
            raise
        stamp = (found.st_ino, found.st_mtime_ns)
        if user in self.live and self.live[user][0] == stamp:
            self.live.move_to_end(user)
            return self.live[user][1]
        self.drop(user)
        context = open_context(user, path.read_text())
        self.live[user] = (stamp, context)
        while len(self.live) > self.size:
            self.drop(next(iter(self.live)))
            self.evicted += 1
        return context

    def drop(self, user: str) -> None:
        """Closes the user's context, if there is one: its isolate and heap are freed."""
        if (entry := self.live.pop(user, None)) is not None:
            entry[1].close()

    def close(self) -> None:
        """Closes them all."""
        for user in list(self.live):
            self.drop(user)


def open_context(user: str, code: str) -> jsrt.Context:
    """A context that holds ECMAScript and the script, nothing to reach out with."""
    context = jsrt.Context(profile="bare", heap_limit=HEAP_LIMIT, timeout=TIMEOUT)
    try:
        context.compile(code, filename=f"{user}.js")
    except BaseException:
        context.close()
        raise
    return context


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Gives each worker its own scripts, as `request.state.scripts`."""
    scripts = Scripts(STORE, MAX_CONTEXTS)
    yield {"scripts": scripts}
    scripts.close()


app = FastAPI(title="A script per user", lifespan=lifespan)


@app.exception_handler(jsrt.JSError)
@app.exception_handler(jsrt.ConversionError)
async def on_js_error(request: Request, error: jsrt.JSError | jsrt.ConversionError) -> JSONResponse:
    """The user's script failed or met a limit: said as JSON, and nobody else is touched."""
    if isinstance(error, jsrt.Timeout | jsrt.HeapLimit | jsrt.ConversionError):
        status = {jsrt.Timeout: 504, jsrt.HeapLimit: 507}.get(type(error), 422)
        name = type(error).__name__
    else:
        status, name = 422, error.name
    return JSONResponse({"error": {"name": name, "message": str(error)}}, status)


class Call(BaseModel):
    """The body of a run: what the script's `main` gets."""

    input: Any = None


@app.put("/scripts/{user}", status_code=204)
async def put_script(user: User, request: Request) -> None:
    """Takes the body as the user's script; it has to define `main(input)`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_SCRIPT:
            raise HTTPException(413, f"a script may have {MAX_SCRIPT} bytes")
    try:
        code = body.decode()
    except UnicodeDecodeError:
        raise HTTPException(415, "a script is UTF-8 text") from None
    request.state.scripts.save(user, code)


@app.delete("/scripts/{user}", status_code=204)
async def delete_script(user: User, request: Request) -> None:
    """Forgets the user's script."""
    request.state.scripts.remove(user)


@app.exception_handler(FileNotFoundError)
async def on_no_script(request: Request, error: FileNotFoundError) -> JSONResponse:
    """The user has no script."""
    return JSONResponse({"detail": "no such script"}, 404)


@app.post("/run/{user}")
async def run(user: User, call: Call, request: Request) -> dict[str, Any]:
    """Calls `main(input)` of the user's script."""
    scripts: Scripts = request.state.scripts
    context = scripts.get(user)
    try:
        return {"result": context.call("main", [call.input]), "worker": os.getpid()}
    except (jsrt.HeapLimit, jsrt.Timeout):
        scripts.drop(user)  # what the script left behind is not trusted: begin anew
        raise


@app.get("/limits")
async def limits(request: Request) -> dict[str, Any]:
    """What a user may use, and whose isolates live in the worker that answers."""
    scripts: Scripts = request.state.scripts
    return {
        "script_bytes": MAX_SCRIPT,
        "heap_mb": HEAP_LIMIT,
        "timeout_s": TIMEOUT,
        "contexts": MAX_CONTEXTS,
        "live": list(scripts.live),
        "evicted": scripts.evicted,
        "worker": os.getpid(),
    }
