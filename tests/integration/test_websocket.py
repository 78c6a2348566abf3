# SPDX-License-Identifier: MIT
"""WebSockets: handshake, messages, closing, limits; with the websockets package and by hand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from http_harness import Peer, Server, get, leftovers, parse, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.timeout(60)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    yield
    assert leftovers() == {"connections": 0, "listeners": 0, "cycles": 0}


# -- clients -------------------------------------------------------------------------------------


def client(server: Server, path: str = "/", **options: Any) -> ClientConnection:
    options = {"compression": None, "ping_interval": None, "max_size": None} | options
    return connect(f"ws://127.0.0.1:{server.port}{path}", **options)


def upgrade(path: str = "/", *lines: str, key: str = KEY, version: str = "13") -> bytes:
    return get(
        path,
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Version: {version}",
        *lines,
    )


def frame(first: int, payload: bytes = b"", mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """A frame as a client sends it; without a mask where mask is empty."""
    flag = 0x80 if mask else 0
    if len(payload) < 126:
        head = bytes([first, flag | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, flag | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, flag | 127]) + struct.pack("!Q", len(payload))
    if mask:
        times = mask * (len(payload) // 4 + 1)
        payload = bytes(a ^ b for a, b in zip(payload, times, strict=False))
    return head + mask + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def read_frame(peer: Peer) -> tuple[int, bytes]:
    first, length = peer.take(2)
    assert not length & 0x80, "a server does not mask"
    if length == 126:
        (length,) = struct.unpack("!H", peer.take(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", peer.take(8))
    return first, peer.take(length)


def closed_with(peer: Peer) -> tuple[int, bytes]:
    """The code and reason of the close frame that has to come next, and the end after it."""
    first, payload = read_frame(peer)
    assert first == CLOSE
    peer.finish()
    assert peer.rest() == b""
    return struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:]


@contextlib.contextmanager
def raw(server: Server, *lines: str, path: str = "/", **options: Any) -> Any:
    """A socket on which the handshake is through."""
    with server.connect(**options) as peer:
        peer.send(upgrade(path, *lines))
        assert peer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        yield peer


# -- applications --------------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Recorder:
    """Accepts, and keeps what it receives up to the disconnect."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not self.messages or self.messages[-1]["type"] != "websocket.disconnect":
            self.messages.append(await receive())
        # … which is what there is from now on.
        assert await receive() == self.messages[-1]


def until_idle(server: Server) -> None:
    server.until(lambda: server.core.tasks == 0)


# -- handshake -----------------------------------------------------------------------------------


def test_scope_and_handshake() -> None:
    scopes: list[dict[str, Any]] = []
    state = {"shared": object()}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(dict(scope))
        await echo(scope, receive, send)

    with serve(app, state=state, root_path="/root") as server, server.connect() as peer:
        peer.send(
            upgrade("/a%20b?x=1", "Sec-WebSocket-Protocol: one, two", "Sec-WebSocket-Protocol: 3")
        )
        head = peer.until(b"\r\n\r\n")
        response = parse(head)
        peer.send(close_frame(1000))
        assert closed_with(peer) == (1000, b"")
        until_idle(server)
        client_address = scopes[0].pop("client")
        assert client_address[0] == "127.0.0.1"
        line = f'127.0.0.1:{client_address[1]} - "WebSocket /root/a%20b?x=1" [accepted]'
        assert (20, line, None) in server.errors
        port = server.port
    scope = scopes[0]
    headers = dict(scope.pop("headers"))
    assert headers[b"sec-websocket-key"] == KEY.encode()
    assert scope.pop("state") == state
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", port),
        "root_path": "/root",
        "path": "/root/a b",
        "raw_path": b"/root/a%20b",
        "query_string": b"x=1",
        "subprotocols": ["one", "two", "3"],
        "extensions": {"websocket.http.response": {}},
    }
    assert (response.status, response.reason) == (101, b"Switching Protocols")
    assert response.headers[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert response.headers[b"upgrade"] == b"websocket"
    assert response.headers[b"connection"] == b"Upgrade"
    assert response.headers[b"server"] == b"casgi"
    assert not {b"content-length", b"transfer-encoding", b"sec-websocket-extensions"} & set(
        response.headers
    )


def test_state_is_a_copy_for_each() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"])
        scope["state"]["mine"] = len(seen)
        await echo(scope, receive, send)

    state = {"js": object()}
    with serve(app, state=state) as server:
        for _ in range(2):
            with client(server):
                pass
        until_idle(server)
    assert [s["mine"] for s in seen] == [1, 2]
    assert all(s["js"] is state["js"] for s in seen)
    assert "mine" not in state


def test_accept_with_subprotocol_and_headers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": scope["subprotocols"][1],
                "headers": [(b"X-Mine", b"yes"), [b"set-cookie", b"a=b"]],
            }
        )
        await send({"type": "websocket.close"})

    with serve(app) as server, client(server, subprotocols=["one", "two"]) as ws:
        assert ws.subprotocol == "two"
        assert ws.response is not None
        assert ws.response.headers["x-mine"] == "yes"
        assert ws.response.headers["set-cookie"] == "a=b"


