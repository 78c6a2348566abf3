# SPDX-License-Identifier: MIT
"""A script for each user: uploaded over HTTP, kept on disk, run in an isolate of its own.

casgi examples.per_user.app:app --workers 2
"""

from __future__ import annotations

import os
import tempfile
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
    """The users' scripts: files, so that every worker sees an upload, and the tenants they make."""

    def __init__(self, store: Path, size: int) -> None:
        self.store = store
        self.tenants = jsrt.Tenants(
            isolation="isolate",
            max_tenants=size,
            max_memory=size * HEAP_LIMIT,
            heap_limit=HEAP_LIMIT,
            timeout=TIMEOUT,
        )

    def save(self, user: str, code: str) -> None:
        """Keeps a script that can be evaluated.

        Raises:
            jsrt.JSError: it cannot, or a limit ended it; the user's old script stays.
        """
        self.tenants.check(code, filename=f"{user}.js")
        self.store.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.store, delete=False) as file:
            file.write(code)
        os.replace(file.name, self.store / f"{user}.js")  # a reader sees the old file or the new

    def remove(self, user: str) -> None:
        """Forgets a user's script.

        Raises:
            FileNotFoundError: the user has none.
        """
        self.tenants.drop(user)
        (self.store / f"{user}.js").unlink()

    def run(self, user: str, value: Any) -> Any:
        """Calls `main(value)` of the user's script.

        Raises:
            FileNotFoundError: the user has no script.
            jsrt.JSError: it threw, or a limit ended it.
        """
        try:
            with open(self.store / f"{user}.js") as file:
                version = os.fstat(file.fileno())
                code = file.read()
        except FileNotFoundError:
            self.tenants.drop(user)  # removed by way of another worker
            raise
        # Another text makes the tenant anew; an upload of the same text shall do so too.
        code += f"\n// {version.st_ino} {version.st_mtime_ns}"
        return self.tenants.call(user, code, "main", [value])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Gives each worker its own scripts, as `request.state.scripts`."""
    scripts = Scripts(STORE, MAX_CONTEXTS)
    yield {"scripts": scripts}
    scripts.tenants.close()


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
    return {"result": scripts.run(user, call.input), "worker": os.getpid()}


@app.get("/limits")
async def limits(request: Request) -> dict[str, Any]:
    """What a user may use, and whose isolates live in the worker that answers."""
    tenants: jsrt.Tenants = request.state.scripts.tenants
    return {
        "script_bytes": MAX_SCRIPT,
        "heap_mb": HEAP_LIMIT,
        "timeout_s": TIMEOUT,
        "contexts": MAX_CONTEXTS,
        "live": list(tenants),
        "evicted": tenants.stats()["evicted"],
        "worker": os.getpid(),
    }
