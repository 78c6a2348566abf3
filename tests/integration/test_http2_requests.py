# SPDX-License-Identifier: MIT
"""HTTP/2 requests and responses, as the application and a client see them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from http2_client import Client, request, serve2
from http_harness import get, read_body, reply, serve, start

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]
BODY = {"type": "http.response.body"}
INTERNAL_ERROR, CANCEL, NO_ERROR, PROTOCOL_ERROR = 2, 8, 0, 1


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, b"hello", 200, (b"content-type", b"text/plain"))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, await read_body(receive))


def test_scope() -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await reply(send, b"")

    with serve2(app, root_path="/r") as (server, client):
        assert client.ask("/a%20b/%C3%A9?x=1&y", "PATCH", ("x-one", "1"), ("x-one", "2")).status
        port = client.peer.sock.getsockname()[1]
        (line,) = server.access
    (scope,) = scopes
    scope["extensions"] = sorted(scope["extensions"])
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "server": ("127.0.0.1", server.port),
        "client": ("127.0.0.1", port),
        "scheme": "http",
        "root_path": "/r",
        "headers": [(b"host", b"example.org"), (b"x-one", b"1"), (b"x-one", b"2")],
        "state": {},
        "method": "PATCH",
        "path": "/r/a b/é",
        "raw_path": b"/r/a%20b/%C3%A9",
        "query_string": b"x=1&y",
        "extensions": [
            "http.request.trailers",
            "http.response.early_hint",
            "http.response.pathsend",
            "http.response.trailers",
            "http.response.zerocopysend",
        ],
    }
    assert line[1:] == (f"127.0.0.1:{port}", "PATCH", "/r/a%20b/%C3%A9?x=1&y", "2", 200)


def test_crumbs_of_a_cookie_are_one_field() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, repr(scope["headers"]).encode())

    with serve2(app) as (_, client):
        answer = client.ask("/", "GET", ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("z", ""))
        assert (
            answer.body
            == repr(
                [(b"host", b"example.org"), (b"cookie", b"a=1; b=2"), (b"x", b"y"), (b"z", b"")]
            ).encode()
        )


def test_host_stands_for_an_authority() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, repr(scope["headers"]).encode())

    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
    with serve2(app) as (_, client):
        for more in ([("host", "h")], [(":authority", "h"), ("host", "h")]):
            answer = client.answer(client.send_head([*fields[:3], *more]))
            assert answer.body == b"[(b'host', b'h')]"
        for more in ([], [(":authority", "a"), ("host", "b")], [("host", "a"), ("host", "a")]):
            answer = client.answer(client.send_head([*fields[:3], *more]))
            assert (answer.status or answer.reset) in (400, PROTOCOL_ERROR)


def test_default_fields_and_those_that_belong_to_a_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(
            send,
            200,
            (b"Connection", b"close"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Proxy-Connection", b"x"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Upgrade", b"h2c"),
            (b"X-Upper", b" v "),
        )
        await send(BODY | {"body": b"hi"})

    with serve2(app, headers=[(b"x-configured", b"1")]) as (_, client):
        answer = client.ask()
        assert [name for name, _ in answer.headers] == [
            b"date",
            b"server",
            b"x-configured",
            b"x-upper",
        ]
        assert answer[b"x-upper"] == b"v"
        assert (answer.status, answer.body, answer.ended) == (200, b"hi", True)
        assert client.ask().body == b"hi"  # close is not for HTTP/2


@pytest.mark.parametrize("size", [0, 1, 16384, 65535, 65536, 300_000, 3_000_000])
def test_bodies_both_ways(size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    with serve2(echo) as (_, client):
        assert client.post("/", body[:size]).body == body[:size]


def test_streams_do_not_wait_for_each_other() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await gate.wait()
        await reply(send, scope["path"].encode())

    with serve2(app) as (server, client):
        slow = client.open("/slow")
        for number in range(50):
            assert client.ask(f"/{number}").body == f"/{number}".encode()
        server.call(gate.set)
        assert client.answer(slow).body == b"/slow"


def test_head_and_bodiless_answers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"hello", int(scope["path"][1:]))

    with serve2(app) as (_, client):
        answer = client.ask("/200", "HEAD")
        assert (answer.status, answer[b"content-length"], answer.body) == (200, b"5", b"")
        for status in (204, 304):
            answer = client.ask(f"/{status}")
            assert (answer.status, answer.body, answer.ended) == (status, b"", True)


def test_expect_continue() -> None:
    with serve2(echo) as (_, client):
        stream = client.open("/", "POST", ("expect", "100-continue"), end=False)
        answer = client.answers[stream]
        client.until(lambda: bool(answer.informational))
        assert answer.informational == [[(b":status", b"100")]]
        client.data(stream, b"abc", end=True)
        assert client.answer(stream).body == b"abc"


def test_trailers_both_ways_and_early_hints() -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["more_body"]:
            pass
        received.append(message.get("trailers"))
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send(BODY | {"body": b"body"})
        trailers = {"type": "http.response.trailers"}
        await send(trailers | {"headers": [(b"x-a", b"1")], "more_trailers": True})
        await send(trailers | {"headers": [(b"X-B", b"2")]})

    with serve2(app) as (_, client):
        stream = client.open("/", "POST", end=False)
        client.data(stream, b"x")
        client.h2.send_headers(stream, [("x-sum", "7"), ("authorization", "no")], end_stream=True)
        client.flush()
        answer = client.answer(stream)
        assert received == [[(b"x-sum", b"7")]]
        assert answer.informational == [[(b":status", b"103"), (b"link", b"</a.css>; rel=preload")]]
        assert answer.body == b"body"
        assert answer.trailers == [(b"x-a", b"1"), (b"x-b", b"2")]
        answer = client.ask("/", "HEAD")
        assert (answer.trailers, answer.ended) == (None, True)


def test_files(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / "f").write_bytes(content)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200)
        if scope["path"] == "/path":
            await send({"type": "http.response.pathsend", "path": str(tmp_path / "f")})
        else:
            await send(BODY | {"body": b"a" * 100_000, "more_body": True})
            with (tmp_path / "f").open("rb") as file:
                message = {"type": "http.response.zerocopysend", "file": file, "offset": 7}
                await send(message | {"count": 900_000, "more_body": True})
            await send(BODY | {"body": b"b"})

    with serve2(app) as (_, client):
        assert client.ask("/path").body == content
        assert client.ask("/open").body == b"a" * 100_000 + content[7:900_007] + b"b"
        assert client.ask("/path", "HEAD").body == b""


def test_application_at_fault() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        match scope["path"]:
            case "/raises":
                raise RuntimeError("no")
            case "/returns":
                return
            case "/bad-name":
                await start(send, 200, (b"a b", b"c"))
            case "/cut":
                await start(send, 200)
                await send(BODY | {"body": b"part", "more_body": True})
            case "/short":
                await start(send, 200, (b"content-length", b"5"))
                await send(BODY | {"body": b"four"})
            case "/long":
                await start(send, 200, (b"content-length", b"3"))
                await send(BODY | {"body": b"four"})

    with serve2(app) as (server, client):
        for path in ("/raises", "/returns", "/bad-name"):
            answer = client.ask(path)
            assert (answer.status, answer.body) == (500, b"Internal Server Error"), path
        for path in ("/cut", "/short", "/long"):
            answer = client.ask(path)
            assert answer.reset == INTERNAL_ERROR, path
            assert not answer.ended
        assert len(server.errors) == 6


def test_reset_is_told_to_the_application() -> None:
    seen: list[Any] = []
    started = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/other":
            await reply(send, b"other")
            return
        await receive()
        started.set()
        seen.append((await receive())["type"])
        await start(send, 200)
        await send(BODY | {"body": b"to nobody"})
        seen.append((await receive())["type"])

    with serve2(app) as (server, client):
        stream = client.open("/waits")
        server.run(started.wait())
        client.h2.reset_stream(stream, CANCEL)
        client.flush()
        assert client.ask("/other").body == b"other"
        server.until(lambda: len(seen) == 2)
        assert seen == ["http.disconnect"] * 2
        assert server.errors == []


def test_a_closed_connection_is_told_to_every_application() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append((await receive())["type"])

    with serve(app, http2=True) as server:
        with Client(server.address) as client:
            for _ in range(5):
                client.open()
            client.ping()
        server.until(lambda: len(seen) == 5)


def test_a_body_nobody_wants_is_given_up() -> None:
    with serve2(hello) as (_, client):
        stream = client.open("/", "POST", end=False)
        answer = client.answers[stream]
        client.until(lambda: answer.reset is not None)
        assert (answer.status, answer.body, answer.reset) == (200, b"hello", NO_ERROR)
        assert client.ask().body == b"hello"


def test_a_stream_reset_at_once_starts_no_application() -> None:
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        await reply(send, b"")

    with serve2(app) as (_, client):
        for _ in range(20):
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, request(), end_stream=True)
            client.h2.reset_stream(stream, CANCEL)
        client.flush()
        assert client.ask().status == 200
        assert calls == 1


def test_both_versions_on_one_port_however_the_preface_comes() -> None:
    with serve(hello, http2=True) as server:
        with server.connect() as peer:
            for _ in range(2):
                peer.send(get())
                assert peer.response().body == b"hello"
        for pieces in (1, 3, 23, 25):
            with Client(server.address, greet=False) as client:
                client.h2.initiate_connection()
                data = client.h2.data_to_send()
                for at in range(0, len(data), pieces):
                    client.peer.send(data[at : at + pieces])
                assert client.ask().body == b"hello"
        for beginning in (b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"):
            with server.connect() as peer:
                peer.send(beginning)
                peer.finish()
                peer.rest()
        with server.connect() as peer:
            peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r")
            assert peer.rest().startswith(b"HTTP/1.1 ")
        with server.connect() as peer:  # P is also the beginning of POST
            peer.send(b"P")
            peer.send(b"OST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
            assert peer.response().body == b"hello"


def test_off_by_default() -> None:
    with serve(hello) as server, server.connect() as peer:
        peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert peer.rest().startswith(b"HTTP/1.1 ")


def test_concurrency_limit() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await reply(send, b"ok")

    with serve2(app, limit_concurrency=3) as (server, client):
        streams = [client.open() for _ in range(4)]
        assert client.answer(streams[3]).status == 503
        server.call(gate.set)
        assert [client.answer(stream).status for stream in streams[:3]] == [200] * 3
        assert client.ask().status == 200


def test_proxy_fields() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, f"{scope['scheme']} {scope['client'][0]}".encode())

    with serve2(app, proxy_headers=True, forwarded_allow_ips="127.0.0.1") as (_, client):
        more = (("x-forwarded-for", "192.0.2.9"), ("x-forwarded-proto", "https"))
        assert client.ask("/", "GET", *more).body == b"https 192.0.2.9"


def test_methods() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, f"{scope['method']} {scope['path']}".encode())

    with serve2(app) as (_, client):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "QUERY", "PROPFIND"):
            answer = client.ask("/", method)
            if method != "QUERY":  # not in every llhttp
                assert answer.body == f"{method} /".encode()
        assert client.ask("*", "OPTIONS").body == b"OPTIONS *"
        assert client.ask("/", "BREW").status == 501
        answer = client.answer(
            client.send_head([(":method", "CONNECT"), (":authority", "h:443")], end=True)
        )
        assert answer.status == 501


def test_ends_with_a_goaway_when_idle() -> None:
    with serve2(hello, timeout_keep_alive=0.2) as (_, client):
        assert client.ask().status == 200
        client.rest()
        assert client.goaways == [(1, NO_ERROR)]


def test_shutdown_answers_what_is_under_way() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await gate.wait()
        await reply(send, b"done")

    with serve2(app) as (server, client), Client(server.address) as idle:
        assert idle.ask().status == 200
        slow = client.open("/slow")
        client.ping()
        server.call(server.core.stop_listening)
        server.call(server.core.shutdown)
        client.until(lambda: bool(client.goaways))
        assert client.goaways[0] == (2**31 - 1, NO_ERROR)
        # python-h2 takes any GOAWAY for the end: this request is written past it.
        client.raw(1, 0x5, slow + 2, client.h2.encoder.encode(request("/late")))
        server.call(gate.set)
        server.until(lambda: len(server.access) == 3)
        client.peer.rest()
        idle.rest()
        assert idle.goaways[-1] == (1, NO_ERROR)
        server.until(lambda: server.core.connections == 0)
        assert sorted(line[3] for line in server.access) == ["/", "/late", "/slow"]
