# SPDX-License-Identifier: MIT
"""WebSocket handshakes: scope, accept, refusals, denial; frameworks on top."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import struct
from typing import Any

import pytest
from http_harness import parse, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from ws_harness import (
    CLOSE,
    KEY,
    TEXT,
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
