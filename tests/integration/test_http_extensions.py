# SPDX-License-Identifier: MIT
"""ASGI's extensions over HTTP/1.1, seen by clients that people use: curl, http.client, h11."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h11
import pytest
from http_harness import Server, get, read_body, reply, serve, start

pytestmark = pytest.mark.timeout(60)

SIZES = (0, 1, 1000, 32_768, 32_769, 300_000, 9_000_000)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")


@pytest.fixture(autouse=True)
def no_file_open(nothing_left: None) -> Iterator[None]:
    yield
    open_files = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
    assert [path for path in open_files if path.endswith(("/file", "/big"))] == []


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(9_000_000))
    return path


def curl(server: Server, *arguments: str, path: str = "/") -> bytes:
    command = ["curl", "-sS", "--http1.1", "--max-time", "20", *arguments, server.url + path]
    # Not with the runtimes that tools/with-asan loads into Python.
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(command, env=env, capture_output=True, check=True, timeout=30).stdout


def fetch(server: Server, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, "/")
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


# ---- what is told ------------------------------------------------------------------------------


def test_the_scope_tells_what_there_is() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["extensions"])
        scope["extensions"]["mine"] = {}
        await reply(send, b"")

    modern = {
        "http.response.pathsend": {},
        "http.response.zerocopysend": {},
        "http.request.trailers": {},
        "http.response.trailers": {},
        "http.response.early_hint": {},
    }
    with serve(app) as server:
        server.exchange(get() + get())
        server.exchange(b"GET / HTTP/1.0\r\n\r\n")
    with serve(app, debug=True) as server:
        server.exchange(get())
    for extensions in seen:
        assert extensions.pop("mine") == {}
    assert seen == [
        modern,
        modern,
        {"http.response.pathsend": {}, "http.response.zerocopysend": {}},
        modern | {"http.response.debug": {}},
    ]


# ---- early hints -------------------------------------------------------------------------------


async def hinting(scope: Any, receive: Any, send: Any) -> None:
    links = [b"</style.css>; rel=preload; as=style", b"</app.js>; rel=preload; as=script"]
    await send({"type": "http.response.early_hint", "links": links})
    await send({"type": "http.response.early_hint", "links": (b"</x>; rel=preload",)})
    await reply(send, b"page")


@needs_curl
def test_early_hints() -> None:
    with serve(hinting) as server:
        heads = curl(server, "-i").split(b"\r\n\r\n")
        assert heads[0] == (
            b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n"
            b"link: </app.js>; rel=preload; as=script"
        )
        assert heads[1] == b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload"
        assert heads[2].startswith(b"HTTP/1.1 200 OK\r\n")
        assert heads[3] == b"page"


def test_early_hints_leave_at_once() -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</x>"]})
        await go.wait()
        await reply(send, b"late")

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        server.call(go.set)
        assert peer.response().body == b"late"


def test_http10_gets_no_early_hints() -> None:
    with serve(hinting) as server:
        assert server.exchange(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("links", [[b"a\r\nx: y"], ["text"], [b"\0"], 3, None])
def test_bad_early_hints(links: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises((RuntimeError, TypeError)):
            await send({"type": "http.response.early_hint", "links": links})
        await reply(send, b"ok")

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().body == b"ok"


# ---- trailers ----------------------------------------------------------------------------------


def trailing(*headers: tuple[bytes, bytes], pieces: int = 1) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"trailer", b"x-sum"), *headers],
                "trailers": True,
            }
        )
        await send({"type": "http.response.body", "body": b"body"})
        for n in range(pieces):
            await send(
                {
                    "type": "http.response.trailers",
                    "headers": [(b"X-Sum", b"%d" % n)],
                    "more_trailers": n < pieces - 1,
                }
            )

    return app


@needs_curl
@pytest.mark.parametrize("headers", [(), ((b"content-length", b"4"),)])
def test_trailers_out(headers: Any, tmp_path: Path) -> None:
    with serve(trailing(*headers)) as server:
        head = tmp_path / "head"
        assert curl(server, "-D", str(head)) == b"body"
        fields = head.read_bytes()
        assert b"transfer-encoding: chunked\r\n" in fields
        assert b"content-length" not in fields
        assert fields.endswith(b"\r\n\r\nx-sum: 0\r\n")
        assert server.errors == []


def test_trailers_in_pieces_and_the_next_request() -> None:
    with serve(trailing(pieces=3)) as server, server.connect() as peer:
        peer.send(get() * 2)
        for _ in range(2):
            peer.until(b"\r\n\r\n")
            assert peer.until(b"\r\n\r\n") == (
                b"4\r\nbody\r\n0\r\nx-sum: 0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n"
            )


def test_trailers_where_there_are_no_chunks() -> None:
    with serve(trailing((b"content-length", b"4"))) as server, server.connect() as peer:
        assert server.exchange(b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nbody")
        peer.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + get())
        peer.until(b"\r\n\r\n")
        assert peer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
        peer.until(b"x-sum: 0\r\n\r\n")
        assert server.errors == []


@pytest.mark.parametrize(
    "field",
    [(b"content-length", b"1"), (b"transfer-encoding", b"chunked"), (b"a b", b""), (b"a", b"\n")],
)
def test_bad_trailers(field: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        with pytest.raises(RuntimeError):
            await send({"type": "http.response.trailers", "headers": [field]})
        with pytest.raises(RuntimeError, match=r"Expected ASGI message .*\.trailers'"):
            await send({"type": "http.response.body"})
        await send({"type": "http.response.trailers"})
        with pytest.raises(RuntimeError, match="already completed"):
            await send({"type": "http.response.trailers"})

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().body == b"x"


def test_missing_trailers_cut_the_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})

    with serve(app) as server:
        assert server.exchange(get()).endswith(b"\r\n\r\n1\r\nx\r\n")
        message = "ASGI callable returned without completing response."
        assert [line[:2] for line in server.errors] == [(40, message)]


def test_trailers_in() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "http.request.trailers" in scope["extensions"]
        while True:
            message = await receive()
            seen.append(message)
            if not message.get("more_body"):
                break
        await reply(send, b"ok")

    connection = h11.Connection(h11.CLIENT)
    data = connection.send(
        h11.Request(
            method="POST", target="/", headers=[("Host", "h"), ("Transfer-Encoding", "chunked")]
        )
    )
    data += connection.send(h11.Data(data=b"abc"))
    data += connection.send(
        h11.EndOfMessage(headers=[("X-Sum", "1"), ("Host", "evil"), ("Authorization", "x")])
    )
    with serve(app) as server, server.connect() as peer:
        for split in range(0, len(data), 5):
            seen.clear()
            peer.send(data[:split])
            server.call(int)
            peer.send(data[split:])
            assert peer.response().body == b"ok"
            assert b"".join(message["body"] for message in seen) == b"abc"
            assert seen[-1]["trailers"] == [(b"x-sum", b"1")]
            assert all("trailers" not in message for message in seen[:-1])
        seen.clear()
        peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        peer.response()
        assert seen == [{"type": "http.request", "body": b"", "more_body": False}]


# ---- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sized", [True, False])
def test_pathsend(size: int, sized: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data := os.urandom(size))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, *([(b"content-length", b"%d" % size)] if sized else []))
        await send({"type": "http.response.pathsend", "path": str(path)})

    with serve(app) as server:
        response, body = fetch(server)
        assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()
        assert response.getheader("content-length") == (str(size) if sized else None)
        response, body = fetch(server, "HEAD")
        assert (response.status, body) == (200, b"")
        assert server.exchange(b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n" + data)
        with server.connect() as peer:
            peer.send(get() * 3)
            assert [peer.response().body == data for _ in range(3)] == [True] * 3
        assert server.errors == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sized", [True, False])
def test_zerocopysend(size: int, sized: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data := os.urandom(size))
    positions: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, *([(b"content-length", b"%d" % (size + 8))] if sized else []))
        await send({"type": "http.response.body", "body": b"head", "more_body": True})
        with path.open("rb") as file:
            first = size // 3
            message = {"type": "http.response.zerocopysend", "file": file, "more_body": True}
            await send({**message, "count": first})
            await send({**message, "offset": first, "count": 0})
            await send({**message, "offset": first, "count": size - first})
            positions.append(os.lseek(file.fileno(), 0, os.SEEK_CUR))
            assert positions[-1] == first
        await send({"type": "http.response.body", "body": b"tail"})

    with serve(app) as server:
        _, body = fetch(server)
        assert body == b"head" + data + b"tail"
        _, body = fetch(server)
        assert body == b"head" + data + b"tail"
        assert server.errors == []


def test_an_unnamed_file_to_its_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        with tempfile.TemporaryFile() as file:
            file.write(b"0123456789")
            file.flush()
            file.seek(4)
            await send({"type": "http.response.zerocopysend", "file": file, "offset": None})

    with serve(app) as server:
        assert fetch(server)[1] == b"456789"


def test_starlette_sends_files_by_path(big: Path) -> None:
    from starlette.responses import FileResponse

    with serve(FileResponse(big)) as server:
        response, body = fetch(server)
        assert body == big.read_bytes()
        assert response.getheader("content-length") == "9000000"


def test_a_slow_client_holds_the_sender_not_the_memory(big: Path) -> None:
    """send() waits for a client that does not read, and others are served meanwhile."""
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/other":
            await reply(send, b"other")
            return
        await start(send, 200, (b"content-length", b"9000000"))
        with big.open("rb") as file:
            await send({"type": "http.response.zerocopysend", "file": file})
        sent.append("all")

    with serve(app) as server, server.connect(receive_buffer=4096) as slow:
        slow.send(get())
        slow.until(b"\r\n\r\n")
        with server.connect() as peer:
            for _ in range(20):
                peer.send(get("/other"))
                assert peer.response().body == b"other"
        assert sent == []
        assert slow.take(9_000_000) == big.read_bytes()
        server.until(lambda: sent == ["all"])
        slow.send(get("/other"))
        assert slow.response().body == b"other"


@pytest.mark.parametrize("kind", ["file", "body"])
def test_a_client_that_takes_nothing_is_dropped(kind: str, big: Path) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        if kind == "file":
            await send({"type": "http.response.pathsend", "path": str(big)})
        else:
            for _ in range(100):
                await send(
                    {"type": "http.response.body", "body": bytes(200_000), "more_body": True}
                )
        ended.append(kind)

    with serve(app, timeout_write=0.3) as server, server.connect(receive_buffer=4096) as peer:
        peer.send(get())
        server.until(lambda: server.core.connections == 0)
        server.until(lambda: ended == [kind])


def test_a_client_that_leaves_in_the_middle(big: Path) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await send({"type": "http.response.pathsend", "path": str(big)})
        ended.append((await receive())["type"])
        ended.append((await receive())["type"])

    with serve(app) as server:
        with server.connect(receive_buffer=4096) as peer:
            peer.send(get())
            peer.until(b"\r\n\r\n")
        server.until(lambda: len(ended) == 2)
        assert ended[1] == "http.disconnect"
        assert server.errors == []


def test_an_app_that_does_not_wait(big: Path) -> None:
    """Its response still ends; what it sends in between is refused."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, (b"content-length", b"9000000"))
        send({"type": "http.response.pathsend", "path": str(big)})
        try:
            await send({"type": "http.response.body", "body": b"x"})
        except RuntimeError as error:
            seen.append(str(error))

    with serve(app) as server, server.connect(receive_buffer=4096) as peer:
        peer.send(get())
        server.until(lambda: server.core.tasks == 0)
        assert peer.response().body == big.read_bytes()
        peer.send(get())
        assert peer.response().body == big.read_bytes()
        problem = "sent while a file is being sent: await send() first."
        assert seen == [f"ASGI message 'http.response.body' {problem}"] * 2
        assert server.errors == []


