# SPDX-License-Identifier: MIT
"""Each framework's own application, served by casgi and asked by real clients.

The packages are the extra ``frameworks`` of pyproject.toml; one that is not installed is skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import time

import httpx
import pytest
import websockets
from casgi_process import HERE, casgi

BODY = b"x" * 3_000_000

# What an application is called, and the distributions it needs.
HTTP_FRAMEWORKS = {
    "fastapi": ("fastapi",),
    "starlette": ("starlette",),
    "django": ("django", "channels"),
    "litestar": ("litestar",),
    "quart": ("quart",),
    "blacksheep": ("blacksheep",),
    "sanic": ("sanic",),
}


def need(*distributions: str) -> None:
    """Skips the test where one of them is not installed."""
    for name in distributions:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed: pip install casgi[frameworks]")


@contextlib.contextmanager
def serving(name: str, *options: str):
    folder = str(HERE / "frameworks")
    with casgi(f"{name}_app:app", "--app-dir", folder, "--no-js", *options) as server:
        _ = server.port
        yield server
        code = server.stop()
        assert code == (0 if "--workers" in options else -15), server.log
        assert "Traceback" not in server.log, server.log


@pytest.fixture(params=HTTP_FRAMEWORKS)
def framework(request):
    need(*HTTP_FRAMEWORKS[request.param])
    with serving(request.param) as server:
        yield server


def test_http_and_websocket(framework):
    answer = framework.get("/hello?name=J%C3%BCrgen")
    assert answer.status_code == 200
    assert answer.json() == {"hello": "J\xfcrgen", "started": True}
    with httpx.Client(base_url=framework.url, timeout=20, trust_env=False) as client:
        assert client.post("/echo", content=BODY).json() == {"size": len(BODY)}
        assert client.post("/echo", content=iter([b"ab", b"cde"])).json() == {"size": 5}
        assert client.get("/stream").text == "one two three"
        assert client.get("/nowhere").status_code == 404
        assert client.head("/stream").text == ""
    assert asyncio.run(shout(framework.port, ["one", "\xe4" * 70_000])) == [
        "ONE",
        "\xc4" * 70_000,
    ]


async def shout(port: int, texts: list[str]) -> list[str]:
    answers = []
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as socket:
        for text in texts:
            await socket.send(text)
            answers.append(await asyncio.wait_for(socket.recv(), 10))
    return answers


def test_fastapi_in_workers():
    need("fastapi")
    with serving("fastapi", "--workers", "2") as server:
        names = [str(number) for number in range(8)]
        assert [server.get(f"/hello?name={name}").json()["hello"] for name in names] == names
        assert server.get("/number/x").status_code == 422
        assert server.get("/number/7").json() == 7
        assert server.get("/openapi.json").json()["paths"].keys() >= {"/hello", "/stream"}


def test_fastapi_background_task():
    need("fastapi")
    with serving("fastapi") as server:
        server.get("/hello?name=later")
        # It runs behind the response, in a thread: another connection may be quicker.
        end = time.monotonic() + 20
        while not (done := server.get("/done").json()) and time.monotonic() < end:
            time.sleep(0.01)
        assert done == ["later"]


def test_starlette_file():
    need("starlette")
    with serving("starlette") as server:
        text = (HERE / "frameworks/starlette_app.py").read_text()
        assert server.get("/file").text == text
        part = server.get("/file", headers={"range": "bytes=2-5"})
        assert (part.status_code, part.text) == (206, text[2:6])


def test_graphql_over_websocket():
    need("strawberry-graphql")
    with serving("strawberry") as server:
        query = {"query": '{ hello(name: "you") }'}
        answer = httpx.post(server.url, json=query, trust_env=False)
        assert answer.json()["data"] == {"hello": "hello you"}
        assert asyncio.run(subscribe(server.port)) == [0, 1, 2]


async def subscribe(port: int) -> list[int]:
    """The graphql-transport-ws protocol."""
    values = []
    protocols = [websockets.Subprotocol("graphql-transport-ws")]
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/", subprotocols=protocols, proxy=None
    ) as socket:

        async def receive():
            return json.loads(await asyncio.wait_for(socket.recv(), 10))

        assert socket.subprotocol == "graphql-transport-ws"
        await socket.send(json.dumps({"type": "connection_init"}))
        assert (await receive())["type"] == "connection_ack"
        payload = {"query": "subscription { count(target: 3) }"}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        while (message := await receive())["type"] == "next":
            values.append(message["payload"]["data"]["count"])
        assert message["type"] == "complete"
    return values


@pytest.mark.parametrize("transport", ["sse", "streamable-http"])
def test_mcp(transport):
    need("mcp")
    with serving("mcp") as server:
        assert asyncio.run(asyncio.wait_for(call_tool(server.url, transport), 30)) == "5"


async def call_tool(url: str, transport: str) -> str:
    from mcp import ClientSession
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    client = (
        sse_client(url + "/sse") if transport == "sse" else streamable_http_client(url + "/mcp")
    )
    async with client as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        assert [tool.name for tool in (await session.list_tools()).tools] == ["add"]
        result = await session.call_tool("add", {"a": 2, "b": 3})
        return result.content[0].text
