# SPDX-License-Identifier: MIT
"""HTTP/2 clients that are slow, greedy, or break the rules: bounds, deadlines, floods, windows."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from http2_client import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Client,
    Frames,
    frame,
    request,
    serve2,
)
from http_harness import read_body, reply, serve, start

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]
BODY = {"type": "http.response.body"}
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 3
STREAM_CLOSED, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 5, 7, 8, 11


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, b"hello")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, await read_body(receive))


async def never(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await receive()


def fate(client: Client, stream: int) -> tuple[int, int | None]:
    """Status and reset of a stream that may have taken the connection along."""
    answer = client.answers[stream]
    while not (answer.ended or answer.reset is not None or client.ended):
        client.step()
    return answer.status, answer.reset


# ---- windows ----


def test_a_sender_waits_for_the_stream_s_window() -> None:
    sends = 0
    total = 100

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sends
        if scope["path"] == "/other":
            await reply(send, b"other")
            return
        await start(send)
        for _ in range(total):
            await send(BODY | {"body": b"x" * 10_000, "more_body": True})
            sends += 1
        await send(BODY)

    with serve(app, http2=True) as server, Client(server.address, acknowledge=False) as client:
        client.h2.increment_flow_control_window(1_000_000)
        client.flush()
        stream = client.open()
        answer = client.answers[stream]
        client.until(lambda: len(answer.body) == 65535)
        assert client.ask("/other").body == b"other"
        client.ping()
        assert len(answer.body) == 65535
        assert sends < 20, "the app was never held back"
        client.acknowledge = True
        client.h2.increment_flow_control_window(900_000, stream)
        client.flush()
        assert len(client.answer(stream).body) == total * 10_000
        assert sends == total


def test_windows_open_as_the_application_reads() -> None:
    read = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/other":
            await reply(send, await read_body(receive))
            return
        await read.wait()
        await reply(send, str(len(await read_body(receive))).encode())

    with serve2(app) as (server, client):
        client.ping()
        client.until(lambda: client.h2.remote_settings.initial_window_size == 131_072)
        stream = client.open("/", "POST", end=False)
        client.data(stream, b"x" * 131_072)
        client.ping()
        assert client.h2.local_flow_control_window(stream) == 0
        client.peer.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.step()
        client.peer.sock.settimeout(10)
        assert client.post("/other", b"y" * 200_000).body == b"y" * 200_000
        server.call(read.set)
        client.data(stream, b"x" * 100_000, end=True)
        assert client.answer(stream).body == b"231072"


def test_what_a_reset_stream_held_is_given_back() -> None:
    with serve2(never) as (_, client):
        client.ping()
        for _ in range(30):  # thirty times a stream's window, nearly four times the connection's
            stream = client.open("/", "POST", end=False)
            client.data(stream, b"x" * 131_072)
            client.h2.reset_stream(stream, CANCEL)
            client.flush()


def test_overrunning_a_window() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    with serve(app, http2=True) as server, Frames(server.address) as client:
        client.open(1, flags=END_HEADERS)
        client.send(frame(DATA, 0, 1, bytes(16384)) * 20)
        assert client.until(RST_STREAM, 1) == FLOW_CONTROL_ERROR.to_bytes(4, "big")
        for stream in range(3, 23, 2):  # the connection's
            client.open(stream, flags=END_HEADERS)
            client.send(frame(DATA, 0, stream, bytes(16384)) * 8)
        assert client.end() == FLOW_CONTROL_ERROR


def test_window_update_beyond_the_greatest_window() -> None:
    with serve2(never) as (_, client):
        stream = client.open()
        client.raw(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0x7FFFFFFF))
        assert fate(client, stream)[1] == FLOW_CONTROL_ERROR
        client.raw(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF))
        client.rest()
        assert client.goaways[-1][1] == FLOW_CONTROL_ERROR


# ---- bounds ----


def test_streams_at_once() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await reply(send, b"")

    with serve(app, http2=True, max_streams=5) as server:
        with Client(server.address, greet=False) as client:
            # Whoever has not heard of the bound yet is refused one request, …
            client.h2.initiate_connection()
            streams = [client.open() for _ in range(6)]
            assert client.answer(streams[5]).reset == REFUSED_STREAM
            assert client.h2.remote_settings.max_concurrent_streams == 5
            server.call(gate.set)
            assert [client.answer(stream).status for stream in streams[:5]] == [200] * 5
            assert client.ask().status == 200
        server.call(gate.clear)
        with Frames(server.address) as client:  # … and whoever has, the connection.
            for stream in range(1, 13, 2):
                client.open(stream)
            assert client.end() == PROTOCOL_ERROR


def test_head_bytes_and_count() -> None:
    with serve2(hello, max_header_bytes=4096, max_header_count=20, max_line_bytes=1000) as (
        _,
        client,
    ):
        client.ping()
        assert client.h2.remote_settings.max_header_list_size == 4096
        assert client.ask("/", "GET", ("x", "y" * 3000)).status == 200
        assert client.ask("/", "GET", ("x", "y" * 4000)).status == 431
        assert client.ask("/", "GET", *[(f"x-{n}", "") for n in range(19)]).status == 200
        assert client.ask("/", "GET", *[(f"x-{n}", "") for n in range(20)]).status == 431
        assert client.ask("/", "GET", ("x" * 300, "y")).status == 431
        assert client.ask("/" + "y" * 999).status == 200
        assert client.ask("/" + "y" * 1000).status == 414
        assert client.ask("/", "GET", ("x", "y" * 3000)).status == 200


def test_hpack_bomb() -> None:
    """A few bytes of the wire that stand for megabytes of fields."""
    with serve(hello, http2=True) as server, Frames(server.address) as client:
        block = client.encoder.encode([*request(), ("x-bomb", "v" * 3000)])
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
        client.until(DATA, 1)
        # The last entry of the table is the first: index 62, again and again.
        block = client.encoder.encode(request()) + b"\xbe" * 14_000
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, block))
        assert client.until(DATA, 3) == b"Request Header Fields Too Large"


def test_body_bytes() -> None:
    with serve2(echo, max_body_bytes=1000) as (_, client):
        assert client.post("/", bytes(1000)).status == 200
        assert client.post("/", bytes(1000), ("content-length", "1000")).status == 200
        stream = client.open("/", "POST", ("content-length", "1001"), end=False)
        assert fate(client, stream)[0] == 413
        stream = client.open("/", "POST", end=False)
        client.data(stream, bytes(1001))
        assert fate(client, stream)[0] == 413
        assert client.ask().status == 200


# ---- what a request must not be ----

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/")]


@pytest.mark.parametrize(
    "fields",
    [
        [*HEAD, ("Upper", "x")],
        [*HEAD, ("connection", "close")],
        [*HEAD, ("keep-alive", "x")],
        [*HEAD, ("proxy-connection", "x")],
        [*HEAD, ("transfer-encoding", "chunked")],
        [*HEAD, ("upgrade", "h2c")],
        [*HEAD, ("te", "gzip")],
        [*HEAD, ("x", "a\r\nb: c")],
        [*HEAD, ("x", "a\0b")],
        [*HEAD, ("x", " a")],
        [*HEAD, ("a b", "c")],
        [*HEAD, ("a:b", "c")],
        [*HEAD, ("", "c")],
        [*HEAD, (":path", "/2")],
        [*HEAD, (":status", "200")],
        [*HEAD, (":unknown", "x")],
        [*HEAD, (":protocol", "websocket")],
        [("x", "y"), *HEAD],
        [*HEAD, ("content-length", "5")],
        [*HEAD, ("content-length", "a")],
        [*HEAD, ("content-length", "0"), ("content-length", "1")],
        HEAD[:3],
        HEAD[1:],
        [HEAD[0], *HEAD[2:]],
        [*HEAD[:3], (":path", "")],
        [*HEAD[:3], (":path", "x")],
        [*HEAD[:3], (":path", "*")],
        [*HEAD[:3], (":path", "/a b")],
        [*HEAD[:3], (":path", "/\x7f")],
        [*HEAD[:2], (":authority", "user@h"), HEAD[3]],
        [*HEAD[:2], (":authority", "a/b"), HEAD[3]],
        [HEAD[0], (":scheme", "ftp"), *HEAD[2:]],
    ],
    ids=repr,
)
def test_malformed_requests(fields: list[tuple[str, str]]) -> None:
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        await reply(send, b"")

    with serve2(app) as (_, client):
        status, reset = fate(client, client.send_head(fields))
        assert status == 400 or reset == PROTOCOL_ERROR
        assert calls == 0
        assert client.ask().status == 200, "the connection went with it"


def test_less_or_more_body_than_its_length() -> None:
    with serve2(echo) as (_, client):
        for size in (4, 6):
            stream = client.open("/", "POST", ("content-length", "5"), end=False)
            client.data(stream, bytes(size), end=True)
            assert fate(client, stream)[1] == PROTOCOL_ERROR
        assert client.ask().status == 200


@pytest.mark.parametrize(
    "frames",
    [
        [(DATA, 0, 0, b"x")],
        [(HEADERS, 5, 2, b"\x82")],
        [(CONTINUATION, 4, 1, b"")],
        [(HEADERS, 1, 1, b"\x82"), (PING, 0, 0, bytes(8))],
        [(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff")],
        [(PING, 0, 0, bytes(7))],
        [(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff")],
        [(WINDOW_UPDATE, 0, 0, bytes(4))],
        [(RST_STREAM, 0, 1, bytes(4))],
        [(DATA, 0, 1, b"x" * 16385)],
    ],
    ids=lambda frames: "-".join(str(frame[0]) for frame in frames),
)
def test_frames_out_of_place_end_the_connection(frames: list[tuple[int, int, int, bytes]]) -> None:
    with serve2(hello) as (_, client):
        client.ping()
        with contextlib.suppress(ConnectionError):
            for frame in frames:
                client.raw(*frame)
        client.rest()
        assert client.goaways
        assert client.goaways[-1][1] != NO_ERROR


def test_garbage_in_place_of_the_first_settings() -> None:
    with serve(hello, http2=True) as server:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n" * 4, bytes(range(256)), b"\xff" * 100):
            with server.connect() as peer:
                peer.send(PREFACE + garbage)
                peer.rest()


# ---- floods ----


@pytest.mark.parametrize(
    "noise",
    [
        frame(PING, 0, 0, bytes(8)),
        frame(SETTINGS, 0, 0),
        frame(PRIORITY, 0, 3, bytes(4) + b"\x10"),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        frame(DATA, 0, 1),
    ],
    ids=["ping", "settings", "priority", "window-update", "empty-data"],
)
def test_frames_that_move_nothing(noise: bytes) -> None:
    with serve(never, http2=True) as server, Frames(server.address) as client:
        client.open(1, flags=END_HEADERS)
        client.send(noise * 20_000)
        assert client.end() == ENHANCE_YOUR_CALM


def storm(strike: Callable[[int], bytes]) -> tuple[int, int]:
    """Opens streams, each struck by a frame at once. Returns what ended the connection, and how
    many requests the application saw."""
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        await receive()
        await receive()

    with serve(app, http2=True) as server, Frames(server.address) as client:
        for stream in range(1, 4000, 2):
            client.open(stream)
            client.send(strike(stream))
        return client.end(), calls


def test_rapid_reset() -> None:
    """CVE-2023-44487."""
    end, calls = storm(lambda stream: frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
    assert end == ENHANCE_YOUR_CALM
    assert calls <= 500


@pytest.mark.parametrize(
    "provoke",
    [
        lambda stream: frame(WINDOW_UPDATE, 0, stream, bytes(4)),
        lambda stream: frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"),
        lambda stream: frame(DATA, 0, stream, b"x"),
        lambda stream: frame(PRIORITY, 0, stream, struct.pack(">I", stream) + b"\0"),
    ],
    ids=["zero-increment", "window-overflow", "data-after-end", "own-parent"],
)
def test_made_you_reset(provoke: Any) -> None:
    """CVE-2025-8671: frames that make the server itself reset the streams."""
    end, calls = storm(provoke)
    assert end in (PROTOCOL_ERROR, STREAM_CLOSED, ENHANCE_YOUR_CALM)
    assert calls <= 500


def test_continuation_flood() -> None:
    """CVE-2024-27316: a head that never ends."""
    with serve(hello, http2=True) as server, Frames(server.address) as client:
        client.open(1, flags=END_STREAM)
        for _ in range(1000):
            client.send(frame(CONTINUATION, 0, 1, b"\0\1x\1y" * 100))
        assert client.end() != NO_ERROR


def test_many_requests_are_no_flood() -> None:
    with serve2(echo) as (_, client):
        for number in range(500):
            assert client.ask(f"/{number}").status == 200
            if number % 10 == 0:
                client.ping()
        assert client.post("/", bytes(2_000_000)).status == 200
        for _ in range(300):
            stream = client.open("/", "POST", end=False)
            client.h2.reset_stream(stream, CANCEL)
            client.flush()
        assert client.ask().status == 200


# ---- deadlines ----


def test_no_request_at_all() -> None:
    with serve2(hello, timeout_header=0.2) as (_, client):
        client.rest()


def test_a_head_that_does_not_end() -> None:
    with serve(never, http2=True, timeout_header=0.2) as server, Frames(server.address) as client:
        client.open(1, flags=END_HEADERS)
        client.open(3, flags=END_STREAM)
        assert client.end() == ENHANCE_YOUR_CALM


def test_a_body_that_does_not_come() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await start(send)
            await send(BODY | {"body": b"x", "more_body": True})
        await read_body(receive)

    with serve2(app, timeout_body=0.2) as (_, client):
        stream, late = client.open("/", "POST", end=False), client.open("/late", "POST", end=False)
        assert fate(client, stream)[0] == 408
        assert fate(client, late) == (200, CANCEL)


def test_a_window_that_stays_shut() -> None:
    gone: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await send(BODY | {"body": b"x" * 100_000, "more_body": True})
        gone.append((await receive())["type"])

    with serve(app, http2=True, timeout_write=0.2) as server:
        with Client(server.address, acknowledge=False) as client:
            stream = client.open()
            assert fate(client, stream) == (200, CANCEL)
            assert len(client.answers[stream].body) == 65535
            server.until(lambda: len(gone) == 1)


def test_a_window_that_opens_too_slowly() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"x" * 1_000_000)

    with serve(app, http2=True, timeout_write=0.2, limit_min_rate=100_000) as server:
        with Client(server.address, acknowledge=False) as client:
            stream = client.open()
            answer = client.answers[stream]
            while True:
                client.step()
                if answer.reset is not None:
                    break
                client.h2.increment_flow_control_window(1, stream)
                client.h2.increment_flow_control_window(1)
                client.flush()
            assert answer.reset == CANCEL
            assert len(answer.body) < 100_000


def test_a_client_that_reads_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for _ in range(1000):
            await send(BODY | {"body": b"x" * 65536, "more_body": True})

    with serve(app, http2=True, timeout_write=0.3) as server:
        with Client(server.address, acknowledge=False, receive_buffer=8192) as client:
            client.h2.increment_flow_control_window(1_000_000_000)
            stream = client.open()
            client.h2.increment_flow_control_window(1_000_000_000, stream)
            client.flush()
            server.until(lambda: server.core.connections == 1)
            server.until(lambda: server.core.connections == 0 and server.core.tasks == 0)


def test_resets_of_the_connection_under_load() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for _ in range(50):
            await send(BODY | {"body": b"x" * 50_000, "more_body": True})
        await send(BODY)

    with serve(app, http2=True) as server:
        for number in range(30):
            client = Client(server.address)
            for _ in range(number % 7):
                client.open()
            client.peer.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0)
            )
            client.peer.sock.close()
        server.until(lambda: server.core.connections == 0 and server.core.tasks == 0)
