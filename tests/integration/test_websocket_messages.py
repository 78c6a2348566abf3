# SPDX-License-Identifier: MIT
"""WebSocket messages: both directions, cut anywhere; backpressure."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from http_harness import serve
from ws_harness import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    client,
    close_frame,
    echo,
    frame,
    raw,
    read_frame,
    until_idle,
)

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]


def test_echo() -> None:
    with serve(echo) as server, client(server) as ws:
        for message in ("", "text", "é😀", b"", b"\x00\xff", "x" * 125, "x" * 126, b"y" * 65536):
            ws.send(message)
            assert ws.recv() == message
        ws.send(bytearray(b"z" * 5_000_000))
        assert ws.recv() == b"z" * 5_000_000
        ws.send("é" * 1_000_000)
        assert ws.recv() == "é" * 1_000_000
        ws.send(["a", "bé", "", "c"])  # fragments
        assert ws.recv() == "abéc"


def test_buffers_are_sent_as_bytes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        data = bytearray(b"a" * 10)
        await send({"type": "websocket.send", "bytes": data})
        data[:] = b"b" * 10  # already sent
        big = bytearray(b"c" * 100_000)
        await send({"type": "websocket.send", "bytes": memoryview(big)})
        big[:] = b"d" * 100_000
        await send({"type": "websocket.send", "bytes": None, "text": "t"})

    with serve(app) as server, client(server) as ws:
        assert [ws.recv(), ws.recv(), ws.recv()] == [b"a" * 10, b"c" * 100_000, "t"]


def test_every_split() -> None:
    wire = (
        frame(0x01, "aé".encode()[:2])
        + frame(PING, b"?")
        + frame(0x80, "aé".encode()[2:])
        + frame(BINARY, b"x" * 130)
        + frame(PONG, b"unasked")
    )
    with serve(echo) as server, raw(server) as peer:
        for at in range(1, len(wire)):
            peer.send(wire[:at])
            server.call(lambda: None)  # a turn of the loop: most splits arrive as two reads
            peer.send(wire[at:])
            assert read_frame(peer) == (PONG, b"?")
            assert read_frame(peer) == (TEXT, "aé".encode())
            assert read_frame(peer) == (BINARY, b"x" * 130)


def test_byte_by_byte() -> None:
    with serve(echo) as server, raw(server) as peer:
        for byte in frame(TEXT, b"slowly") + frame(BINARY, b"y" * 200):
            peer.send(bytes([byte]))
        assert read_frame(peer) == (TEXT, b"slowly")
        assert read_frame(peer) == (BINARY, b"y" * 200)


def test_concurrent_send_and_receive() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

        async def talk(name: str) -> None:
            for number in range(200):
                await send({"type": "websocket.send", "text": f"{name}{number}" + "x" * 3000})

        talkers = [asyncio.create_task(talk(name)) for name in "abc"]
        while (await receive())["type"] != "websocket.disconnect":
            pass
        for talker in talkers:
            await talker

    with serve(app) as server, client(server) as ws:
        texts = []
        for number in range(600):
            if number % 50 == 0:
                ws.send("go on")
            texts.append(str(ws.recv()).rstrip("x"))
        for name in "abc":
            assert [t for t in texts if t[0] == name] == [f"{name}{n}" for n in range(200)]


def test_cancelled_receive_loses_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await send({"type": "websocket.send", "text": "now"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})

    with serve(app) as server, client(server) as ws:
        assert ws.recv() == "now"
        ws.send("kept")
        assert ws.recv() == "kept"


@pytest.mark.parametrize(
    ("size", "config"),
    [(10_000, {"ws_max_queue": 4}), (10_000, {"ws_max_size": 40_000})],
)
def test_reading_stops_for_a_slow_app(size: int, config: dict[str, int]) -> None:
    go: list[asyncio.Event] = []
    received = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal received
        await receive()
        await send({"type": "websocket.accept"})
        go.append(asyncio.Event())
        await go[0].wait()
        while (message := await receive())["type"] == "websocket.receive":
            assert len(message["bytes"]) == size
            received += 1

    total = 3000
    # A ping timeout must not hit a client whose pongs stand behind unread messages.
    pings = {"ws_ping_interval": 0.2, "ws_ping_timeout": 0.2}
    wire = memoryview(frame(BINARY, b"x" * size) * total + close_frame(1000))
    with serve(app, **pings, **config) as server, raw(server) as peer:
        server.until(lambda: len(go) == 1)
        sent = 0
        peer.sock.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < len(wire):
                sent += peer.sock.send(wire[sent : sent + 65536])
        assert sent < len(wire), "the server read it all"
        peer.sock.settimeout(10)
        server.call(go[0].set)
        peer.sock.sendall(wire[sent:])
        until_idle(server)
    assert received == total


def test_sender_waits_for_a_slow_client() -> None:
    sends = 0
    total = 400

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sends
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(total):
            await send({"type": "websocket.send", "bytes": b"x" * 65536})
            sends += 1

    with serve(app) as server, raw(server, receive_buffer=8192) as peer:
        last = -1
        while sends != last:  # until the app makes no more progress
            last = sends
            server.run(asyncio.sleep(0.1))
        assert 0 < sends < total - 50, "the app was never held back"
        # A flood of pings meanwhile is answered once, by the latest.
        peer.send(b"".join(frame(PING, str(n).encode()) for n in range(1000)))
        server.run(asyncio.sleep(0.1))
        pongs = []
        messages = 0
        while (received := read_frame(peer))[0] != CLOSE:
            if received[0] == PONG:
                pongs.append(received[1])
            else:
                assert received == (BINARY, b"x" * 65536)
                messages += 1
        assert messages == sends == total
        assert pongs == [b"999"]


def test_waiting_sender_learns_of_the_end() -> None:
    outcome: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 65536})
        except OSError as error:
            outcome.append(error)

    with serve(app) as server:
        with raw(server, receive_buffer=8192):
            server.run(asyncio.sleep(0.2))
        until_idle(server)
    assert len(outcome) == 1