@pytest.mark.parametrize(
    "accept",
    [
        {"headers": [(b"a\r\nb", b"c")]},
        {"headers": [(b"a", b"c\r\nd: e")]},
        {"subprotocol": "a\r\nb: c"},
        {"subprotocol": "no token"},
    ],
)
def test_bad_accept_leaves_nothing_behind(accept: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError, match="Invalid"):
            await send({"type": "websocket.accept", **accept})
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})

    with serve(app) as server, raw(server) as peer:
        assert read_frame(peer) == (CLOSE, b"\x0f\xa0")
        peer.send(close_frame(4000))
        assert peer.rest() == b""
        until_idle(server)
        assert [line for line in server.errors if line[0] > 20] == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (upgrade(key="abc"), 400),
        (upgrade(key=""), 400),
        (upgrade("/", f"Sec-WebSocket-Key: {KEY}"), 400),
        (upgrade().replace(b"GET", b"POST"), 400),
        (upgrade("/", "Content-Length: 3") + b"abc", 400),
        (upgrade(version="8"), 426),
        (upgrade().replace(b"Sec-WebSocket-Version: 13\r\n", b""), 426),
    ],
)
def test_bad_handshakes(request_bytes: bytes, status: int) -> None:
    with serve(echo) as server:
        response = parse(server.exchange(request_bytes))
        assert response.status == status
        if status == 426:
            assert response.headers[b"sec-websocket-version"] == b"13"
            assert response.headers[b"upgrade"] == b"websocket"


def test_close_before_accept_is_403() -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})
        received.append(await receive())
        with pytest.raises(RuntimeError, match="after sending"):
            await send({"type": "websocket.accept"})

    with serve(app) as server:
        with pytest.raises(InvalidStatus) as caught, client(server, "/no"):
            pass
        assert caught.value.response.status_code == 403
        until_idle(server)
        assert [line[1].split(" - ")[1] for line in server.errors] == ['"WebSocket /no" 403']
    assert received == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_denial_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 404,
                "headers": [(b"x-why", b"none")],
            }
        )
        with pytest.raises(RuntimeError, match=r"websocket\.http\.response\.body"):
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"here"})
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["type"] == "websocket.disconnect"

    with serve(app) as server:
        with pytest.raises(InvalidStatus) as caught, client(server):
            pass
        response = caught.value.response
        assert (response.status_code, response.headers["x-why"]) == (404, "none")
        assert response.body == b"not here"
        until_idle(server)
        assert [line for line in server.errors if line[0] > 20] == []


