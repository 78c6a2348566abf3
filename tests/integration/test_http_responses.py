# SPDX-License-Identifier: MIT
"""HTTP/1.1 responses: framing, connection persistence, failing apps, refused headers."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Any

import pytest
from http_harness import get, parse, post, read_body, reply, serve, start

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]
BODY = {"type": "http.response.body"}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, b"Hello, world!", 200, (b"Content-Type", b"text/plain"))


async def stream(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    for part in (b"one", b"", b"two"):
        await send(BODY | {"body": part, "more_body": True})
    await send(BODY)


def test_default_headers_come_first() -> None:
    with serve(hello) as server, server.connect() as peer:
        peer.send(get())
        response = peer.response()
    names = [name for name, _ in response.lines]
    assert names == [b"date", b"server", b"content-type", b"content-length"]
    assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.headers[b"date"])
    assert response.headers[b"server"] == b"casgi"
    assert response.body == b"Hello, world!"


def test_default_headers_can_be_chosen() -> None:
    with serve(
        hello, date_header=False, server_header=False, headers=[(b"X-One", b"1"), (b"x-two", b"2")]
    ) as server:
        response = parse(server.exchange(get()))
        assert response.lines[:2] == [(b"x-one", b"1"), (b"x-two", b"2")]
        assert b"date" not in response.headers
        assert b"server" not in response.headers
    with serve(hello, headers=[(b"Server", b"mine")]) as server:
        response = parse(server.exchange(get()))
        assert [v for n, v in response.lines if n == b"server"] == [b"mine"]


def test_the_apps_date_and_server_win() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"", 200, (b"Date", b"then"), (b"Server", b"app"))

    with serve(app, headers=[(b"x", b"y")]) as server:
        lines = parse(server.exchange(get())).lines
    assert lines[:3] == [(b"x", b"y"), (b"date", b"then"), (b"server", b"app")]
    assert len([n for n, _ in lines if n in (b"date", b"server")]) == 2


@pytest.mark.parametrize("headers", [[(b"a\r\nb", b"c")], [(b"", b"c")]])
def test_bad_configured_headers(headers: Any) -> None:
    with pytest.raises(ValueError, match="invalid header"), serve_failing(headers=headers):
        pass


def serve_failing(**config: Any) -> Any:
    """A Server on a loop of this thread, for constructors that raise."""
    import contextlib

    from asgiserver import _core
    from asgiserver.loop import Loop

    @contextlib.contextmanager
    def make() -> Any:
        loop = Loop()
        try:
            yield _core.Server(loop, hello, config)
        finally:
            loop.close()

    return make()


def test_chunked_when_no_length() -> None:
    with serve(stream) as server, server.connect() as peer:
        peer.send(get())
        response = peer.response()
        assert (response.body, response.chunks) == (b"onetwo", 2)
        peer.send(get())
        assert peer.response().body == b"onetwo"


def test_http10_ends_with_the_connection() -> None:
    with serve(stream) as server:
        response = parse(server.exchange(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
    assert b"transfer-encoding" not in response.headers
    assert response.headers[b"connection"] == b"close"
    assert response.body == b"onetwo"


def test_http10_keep_alive() -> None:
    with serve(hello) as server, server.connect() as peer:
        for _ in range(3):
            peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            response = peer.response()
            assert response.headers[b"connection"] == b"keep-alive"
        peer.send(b"GET / HTTP/1.0\r\n\r\n")
        assert peer.response().headers[b"connection"] == b"close"
        assert peer.rest() == b""


def test_connection_close_from_either_side() -> None:
    async def closing(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"bye", 200, (b"Connection", b"close"))

    with serve(hello) as server, server.connect() as peer:
        peer.send(get("/", "Connection: close"))
        assert peer.response().headers[b"connection"] == b"close"
        assert peer.rest() == b""
    with serve(closing) as server, server.connect() as peer:
        peer.send(get() + get())
        response = peer.response()
        assert [v for n, v in response.lines if n == b"connection"] == [b"close"]
        assert peer.rest() == b""


@pytest.mark.parametrize("app", [hello, stream])
def test_head(app: Any) -> None:
    with serve(app) as server, server.connect() as peer:
        for _ in range(2):
            peer.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
            response = peer.response(head_only=True)
            assert response.headers.get(b"content-length") == (b"13" if app is hello else None)
        peer.send(get())
        assert peer.response().body in (b"Hello, world!", b"onetwo")


@pytest.mark.parametrize("status", [204, 304])
def test_bodiless_statuses(status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, status)
        await send(BODY | {"body": b"dropped"})

    with serve(app) as server, server.connect() as peer:
        peer.send(get() + get())
        for _ in range(2):
            response = peer.response()
            assert response.status == status
            assert b"transfer-encoding" not in response.headers
        peer.finish()
        assert peer.rest() == b""


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("pieces", [1, 7, 200])
def test_big_download(sized: bool, pieces: int) -> None:
    data = bytes(range(256)) * 40960

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, *([(b"content-length", b"%d" % len(data))] if sized else []))
        step = -(-len(data) // pieces)
        for at in range(0, len(data), step):
            await send(BODY | {"body": data[at : at + step], "more_body": at + step < len(data)})

    with serve(app) as server, server.connect() as peer:
        for _ in range(2):
            peer.send(get())
            body = peer.response().body
            assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()


def test_bodies_of_every_small_size() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = int(scope["path"][1:])
        await start(send)
        await send(BODY | {"body": b"x" * size, "more_body": True})
        await send(BODY | {"body": bytearray(b"y" * size)})

    with serve(app) as server, server.connect() as peer:
        for size in [*range(40), 255, 256, 4095, 4096, 8191, 8192, 8193, 65535, 65536, 65537]:
            peer.send(get(f"/{size}"))
            assert peer.response().body == b"x" * size + b"y" * size


async def returns(scope: Any, receive: Any, send: Any) -> Any:
    return None


async def raises(scope: Any, receive: Any, send: Any) -> Any:
    raise ValueError("boom")


def raises_at_once(scope: Any, receive: Any, send: Any) -> Any:
    raise ValueError("boom")


def not_awaitable(scope: Any, receive: Any, send: Any) -> Any:
    return 3


async def body_first(scope: Any, receive: Any, send: Any) -> Any:
    await send(BODY | {"body": b"x"})


async def raises_before_body(scope: Any, receive: Any, send: Any) -> Any:
    await send({"type": "http.response.start", "status": "x"})


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (returns, "ASGI callable returned without starting response."),
        (raises, "Exception in ASGI application"),
        (raises_at_once, "Exception in ASGI application"),
        (not_awaitable, "Exception in ASGI application"),
        (body_first, "Exception in ASGI application"),
        (raises_before_body, "Exception in ASGI application"),
    ],
)
def test_500(app: Any, message: str) -> None:
    with serve(app) as server, server.connect() as peer:
        peer.send(post(b"body"))
        response = peer.response()
        assert (response.status, response.body) == (500, b"Internal Server Error")
        assert response.headers[b"connection"] == b"close"
        assert peer.rest() == b""
        assert [(level, text) for level, text, _ in server.errors] == [(40, message)]
        if app is raises:
            error = server.errors[0][2]
            assert isinstance(error, ValueError)
            assert error.__traceback__ is not None


def bad(*headers: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"x", 200, (b"x-fine", b"1"), *headers)

    return app


@pytest.mark.parametrize(
    "header",
    [
        (b"a", b"b\r\nset-cookie: c"),
        (b"a\r\nb", b"c"),
        (b"a", b"b\0"),
        (b"a b", b"c"),
        (b"", b"c"),
        (b"a:", b"b"),
        ("a", b"b"),
        (b"a", None),
        (b"a",),
        (b"content-length", b"2"),
        (b"content-length", b"-1"),
    ],
)
def test_header_injection_is_a_500(header: Any) -> None:
    with serve(bad(header)) as server:
        raw = server.exchange(get())
        response = parse(raw)
        assert len(server.errors) == 1
        assert server.errors[0][2] is not None
    assert response.status == 500
    assert raw.count(b"HTTP/1.1") == 1
    assert b"x-fine" not in raw
    assert b"set-cookie" not in raw


@pytest.mark.parametrize("status", [0, 99, 101, 1000, -1])
def test_bad_status(status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"", status)

    with serve(app) as server:
        assert parse(server.exchange(get())).status == 500


def test_longer_than_its_length() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, (b"content-length", b"3"))
        await send(BODY | {"body": b"abcdef"})

    with serve(app) as server, server.connect() as peer:
        peer.send(get() + get())
        assert peer.rest().endswith(b"\r\n\r\n")
        assert "longer than Content-Length" in str(server.errors[0][2])


def test_shorter_than_its_length() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, (b"content-length", b"3"))
        await send(BODY | {"body": b"ab", "more_body": True})
        await send(BODY)

    with serve(app) as server, server.connect() as peer:
        peer.send(get() + get())
        assert peer.rest().endswith(b"\r\n\r\nab")
        assert "shorter than Content-Length" in str(server.errors[0][2])


@pytest.mark.parametrize("how", ["raise", "return"])
def test_cut_short_after_start(how: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await send(BODY | {"body": b"part", "more_body": True})
        if how == "raise":
            raise ValueError("late")

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        data = peer.rest()
        assert data.endswith(b"4\r\npart\r\n"), data
        assert len(server.errors) == 1


def test_messages_after_the_end() -> None:
    caught: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"ok")
        for message in (BODY, {"type": "http.response.start", "status": 200}):
            with pytest.raises(RuntimeError) as info:
                await send(message)
            caught.append(str(info.value))
        assert await receive() == {"type": "http.disconnect"}
        assert await receive() == {"type": "http.disconnect"}

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().body == b"ok"
        server.until(lambda: server.core.tasks == 0)
        assert server.errors == []
    assert caught == [
        "Unexpected ASGI message 'http.response.body' sent, after response already completed.",
        "Unexpected ASGI message 'http.response.start' sent, after response already completed.",
    ]


def test_exception_after_the_end_is_logged_and_harmless() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"ok")
        raise ValueError("background")

    with serve(app) as server, server.connect() as peer:
        for _ in range(2):
            peer.send(get())
            assert peer.response().body == b"ok"
        server.until(lambda: len(server.errors) == 2)


def test_returning_a_value_is_logged() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await reply(send, b"ok")
        return {"a": 1}

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().body == b"ok"
        server.until(lambda: bool(server.errors))
        text = "ASGI callable should return None, but returned '{'a': 1}'."
        assert server.errors == [(40, text, None)]


def test_access_log() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/r/fail":
            raise ValueError
        await reply(send, b"", 404)

    with serve(app, root_path="/r") as server, server.connect() as peer:
        peer.send(get("/a%20b?c=d") + get("/fail"))
        peer.response()
        peer.response()
        host, port = peer.sock.getsockname()
        fmt = '%s - "%s %s HTTP/%s" %d'
        assert server.access == [
            (fmt, f"{host}:{port}", "GET", "/r/a%20b?c=d", "1.1", 404),
            (fmt, f"{host}:{port}", "GET", "/r/fail", "1.1", 500),
        ]
        assert server.access[0][0] % server.access[0][1:]


def test_failing_logs_do_not_fail_requests() -> None:
    def fail(*_args: Any) -> None:
        raise ValueError("log")

    with serve(hello, access_log=fail) as server:
        assert parse(server.exchange(get())).status == 200
        server.call(int)
        assert len(server.unhandled) == 1
        server.unhandled.clear()


def test_each_request_has_its_own_context_and_task() -> None:
    import contextvars

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((variable.get(), asyncio.current_task()))
        variable.set(1)
        await asyncio.sleep(0)
        assert variable.get() == 1
        await reply(send, await read_body(receive))

    with serve(app) as server, server.connect() as peer:
        for _ in range(2):
            peer.send(get())
            peer.response()
    assert [value for value, _ in seen] == [0, 0]
    assert isinstance(seen[0][1], asyncio.Task)
    assert seen[0][1] is not seen[1][1]


def test_generator_based_and_object_awaitables() -> None:
    class Awaitable:
        def __init__(self, send: Any) -> None:
            self.send = send

        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            yield from reply(self.send, b"ok").__await__()

    def app(scope: Any, receive: Any, send: Any) -> Any:
        return Awaitable(send)

    with serve(app) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().body == b"ok"


def test_an_app_that_never_waits_does_not_starve_others() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            return await reply(send, b"ok")
        await start(send)
        while not stop:
            await send(BODY | {"body": b"", "more_body": True})
        return await send(BODY)

    stop: list[int] = []
    with serve(app) as server, server.connect() as busy, server.connect() as peer:
        busy.send(get("/busy"))
        busy.until(b"\r\n\r\n")
        peer.send(get())
        assert peer.response().body == b"ok"
        stop.append(1)
        assert busy.until(b"0\r\n\r\n")