def test_a_file_that_shrinks_cuts_the_response(big: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, (b"content-length", b"9000000"))
        await send({"type": "http.response.pathsend", "path": str(big)})

    with serve(app) as server, server.connect(receive_buffer=4096) as peer:
        peer.send(get())
        peer.until(b"\r\n\r\n")
        server.call(os.truncate, big, 8_000_000)
        assert len(peer.rest()) < 9_000_000
        text = "A file could not be sent to its end: the file is shorter than it was."
        assert [line[:2] for line in server.errors] == [(40, text)]


@pytest.mark.parametrize(
    "what", ["missing", "folder", "fifo", "short", "long", "not a file", "past"]
)
def test_files_that_cannot_be_sent(what: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what != "missing":
        path.write_bytes(b"abcd")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = {"short": b"5", "long": b"3"}.get(what, b"4")
        await start(send, 200, (b"content-length", size))
        with pytest.raises((OSError, RuntimeError, TypeError)):
            if what == "not a file":
                await send({"type": "http.response.zerocopysend", "file": "x"})
            elif what == "past":
                with path.open("rb") as file:
                    await send({"type": "http.response.zerocopysend", "file": file, "count": 5})
            else:
                await send({"type": "http.response.pathsend", "path": str(path)})
        await send(
            {"type": "http.response.body", "body": b"abcd"[: int(size)] + b"e" * (int(size) - 4)}
        )

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert len(peer.response().body) in (3, 4, 5)
        assert server.errors == []


def test_no_file_before_the_start(big: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for name in ("pathsend", "zerocopysend", "trailers"):
            with pytest.raises(RuntimeError, match=r"Expected ASGI message .*\.start'"):
                await send({"type": f"http.response.{name}", "path": str(big)})
        await reply(send, await read_body(receive))

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().body == b""


# ---- debug and push ----------------------------------------------------------------------------


@pytest.mark.parametrize("debug", [True, False])
def test_debug(debug: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.debug", "info": {"template": "a.html"}})
        await start(send)
        await send({"type": "http.response.debug"})
        await send({"type": "http.response.body", "body": b"x"})

    with serve(app, debug=debug) as server:
        assert fetch(server)[1] == b"x"
        lines = [line[:2] for line in server.errors]
    assert (
        lines
        == [
            (10, "ASGI debug information: {'template': 'a.html'}"),
            (10, "ASGI debug information: None"),
        ]
        * debug
    )


def test_push_is_ignored() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.push" not in scope["extensions"]
        push = {"type": "http.response.push", "path": "/x", "headers": []}
        await send(push)
        await start(send)
        await send(push)
        await send({"type": "http.response.body", "body": b"x"})

    with serve(app) as server:
        assert fetch(server)[1] == b"x"
        assert server.errors == []


def test_a_unix_socket_gets_files_too(big: Path, tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, (b"content-length", b"9000000"))
        await send({"type": "http.response.pathsend", "path": str(big)})

    with (
        serve(app, family=socket.AF_UNIX, path=str(tmp_path / "s")) as server,
        server.connect() as peer,
    ):
        peer.send(get())
        assert peer.response().body == big.read_bytes()
