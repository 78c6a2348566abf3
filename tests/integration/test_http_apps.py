# SPDX-License-Identifier: MIT
"""Real clients and frameworks over _core.Server: httpx, starlette, FastAPI."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from http_harness import get, serve
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]
BIG = bytes(range(256)) * 40960


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = request.method
        return response  # type: ignore[no-any-return]


def starlette_app(folder: Path, events: list[str]) -> Starlette:
    async def echo(request: Request) -> Response:
        return JSONResponse(
            {
                "path": request.url.path,
                "query": dict(request.query_params),
                "size": len(await request.body()),
                "client": request.client is not None,
            }
        )

    async def stream(request: Request) -> Response:
        async def parts() -> Any:
            try:
                for n in range(int(request.query_params.get("n", "5"))):
                    yield f"{n}\n"
                    await asyncio.sleep(0.001)
                events.append("finished")
            except asyncio.CancelledError:
                events.append("cancelled")
                raise

        return StreamingResponse(parts())

    async def file(request: Request) -> Response:
        return FileResponse(folder / "big.bin")

    async def later(request: Request) -> Response:
        async def task() -> None:
            await asyncio.sleep(0.05)
            events.append("background")

        return PlainTextResponse("now", background=BackgroundTask(task))

    def threaded(request: Request) -> Response:
        return PlainTextResponse("from a thread")

    async def upload(request: Request) -> Response:
        digest = hashlib.sha256()
        async for part in request.stream():
            digest.update(part)
        return PlainTextResponse(digest.hexdigest())

    async def fail(request: Request) -> Response:
        raise RuntimeError("boom")

    routes = [
        Route("/echo", echo, methods=["GET", "POST", "HEAD"]),
        Route("/stream", stream),
        Route("/file", file),
        Route("/later", later),
        Route("/threaded", threaded),
        Route("/upload", upload, methods=["POST"]),
        Route("/fail", fail),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Stamp)])


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def server(tmp_path: Path, events: list[str]) -> Any:
    (tmp_path / "big.bin").write_bytes(BIG)
    with serve(starlette_app(tmp_path, events)) as running:
        yield running


def test_starlette(server: Any, events: list[str]) -> None:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        response = client.post("/echo?a=1", content=b"x" * 1000)
        assert response.json() == {
            "path": "/echo",
            "query": {"a": "1"},
            "size": 1000,
            "client": True,
        }
        assert response.headers["x-stamp"] == "POST"
        assert client.head("/echo").headers["content-length"].isdigit()
        assert client.get("/stream").text == "0\n1\n2\n3\n4\n"
        assert client.get("/threaded").text == "from a thread"
        assert client.get("/nowhere").status_code == 404
        digest = client.post("/upload", content=BIG).text
        assert digest == hashlib.sha256(BIG).hexdigest()
        assert client.get("/later").text == "now"
        assert client.get("/echo").status_code == 200
    server.until(lambda: "background" in events)
    assert server.errors == []


def test_starlette_file(server: Any) -> None:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        response = client.get("/file")
        assert hashlib.sha256(response.content).digest() == hashlib.sha256(BIG).digest()
        part = client.get("/file", headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, BIG[10:20])
        again = client.get("/file", headers={"if-none-match": response.headers["etag"]})
        assert again.status_code in (200, 304)


def test_starlette_error(server: Any) -> None:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        assert client.get("/fail").status_code == 500
    assert [message for _, message, _ in server.errors] == ["Exception in ASGI application"]
    server.errors.clear()  # the traceback holds the exchange


def test_stream_stops_when_the_client_leaves(server: Any, events: list[str]) -> None:
    with server.connect() as peer:
        peer.send(get("/stream?n=100000"))
        peer.until(b"3\n")
    server.until(lambda: server.core.tasks == 0)
    assert "finished" not in events


def test_gzip_middleware_and_many_clients() -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("abc" * 5000)

    app = Starlette(routes=[Route("/", page)], middleware=[Middleware(GZipMiddleware)])

    async def many(url: str) -> set[str]:
        async with httpx.AsyncClient(timeout=10) as client:
            replies = await asyncio.gather(*[client.get(url) for _ in range(60)])
            return {reply.text for reply in replies}

    with serve(app) as server:
        assert asyncio.run(many(server.url)) == {"abc" * 5000}


def test_fastapi() -> None:
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: int, q: str = "") -> dict[str, Any]:
        return {"item": item, "q": q}

    @app.get("/sync")
    def sync() -> dict[str, bool]:
        return {"sync": True}

    with serve(app) as server, httpx.Client(base_url=server.url, timeout=10) as client:
        assert client.get("/items/3?q=%C3%A9").json() == {"item": 3, "q": "é"}
        assert client.get("/items/x").status_code == 422
        assert client.get("/sync").json() == {"sync": True}
        assert client.get("/openapi.json").status_code == 200
        assert server.errors == []
