# SPDX-License-Identifier: MIT
"""HTTP/1.1 requests as the app sees them: scopes, bodies, pipelining, refusals."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path
from typing import Any

import pytest
from http_harness import get, parse, post, read_body, reply, serve, start

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]


class Recorder:
    """An app that keeps scopes and bodies and answers with the body's size."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = await read_body(receive)
        self.bodies.append(body)
        await reply(send, str(len(body)).encode())


def test_scope_is_uvicorns() -> None:
    app = Recorder()
    with serve(app, root_path="/root", state={"db": 1}) as server, server.connect() as peer:
        peer.send(get("/a%20b/%C3%A9?x=%31&y", "X-Custom: Value ", "Accept: */*"))
        assert peer.response().body == b"0"
        client = peer.sock.getsockname()
        port = server.port
    (scope,) = app.scopes
    assert list(scope) == [
        "type",
        "asgi",
        "http_version",
        "server",
        "client",
        "scheme",
        "root_path",
        "headers",
        "state",
        "method",
        "path",
        "raw_path",
        "query_string",
        "extensions",  # not in uvicorn's
    ]
    assert "http.response.pathsend" in scope.pop("extensions")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", port),
        "client": client,
        "scheme": "http",
        "root_path": "/root",
        "headers": [(b"host", b"h"), (b"x-custom", b"Value"), (b"accept", b"*/*")],
        "state": {"db": 1},
        "method": "GET",
        "path": "/root/a b/é",
        "raw_path": b"/root/a%20b/%C3%A9",
        "query_string": b"x=%31&y",
    }


def test_scopes_share_nothing_mutable() -> None:
    app = Recorder()
    state = {"n": [1]}
    with serve(app, state=state) as server, server.connect() as peer:
        for _ in range(2):
            peer.send(get())
            peer.response()
    one, two = app.scopes
    assert one["state"] is not two["state"]
    assert one["state"] is not state
    assert one["state"]["n"] is state["n"]
    assert one["asgi"] is not two["asgi"]
    assert one["extensions"] is not two["extensions"]
    assert one["headers"] is not two["headers"]


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        ("http://other/x?q", "/x", b"/x", b"q"),
        ("http://other", "/", b"/", b""),
        ("/x#frag?q", "/x", b"/x", b""),
        ("*", "*", b"*", b""),
        ("/%", "/%", b"/%", b""),
        ("/%ff", "/\ufffd", b"/%ff", b""),
        ("/" + "a" * 3000 + "%41", "/" + "a" * 3000 + "A", b"/" + b"a" * 3000 + b"%41", b""),
    ],
)
def test_targets(target: str, path: str, raw: bytes, query: bytes) -> None:
    app = Recorder()
    with serve(app) as server:
        server.exchange(f"OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    (scope,) = app.scopes
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw, query)


def test_unix_socket(tmp_path: Path) -> None:
    app = Recorder()
    path = str(tmp_path / "s")
    with serve(app, family=socket.AF_UNIX, path=path) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().status == 200
    assert app.scopes[0]["client"] is None
    assert app.scopes[0]["server"] == (path, None)
    assert Path(path).exists(), "the socket's file is not ours to remove"


def test_body_with_length_at_every_split() -> None:
    app = Recorder()
    data = post(b"hello world")
    with serve(app) as server, server.connect() as peer:
        for split in range(1, len(data), 3):
            peer.send(data[:split])
            server.call(int)
            peer.send(data[split:])
            assert peer.response().body == b"11"
    assert set(app.bodies) == {b"hello world"}


def test_chunked_body_byte_by_byte() -> None:
    app = Recorder()
    data = (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nTrailer: t\r\n\r\n"
    )
    with serve(app) as server, server.connect() as peer:
        for at in range(len(data)):
            peer.send(data[at : at + 1])
        assert peer.response().body == b"11"
        peer.send(get())
        assert peer.response().body == b"0"
    assert app.bodies == [b"hello world", b""]


