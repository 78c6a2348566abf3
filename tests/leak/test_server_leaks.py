# SPDX-License-Identifier: MIT
"""Serving leaves nothing behind, whatever the clients and the application do."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from leak_process import TIMEOUT, leak_server
from leaktools import Memory, assert_flat, growth

FEW_MEGABYTES = 4 << 20


class Client:
    """A keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Everything up to and including mark."""
        while mark not in self.buffer:
            data = self.sock.recv(262_144)
            assert data, f"closed after {self.buffer!r}"
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(mark)
        return head + mark

    def answer(self) -> tuple[int, bytes]:
        """The next response that has a length or is chunked."""
        head = self.until(b"\r\n\r\n").lower()
        status = int(head[9:12])
        if b"transfer-encoding: chunked" in head:
            body = b""
            while not body.endswith(b"0\r\n\r\n"):
                body += self.until(b"0\r\n\r\n")
            return status, body
        size = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(self.buffer) < size:
            data = self.sock.recv(262_144)
            assert data, f"closed after {self.buffer!r}"
            self.buffer += data
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return status, body

    def rest(self) -> bytes:
        """Everything until the server closes."""
        data = self.buffer
        while more := self.sock.recv(262_144):
            data += more
        return data

    def reset(self) -> None:
        """Closes with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Serving:
    """The server process, seen from outside."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.counts: dict[str, int] = {}

    def connect(self) -> Client:
        return Client(self.port)

    def measure(self) -> Memory:
        with self.connect() as client:
            client.send(get("/measure"))
            status, body = client.answer()
        assert status == 200
        told = json.loads(body)
        self.counts = told["counts"]
        return Memory(**told["memory"])


@contextlib.contextmanager
def serving(leak: str = "") -> Iterator[Serving]:
    """A server process; leaving the block stops it and expects nothing of it to be left."""
    with leak_server(LEAK=leak) as port:
        yield Serving(port)


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *lines, "", ""]).encode()


def post(size: int) -> bytes:
    head = f"POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + b"p" * size


CHUNKED = (
    b"POST /post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;extension=1\r\nhello\r\n3\r\n...\r\n0\r\nTrailer: 1\r\n\r\n"
)


# ---- what clients do, each of them `count` times ----


def hello(server: Serving, count: int) -> None:
    """Pipelined in batches over one connection."""
    with server.connect() as client:
        for _ in range(count // 50):
            client.send(get("/hello", "User-Agent: leak", "X-Own: 1") * 50)
            for _ in range(50):
                assert client.answer() == (200, b"hello")


def bodies(server: Serving, count: int) -> None:
    with server.connect() as client:
        for _ in range(count // 20):
            for size in (0, 10, 3000, 70_000):
                client.send(post(size) + CHUNKED)
                assert client.answer() == (200, str(size).encode())
                assert client.answer() == (200, b"8")
            client.send(CHUNKED * 12)
            for _ in range(12):
                assert client.answer() == (200, b"8")


def expecting(server: Serving, count: int) -> None:
    """Bodies that are sent after 100 Continue."""
    with server.connect() as client:
        for _ in range(count):
            client.send(
                b"POST /post HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                b"Content-Length: 5\r\n\r\n"
            )
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
            client.send(b"hello")
            assert client.answer() == (200, b"5")


def streams(server: Serving, count: int) -> None:
    with server.connect() as client:
        for _ in range(count // 10):
            client.send(get("/stream") * 10)
            for _ in range(10):
                status, body = client.answer()
                assert status == 200
                assert body.count(b"x") == 10_000


def large(server: Serving, count: int) -> None:
    """Answers that do not fit into the socket's buffer, taken to the end or not at all."""
    for number in range(count):
        with server.connect() as client:
            client.send(get("/large", "Connection: close"))
            client.until(b"\r\n\r\n")
            if number % 2:
                client.rest()
            else:
                client.reset()


def resets(server: Serving, count: int) -> None:
    """Connections reset inside a head, inside a body, and while the application waits."""
    for number in range(count):
        with server.connect() as client:
            if number % 4 == 0:
                client.send(b"GET /hello HTTP/1.1\r\nHos")
            elif number % 4 == 1:
                client.send(post(5000)[:-1000])
            elif number % 4 == 2:
                client.send(get("/wait"))
                client.until(b".")
            client.reset()


def half_closed(server: Serving, count: int) -> None:
    for _ in range(count):
        with server.connect() as client:
            client.send(get("/wait"))
            client.sock.shutdown(socket.SHUT_WR)
            assert client.rest().startswith(b"HTTP/1.1 200 ")


def refused(server: Serving, count: int) -> None:
    """Requests that are none, answered 400, 431 and 501."""
    for number in range(count):
        with server.connect() as client:
            if number % 3 == 0:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
                expected = b"HTTP/1.1 400 "
            elif number % 3 == 1:
                client.send(get("/hello", *(f"X-{n}: 1" for n in range(300))))
                expected = b"HTTP/1.1 431 "
            else:
                client.send(get("/hello", "Transfer-Encoding: gzip, chunked"))
                expected = b"HTTP/1.1 501 "
            assert client.rest().startswith(expected)


def exceptions(server: Serving, count: int) -> None:
    """Applications that raise before and after the response's start, or are cancelled."""
    for number in range(count):
        with server.connect() as client:
            path = ("/raise", "/raise-late", "/cancel", "/nothing")[number % 4]
            client.send(get(path))
            expected = b"HTTP/1.1 200 " if path == "/raise-late" else b"HTTP/1.1 500 "
            assert client.rest().startswith(expected)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (hello, 1000),
        (bodies, 300),
        (expecting, 400),
        (streams, 400),
        (large, 60),
        (resets, 400),
        (half_closed, 200),
        (refused, 300),
        (exceptions, 400),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_shape_leaves_nothing(shape: Callable[[Serving, int], None], count: int) -> None:
    with serving() as server:
        left = growth(lambda: shape(server, count), measure=server.measure)
        assert_flat(left, count)
        assert server.counts["connections"] == server.counts["cycles"] == 1


def test_twenty_thousand_mixed_requests() -> None:
    def round_of(server: Serving) -> int:
        hello(server, 3500)
        bodies(server, 600)
        streams(server, 500)
        expecting(server, 100)
        resets(server, 100)
        refused(server, 90)
        exceptions(server, 100)
        half_closed(server, 10)
        return 5000

    with serving() as server:
        round_of(server)
        before = server.measure()
        answered = sum(round_of(server) for _ in range(4))
        left = server.measure() - before
        assert answered == 20_000
        assert left.resident < FEW_MEGABYTES
        assert left.blocks < answered // 10
        assert left.malloced < FEW_MEGABYTES // 8


@pytest.mark.parametrize("leak", ["python", "native"])
def test_a_leak_would_be_seen(leak: str) -> None:
    with serving(leak) as server:
        left = growth(lambda: hello(server, 400), measure=server.measure)
        with pytest.raises(AssertionError, match="after 400"):
            assert_flat(left, 400)