@pytest.mark.parametrize("raises", [False, True])
def test_end_before_accept_is_500(raises: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if raises:
            raise ValueError("early")

    with serve(app) as server:
        response = parse(server.exchange(upgrade()))
        assert (response.status, response.body) == (500, b"Internal Server Error")
        level, text, error = server.errors[0]
        assert level == 40
        assert text == (
            "Exception in ASGI application"
            if raises
            else "ASGI callable returned without sending handshake."
        )
        assert isinstance(error, ValueError) is raises


def test_client_gone_during_handshake() -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.extend([await receive(), await receive()])
        await send({"type": "websocket.accept"})
        with pytest.raises(OSError):
            await send({"type": "websocket.send", "text": "x"})
        await send({"type": "websocket.close"})

    with serve(app) as server:
        with server.connect() as peer:
            peer.send(upgrade())
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.until(lambda: len(received) == 0 and server.core.tasks == 1)
        until_idle(server)
        assert [line for line in server.errors if line[0] > 20] == []
    assert received[1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_frames_sent_with_the_request() -> None:
    with serve(echo) as server, server.connect() as peer:
        peer.send(upgrade() + frame(TEXT, b"early") + frame(TEXT, b"bird"))
        peer.until(b"\r\n\r\n")
        assert read_frame(peer) == (TEXT, b"early")
        assert read_frame(peer) == (TEXT, b"bird")


def test_wrong_messages_for_the_state() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError, match=r"Expected ASGI message 'websocket\.accept'"):
            await send({"type": "websocket.send", "text": "x"})
        await send({"type": "websocket.accept"})
        for wrong in ({"type": "websocket.accept"}, {"type": "http.response.start"}):
            with pytest.raises(RuntimeError, match=r"Expected ASGI message 'websocket\.send'"):
                await send(wrong)
        for wrong in ({}, {"text": None}, {"text": b"x"}):
            with pytest.raises(RuntimeError, match="needs"):
                await send({"type": "websocket.send", **wrong})
        with pytest.raises(UnicodeEncodeError):
            await send({"type": "websocket.send", "text": "\ud800"})
        with pytest.raises(TypeError):
            await send({"type": "websocket.send", "bytes": 5})
        with pytest.raises(KeyError):
            await send({})
        for code in (0, 999, 1006, 1015, 5000, -3):
            with pytest.raises(RuntimeError, match="close code"):
                await send({"type": "websocket.close", "code": code})
        await send({"type": "websocket.send", "text": "done"})

    with serve(app) as server, raw(server) as peer:
        assert read_frame(peer) == (TEXT, b"done")
        peer.send(close_frame(1000))
        assert closed_with(peer) == (1000, b"")
        until_idle(server)
        assert [line for line in server.errors if line[0] > 20] == []


# -- messages ------------------------------------------------------------------------------------


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


# -- closing -------------------------------------------------------------------------------------


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


# -- pings ---------------------------------------------------------------------------------------


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


# -- backpressure --------------------------------------------------------------------------------


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


def test_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    clients: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clients.append(scope["client"])
        await echo(scope, receive, send)

    with serve(app, family=socket.AF_UNIX, path=path) as server, raw(server) as peer:
        peer.send(frame(TEXT, b"hello"))
        assert read_frame(peer) == (TEXT, b"hello")
    assert clients == [None]


# -- frameworks ----------------------------------------------------------------------------------


def test_fastapi() -> None:
    fastapi = pytest.importorskip("fastapi")
    api = fastapi.FastAPI()
    ends: list[int] = []

    async def endpoint(websocket: Any, name: str) -> None:
        await websocket.accept(subprotocol="chat")
        try:
            while True:
                await websocket.send_json({"name": name, "said": await websocket.receive_text()})
        except fastapi.WebSocketDisconnect as end:
            ends.append(end.code)

    endpoint.__annotations__ = {"websocket": fastapi.WebSocket, "name": str}
    api.websocket("/talk/{name}")(endpoint)
    with serve(api) as server:
        with client(server, "/talk/ann", subprotocols=["chat"]) as ws:
            ws.send("hello")
            assert ws.recv() == '{"name":"ann","said":"hello"}'
            ws.close(4321)
        with pytest.raises(InvalidStatus) as caught, client(server, "/nowhere"):
            pass
        assert caught.value.response.status_code == 403
        until_idle(server)
        assert [line for line in server.errors if line[0] > 20] == []
    assert ends == [4321]


def test_javascript_in_websocket_state() -> None:
    pytest.importorskip("jsrt")
    fastapi = pytest.importorskip("fastapi")
    from casgi_process import casgi

    assert fastapi is not None
    with casgi("js_apps:api") as server:
        with connect(f"ws://127.0.0.1:{server.port}/js", compression=None) as ws:
            ws.send("[1, 2, 3].map(n => n * n).join()")
            assert ws.recv() == "1,4,9"
            server.signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as caught:
                ws.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        assert server.wait() == -signal.SIGTERM


def test_accept_value_of_a_random_key() -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    expected = base64.b64encode(hashlib.sha1((key + guid).encode()).digest())
    with serve(echo) as server, server.connect() as peer:
        peer.send(upgrade(key=key))
        assert parse(peer.until(b"\r\n\r\n")).headers[b"sec-websocket-accept"] == expected
