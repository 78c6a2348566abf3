# SPDX-License-Identifier: MIT
"""Other people's asyncio code on the event loop: httpx, anyio, uvicorn where installed."""

from __future__ import annotations

import asyncio
import socket

import pytest

from asgiserver.loop import Loop, new_event_loop, run_loop

pytest_plugins = ("looptools",)
pytestmark = pytest.mark.usefixtures("no_leaks")


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
    writer.close()


def test_httpx_client() -> None:
    httpx = pytest.importorskip("httpx")

    async def main() -> None:
        async with await asyncio.start_server(hello, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with httpx.AsyncClient(trust_env=False) as client:
                answers = await asyncio.gather(
                    *(client.get(f"http://127.0.0.1:{port}/") for _ in range(10))
                )
        assert [answer.text for answer in answers] == ["hello"] * 10

    run_loop(main())


def test_anyio() -> None:
    anyio = pytest.importorskip("anyio")

    async def main() -> None:
        assert isinstance(asyncio.get_running_loop(), Loop)
        send, receive = anyio.create_memory_object_stream(5)
        got = []

        async def consume() -> None:
            async with receive:
                async for item in receive:
                    got.append(item)

        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            async with send:
                for i in range(20):
                    await send.send(i)
        assert got == list(range(20))
        assert await anyio.to_thread.run_sync(pow, 3, 2) == 9
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(10)
        assert scope.cancelled_caught
        result = await anyio.run_process(["echo", "x"])
        assert result.stdout == b"x\n"

    anyio.run(main, backend="asyncio", backend_options={"loop_factory": new_event_loop})


def test_uvicorn(loop: Loop) -> None:
    uvicorn = pytest.importorskip("uvicorn")
    httpx = pytest.importorskip("httpx")

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        assert scope["type"] == "http"
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"got " + body})

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with httpx.AsyncClient(trust_env=False) as client:
            for i in range(5):
                answer = await client.post(url, content=b"%d" % i)
                assert answer.text == f"got {i}"
        server.should_exit = True
        await task

    loop.run_until_complete(asyncio.wait_for(main(), 30))
