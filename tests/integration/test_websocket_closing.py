# SPDX-License-Identifier: MIT
"""How WebSockets end: close frames, broken and lost clients, shutdown, pings."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from http_harness import serve
from websockets.exceptions import ConnectionClosed
from ws_harness import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Recorder,
    client,
    close_frame,
    closed_with,
    echo,
    frame,
    raw,
    read_frame,
    until_idle,
    upgrade,
)

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"", 1005, ""),
        (struct.pack("!H", 1000), 1000, ""),
        (struct.pack("!H", 1001) + "tschüß".encode(), 1001, "tschüß"),
        (struct.pack("!H", 4999) + b"x" * 123, 4999, "x" * 123),
    ],
)
def test_client_closes(payload: bytes, code: int, reason: str) -> None:
    app = Recorder()
    with serve(app) as server, raw(server) as peer:
        peer.send(frame(TEXT, b"last words") + frame(CLOSE, payload))
        assert closed_with(peer) == (code, b"")
        until_idle(server)
    assert app.messages == [
        {"type": "websocket.receive", "text": "last words"},
        {"type": "websocket.disconnect", "code": code, "reason": reason},
    ]


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 3000, "reason": "why not"}, 3000, "why not"),
        ({"code": 1001, "reason": None}, 1001, ""),
        ({"code": 4000, "reason": "é" * 100}, 4000, "é" * 61),
    ],
)
def test_app_closes(message: dict[str, Any], code: int, reason: str) -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", **message})
        received.append(await receive())
        with pytest.raises(RuntimeError, match=r"after sending 'websocket\.close'"):
            await send({"type": "websocket.send", "text": "x"})

    with serve(app) as server:
        with client(server) as ws, pytest.raises(ConnectionClosed) as caught:
            ws.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)
        until_idle(server)
    assert received[0]["type"] == "websocket.disconnect"
    assert received[0]["code"] == code


@pytest.mark.parametrize("raises", [False, True])
def test_app_ends_after_accept(raises: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "x" * 100_000})
        if raises:
            raise ValueError("late")

    with serve(app) as server, raw(server) as peer:
        assert read_frame(peer) == (TEXT, b"x" * 100_000)
        first, payload = read_frame(peer)
        assert (first, payload) == (CLOSE, struct.pack("!H", 1011 if raises else 1000))
        peer.send(frame(TEXT, b"ignored") + frame(CLOSE, payload))
        assert peer.rest() == b""
        until_idle(server)
        errors = [line for line in server.errors if line[0] > 20]
        assert [line[1] for line in errors] == ["Exception in ASGI application"] * raises


@pytest.mark.slow
def test_unanswered_close_ends_all_the_same() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    with serve(app) as server, raw(server) as peer:
        assert read_frame(peer)[0] == CLOSE
        peer.sock.settimeout(20)
        assert peer.rest() == b""


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_client_lost(how: str) -> None:
    app = Recorder()
    with serve(app) as server:
        with raw(server) as peer:
            peer.send(frame(TEXT, b"a") + frame(TEXT, b"half")[:5])
            server.until(lambda: len(app.messages) == 1)
            if how == "reset":
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until_idle(server)
    assert app.messages[-1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_send_to_a_lost_client() -> None:
    outcome: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "anybody?"})
        except OSError as error:
            outcome.append(error)
            raise

    with serve(app) as server:
        with client(server):
            pass
        until_idle(server)
        assert [line for line in server.errors if line[0] > 20] == [], "that is no error"
    assert len(outcome) == 1


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(TEXT, b"x", mask=b""), 1002),
        (frame(0xC1, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (frame(0x80, b"x"), 1002),
        (frame(0x01, b"x") + frame(TEXT, b"y"), 1002),
        (frame(0x09, b"x"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CLOSE, b"x"), 1002),
        (close_frame(1005), 1002),
        (close_frame(1000, b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3"), 1007),
        (frame(0x01, b"\xed\xa0"), 1007),
        (frame(BINARY, b"x" * 1001), 1009),
        (frame(0x02, b"x" * 600) + frame(0x80, b"x" * 401), 1009),
        (b"\x82\xff\x7f" + b"\xff" * 7 + b"mask", 1009),
    ],
)
def test_broken_clients(wire: bytes, code: int) -> None:
    app = Recorder()
    with serve(app, ws_max_size=1000) as server, raw(server) as peer:
        # What follows the fault is discarded, and does not reset the close frame away.
        peer.send(frame(TEXT, b"good") + wire + b"\xff" * 100_000)
        assert closed_with(peer)[0] == code
        until_idle(server)
    assert app.messages[0] == {"type": "websocket.receive", "text": "good"}
    assert app.messages[1]["code"] == code
    assert len(app.messages) == 2


FAULT = frame(0x83, b"x")


def test_messages_before_a_fault_are_answered() -> None:
    with serve(echo) as server, raw(server) as peer:
        peer.send(frame(TEXT, b"one") + frame(TEXT, b"two") + FAULT + frame(TEXT, b"three"))
        assert [read_frame(peer), read_frame(peer)] == [(TEXT, b"one"), (TEXT, b"two")]
        assert closed_with(peer)[0] == 1002


@pytest.mark.parametrize("how", ["close", "return", "raise", "shutdown", "fin"])
def test_a_fault_that_waits_for_the_app(how: str) -> None:
    """The app does not read on: whatever ends the conversation tells the peer its fault."""
    go: list[asyncio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        go.append(asyncio.Event())
        await go[0].wait()
        await send({"type": "websocket.send", "text": "still here"})
        if how == "close":
            await send({"type": "websocket.close", "code": 4000})
        elif how == "raise":
            raise ValueError("on purpose")

    with serve(app) as server, raw(server) as peer:
        server.until(lambda: len(go) == 1)
        peer.send(frame(TEXT, b"unread") + FAULT)
        for _ in range(3):
            server.call(lambda: None)
        if how == "shutdown":
            server.call(server.core.shutdown)
        elif how == "fin":
            peer.finish()
        else:
            server.call(go[0].set)
            assert read_frame(peer) == (TEXT, b"still here")
        assert closed_with(peer)[0] == 1002
        server.call(go[0].set)
        until_idle(server)


def test_largest_message() -> None:
    with serve(echo, ws_max_size=1000) as server, client(server) as ws:
        ws.send("x" * 1000)
        assert ws.recv() == "x" * 1000


@pytest.mark.parametrize("waiting", [False, True])
def test_shutdown_is_1012(waiting: bool) -> None:
    app = Recorder()
    with serve(app) as server, raw(server) as peer:
        server.until(lambda: server.core.tasks == 1)
        server.call(server.core.stop_listening)
        server.call(server.core.shutdown)
        assert read_frame(peer) == (CLOSE, struct.pack("!H", 1012))
        until_idle(server)
        assert server.connections() == 1, "the close frame is waited for"
        if waiting:
            peer.send(frame(PING, b"no answer") + close_frame(1012))
        else:
            peer.finish()
        assert peer.rest() == b""
        server.until(lambda: server.core.connections == 0)
    assert app.messages == [{"type": "websocket.disconnect", "code": 1012, "reason": ""}]


def test_accept_while_draining() -> None:
    go: list[asyncio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        go.append(asyncio.Event())
        await go[0].wait()
        await send({"type": "websocket.accept"})

    with serve(app) as server, server.connect() as peer:
        peer.send(upgrade())
        server.until(lambda: len(go) == 1)
        server.call(server.core.shutdown)
        server.call(go[0].set)
        peer.until(b"\r\n\r\n")
        assert read_frame(peer) == (CLOSE, struct.pack("!H", 1012))


def test_abort_with_open_websockets() -> None:
    app = Recorder()
    with serve(app) as server, raw(server), raw(server):
        server.until(lambda: server.core.tasks == 2)


def test_ping_is_answered() -> None:
    with serve(Recorder()) as server, raw(server) as peer:
        peer.send(frame(PING, b"") + frame(PING, b"x" * 125))
        assert read_frame(peer) == (PONG, b"")
        assert read_frame(peer) == (PONG, b"x" * 125)


def test_pings_and_pongs() -> None:
    with serve(echo, ws_ping_interval=0.05, ws_ping_timeout=0.5) as server, raw(server) as peer:
        payloads = set()
        for _ in range(4):
            first, payload = read_frame(peer)
            assert first == PING
            payloads.add(payload)
            peer.send(frame(PONG, payload))
        assert len(payloads) == 4
        peer.send(frame(TEXT, b"still here"))
        while (received := read_frame(peer))[0] == PING:
            peer.send(frame(PONG, received[1]))
        assert received == (TEXT, b"still here")


def test_silence_is_1011() -> None:
    app = Recorder()
    with serve(app, ws_ping_interval=0.05, ws_ping_timeout=0.1) as server, raw(server) as peer:
        assert read_frame(peer)[0] == PING
        assert closed_with(peer) == (1011, b"keepalive ping timeout")
        until_idle(server)
    assert app.messages[0]["code"] == 1011


@pytest.mark.parametrize("off", [0, None])
def test_pings_off(off: Any) -> None:
    with serve(echo, ws_ping_interval=off) as server, raw(server) as peer:
        peer.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.more()