@pytest.mark.parametrize("chunked", [False, True])
def test_big_upload(chunked: bool) -> None:
    digest = hashlib.sha256()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            digest.update(message["body"])
            more = message["more_body"]
        await reply(send, digest.hexdigest().encode())

    data = bytes(range(256)) * 40960
    with serve(app) as server, server.connect() as peer:
        if chunked:
            peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(data), 100_000):
                part = data[at : at + 100_000]
                peer.send(b"%x\r\n%b\r\n" % (len(part), part))
            peer.send(b"0\r\n\r\n")
        else:
            peer.send(post(data))
        assert peer.response().body == hashlib.sha256(data).hexdigest().encode()


def test_upload_waits_for_the_app() -> None:
    """At most some hundred kilobytes leave the kernel while the app does not read."""
    begun = asyncio.Event()
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        first = await receive()
        begun.set()
        await go.wait()
        total = len(first["body"])
        while first["more_body"]:
            first = await receive()
            total += len(first["body"])
            sizes.append(len(first["body"]))
        await reply(send, str(total).encode())

    sizes: list[int] = []
    size = 32_000_000
    with serve(app) as server, server.connect() as peer:
        peer.send(f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n".encode())
        peer.sock.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < size:
                sent += peer.sock.send(bytes(min(65536, size - sent)))
        assert sent < size / 2, "the server took the body without the app asking for it"
        peer.sock.settimeout(10)
        server.call(go.set)
        peer.send(bytes(size - sent))
        assert peer.response().body == str(size).encode()
    assert max(sizes) < 300_000


SIZES = [16_383, 16_384, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 262_145, 1_048_577]


@pytest.mark.parametrize("chunk", [0, 1000, 20_000, 65_536, 200_000])
@pytest.mark.parametrize("slow", [False, True])
def test_large_bodies_in_all_ways(chunk: int, slow: bool) -> None:
    """Of every size around those of reads and blocks; chunk: bytes of a chunk, 0: with a length."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        digest, size, more, trailers = hashlib.sha256(), 0, True, 0
        while more:
            message = await receive()
            assert message["body"] or not message["more_body"]
            digest.update(message["body"])
            size += len(message["body"])
            more = message["more_body"]
            trailers += "trailers" in message
            assert "trailers" not in message or not more
            if slow:
                await asyncio.sleep(0.001)
        assert trailers == bool(chunk)
        await reply(send, b"%d %s" % (size, digest.hexdigest().encode()))

    with serve(app) as server, server.connect() as peer:
        for size in SIZES:
            body = bytes(range(251)) * (size // 251 + 1)
            body = body[:size]
            if chunk:
                parts = [body[i : i + chunk] for i in range(0, size, chunk)]
                data = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                data += b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
                data += b"0\r\nX-End: 1\r\n\r\n"
            else:
                data = post(body)
            step = 50_000 if slow else len(data)
            for i in range(0, len(data), step):
                peer.send(data[i : i + step])
            expected = b"%d %s" % (size, hashlib.sha256(body).hexdigest().encode())
            assert peer.response().body == expected


def test_pipelining_in_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/0":
            await asyncio.sleep(0.02)
        await reply(send, scope["path"].encode() + await read_body(receive))

    with serve(app) as server, server.connect() as peer:
        peer.send(get("/0") + post(b"body", path="/1") + get("/2") * 50 + get("/3"))
        bodies = [peer.response().body for _ in range(53)]
    assert bodies == [b"/0", b"/1body", *[b"/2"] * 50, b"/3"]


def test_pipelining_at_every_split() -> None:
    app = Recorder()
    data = post(b"abc") + get() + post(b"defg")
    with serve(app) as server, server.connect() as peer:
        for split in range(1, len(data), 7):
            peer.send(data[:split])
            server.call(int)
            peer.send(data[split:])
            assert [peer.response().body for _ in range(3)] == [b"3", b"0", b"4"]


def test_thousand_requests_on_one_connection() -> None:
    app = Recorder()
    with serve(app) as server, server.connect() as peer:
        for _ in range(1000):
            peer.send(get())
            assert peer.response().body == b"0"
        assert server.call(lambda: server.core.total_requests) == 1000
        assert server.connections() == 1


def test_expect_continue_is_sent_at_the_first_receive() -> None:
    asked = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asked.wait()
        await reply(send, await read_body(receive))

    with serve(app) as server, server.connect() as peer:
        peer.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        server.until(lambda: server.core.tasks == 1)
        peer.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)
        peer.sock.settimeout(10)
        server.call(asked.set)
        assert peer.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.send(b"abc")
        assert peer.response().body == b"abc"


def test_expect_continue_unread_body_ends_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"no")

    with serve(app) as server, server.connect() as peer:
        peer.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        response = peer.response()
        assert (response.body, response.headers[b"connection"]) == (b"no", b"close")
        assert peer.rest() == b""


def test_unread_body_is_discarded() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"ok")

    with serve(app) as server, server.connect() as peer:
        peer.send(post(b"x" * 500_000) + get())
        assert peer.response().body == b"ok"
        assert peer.response().body == b"ok"


def test_unsupported_upgrade_is_a_plain_request() -> None:
    app = Recorder()
    with serve(app) as server, server.connect() as peer:
        peer.send(post(b"body", "Connection: Upgrade", "Upgrade: h2c"))
        assert peer.response().body == b"4"
        peer.send(get())
        assert peer.response().body == b"0"
        assert (30, "Unsupported upgrade request.", None) in server.errors


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"GET relative HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_invalid_requests(request_bytes: bytes) -> None:
    app = Recorder()
    with serve(app) as server:
        response = parse(server.exchange(request_bytes))
        assert server.errors == [(30, "Invalid HTTP request received.", None)]
    assert response.status == 400
    assert response.body == b"Invalid HTTP request received."
    assert response.headers[b"connection"] == b"close"
    assert response.headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert response.headers[b"server"] == b"casgi"
    assert app.scopes == []


def test_answers_before_an_invalid_request_arrive() -> None:
    app = Recorder()
    with serve(app) as server, server.connect() as peer:
        peer.send(get() + b"bad\r\n\r\n" + get())
        assert peer.response().status == 200
        assert peer.response().status == 400
        assert peer.rest() == b""
    assert len(app.scopes) == 1


def test_broken_chunk_under_a_waiting_app() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            seen.append(message)
        await reply(send, b"unseen")

    with serve(app) as server, server.connect() as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        server.until(lambda: len(seen) == 1)
        peer.send(b"zz\r\n")
        assert peer.response().status == 400
        assert peer.rest() == b""
    assert seen == [{"type": "http.request", "body": b"ab", "more_body": True}]


def test_receive_can_be_a_task_and_be_cancelled() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        task = asyncio.create_task(receive())
        await asyncio.sleep(0)
        task.cancel()
        await send({"type": "http.response.body", "body": b"ready", "more_body": True})
        got.append(await receive())
        got.append(await receive())
        await send({"type": "http.response.body", "body": b"!"})

    with serve(app) as server, server.connect() as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
        peer.until(b"ready")
        peer.send(b"ab")
        server.until(lambda: len(got) == 1)
        peer.send(b"cd")
        peer.until(b"!")
    assert [m["body"] for m in got] == [b"ab", b"cd"]
    assert [m["more_body"] for m in got] == [True, False]


def test_concurrent_receives() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        await start(send, 200)
        await send({"type": "http.response.body", "body": b"go", "more_body": True})
        first = await tasks[0]
        await send({"type": "http.response.body"})
        others = await asyncio.gather(*tasks[1:])
        assert first["body"] == b"x"
        assert [m["type"] for m in others] == ["http.disconnect"] * 2
        done.append(True)

    done: list[bool] = []
    with serve(app) as server, server.connect() as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n")
        peer.until(b"go")
        peer.send(b"x")
        server.until(lambda: bool(done))
        assert server.errors == []
