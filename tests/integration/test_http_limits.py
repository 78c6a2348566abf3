# SPDX-License-Identifier: MIT
"""Bounds, deadlines, draining and aborting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from http_harness import get, parse, post, read_body, reply, serve, start

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, await read_body(receive))


def test_head_too_big() -> None:
    with serve(echo) as server:
        assert parse(server.exchange(get("/", "X: " + "a" * 60_000))).status == 200
        response = parse(server.exchange(get("/", "X: " + "a" * 70_000)))
        assert response.status == 431
        assert response.body == b"Request Header Fields Too Large"
        assert parse(server.exchange(get("/" + "a" * 60_000))).status == 200
        assert parse(server.exchange(get("/" + "a" * 70_000))).status == 414
        assert parse(server.exchange(get("/", *["X: y"] * 256))).status == 431
        assert parse(server.exchange(get("/", *["X: y"] * 255))).status == 200


def test_request_line_too_long() -> None:
    with serve(echo, max_line_bytes=100) as server:
        assert parse(server.exchange(get("/" + "a" * 90, "X: " + "b" * 1000))).status == 200
        response = parse(server.exchange(get("/" + "a" * 100)))
        assert (response.status, response.body) == (414, b"Request-URI Too Long")
        with server.connect() as peer:
            peer.send(b"GET /" + b"a" * 200)  # its end need not be waited for
            assert parse(peer.rest()).status == 414


def test_chunk_extensions_are_bounded_by_the_data() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serve(echo, max_chunk_extra=100) as server:
        signed = b"40;s=" + b"f" * 60 + b"\r\n" + b"d" * 64 + b"\r\n"
        assert server.exchange(head + signed * 50 + b"0\r\n\r\n").endswith(b"d" * 3200)
        small = b"1;" + b"e" * 20 + b"\r\nd\r\n"
        assert parse(server.exchange(head + small * 10 + b"0\r\n\r\n")).status == 431


def test_trailers_are_bounded_as_headers_are() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with serve(echo, max_header_count=3, max_header_bytes=200) as server:
        assert parse(server.exchange(head + b"A: b\r\n" * 3 + b"\r\n")).status == 200
        assert parse(server.exchange(head + b"A: b\r\n" * 4 + b"\r\n")).status == 431
        assert parse(server.exchange(head + b"A: " + b"b" * 200 + b"\r\n\r\n")).status == 431


def test_connections_per_client() -> None:
    with serve(echo, limit_connections_per_client=2) as server:
        with server.connect() as one, server.connect() as two:
            for peer in (one, two):
                peer.send(get())
                assert peer.response().status == 200
            with server.connect() as three, server.connect() as four:
                assert three.rest() == four.rest() == b""
            message = "Too many connections from one client, refused."
            assert server.errors == [(30, message, None)] * len(server.errors)
            assert 1 <= len(server.errors) <= 2
        server.until(lambda: server.core.connections == 0)
        with server.connect() as again:
            again.send(get())
            assert again.response().status == 200


def test_endless_head_is_cut_off() -> None:
    with serve(echo, max_header_bytes=4096) as server, server.connect() as peer:
        peer.send(b"GET / HTTP/1.1\r\n")
        try:
            for _ in range(1000):
                peer.send(b"X: " + b"a" * 500 + b"\r\n")
        except OSError:
            pass
        assert parse(peer.rest()).status == 431


def test_body_bound() -> None:
    chunked = (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n"
    )
    with serve(echo, max_body_bytes=10) as server:
        assert parse(server.exchange(post(b"0123456789"))).body == b"0123456789"
        assert parse(server.exchange(post(b"0123456789a"))).status == 413
        assert parse(server.exchange(chunked)).status == 413
        server.until(lambda: server.core.tasks == 0)


def test_the_answer_survives_an_unread_upload() -> None:
    """A refused upload is read on for a while, so that no reset destroys the answer."""
    with serve(echo, max_body_bytes=10) as server, server.connect() as peer:
        peer.send(post(b"x" * 3_000_000))
        assert parse(peer.rest()).status == 413


def test_limit_concurrency() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await reply(send, b"ok")

    with (
        serve(app, limit_concurrency=3) as server,
        server.connect() as one,
        server.connect() as two,
    ):
        one.send(get())
        two.send(get())
        server.until(lambda: server.core.tasks == 2)
        with server.connect() as three:  # the third connection counts itself
            three.send(get())
            response = three.response()
            assert (response.status, response.body) == (503, b"Service Unavailable")
            assert response.headers[b"connection"] == b"close"
            assert three.rest() == b""
        server.call(gate.set)
        assert one.response().body == two.response().body == b"ok"
        assert (30, "Exceeded concurrency limit.", None) in server.errors


def test_limit_max_requests() -> None:
    called: list[int] = []
    with (
        serve(echo, limit_max_requests=3, on_max_requests=lambda: called.append(1)) as server,
        server.connect() as peer,
    ):
        for n in range(5):
            peer.send(get())
            peer.response()
            assert len(called) == (n >= 2)


def test_silent_connection_is_closed() -> None:
    with serve(echo, timeout_header=0.2) as server, server.connect() as peer:
        assert peer.rest() == b""
        server.until(lambda: server.core.connections == 0)


def test_half_a_head_is_answered_408() -> None:
    with serve(echo, timeout_header=0.3) as server, server.connect() as peer:
        begun = time.monotonic()
        peer.send(b"GET / HT")
        for _ in range(3):
            time.sleep(0.08)
            peer.send(b"T")  # bytes do not renew the deadline (nor does it matter which)
        data = peer.rest()
        assert parse(data).status in (400, 408)
        assert time.monotonic() - begun < 5
    with serve(echo, timeout_header=0.2) as server, server.connect() as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: ")
        assert parse(peer.rest()).status == 408


def test_stalled_body_is_answered_408() -> None:
    with serve(echo, timeout_body=0.2) as server, server.connect() as peer:
        peer.send(post(b"0123456789")[:-1])
        assert parse(peer.rest()).status == 408
        server.until(lambda: server.core.tasks == 0)


def test_slow_app_has_no_deadline() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        await asyncio.sleep(0.6)
        await reply(send, body)

    with (
        serve(app, timeout_body=0.2, timeout_header=0.2, timeout_keep_alive=0.2) as server,
        server.connect() as peer,
    ):
        peer.send(post(b"abc"))
        assert peer.response().body == b"abc"


def test_keep_alive_deadline() -> None:
    with serve(echo, timeout_keep_alive=0.3) as server, server.connect() as peer:
        for _ in range(4):
            peer.send(get())
            peer.response()
            time.sleep(0.15)
        begun = time.monotonic()
        assert peer.rest() == b""
        assert time.monotonic() - begun < 2


def test_client_that_never_takes_its_answer_is_dropped() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"x" * 20_000_000)

    with serve(app, timeout_write=0.3) as server, server.connect(receive_buffer=4096) as peer:
        peer.send(get())
        server.until(lambda: server.core.total_requests == 1)
        server.until(lambda: server.core.connections == 0)


def test_slow_client_outlives_the_write_deadline_while_it_reads() -> None:
    size = 8_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"x" * size)

    with (
        serve(app, timeout_write=0.4, timeout_keep_alive=0.1) as server,
        server.connect(receive_buffer=4096) as peer,
    ):
        peer.send(get())
        taken = 0
        for _ in range(8):
            time.sleep(0.15)
            for _ in range(10):
                taken += len(peer.sock.recv(65536))
        while taken < size:
            data = peer.sock.recv(65536)
            assert data, f"cut off after {taken}"
            taken += len(data)


def test_shutdown_closes_idle_and_finishes_the_rest() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/started":
            await start(send, 200, (b"content-length", b"2"))
        await gate.wait()
        if scope["path"] == "/started":
            await send({"type": "http.response.body", "body": b"ok"})
        elif scope["path"] != "/idle":
            await reply(send, b"ok")

    async def quick(scope: Any, receive: Any, send: Any) -> None:
        await (reply(send, b"ok") if scope["path"] == "/idle" else app(scope, receive, send))

    with (
        serve(quick) as server,
        server.connect() as idle,
        server.connect() as fresh,
        server.connect() as waiting,
        server.connect() as started,
    ):
        idle.send(get("/idle"))
        idle.response()
        waiting.send(get() + get())
        started.send(get("/started"))
        started.until(b"\r\n\r\n")
        server.until(lambda: server.core.tasks == 2 and server.core.connections == 4)
        server.call(server.core.stop_listening)
        server.call(server.core.shutdown)
        assert idle.rest() == b""
        assert fresh.rest() == b""
        with pytest.raises(OSError):
            server.connect()
        server.call(gate.set)
        response = waiting.response()
        assert (response.body, response.headers[b"connection"]) == (b"ok", b"close")
        assert waiting.rest() == b""
        assert started.rest() == b"ok"
        server.until(lambda: server.core.connections == server.core.tasks == 0)


def test_abort_cancels() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(scope["path"])
            raise

    with serve(app) as server, server.connect() as peer:
        peer.send(get("/x"))
        server.until(lambda: server.core.tasks == 1)
        server.call(server.core.abort)
        assert peer.rest() == b""
        server.until(lambda: server.core.tasks == 0)
        assert ended == ["/x"]
        assert server.errors == []


def test_closing_the_loop_aborts() -> None:
    import socket

    from asgiserver import _core
    from asgiserver.loop import Loop

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    loop = Loop()
    server = _core.Server(loop, app, {})
    with socket.socket() as sock, socket.socket() as peer:
        sock.bind(("127.0.0.1", 0))
        server.listen(sock)
        peer.connect(sock.getsockname())
        peer.sendall(get())

        async def until_running() -> None:
            while server.tasks == 0:
                await asyncio.sleep(0.002)

        loop.run_until_complete(asyncio.wait_for(until_running(), 10))
        task = next(iter(asyncio.all_tasks(loop)))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        assert server.connections == server.tasks == 0
        with pytest.raises(RuntimeError):
            loop.call_soon(print)
        del task


@pytest.mark.parametrize(
    "config",
    [
        {"access_log": 3},
        {"backlog": -1},
        {"root_path": b""},
        {"state": []},
        {"max_header_bytes": 1},
        {"headers": [(b"a",)]},
        {"timeout_keep_alive": "x"},
    ],
)
def test_bad_config(config: dict[str, Any]) -> None:
    from asgiserver import _core
    from asgiserver.loop import Loop

    loop = Loop()
    try:
        with pytest.raises((TypeError, ValueError)):
            _core.Server(loop, echo, config)
        with pytest.raises(TypeError):
            _core.Server(object(), echo, {})
        with pytest.raises(TypeError):
            _core.Server(loop, 3, {})
        server = _core.Server(loop, echo, {})
        with pytest.raises((TypeError, AttributeError)):
            server.listen(3)
    finally:
        loop.close()


def test_body_below_the_least_rate() -> None:
    """A byte now and then does not renew the deadline; bytes enough do."""
    settings = {"timeout_body": 1.0, "limit_min_rate": 20}
    with serve(echo, **settings) as server, server.connect() as peer:
        peer.send(post(b"x" * 1000)[:-1000])
        for _ in range(12):  # 20 bytes within a second are asked for.
            peer.send(b"x" * 40)
            time.sleep(0.12)
        with contextlib.suppress(OSError):
            for _ in range(50):
                peer.send(b"x")
                time.sleep(0.12)
            pytest.fail("still open")
    with serve(echo, timeout_body=1.0) as server, server.connect() as peer:
        peer.send(post(b"x" * 10)[:-10])
        for _ in range(10):
            time.sleep(0.12)
            peer.send(b"x")
        assert peer.response().body == b"x" * 10


def test_answer_taken_below_the_least_rate() -> None:
    """A few bytes now and then are no progress, and what is left for them is thrown away."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"x" * 20_000_000)

    settings = {"timeout_write": 0.3, "limit_min_rate": 1 << 20}
    with serve(app, **settings) as server, server.connect(receive_buffer=4096) as peer:
        peer.send(get())
        server.until(lambda: server.core.total_requests == 1)
        with pytest.raises(ConnectionResetError):
            while peer.sock.recv(500):
                time.sleep(0.02)
        assert server.connections() == 0
