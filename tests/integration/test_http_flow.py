# SPDX-License-Identifier: MIT
"""Backpressure towards slow clients, disconnects, half-closed clients, cancellation."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from http_harness import get, post, read_body, reply, serve, start

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]
BODY = {"type": "http.response.body"}


def reset(peer: Any) -> None:
    """Closes with RST instead of FIN."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()


def test_sender_waits_for_a_slow_client() -> None:
    sends = 0
    total = 200

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sends
        await start(send)
        for _ in range(total):
            await send(BODY | {"body": b"x" * 65536, "more_body": True})
            sends += 1
        await send(BODY)

    with serve(app) as server, server.connect(receive_buffer=8192) as peer:
        peer.send(get())
        last = -1
        while sends != last:  # until the app makes no more progress
            last = sends
            server.run(asyncio.sleep(0.1))
        assert 0 < sends < total - 50, "the app was never held back"
        response = peer.response()
        assert len(response.body) == total * 65536
        assert sends == total


def test_waiting_sender_can_be_cancelled() -> None:
    outcome: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        try:
            async with asyncio.timeout(0.3):
                while True:
                    await send(BODY | {"body": b"x" * 65536, "more_body": True})
        except TimeoutError:
            outcome.append("timeout")
        await send(BODY | {"body": b"end"})

    with serve(app) as server, server.connect(receive_buffer=8192) as peer:
        peer.send(get())
        server.until(lambda: bool(outcome))
        assert peer.response().body.endswith(b"xend")
    assert outcome == ["timeout"]


def test_waiting_sender_is_released_by_a_reset() -> None:
    outcome: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for _ in range(400):
            await send(BODY | {"body": b"x" * 65536, "more_body": True})
        outcome.append(await receive())
        outcome.append(await receive())
        outcome.append(await receive())

    with serve(app) as server, server.connect(receive_buffer=8192) as peer:
        peer.send(get())
        peer.until(b"\r\n\r\n")
        reset(peer)
        server.until(lambda: len(outcome) == 3)
        server.until(lambda: server.core.tasks == 0)
        assert server.errors == []
    assert outcome == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_disconnect_is_received_and_the_task_goes_on(how: str) -> None:
    steps: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        steps.append("waiting")
        steps.append(await receive())
        await asyncio.sleep(0.01)
        await reply(send, b"nobody hears this")
        steps.append("done")

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        server.until(lambda: bool(steps))
        peer.sock.close() if how == "fin" else reset(peer)
        server.until(lambda: len(steps) == 3)
        server.until(lambda: server.core.connections == server.core.tasks == 0)
        assert server.errors == []
    assert steps == ["waiting", {"type": "http.disconnect"}, "done"]


def test_half_closed_client_gets_its_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        await asyncio.sleep(0.05)
        await reply(send, body)

    with serve(app) as server:
        data = server.exchange(post(b"body") + post(b"two"))
        assert data.count(b"HTTP/1.1 200 OK") == 2
        assert data.endswith(b"two")


def test_disconnect_in_the_middle_of_an_upload() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            got.append(await receive())
            if got[-1]["type"] == "http.disconnect":
                break

    with serve(app) as server, server.connect() as peer:
        peer.send(post(b"0123456789")[:-4])
        server.until(lambda: len(got) == 1)
        peer.sock.close()
        server.until(lambda: server.core.connections == server.core.tasks == 0)
        assert server.errors == []
    assert got == [
        {"type": "http.request", "body": b"012345", "more_body": True},
        {"type": "http.disconnect"},
    ]


def test_listening_for_disconnect_while_sending() -> None:
    """The pattern of starlette's StreamingResponse: one task receives, another sends."""
    outcome: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            outcome.append("disconnect")

        async def stream() -> None:
            await start(send)
            while True:
                await send(BODY | {"body": b"tick", "more_body": True})
                await asyncio.sleep(0.005)

        tasks = [asyncio.create_task(listen()), asyncio.create_task(stream())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        peer.until(b"tick")
        peer.sock.close()
        server.until(lambda: server.core.tasks == 0)
    assert outcome == ["disconnect"]


def test_head_alone_is_sent_while_the_app_waits() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await gate.wait()
        await send(BODY | {"body": b"late"})

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
        server.call(gate.set)
        assert peer.until(b"late")


def test_pipelined_big_answers_wait_for_the_client() -> None:
    """Answers are not produced on and on for a client that takes none of them."""
    begun = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1
        await reply(send, b"x" * 5_000_000)

    with serve(app) as server, server.connect(receive_buffer=8192) as peer:
        peer.send(get() * 100)
        server.run(asyncio.sleep(0.3))
        assert begun < 10
        for _ in range(100):
            assert len(peer.response().body) == 5_000_000
    assert begun == 100


def test_many_connections_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.01)
        await reply(send, await read_body(receive))

    with serve(app) as server:
        peers = [server.connect() for _ in range(200)]
        for turn in range(3):
            for n, peer in enumerate(peers):
                peer.send(post(b"%d/%d" % (turn, n)))
            for n, peer in enumerate(peers):
                assert peer.response().body == b"%d/%d" % (turn, n)
        assert server.connections() == 200
        for peer in peers:
            peer.sock.close()
        server.until(lambda: server.core.connections == 0)


def test_resets_at_any_time() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.001)
        await start(send)
        for _ in range(5):
            await send(BODY | {"body": b"x" * 30000, "more_body": True})
            await asyncio.sleep(0.001)
        await send(BODY)

    data = post(b"y" * 3000)
    with serve(app) as server:
        for cut in range(1, len(data) * 2, 97):
            peer = server.connect()
            peer.send((data * 2)[:cut])
            if cut % 2:
                server.run(asyncio.sleep(0.002))
            reset(peer)
        server.until(lambda: server.core.connections == server.core.tasks == 0)
        assert all(message != "Exception in ASGI application" for _, message, _ in server.errors)
